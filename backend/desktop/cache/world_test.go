package cache

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
)

// world is a handful of entities to write tests with. Ids follow from small
// numbers, so that failures can be read.
type world struct{ t testing.TB }

func id[E any](kind, n byte) chat.ID[E] {
	return chat.ID[E]{0: 1, 1: kind, 6: 0x70, 8: 0x80, 15: n}
}

func brandID(n byte) chat.BrandID               { return id[chat.Brand](1, n) }
func contactID(n byte) chat.ContactID           { return id[chat.Contact](2, n) }
func conversationID(n byte) chat.ConversationID { return id[chat.Conversation](3, n) }
func memberID(n byte) chat.MemberID             { return id[chat.Member](4, n) }
func channelID(n byte) chat.ChannelID           { return id[chat.Channel](5, n) }
func messageID(conv byte, number int64) chat.MessageID {
	return chat.MessageID{0: 2, 1: conv, 2: byte(number >> 8), 6: 0x70, 8: 0x80, 15: byte(number)}
}

func (w world) change(kind chat.EntityKind, id string, ver int64, brand chat.BrandID, conv chat.ConversationID, v any) chat.Change {
	c := chat.Change{Seq: ver, Kind: kind, ID: id, Op: chat.OpPut, Brand: brand, Conversation: conv}
	if v == nil {
		c.Op = chat.OpDelete
		return c
	}
	c.Data = encode(w.t, v)
	return c
}

// conversation n is contact n's in a brand.
func (w world) conversation(n byte, ver int64, brand byte, edit func(*chat.Conversation)) chat.Change {
	c := chat.Conversation{ID: conversationID(n), Ver: ver, Brand: brandID(brand), Channel: channelID(brand), Contact: contactID(n),
		Status: chat.StatusOpen, LastMessageAt: testNow + chat.Time(ver), Tags: []string{}}
	if edit != nil {
		edit(&c)
	}
	return w.change(chat.EntityConversation, c.ID.String(), ver, c.Brand, c.ID, c)
}

func (w world) contact(n byte, ver int64, brand byte, name string) chat.Change {
	c := chat.Contact{ID: contactID(n), Ver: ver, Brand: brandID(brand), Name: name}
	return w.change(chat.EntityContact, c.ID.String(), ver, c.Brand, chat.ConversationID{}, c)
}

func (w world) message(conv byte, number, ver int64, brand byte, text string) chat.Change {
	return w.messageAt(0, conv, number, ver, brand, text)
}

func (w world) messageAt(at chat.Time, conv byte, number, ver int64, brand byte, text string) chat.Change {
	m := chat.Message{ID: messageID(conv, number), Ver: ver, Conversation: conversationID(conv), Number: number, StoredAt: at,
		Kind: chat.MessageKindMessage, Parts: []chat.Part{chat.TextPart(text)}}
	return w.change(chat.EntityMessage, m.ID.String(), ver, brandID(brand), m.Conversation, m)
}

// failed is a message that the channel could not deliver.
func (w world) failed(conv byte, number, ver int64, brand byte, text string) chat.Change {
	m := chat.Message{ID: messageID(conv, number), Ver: ver, Conversation: conversationID(conv), Number: number, Kind: chat.MessageKindMessage,
		Author: chat.MemberActor(memberID(1)), Parts: []chat.Part{chat.TextPart(text)}, StoredAt: testNow + chat.Time(number),
		Delivery: &chat.Delivery{State: chat.DeliveryFailed}}
	return w.change(chat.EntityMessage, m.ID.String(), ver, brandID(brand), m.Conversation, m)
}

// scheduled is a message that is to be sent later; without text, its tombstone.
func (w world) scheduled(conv byte, number int64, ver int64, brand byte, text string) chat.Change {
	id := messageID(conv, number)
	c := w.change(chat.EntityScheduled, id.String(), ver, brandID(brand), conversationID(conv), nil)
	if text != "" {
		c = w.change(chat.EntityScheduled, id.String(), ver, brandID(brand), conversationID(conv),
			chat.Scheduled{ID: id, Ver: ver, Conversation: conversationID(conv), Parts: []chat.Part{chat.TextPart(text)}})
	}
	return c
}

func (w world) draft(conv byte, ver int64, brand byte, text string) chat.Change {
	id := conversationID(conv)
	if text == "" {
		return w.change(chat.EntityDraft, id.String(), ver, brandID(brand), id, nil)
	}
	return w.change(chat.EntityDraft, id.String(), ver, brandID(brand), id, chat.Draft{Conversation: id, Ver: ver, Text: text})
}

func (w world) brand(n byte, ver int64) chat.Change {
	b := chat.Brand{ID: brandID(n), Ver: ver, Name: fmt.Sprintf("Brand %d", n)}
	return w.change(chat.EntityBrand, b.ID.String(), ver, b.ID, chat.ConversationID{}, b)
}

func (w world) channel(n byte, ver int64) chat.Change {
	c := chat.Channel{ID: channelID(n), Ver: ver, Brand: brandID(n), Kind: chat.KindTelegram, Name: "T"}
	return w.change(chat.EntityChannel, c.ID.String(), ver, c.Brand, chat.ConversationID{}, c)
}

func (w world) member(n byte, ver int64, name string) chat.Change {
	m := chat.Member{ID: memberID(n), Ver: ver, Name: name}
	return w.change(chat.EntityMember, m.ID.String(), ver, chat.BrandID{}, chat.ConversationID{}, m)
}

func (w world) access(ver int64, a chat.Access) chat.Change {
	return w.change(chat.EntityAccess, memberID(1).String(), ver, chat.BrandID{}, chat.ConversationID{}, a)
}

// apply applies changes as one packet from the position the cache is at.
func apply(t testing.TB, c *Cache, changes ...chat.Change) Applied {
	t.Helper()
	from, _ := c.Position()
	to := from
	for _, ch := range changes {
		to = max(to, ch.Seq)
	}
	a, err := c.Apply(t.Context(), from, to, changes)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func data(changes ...chat.Change) []json.RawMessage {
	var out []json.RawMessage
	for _, ch := range changes {
		out = append(out, ch.Data)
	}
	return out
}

// dump is everything a cache holds, without the small numbers and marks,
// which depend on the order of arrival.
func dump(t testing.TB, c *Cache) string {
	t.Helper()
	purged(t, c)
	db, err := sql.Open("sqlite3", dsn(filepath.Join(c.dir, cacheFile), "mode", "ro"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var lines []string
	for _, query := range []string{
		"select 'entity', kind, hex(id), ver, data from entity",
		"select 'contact', hex(id), ver, label, data, (select hex(id) from ref where n = brand) from contact",
		`select 'conversation', hex(c.id), c.ver, shown, r.id, c.label, c.data, done, unread, last_at, last_number,
			(select hex(id) from contact where n = c.contact), (select hex(id) from ref where n = c.assignee) from conversation c join ref r on r.n = c.brand where shown = 1`,
		"select 'message', hex(c.id), m.key & 16777215, hex(m.id), m.ver, m.data from message m left join conversation c on c.n = m.key >> 24",
		"select 'span', hex(c.id), lo, hi from span s left join conversation c on c.n = s.conversation",
		"select 'draft', hex(c.id), d.ver, d.data from draft d left join conversation c on c.n = d.conversation",
		"select 'scheduled', hex(s.id), hex(c.id), s.ver, s.data from scheduled s left join conversation c on c.n = s.conversation",
		"select 'found', rowid in (select n from contact) from contact_fts",
	} {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, printRows(t, rows)...)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// purged waits until the rows of what is hidden are gone.
func purged(t testing.TB, c *Cache) {
	t.Helper()
	until(t, "what is hidden is removed", func() bool { return !c.Purging() })
}

// until waits for what the writer does in its own time. It looks now and then:
// without a pause it would take the processor that the writer needs.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	late := time.After(2 * time.Minute)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-late:
			t.Fatalf("it never came about that %s", what)
		case <-again.C:
		}
	}
}

// difference gives the lines that only one of two dumps has.
func difference(got, want string) string {
	count := map[string]int{}
	for _, line := range strings.Split(got, "\n") {
		count[line]++
	}
	for _, line := range strings.Split(want, "\n") {
		count[line]--
	}
	var b strings.Builder
	for line, n := range count {
		if n != 0 {
			fmt.Fprintf(&b, "%+d %.200s\n", n, line)
		}
	}
	return b.String()
}

func printRows(t testing.TB, rows *sql.Rows) (lines []string) {
	t.Helper()
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, dest := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, v := range values {
			fmt.Fprintf(&b, "%q ", v.String)
		}
		lines = append(lines, b.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}
