package chat

import (
	"slices"
	"strings"
)

// taken says which parts may be sent on a kind of channel. A kind that is not
// here takes all that are known: its connector decides.
var taken = map[ChannelKind][]PartKind{
	KindWeb: {PartText, PartImage, PartVideo, PartAudio, PartVoice, PartFile, PartLocation, PartLink},
}

// CheckTaken refuses parts that a channel of this kind cannot carry.
func CheckTaken(kind ChannelKind, parts []Part) error {
	list, limited := taken[kind]
	if !limited {
		return nil
	}
	for i, p := range parts {
		if !slices.Contains(list, p.Kind) {
			return &Error{Code: CodeUnsupported, Field: "parts." + itoa(i) + ".kind",
				Message: "This channel cannot carry this kind of part. Say it in words, or send a file."}
		}
	}
	return nil
}

// harmlessLink reports whether a link only leads somewhere: no script, no file
// of the reader's own machine.
func harmlessLink(s string) bool {
	for _, c := range s {
		if c <= ' ' || c == 0x7f { // browsers drop some of these, and see another link then
			return false
		}
	}
	scheme, rest, _ := strings.Cut(s, ":")
	switch strings.ToLower(scheme) {
	case "http", "https":
		host, found := strings.CutPrefix(rest, "//")
		return found && host != "" && !strings.ContainsRune("/?#:@", rune(host[0]))
	case "mailto":
		return rest != ""
	}
	return false
}

func isCurrency(s string) bool {
	if len(s) != 3 {
		return false
	}
	for _, c := range []byte(s) {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// negative names a number of the part that must not be below zero but is.
func (p Part) negative() string {
	for _, n := range []struct {
		name  string
		value int64
	}{{"size", p.Size}, {"width", int64(p.Width)}, {"height", int64(p.Height)}, {"duration_ms", p.DurationMS}, {"price", p.Price}} {
		if n.value < 0 {
			return n.name
		}
	}
	return ""
}
