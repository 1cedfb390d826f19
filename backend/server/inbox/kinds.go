package inbox

import (
	"strings"

	"parley/backend/chat"
)

// shownAs gives the files of a customer's message the kind their content has.
// A browser sends only "a file"; the sniffed type says what can be shown in
// place. What a browser cannot show stays a file.
func shownAs(parts []chat.Part) []chat.Part {
	for i := range parts {
		p := &parts[i]
		if p.Kind != chat.PartFile {
			continue
		}
		kind, _, _ := strings.Cut(p.Type, ";")
		switch kind {
		case "image/png", "image/jpeg", "image/gif", "image/webp":
			p.Kind = chat.PartImage
		case "audio/mpeg", "audio/mp4", "audio/ogg", "audio/wave", "audio/webm":
			p.Kind = chat.PartAudio
		case "video/mp4", "video/webm":
			p.Kind = chat.PartVideo
		}
	}
	return parts
}
