package search

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Hits reports whether every word of the query is in one of the texts.
func (q Query) Hits(texts ...string) bool {
	return len(q.terms) == 0 || q.hits(tokensOf(texts))
}

// tokensOf cuts each text into words.
func tokensOf(texts []string) [][]token {
	all := make([][]token, len(texts))
	for i, text := range texts {
		all[i] = tokens(text, false)
	}
	return all
}

func (q Query) hits(all [][]token) bool {
	for _, t := range q.terms {
		if !slices.ContainsFunc(all, func(list []token) bool { return t.find(list, 0) >= 0 }) {
			return false
		}
	}
	return true
}

// find gives the place of the first hit at or after from, or -1.
func (t term) find(list []token, from int) int {
	for i := from; i+len(t.tokens) <= len(list); i++ {
		if t.fits(list[i:]) {
			return i
		}
	}
	return -1
}

// fits reports whether the term stands at the beginning of the list. Within a
// run of an unspaced script it may begin and end anywhere.
func (t term) fits(list []token) bool {
	last := len(t.tokens) - 1
	for i, w := range t.tokens {
		have := list[i]
		switch {
		case w.unspaced != have.unspaced:
			return false
		case !w.unspaced && (have.text == w.text || i == last && t.goesOn() && strings.HasPrefix(have.text, w.text)):
		case w.unspaced && last == 0 && strings.Contains(have.text, w.text):
		case w.unspaced && last > 0 && i == 0 && strings.HasSuffix(have.text, w.text):
		case w.unspaced && last > 0 && i == last && strings.HasPrefix(have.text, w.text):
		case w.unspaced && have.text == w.text:
		default:
			return false
		}
	}
	return true
}

// Score says how well texts fit that the query hits: whole words before
// beginnings, often before once, side by side and in order before scattered,
// short texts before long ones.
func (q Query) Score(texts ...string) float64 { return q.score(tokensOf(texts)) }

// ScoreOf is the Score of a message that Fits has read.
func (q Query) ScoreOf(m *Message) float64 {
	if m.tokens == nil {
		m.tokens = tokensOf(m.Texts())
	}
	return q.score(m.tokens)
}

func (q Query) score(all [][]token) float64 {
	var score, length float64
	for _, list := range all {
		length += float64(len(list))
		before := -1
		for _, t := range q.terms {
			n := 0.0
			for i := t.find(list, 0); i >= 0; i = t.find(list, i+1) {
				weight := 0.6
				if w, have := t.tokens[len(t.tokens)-1], list[i+len(t.tokens)-1]; w.text == have.text || w.unspaced {
					weight = 1
				}
				n += weight
				if before >= 0 && i == before+1 {
					score += 0.5
				}
				if n == weight {
					before = i + len(t.tokens) - 1
				}
			}
			score += n * 2.2 / (n + 1.2) // the tenth time adds little
		}
	}
	return score / (0.6 + 0.4*length/25)
}

// Mark is a part of a text to be shown as found, in UTF-16 units, as windows count.
type Mark [2]int

// Snippet is a part of a text around what was found in it.
type Snippet struct {
	Text  string `json:"text"`
	Marks []Mark `json:"marks"`
}

const (
	snippetLead = 16  // characters before the first mark
	snippetLen  = 160 // characters
)

// Snippet gives the part of a text to show, in one line. Without a hit it is
// the beginning, without marks.
func (q Query) Snippet(text string) Snippet {
	// A text of 64 KB needs no more than what stands around the first hit.
	found := q.marks(text)
	from := 0
	if len(found) > 0 {
		from = lead(text, found[0][0])
	}
	var b strings.Builder
	out := Snippet{Marks: []Mark{}}
	units, runes, open := 0, 0, -1
	write := func(r rune) {
		b.WriteRune(r)
		units += utf16.RuneLen(r)
		runes++
	}
	if from > 0 {
		write('…')
	}
	space := true // none at the beginning
	for i, r := range text[from:] {
		at := from + i
		if len(found) > 0 && at >= found[0][1] {
			if open >= 0 {
				out.Marks = append(out.Marks, Mark{open, units})
			}
			found, open = found[1:], -1
		}
		if runes >= snippetLen {
			write('…')
			break
		}
		if unicode.IsSpace(r) {
			if !space {
				write(' ')
			}
			space = true
			continue
		}
		space = false
		if len(found) > 0 && at >= found[0][0] && open < 0 {
			open = units
		}
		if r == utf8.RuneError || unicode.IsControl(r) {
			continue
		}
		write(r)
	}
	if open >= 0 {
		out.Marks = append(out.Marks, Mark{open, units})
	}
	out.Text = strings.TrimRight(b.String(), " ")
	return out
}

// lead goes back from the first mark by some characters, to the beginning of a word.
func lead(text string, mark int) int {
	at, n := mark, 0
	for at > 0 && n < snippetLead {
		_, size := utf8.DecodeLastRuneInString(text[:at])
		at, n = at-size, n+1
	}
	if at == 0 {
		return 0
	}
	if space := strings.IndexFunc(text[at:mark], unicode.IsSpace); space >= 0 {
		return at + space
	}
	// A text without spaces is cut between characters, never before a sign that belongs to one.
	for at < mark {
		r, size := utf8.DecodeRuneInString(text[at:])
		if !unicode.In(r, unicode.M, unicode.Cf) {
			break
		}
		at += size
	}
	return at
}

// marks gives what is found in a text, in bytes, in order and without overlaps.
func (q Query) marks(text string) (found [][2]int) {
	list := tokens(text, true)
	for _, t := range q.terms {
		for i := t.find(list, 0); i >= 0; i = t.find(list, i+1) {
			for j, w := range t.tokens {
				found = append(found, places(list[i+j], w, len(t.tokens) == 1, j == 0)...)
			}
		}
	}
	slices.SortFunc(found, func(a, b [2]int) int {
		if a[0] != b[0] {
			return a[0] - b[0]
		}
		return a[1] - b[1]
	})
	merged := found[:0]
	for _, m := range found {
		if n := len(merged); n > 0 && m[0] <= merged[n-1][1] {
			merged[n-1][1] = max(merged[n-1][1], m[1])
		} else {
			merged = append(merged, m)
		}
	}
	return merged
}

// places says where in a token of a text a word of the query stands.
func places(have, w token, alone, first bool) (list [][2]int) {
	if !have.unspaced || have.at == nil {
		return [][2]int{{have.from, have.to}}
	}
	in := func(i int) {
		// A character may have become several: all of them came from one place.
		end := i + len(w.text)
		to := have.at[end]
		for end < len(have.at)-1 && have.at[end] == have.at[end-1] {
			end++
			to = have.at[end]
		}
		list = append(list, [2]int{have.at[i], to})
	}
	switch {
	case alone:
		for i := 0; i+len(w.text) <= len(have.text); {
			at := strings.Index(have.text[i:], w.text)
			if at < 0 {
				break
			}
			in(i + at)
			i += at + len(w.text)
		}
	case first:
		in(len(have.text) - len(w.text))
	default:
		in(0)
	}
	return list
}
