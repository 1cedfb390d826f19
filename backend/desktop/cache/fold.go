package cache

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// letters are those that people type without their stroke or as two letters,
// and that no decomposition takes apart. Keys are lower case.
var letters = strings.NewReplacer("ł", "l", "ø", "o", "ß", "ss", "đ", "d", "ð", "d", "þ", "th", "æ", "ae", "œ", "oe",
	"ı", "i", "ħ", "h", "ŧ", "t", "ŋ", "n", "ς", "σ")

// fold gives the form in which names are compared: what is indexed and what is
// typed both go through it. Width, ligatures, case, accents and the dots of ё
// make no difference.
func fold(text string) string {
	if isPlain(text) {
		return strings.ToLower(text)
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		if !accent(r) && !unicode.Is(unicode.Cf, r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	// Composed again, or Hangul would stay in pieces.
	return norm.NFC.String(letters.Replace(b.String()))
}

func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// accent reports marks that change how a letter sounds but not which one it
// is. The vowel signs of Indic scripts and Thai are no such marks, nor are the
// voicing marks of Japanese.
func accent(r rune) bool {
	const voiced, halfVoiced = '\u3099', '\u309a'
	return r >= 0x0300 && r != voiced && r != halfVoiced && unicode.Is(unicode.Mn, r) &&
		unicode.In(r, unicode.Inherited, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Hebrew, unicode.Arabic)
}
