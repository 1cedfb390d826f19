package search

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"parley/backend/chat"
)

// Message is what a search reads of a message.
type Message struct {
	ID           chat.MessageID      `json:"id"`
	Conversation chat.ConversationID `json:"conversation"`
	Number       int64               `json:"number"`
	Kind         chat.MessageKind    `json:"kind"`
	Author       chat.Actor          `json:"author"`
	StoredAt     chat.Time           `json:"stored_at"`
	DeletedAt    chat.Time           `json:"deleted_at"`
	Parts        []Part              `json:"parts"`

	tokens [][]token // of the texts, once Fits has cut them
}

// Part is what a search reads of a part of a message.
type Part struct {
	Kind       chat.PartKind `json:"kind"`
	Text       string        `json:"text"`
	Name       string        `json:"name"`
	Transcript string        `json:"transcript"`
	Title      string        `json:"title"`
	URL        string        `json:"url"`
}

// Texts gives all that is searched in a part.
func (p *Part) Texts() []string {
	list := make([]string, 0, 5)
	for _, text := range [...]string{p.Text, p.Name, p.Transcript, p.Title, p.URL} {
		if text != "" {
			list = append(list, text)
		}
	}
	return list
}

// ReadMessage reads a message's JSON; false where there is nothing to find in
// it: what merely happened, and what was deleted.
func ReadMessage(data []byte) (m Message, ok bool) {
	if json.Unmarshal(data, &m) != nil || m.Kind == chat.MessageKindEvent || !m.DeletedAt.IsZero() || len(m.Parts) == 0 {
		return m, false
	}
	return m, true
}

// Texts gives all that is searched in a message.
func (m *Message) Texts() []string {
	list := make([]string, 0, len(m.Parts))
	for i := range m.Parts {
		list = append(list, m.Parts[i].Texts()...)
	}
	return list
}

// Index gives the two columns of an index: the words, and what can be asked
// for with has:.
func (m *Message) Index() (body, has string) {
	var words, kinds []string
	for _, text := range m.Texts() {
		words = append(words, Index(text))
	}
	for _, p := range m.Parts {
		if h := HasOf(p.Kind); h != "" {
			kinds = append(kinds, string(h))
		}
	}
	return strings.Join(words, " "), strings.Join(kinds, " ")
}

// Words gives what Index does in one column: what can be asked for with has:
// stands among the words behind a sign that no word has.
func (m *Message) Words() string {
	body, has := m.Index()
	var b strings.Builder
	b.WriteString(body)
	for _, h := range strings.Fields(has) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(hasSign + h)
	}
	return b.String()
}

// hasSign is no part of a word, and no ASCII: a tokenizer that cuts at ASCII's
// signs leaves it where it stands.
const hasSign = "§"

// Fits reports whether a message is what is looked for, but for who wrote it
// and where.
func (q Query) Fits(m *Message) bool {
	if q.After != 0 && m.StoredAt < q.After || q.Before != 0 && m.StoredAt >= q.Before {
		return false
	}
	for _, h := range q.Has {
		if !slices.ContainsFunc(m.Parts, func(p Part) bool { return HasOf(p.Kind) == h }) {
			return false
		}
	}
	if len(q.terms) == 0 {
		return true
	}
	if m.tokens == nil {
		m.tokens = tokensOf(m.Texts())
	}
	return q.hits(m.tokens)
}

// A message's place in an index is its time, in steps of some milliseconds: the
// newest are found first, and a limit of time is a range.
const (
	placeBits = 8 // places of a second
	// PlaceSlack is how far a message may be put away from its time where very
	// many share it.
	PlaceSlack  = 1 << 24
	placeOrigin = 946_684_800_000_000 // the year 2000
)

// Place is the place a message gets on the nth try, the first being its own.
// Later tries come shortly after, and then go further and further away.
func Place(at chat.Time, key uint64, try int) int64 {
	const second = 1_000_000
	since := max(0, int64(at)-placeOrigin)
	own := 1 + since/second<<placeBits + since%second<<placeBits/second
	if try < 4 {
		return own + int64(try)
	}
	window := uint64(1) << min(placeBits+try/4*2, 24)
	return own + int64(mix(key+uint64(try)*0x9e3779b97f4a7c15)%window)
}

// FirstPlace is a place that nothing from a moment on is before.
func FirstPlace(at chat.Time) int64 { return Place(at, 0, 0) }

// mix spreads keys evenly.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// MayHit reports whether a message's JSON can hold what is looked for: a look
// at its bytes that costs a tenth of reading it.
func (q Query) MayHit(data []byte) bool {
	for i, b := range data {
		if b >= utf8.RuneSelf || b == 'u' && i > 0 && data[i-1] == '\\' {
			return true // more than one spelling may fit
		}
	}
	var lower []byte
	for _, t := range q.terms {
		for _, w := range t.tokens {
			if w.unspaced || !isPlain(w.text) {
				continue
			}
			if lower == nil {
				lower = bytes.ToLower(data)
			}
			if !bytes.Contains(lower, []byte(w.text)) {
				return false
			}
		}
	}
	return true
}
