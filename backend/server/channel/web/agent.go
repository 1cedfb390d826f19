package web

import "strings"

// describeAgent tells a member what a customer is using, in two words each,
// from the User-Agent. It is a hint for a person; nothing depends on it.
func describeAgent(ua string) (device, browser string) {
	ua = clip(strings.ToValidUTF8(ua, ""), 512)
	for _, d := range []struct{ mark, name string }{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"},
		{"Windows", "Windows"}, {"Macintosh", "Mac"}, {"Linux", "Linux"},
	} {
		if strings.Contains(ua, d.mark) {
			device = d.name
			break
		}
	}
	// The order matters: nearly everybody also claims to be Chrome and Safari.
	for _, b := range []struct{ mark, name string }{
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Version/", "Safari"},
	} {
		_, rest, ok := strings.Cut(ua, b.mark)
		if !ok || (b.name == "Safari" && !strings.Contains(ua, "Safari/")) {
			continue
		}
		browser = b.name
		if major := leadingDigits(rest); major != "" {
			browser += " " + major
		}
		break
	}
	return device, browser
}

func leadingDigits(s string) string {
	n := 0
	for n < len(s) && n < 5 && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return s[:n]
}
