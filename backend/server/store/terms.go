package store

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"parley/backend/chat"
)

const (
	maxTerms    = 32 // of one contact
	maxTermSize = 64 // runes; longer words are found by their beginning
)

// contactTerms gives the words under which a contact is found: those of the
// name, the address and its parts, and the number's digits. Sorted, no repeats.
func contactTerms(c chat.Contact) []string {
	if c.Name == "" && c.Email == "" && c.Phone == "" {
		return nil
	}
	terms := words(c.Name)
	if email := fold(strings.TrimSpace(c.Email)); email != "" {
		terms = append(terms, clipRunes(email))
		terms = append(terms, words(email)...)
	}
	if digits := onlyDigits(c.Phone); digits != "" {
		terms = append(terms, clipRunes(digits))
	}
	slices.Sort(terms)
	terms = slices.Compact(terms)
	return terms[:min(len(terms), maxTerms)]
}

// queryTerms gives the beginnings of words that must all be found.
func queryTerms(query string) []string {
	var terms []string
	for _, field := range strings.Fields(fold(query)) {
		switch {
		case strings.ContainsRune(field, '@'):
			terms = append(terms, clipRunes(field))
		case isPhone(field):
			terms = append(terms, onlyDigits(field))
		default:
			terms = append(terms, words(field)...)
		}
	}
	if phone := onlyDigits(query); isPhone(query) && phone != "" { // "+1 555 01" is one number, not three words
		return []string{clipRunes(phone)}
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}

func isPhone(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.Trim(s, "0123456789+-()/. ") == ""
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// words splits at everything that is neither letter, mark nor digit.
func words(s string) []string {
	list := strings.FieldsFunc(fold(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
	for i, w := range list {
		list[i] = clipRunes(w)
	}
	return list
}

// fold makes "José" and "jose" the same.
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			s = strings.Map(func(r rune) rune {
				if unicode.Is(unicode.Mn, r) {
					return -1
				}
				return r
			}, norm.NFKD.String(s))
			return norm.NFC.String(strings.ToLower(s))
		}
	}
	return strings.ToLower(s)
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
		if !slices.ContainsFunc(terms, func(t string) bool { return strings.HasPrefix(t, b) }) {
			return false
		}
	}
	return true
}

// after gives the smallest text above everything that begins with s, for a
// range of an index that compares bytes.
func after(s string) string { return s + "\xf4\x8f\xbf\xbf" } // the highest code point, as UTF-8
