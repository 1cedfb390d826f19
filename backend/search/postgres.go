package search

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// PostgreSQL has the same words in a tsvector. What a message has stands among
// them in capitals, which no folded word has.

const (
	maxLexeme   = 255    // bytes; PostgreSQL takes some more
	maxPosition = 16_000 // words after that have all the same place there
)

// Vector writes the two columns of an index as a tsvector. Words are made of
// letters and digits and need no quoting within their quotes.
func Vector(body, has string) string {
	at := map[string][]string{}
	var order []string
	for i, w := range strings.Fields(body) {
		if i >= maxPosition {
			break
		}
		w = clip(w, maxLexeme)
		if at[w] == nil {
			order = append(order, w)
		}
		if len(at[w]) < 255 { // as many as PostgreSQL keeps
			at[w] = append(at[w], strconv.Itoa(i+1))
		}
	}
	var b strings.Builder
	for _, w := range order {
		b.WriteString("'" + w + "':" + strings.Join(at[w], ",") + " ")
	}
	for _, h := range strings.Fields(has) {
		b.WriteString("'" + strings.ToUpper(h) + "' ")
	}
	return b.String()
}

// MatchVector writes words and has: as a tsquery: whatever fits is found with
// it. "" where there are neither.
func (q Query) MatchVector() string {
	var list []string
	quoted := func(w string) string { return "'" + clip(w, maxLexeme) + "'" }
	for _, t := range q.terms {
		var phrase []string
		spaced := !slices.ContainsFunc(t.tokens, func(w token) bool { return w.unspaced })
		for i, w := range t.tokens {
			s := quoted(w.text)
			if w.unspaced {
				var b strings.Builder
				writePairs(&b, w.text, false)
				var pairs []string
				for _, p := range strings.Fields(b.String()) {
					pairs = append(pairs, quoted(p))
				}
				s = strings.Join(pairs, " <-> ")
			}
			if w.unspaced && utf8.RuneCountInString(w.text) == 1 || i == len(t.tokens)-1 && !w.unspaced && t.goesOn() || len(w.text) > maxLexeme {
				s += ":*"
			}
			if !spaced {
				s = "(" + s + ")"
			}
			phrase = append(phrase, s)
		}
		if spaced {
			list = append(list, "("+strings.Join(phrase, " <-> ")+")")
		} else {
			list = append(list, phrase...)
		}
	}
	for _, h := range q.Has {
		list = append(list, "'"+strings.ToUpper(string(h))+"'")
	}
	return strings.Join(list, " & ")
}
