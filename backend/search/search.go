// Package search is what looking for something means, wherever it is done: the
// language a person types (Parse), the form in which texts are indexed and
// asked for (Index, Query.Match), whether a text fits (Query.Hits), and the
// part of it to show, with what fits marked (Query.Snippet).
//
// A full-text index is fed Index(text) and asked Query.Match; it answers with
// everything that fits and, now and then, with something that does not: an
// index may lag behind the rows. Query.Hits decides on the text itself. It is
// pure: no input, no output, no state.
//
// Case, accents, width and ligatures make no difference. A run of characters of
// a script that puts no spaces between words is indexed as overlapping pairs,
// so that every part of it with two characters or more is found.
package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// unspaced reports scripts that put no spaces between words (Chinese, Japanese,
// and those of the languages from Burma to Vietnam), and Hangul, whose names are
// written in one piece.
func unspaced(r rune) bool {
	const long = '\u30fc' // the sign of a long vowel belongs to no script
	return r >= 0x0e00 && (0x4e00 <= r && r <= 0x9fff || 0xac00 <= r && r <= 0xd7a3 || r == long || unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai,
		unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tai_Le, unicode.New_Tai_Lue, unicode.Tai_Tham))
}

// wordRune reports what words are made of.
func wordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return 0x4e00 <= r && r <= 0x9fff || unicode.IsLetter(r) || unicode.In(r, unicode.N, unicode.M)
}

// token is a word, or a run of an unspaced script, in folded form.
type token struct {
	text     string
	unspaced bool
	from, to int   // where it stands in the original text, in bytes
	at       []int // of an unspaced run: where each of its bytes comes from; the last one is to
}

// tokens cuts a text into words. Where each comes from is told only if asked:
// it is needed for few texts and costs.
func tokens(text string, places bool) []token {
	if isPlain(text) {
		return plainTokens(text)
	}
	if folded, at, ok := foldEach(text, places); ok {
		return cut(folded, at)
	}
	if !places {
		return cut(foldWhole(text), nil)
	}
	return cut(foldPlaces(text))
}

// foldPlaces folds any text and says where each byte comes from.
func foldPlaces(text string) (folded string, at []int) {
	// Folded piece by piece, at the borders at which nothing composes.
	var b strings.Builder
	var it norm.Iter
	it.InitString(norm.NFKC, text)
	for !it.Done() {
		from := it.Pos()
		piece := Fold(string(it.Next()))
		b.WriteString(piece)
		for range len(piece) {
			at = append(at, from)
		}
	}
	return b.String(), append(at, len(text))
}

func plainTokens(text string) []token {
	list := make([]token, 0, len(text)/6+1)
	lower := strings.ToLower(text)
	from := -1
	for i := range len(lower) {
		switch word := wordRune(rune(lower[i])); {
		case word && from < 0:
			from = i
		case !word && from >= 0:
			list, from = append(list, token{text: lower[from:i], from: from, to: i}), -1
		}
	}
	if from >= 0 {
		list = append(list, token{text: lower[from:], from: from, to: len(lower)})
	}
	return list
}

// cut makes tokens of a folded text; at says where its bytes come from.
func cut(folded string, at []int) (list []token) {
	origin := func(i int) int {
		if at == nil {
			return 0
		}
		return at[i]
	}
	list = make([]token, 0, len(folded)/8+1)
	from, pairs := -1, false
	end := func(i int) {
		if from < 0 {
			return
		}
		t := token{text: folded[from:i], unspaced: pairs, from: origin(from), to: origin(i)}
		if pairs && at != nil {
			t.at = at[from : i+1]
		}
		list, from = append(list, t), -1
	}
	for i, r := range folded {
		if !wordRune(r) {
			end(i)
			continue
		}
		if p := unspaced(r); from < 0 || p != pairs && !unicode.Is(unicode.M, r) {
			end(i)
			from, pairs = i, p
		}
	}
	end(len(folded))
	return list
}

// Index gives the form of a text that a full-text index gets: words between
// spaces, runs of unspaced scripts as overlapping pairs. The last character of
// such a run stands alone too, so that one character finds it.
func Index(text string) string {
	var b strings.Builder
	for _, t := range tokens(text, false) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if !t.unspaced {
			b.WriteString(t.text)
			continue
		}
		writePairs(&b, t.text, true)
	}
	return b.String()
}

// writePairs writes each two neighbours of a run, and its last one alone.
func writePairs(b *strings.Builder, run string, last bool) {
	first := true
	for i := 0; i < len(run); {
		_, n := utf8.DecodeRuneInString(run[i:])
		_, m := utf8.DecodeRuneInString(run[i+n:])
		if m == 0 && !last && !first {
			return
		}
		if !first {
			b.WriteByte(' ')
		}
		first = false
		b.WriteString(run[i : i+n+m])
		i += n
	}
}
