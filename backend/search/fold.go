package search

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// letters are those that people type without their stroke or as two letters,
// and that no decomposition takes apart. Keys are lower case.
var letters = strings.NewReplacer("ł", "l", "ø", "o", "ß", "ss", "đ", "d", "ð", "d", "þ", "th", "æ", "ae", "œ", "oe",
	"ı", "i", "ħ", "h", "ŧ", "t", "ŋ", "n", "ς", "σ")

// Fold gives the form in which texts are compared: what is indexed and what is
// typed both go through it. Width, ligatures, case, accents and the dots of ё
// make no difference.
func Fold(text string) string {
	if isPlain(text) {
		return strings.ToLower(text)
	}
	if b, _, ok := foldEach(text, false); ok {
		return b
	}
	return foldWhole(text)
}

// foldWhole folds any text.
func foldWhole(text string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		if !accent(r) && !unicode.Is(unicode.Cf, r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	// Composed again, or Hangul would stay in pieces.
	return norm.NFC.String(letters.Replace(b.String()))
}

// foldEach folds a text each of whose characters becomes what it would alone:
// nothing in it joins with its neighbour. Most texts are such, and this costs a
// tenth. Where places are asked for, at says where each byte comes from, and
// at its end where the text ends.
func foldEach(text string, places bool) (folded string, at []int, ok bool) {
	table := alone()
	var b strings.Builder
	b.Grow(len(text))
	if places {
		at = make([]int, 0, len(text)+1)
	}
	for i, r := range text {
		n := b.Len()
		switch {
		case 'A' <= r && r <= 'Z':
			b.WriteByte(byte(r) + 'a' - 'A')
		case r < utf8.RuneSelf:
			b.WriteByte(byte(r))
		case r < aloneEnd:
			if !table[r].known {
				return "", nil, false
			}
			b.WriteString(table[r].folded)
		case steady(r):
			b.WriteRune(r)
		default:
			return "", nil, false
		}
		if places {
			for range b.Len() - n {
				at = append(at, i)
			}
		}
	}
	if places {
		at = append(at, len(text))
	}
	return b.String(), at, true
}

// steady reports characters above the table that fold to themselves and join
// with nothing that foldEach lets pass: kana, unified Han, whole Hangul
// syllables and most punctuation between words.
func steady(r rune) bool {
	return 0x3041 <= r && r <= 0x3096 || 0x30a1 <= r && r <= 0x30fe || 0x4e00 <= r && r <= 0x9fff || 0xac00 <= r && r <= 0xd7a3 ||
		0x2010 <= r && r <= 0x2023 && r != 0x2011 && r != 0x2017 || r == 0x20ac || 0x3001 <= r && r <= 0x3020 || 0x1f300 <= r && r <= 0x1f64f
}

// foldedAlone is what a character folds to, where that does not depend on
// others beside it.
type foldedAlone struct {
	folded string
	known  bool
}

// aloneEnd is the end of the table of alone: Latin, Greek, Cyrillic, Armenian,
// Hebrew and Arabic letters are before it.
const aloneEnd = 0x0700

// alone gives the table, which is made when the first text needs it.
var alone = sync.OnceValue(func() *[aloneEnd]foldedAlone {
	var table [aloneEnd]foldedAlone
	for r := rune(utf8.RuneSelf); r < aloneEnd; r++ {
		p := norm.NFKD.PropertiesString(string(r))
		if unicode.Is(unicode.M, r) || p.CCC() != 0 {
			continue // it joins with what stands before it
		}
		table[r] = foldedAlone{folded: foldWhole(string(r)), known: true}
	}
	return &table
})

func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
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
