package search

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"parley/backend/chat"
)

// Has is something a message carries beside its words.
type Has string

// What a message can be asked to have.
const (
	HasVoice Has = "voice"
	HasFile  Has = "file" // anything stored that is neither an image nor a voice message
	HasImage Has = "image"
)

// HasOf says what a part counts as; "" for what cannot be asked for.
func HasOf(kind chat.PartKind) Has {
	switch kind {
	case chat.PartVoice:
		return HasVoice
	case chat.PartImage:
		return HasImage
	case chat.PartFile, chat.PartAudio, chat.PartVideo:
		return HasFile
	}
	return ""
}

// Query is what is looked for: every word, and everything else that is set.
type Query struct {
	// Words are the plain words as they were typed: names, e-mail addresses and
	// phone numbers are looked for by them.
	Words string
	From  []string // who wrote it: the beginning of each word of a name; "me"
	// Channel and Brand are beginnings of names; one of each is enough.
	Channel, Brand []string
	Has            []Has
	// After is the first moment, Before the first one too late; zero: no limit.
	After, Before chat.Time

	terms []term
}

// term is a word, or several that stand side by side.
type term struct {
	tokens []token
	prefix bool // the last one may go on
	quoted bool
}

// The bounds of a query: more is a pasted text, whose beginning will do.
const (
	maxTyped = 1000 // bytes
	maxTerms = 16
	maxAsked = 32 // words an index is asked for; the others are looked for in what it finds
)

// Parse understands what was typed. Every text is a query: an operator that is
// not known, or whose value makes no sense, is taken for words. Days begin and
// end where loc says.
func Parse(typed string, loc *time.Location) Query {
	var q Query
	var plain []string
	pieces := split(clip(typed, maxTyped))
	for i, p := range pieces {
		last := i == len(pieces)-1
		switch {
		case p.op != "" && q.operator(p.op, p.value, loc):
		case p.quoted:
			q.add(term{tokens: tokens(p.text, false), prefix: last && p.open, quoted: true})
		default:
			plain = append(plain, p.text)
			words := tokens(p.text, false)
			for j, w := range words {
				q.add(term{tokens: []token{w}, prefix: last && j == len(words)-1})
			}
		}
	}
	q.Words = strings.Join(plain, " ")
	return q
}

func (q *Query) add(t term) {
	if len(t.tokens) > 0 && len(q.terms) < maxTerms {
		t.tokens = t.tokens[:min(len(t.tokens), maxTerms)]
		q.terms = append(q.terms, t)
	}
}

// Blank reports that nothing is looked for, as when only signs were typed.
func (q Query) Blank() bool { return len(q.terms) == 0 && !q.Filtered() }

// HasWords reports that there are words to look for.
func (q Query) HasWords() bool { return len(q.terms) > 0 }

// Filtered reports that there is an operator.
func (q Query) Filtered() bool { return q.OfMessages() || len(q.Channel)+len(q.Brand) > 0 }

// OfMessages reports that only messages can fit, and not what somebody is called.
func (q Query) OfMessages() bool {
	return len(q.From)+len(q.Has) > 0 || q.Before != 0 || q.After != 0
}

// String writes the query so that it means the same elsewhere: days have
// become moments.
func (q Query) String() string {
	var list []string
	if q.Words != "" {
		list = append(list, q.Words)
	}
	var quoted []string
	for _, t := range q.terms {
		if t.quoted {
			var words []string
			for _, w := range t.tokens {
				words = append(words, w.text)
			}
			quoted = append(quoted, `"`+strings.Join(words, " ")+`"`)
		}
	}
	// Plain words come last: the last of them may go on.
	list = append(quoted, list...)
	op := func(name string, values ...string) {
		for _, v := range values {
			list = slices.Insert(list, 0, name+`:"`+unquoted(v)+`"`)
		}
	}
	op("from", q.From...)
	op("channel", q.Channel...)
	op("brand", q.Brand...)
	for _, h := range q.Has {
		op("has", string(h))
	}
	if q.After != 0 {
		op("after", q.After.Std().UTC().Format(time.RFC3339Nano))
	}
	if q.Before != 0 {
		op("before", q.Before.Std().UTC().Format(time.RFC3339Nano))
	}
	return strings.Join(list, " ")
}

// operator takes one over; false where it is none.
func (q *Query) operator(name, value string, loc *time.Location) bool {
	set := func(list *[]string) bool {
		if v := strings.Join(strings.Fields(value), " "); v != "" && len(*list) < maxTerms {
			*list = append(*list, v)
		}
		return true // without a value it is still being typed
	}
	switch name {
	case "from":
		return set(&q.From)
	case "channel":
		return set(&q.Channel)
	case "brand":
		return set(&q.Brand)
	case "has":
		h := Has(strings.ToLower(value))
		switch h {
		case HasVoice, HasFile, HasImage:
			if !slices.Contains(q.Has, h) {
				q.Has = append(q.Has, h)
			}
			return true
		}
		return value == ""
	case "before", "after":
		at, ok := moment(value, loc)
		if ok && name == "before" && (q.Before == 0 || at < q.Before) {
			q.Before = at
		}
		if ok && name == "after" && at > q.After {
			q.After = at
		}
		return ok || value == ""
	}
	return false
}

// moment reads a year, month, day or instant; the first three mean their beginning.
func moment(value string, loc *time.Location) (chat.Time, bool) {
	for _, layout := range []string{"2006-01-02", "2006-01", "2006", time.RFC3339Nano} {
		if t, err := time.ParseInLocation(layout, value, loc); err == nil && t.Year() >= 1971 && t.Year() < 2200 {
			return chat.TimeOf(t), true
		}
	}
	return 0, false
}

// piece is a part of what was typed: a word, a quotation or an operator.
type piece struct {
	text      string // of an operator: as typed
	op, value string
	quoted    bool
	open      bool // the quotation is not closed yet
}

// split cuts at spaces outside of quotation marks.
func split(typed string) (list []piece) {
	rest := typed
	for {
		rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
		if rest == "" {
			return list
		}
		if n, size := quote(rest); n {
			text, after, open := quotation(rest[size:])
			list, rest = append(list, piece{text: text, quoted: true, open: open}), after
			continue
		}
		end := strings.IndexFunc(rest, unicode.IsSpace)
		if end < 0 {
			end = len(rest)
		}
		name, value, ok := strings.Cut(rest[:end], ":")
		if n, size := quote(value); ok && n {
			text, after, _ := quotation(rest[len(name)+1+size:])
			list = append(list, piece{text: rest[:len(rest)-len(after)], op: strings.ToLower(name), value: text})
			rest = after
			continue
		}
		p := piece{text: rest[:end]}
		if ok {
			p.op, p.value = strings.ToLower(name), value
		}
		list, rest = append(list, p), rest[end:]
	}
}

// quote reports a quotation mark, also one that a phone has made round.
func quote(s string) (bool, int) {
	r, size := utf8.DecodeRuneInString(s)
	return strings.ContainsRune(`"“”„«»`, r) && r != utf8.RuneError, size
}

// unquoted has spaces for quotation marks, which would end a quotation.
func unquoted(s string) string {
	return strings.Map(func(r rune) rune {
		if is, _ := quote(string(r)); is {
			return ' '
		}
		return r
	}, s)
}

func quotation(s string) (text, after string, open bool) {
	for i, r := range s {
		if is, size := quote(s[i:]); is {
			return s[:i], s[i+size:], false
		} else if r == '\n' {
			break
		}
	}
	return s, "", true
}

// clip cuts after at most n bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Match writes the words for SQLite's FTS5: whatever fits is found with it.
// "" where there are no words.
func (q Query) Match() string {
	var b strings.Builder
	and := func() {
		if b.Len() > 0 {
			b.WriteString(" AND ")
		}
	}
	for _, t := range q.terms {
		if !slices.ContainsFunc(t.tokens, func(w token) bool { return w.unspaced }) {
			and()
			b.WriteByte('"')
			for i, w := range t.tokens {
				if i > 0 {
					b.WriteByte(' ')
				}
				b.WriteString(w.text)
			}
			b.WriteByte('"')
			if t.goesOn() {
				b.WriteByte('*')
			}
			continue
		}
		for i, w := range t.tokens {
			and()
			b.WriteByte('"')
			if w.unspaced {
				writePairs(&b, w.text, false)
			} else {
				b.WriteString(w.text)
			}
			b.WriteByte('"')
			if w.unspaced && utf8.RuneCountInString(w.text) == 1 || i == len(t.tokens)-1 && !w.unspaced && t.goesOn() {
				b.WriteByte('*')
			}
		}
	}
	return b.String()
}

// MatchIndex is Match for an index with the columns of Message.Index, has:
// included; "" where there are neither words nor that.
func (q Query) MatchIndex() string {
	var list []string
	if words := q.Match(); words != "" {
		list = append(list, "body : ("+words+")")
	}
	for _, h := range q.Has {
		list = append(list, `has : "`+string(h)+`"`)
	}
	return strings.Join(list, " AND ")
}

// MatchWords is Match for an index of Message.Words that keeps no positions,
// has: included, one question for each word: all of them must hold. What has
// to stand side by side only has to be there, so more is found than fits.
func (q Query) MatchWords() (list []string) {
	seen := map[string]bool{}
	add := func(word string, prefix bool) {
		word = `"` + word + `"`
		if prefix {
			word += "*"
		}
		if !seen[word] && len(list) < maxAsked {
			seen[word] = true
			list = append(list, word)
		}
	}
	for _, t := range q.terms {
		for i, w := range t.tokens {
			if !w.unspaced {
				add(w.text, i == len(t.tokens)-1 && t.goesOn())
				continue
			}
			var b strings.Builder
			writePairs(&b, w.text, false)
			for _, pair := range strings.Fields(b.String()) {
				add(pair, utf8.RuneCountInString(w.text) == 1)
			}
		}
	}
	for _, h := range q.Has {
		add(hasSign+string(h), false)
	}
	return list
}

// Named reports whether each word that was typed begins a word of a name.
func Named(typed, name string) bool {
	have, words := tokens(name, false), tokens(typed, false)
	for _, w := range words {
		if !slices.ContainsFunc(have, func(h token) bool {
			return strings.HasPrefix(h.text, w.text) || w.unspaced && strings.Contains(h.text, w.text)
		}) {
			return false
		}
	}
	return len(words) > 0
}

// Whole gives the query without words that go on: the last one is whole.
func (q Query) Whole() Query {
	q.terms = slices.Clone(q.terms)
	for i := range q.terms {
		q.terms[i].prefix = false
	}
	return q
}

// Parts takes a query whose last word may go on apart: what stands before that
// word, and the word alone, whole. It reports whether there is such a word.
func (q Query) Parts() (rest, last Query, goesOn bool) {
	n := len(q.terms) - 1
	if n < 0 || !q.terms[n].goesOn() || slices.ContainsFunc(q.terms[n].tokens, func(w token) bool { return w.unspaced }) {
		return q, Query{}, false
	}
	rest, last = q, Query{terms: q.terms[n:]}
	rest.terms = q.terms[:n]
	return rest, last.Whole(), true
}

// minPrefix is how many characters a word must have to stand for all that
// begin with them: shorter ones fit everything.
const minPrefix = 2

func (t term) goesOn() bool {
	return t.prefix && utf8.RuneCountInString(t.tokens[len(t.tokens)-1].text) >= minPrefix
}
