package store

import (
	"slices"
	"strings"

	"parley/backend/chat"
	"parley/backend/search"
)

const (
	maxTerms    = 64 // of one contact
	maxTermSize = 64 // runes; longer words are found by their beginning
)

// contactTerms gives the words under which a contact is found, no repeats:
// those of what it is called and of the address, pairs of signs where a script
// has no spaces, and the number from each of its digits on. These come last,
// where there is too much.
func contactTerms(c chat.Contact) []string {
	if c.ID.IsZero() && c.Name == "" && c.Email == "" && c.Phone == "" {
		return nil
	}
	list := strings.Fields(search.Index(c.Label()) + " " + search.Index(c.Email) + " " + search.IndexPhone(c.Phone))
	terms := make([]string, 0, min(len(list), maxTerms))
	for _, t := range list {
		if t = clipRunes(t); len(terms) < maxTerms && !slices.Contains(terms, t) {
			terms = append(terms, t)
		}
	}
	return terms
}

func clipRunes(s string) string {
	n := 0
	for i := range s {
		if n == maxTermSize {
			return s[:i]
		}
		n++
	}
	return s
}

// matches reports whether every beginning is one of a term.
func matches(terms, beginnings []string) bool {
	for _, b := range beginnings {
		if !slices.ContainsFunc(terms, func(t string) bool { return strings.HasPrefix(t, clipRunes(b)) }) {
			return false
		}
	}
	return true
}

// after gives the smallest text above everything that begins with s, for a
// range of an index that compares bytes.
func after(s string) string { return s + "\xf4\x8f\xbf\xbf" } // the highest code point, as UTF-8
