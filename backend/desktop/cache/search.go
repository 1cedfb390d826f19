package cache

import (
	"strings"
	"unicode"
)

// Search is full-text search over what contacts are called. SQLite's tokenizer
// splits at what is neither letter nor digit, but takes a run of Chinese or
// Japanese for one word. Such runs are therefore fed as overlapping pairs of
// characters, and asked for in the same way. Case, accents and the like are
// folded before, by one function for both sides.

// unspaced reports scripts that put no spaces between words, and Hangul, whose
// names are written in one piece.
func unspaced(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai)
}

// searchable is the form of a text that the index gets.
func searchable(text string) string {
	text = fold(text)
	if strings.IndexFunc(text, unspaced) < 0 {
		return text
	}
	var b strings.Builder
	eachRun(text, func(run []rune, pairs bool) {
		b.WriteByte(' ')
		if !pairs {
			b.WriteString(string(run))
			return
		}
		for i := range run {
			// The last one stands alone, so that one character finds it too.
			b.WriteString(string(run[i:min(i+2, len(run))]))
			b.WriteByte(' ')
		}
	})
	return b.String()
}

// eachRun cuts a text where it changes between unspaced scripts and others.
func eachRun(text string, fn func(run []rune, pairs bool)) {
	runes := []rune(text)
	for from := 0; from < len(runes); {
		to, pairs := from+1, unspaced(runes[from])
		for to < len(runes) && unspaced(runes[to]) == pairs {
			to++
		}
		fn(runes[from:to], pairs)
		from = to
	}
}

// minPhone is the fewest digits that are taken for a part of a phone number.
const minPhone = 3

// searchablePhone feeds a number from each of its digits on, so that any part
// of it can be typed.
func searchablePhone(phone string) string {
	d := digits(fold(phone))
	var b strings.Builder
	for i := 0; i+minPhone <= len(d); i++ {
		b.WriteString(d[i:])
		b.WriteByte(' ')
	}
	return b.String()
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// searchQuery turns what was typed into a query: every word must be there, the
// beginning of a word is enough. Searching is false for a blank text; the
// query is "" when there is nothing to look for in it.
func searchQuery(typed string) (match string, searching bool) {
	if strings.TrimSpace(typed) == "" {
		return "", false
	}
	typed = fold(typed)
	if d := phoneDigits(typed); d != "" {
		match = `"` + d + `"*`
		if word := strings.TrimSpace(typed); word != d && word == digits(word) {
			match += ` OR "` + word + `"*` // the zero may belong to a name
		}
		return match, true
	}
	var terms []string
	for _, word := range strings.FieldsFunc(typed, func(r rune) bool { return !unicode.In(r, unicode.L, unicode.N, unicode.M) }) {
		eachRun(word, func(run []rune, pairs bool) {
			terms = append(terms, term(run, pairs))
		})
	}
	const most = 16 // words; more are a pasted text, whose beginning will do
	return strings.Join(terms[:min(len(terms), most)], " AND "), true
}

func term(run []rune, pairs bool) string {
	if !pairs || len(run) == 1 {
		return `"` + string(run) + `"*`
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i+1 < len(run); i++ {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(run[i : i+2]))
	}
	b.WriteByte('"')
	return b.String()
}

// phoneDigits gives the digits of a text that looks like a part of a phone
// number, without the zero that stands for the country at home.
func phoneDigits(typed string) string {
	if strings.Trim(typed, "0123456789 +-()/.\u00a0") != "" {
		return ""
	}
	d := digits(typed)
	if trimmed := strings.TrimLeft(d, "0"); len(trimmed) >= minPhone {
		return trimmed
	}
	return ""
}
