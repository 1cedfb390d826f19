package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"strconv"
	"strings"

	"parley/backend/chat"
	"parley/backend/search"
)

// manyContacts is how many matches of a search are looked up one by one;
// with more of them it is quicker to go through the conversations in order.
const manyContacts = 2000

// query is a statement put together from fixed pieces with their arguments.
type query struct {
	text strings.Builder
	args []any
}

func (q *query) add(text string, args ...any) {
	q.text.WriteString(text)
	q.args = append(q.args, args...)
}

// brands restricts a column to what a view includes; null is for everybody.
func (q *query) brands(view chat.View, column string) {
	if view.Brands == nil {
		return
	}
	q.add(" and (" + column + " is null")
	if len(view.Brands) > 0 {
		q.add(" or " + column + " in (" + strings.Repeat("?, ", len(view.Brands)-1) + "?)")
		for _, b := range view.Brands {
			q.args = append(q.args, b.Bytes())
		}
	}
	q.add(")")
}

// position is a place in the list of conversations, newest first.
type position struct {
	at chat.Time
	id []byte
}

// top is before the first conversation.
func top() position { return position{1<<63 - 1, bytes.Repeat([]byte{0xff}, 16)} }

func (p position) String() string {
	return strconv.FormatInt(int64(p.at), 36) + "." + hex.EncodeToString(p.id)
}

func parsePosition(at, id string) (position, error) {
	n, err := strconv.ParseInt(at, 36, 64)
	b, err2 := hex.DecodeString(id)
	if err != nil || err2 != nil || len(b) != 16 {
		return position{}, errCursor()
	}
	return position{chat.Time(n), b}, nil
}

func errCursor() error {
	return chat.Invalid("cursor", "This cursor is not one of ours. Begin again without it.")
}

// Conversations lists conversations that the view includes, those with the
// newest message first, with the contacts they belong to. The cursor continues
// where an earlier list ended; the last page gives none.
func (s *Store) Conversations(ctx context.Context, ws chat.WorkspaceID, view chat.View, f ConversationFilter, cursor string, limit int) (
	list []chat.Conversation, contacts []chat.Contact, next string, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return nil, nil, "", err
	}
	from, order, than := top(), "desc", "<"
	if f.Oldest {
		from, order, than = position{-1 << 63, make([]byte, 16)}, "asc", ">"
	}
	if cursor != "" {
		at, id, _ := strings.Cut(cursor, ".")
		if from, err = parsePosition(at, id); err != nil {
			return nil, nil, "", err
		}
	}
	q := &query{}
	q.add(`select c.data, k.data from conversation c
		join contact k on k.workspace_id = c.workspace_id and k.id = c.contact_id
		where c.workspace_id = ? and (c.last_message_at, c.id) `+than+` (?, ?)`, r.ws, int64(from.at), from.id)
	q.brands(view, "c.brand_id")
	q.filter(f)
	list, contacts = []chat.Conversation{}, []chat.Contact{}
	if f.Query != "" || f.called != nil {
		called := f.called
		if called == nil {
			called = search.Beginnings(f.Query)
		}
		some, err := r.search(q, called)
		if err != nil || !some {
			return list, contacts, "", err
		}
	}
	q.add(` order by c.last_message_at `+order+`, c.id `+order+` limit ?`, int64(limit)+1)
	seen := map[chat.ContactID]bool{}
	more := false
	err = r.each("conversation", q.text.String(), func(rows *sql.Rows) error {
		if len(list) == limit {
			more = true
			return nil
		}
		var c chat.Conversation
		var k chat.Contact
		if err := scanPair(rows, &c, &k); err != nil {
			return err
		}
		list = append(list, c)
		if !seen[k.ID] {
			seen[k.ID] = true
			contacts = append(contacts, k)
		}
		return nil
	}, q.args...)
	if more && len(list) > 0 {
		last := list[len(list)-1]
		next = position{last.LastMessageAt, last.ID.Bytes()}.String()
	}
	return list, contacts, next, err
}

func scanPair(rows *sql.Rows, c *chat.Conversation, k *chat.Contact) error {
	var conversation, contact sql.RawBytes
	if err := rows.Scan(&conversation, &contact); err != nil {
		return err
	}
	if err := decode("conversation", conversation, c); err != nil {
		return err
	}
	return decode("contact", contact, k)
}

func (q *query) filter(f ConversationFilter) {
	if !f.Brand.IsZero() {
		q.add(" and c.brand_id = ?", f.Brand.Bytes())
	}
	if !f.Channel.IsZero() {
		q.add(" and c.channel_id = ?", f.Channel.Bytes())
	}
	if !f.Contact.IsZero() {
		q.add(" and c.contact_id = ?", f.Contact.Bytes())
	}
	if f.Brands != nil {
		q.among("c.brand_id", bytesOf(f.Brands))
	}
	if f.Channels != nil {
		q.among("c.channel_id", bytesOf(f.Channels))
	}
	if f.Status != "" {
		q.add(" and c.status = ?", string(f.Status))
	}
	if f.Done {
		q.add(" and c.status <> 'open'")
	}
	if f.State != "" {
		q.add(" and c.state = ?", string(f.State))
	}
	if !f.Assignee.IsZero() {
		q.add(" and c.assignee_id = ?", f.Assignee.Bytes())
	}
	if f.Unassigned {
		q.add(" and c.assignee_id is null")
	}
	if f.Unread {
		q.add(" and c.unread > 0")
	}
}

// search restricts the query to contacts that are called so: all of one of the
// lists are beginnings of words of theirs. It reports false if there can be none.
func (r *reader) search(q *query, called [][]string) (bool, error) {
	var found []any
	few := true
	for _, list := range called {
		ids, all, err := r.people(list)
		if err != nil {
			return false, err
		}
		found, few = append(found, bytesOf(ids)...), few && all
	}
	if few {
		if len(found) == 0 {
			return false, nil
		}
		q.among("c.contact_id", found)
		return true, nil
	}
	q.add(" and ")
	r.called(q, called)
	return true, nil
}

// called restricts the contact of a conversation c to those that are called so,
// however many there are.
func (r *reader) called(q *query, lists [][]string) {
	for i, list := range lists {
		q.add([]string{"((", ") or ("}[min(i, 1)])
		for j, t := range list {
			t = clipRunes(t)
			q.add([]string{"", " and "}[min(j, 1)]+`c.contact_id in (select contact_id from contact_term where workspace_id = ? and term >= ? and term < ?)`,
				r.ws, t, after(t))
		}
	}
	q.add("))")
}

// people gives the contacts of whom each of the beginnings begins a word; not
// all where there are too many to look them up one by one.
func (r *reader) people(beginnings []string) (ids []chat.ContactID, all bool, err error) {
	longest := ""
	for _, t := range beginnings {
		if t = clipRunes(t); len(t) > len(longest) {
			longest = t
		}
	}
	if longest == "" {
		return nil, true, nil // nothing but signs: nobody is called that
	}
	rows := 0
	seen := map[chat.ContactID]bool{}
	err = r.each("contact", `select k.id, k.data from contact_term t
		join contact k on k.workspace_id = t.workspace_id and k.id = t.contact_id
		where t.workspace_id = ? and t.term >= ? and t.term < ? limit ?`, func(rs *sql.Rows) error {
		var id chat.ContactID
		var data sql.RawBytes
		if err := rs.Scan(&id, &data); err != nil {
			return err
		}
		rows++
		if seen[id] { // several of its words begin so
			return nil
		}
		seen[id] = true
		if len(beginnings) > 1 {
			var k chat.Contact
			if err := decode("contact", data, &k); err != nil || !matches(contactTerms(k), beginnings) {
				return err
			}
		}
		ids = append(ids, id)
		return nil
	}, r.ws, longest, after(longest), int64(manyContacts)+1)
	return ids, rows <= manyContacts, err
}

// ConversationsOf gives conversations by their ids, with the contacts they
// belong to, as far as the view includes them, in no order.
func (s *Store) ConversationsOf(ctx context.Context, ws chat.WorkspaceID, view chat.View, ids []chat.ConversationID) (
	list []chat.Conversation, contacts []chat.Contact, err error) {
	r, err := s.read(ctx, ws)
	if err != nil || len(ids) == 0 {
		return nil, nil, err
	}
	q := &query{}
	q.add(`select c.data, k.data from conversation c
		join contact k on k.workspace_id = c.workspace_id and k.id = c.contact_id
		where c.workspace_id = ? and c.id in (`+strings.Repeat("?, ", len(ids)-1)+"?)", r.ws)
	for _, id := range ids {
		q.args = append(q.args, id.Bytes())
	}
	q.brands(view, "c.brand_id")
	err = r.each("conversation", q.text.String(), func(rows *sql.Rows) error {
		var c chat.Conversation
		var k chat.Contact
		if err := scanPair(rows, &c, &k); err != nil {
			return err
		}
		list, contacts = append(list, c), append(contacts, k)
		return nil
	}, q.args...)
	return list, contacts, err
}
