package search

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// People are looked for by what they are called, and by their numbers: each
// word that is typed must begin one of theirs, and any part of a number is
// enough. A run of an unspaced script is found by any part of it.

// minPhone is the fewest digits that are taken for a part of a phone number.
const minPhone = 3

// IndexPhone gives the form of a phone number that an index gets: what follows
// from each of its digits on, so that any part of it can be typed.
func IndexPhone(phone string) string {
	d := digits(Fold(phone))
	var b strings.Builder
	for i := 0; i+minPhone <= len(d); i++ {
		b.WriteString(d[i:])
		b.WriteByte(' ')
	}
	return b.String()
}

// Beginnings gives what words of one index must begin with, for what was typed
// to be somebody's name, address or number: all of one of the lists.
func Beginnings(typed string) [][]string {
	return beginnings(tokens(clip(typed, maxTyped), false), typed)
}

// Beginnings gives what was typed, quotations included, as the function does.
func (q Query) Beginnings() [][]string {
	var words []token
	for _, t := range q.terms {
		words = append(words, t.tokens...)
	}
	return beginnings(words, q.Words)
}

func beginnings(words []token, typed string) (lists [][]string) {
	if numbers := numbersOf(typed); len(numbers) > 0 {
		for _, n := range numbers {
			lists = append(lists, []string{n})
		}
		return lists
	}
	var list []string
	for _, w := range words {
		if !w.unspaced {
			list = append(list, w.text)
			continue
		}
		var b strings.Builder
		writePairs(&b, w.text, false)
		list = append(list, strings.Fields(b.String())...)
	}
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	return [][]string{slices.Compact(list)}
}

// MatchNames writes what was typed as a question to an FTS5 index of names; ""
// when there is nothing to look for in it.
func (q Query) MatchNames() string {
	if numbers := numbersOf(q.Words); len(numbers) > 0 {
		return `"` + strings.Join(numbers, `"* OR "`) + `"*`
	}
	var list []string
	for _, t := range q.terms {
		for _, w := range t.tokens {
			var b strings.Builder
			b.WriteByte('"')
			if w.unspaced {
				writePairs(&b, w.text, false)
			} else {
				b.WriteString(w.text)
			}
			b.WriteByte('"')
			if !w.unspaced || utf8.RuneCountInString(w.text) == 1 {
				b.WriteByte('*')
			}
			list = append(list, b.String())
		}
	}
	return strings.Join(list, " AND ")
}

// numbersOf gives the digits of a text that looks like a part of a phone
// number, without the zero that stands for the country at home, and with it
// where the text may also be a part of a name; none of any other text.
func numbersOf(typed string) []string {
	typed = strings.TrimSpace(Fold(typed))
	if strings.Trim(typed, "0123456789 +-()/.") != "" {
		return nil
	}
	d := digits(typed)
	number := strings.TrimLeft(d, "0")
	switch {
	case len(number) < minPhone:
		return nil
	case number != d && d == typed:
		return []string{number, d}
	}
	return []string{number}
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}
