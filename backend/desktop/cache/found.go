package cache

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"parley/backend/chat"
	"parley/backend/search"
)

// found is a message that may be a hit.
type found struct {
	doc, key, contact int64
	data              []byte
	message           search.Message
	score             float64
}

// check reports whether the message is what is looked for.
func (f *finding) check(x *found) bool {
	m, ok := search.ReadMessage(x.data)
	if !ok {
		return false
	}
	if a := f.authors; a != nil {
		by := m.Author.Kind == chat.ActorCustomer && a.contacts[x.contact]
		if id, err := chat.ParseID[chat.Member](m.Author.ID); err == nil && m.Author.Kind == chat.ActorMember {
			by = a.members[id]
		}
		if !by {
			return false
		}
	}
	x.message = m
	return f.q.Fits(&x.message)
}

// among gives the hits among messages that are not in the index yet.
func (f *finding) among(ctx context.Context, ranges []keyRange) (list []found, err error) {
	b := make([]byte, 0, 32*len(ranges))
	for i, r := range ranges {
		b = append(b, "[,"[min(i, 1)], '[')
		b = strconv.AppendInt(b, r.lo, 10)
		b = append(b, ',')
		b = strconv.AppendInt(b, r.hi, 10)
		b = append(b, ']')
	}
	query := `select 0, ` + strings.Replace(foundColumns, "x.key", "m.key", 1) + ` from json_each(?) j
		cross join message m on m.key between j.value ->> 0 and j.value ->> 1
		cross join conversation c on c.n = m.key >> 24 where ` + f.where
	err = f.each(ctx, query, append([]any{string(append(b, ']'))}, f.args...), func(x found) bool {
		x.doc = likelyDoc(x.message.StoredAt, x.key)
		if !f.paged || f.before(f.after, x.doc) {
			list = append(list, x)
		}
		return true
	})
	return list, err
}

// threadsOf gives the hits in the threads of a few contacts.
func (f *finding) threadsOf(ctx context.Context, contacts map[int64]bool) ([]found, error) {
	people := make([]int64, 0, len(contacts))
	for n := range contacts {
		people = append(people, n)
	}
	b, err := json.Marshal(people)
	if err != nil {
		return nil, err
	}
	return f.threads(ctx, "cross join conversation c indexed by conversation_contact on c.contact = j.value", b)
}

// threads gives the hits in the threads of a few conversations, which a join
// with the values j of a list finds.
func (f *finding) threads(ctx context.Context, join string, of []byte) (list []found, err error) {
	query := `select 0, ` + strings.Replace(foundColumns, "x.key", "m.key", 1) + ` from json_each(?) j ` + join + `
		cross join message m on m.key between c.n << 24 and (c.n << 24 | 16777215) where ` + f.where
	err = f.each(ctx, query, append([]any{string(of)}, f.args...), func(x found) bool {
		x.doc = likelyDoc(x.message.StoredAt, x.key)
		if !f.paged || f.before(f.after, x.doc) {
			list = append(list, x)
		}
		return true
	})
	return list, err
}

// shownBefore reports whether an earlier page has shown the conversation: it
// has a hit there. It reads on a connection of the other pool, or searches
// could wait for each other.
func (f *finding) shownBefore(ctx context.Context, n, contact int64) (shown bool, err error) {
	if !f.paged {
		return false, nil
	}
	if shown, known := f.shown[n]; known {
		return shown, nil
	}
	defer func() { f.shown[n] = shown }()
	keys := threadKeys(n)
	rows, err := f.c.read.query(ctx, `select (select doc from indexed where indexed.key = m.key), m.key, m.data
		from message m where m.key between ? and ?`, keys.lo, keys.hi)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() && !shown {
		x := found{contact: contact}
		var doc sql.NullInt64
		var data sql.RawBytes
		if err := rows.Scan(&doc, &x.key, &data); err != nil {
			return false, err
		}
		x.data = data
		if !f.check(&x) {
			continue
		}
		if x.doc = doc.Int64; !doc.Valid {
			x.doc = likelyDoc(x.message.StoredAt, x.key)
		}
		shown = !f.before(f.after, x.doc)
	}
	return shown, errors.Join(rows.Err(), rows.Close())
}

// rows gives the list's rows of what was found, in its order.
func (f *finding) rows(ctx context.Context, list []found) ([]ListRow, error) {
	if len(list) == 0 {
		return nil, nil
	}
	at := map[chat.ConversationID]int{}
	ns := make([]int64, len(list))
	for i, x := range list {
		ns[i] = x.key >> numberBits
		at[x.message.Conversation] = i
	}
	b, err := json.Marshal(ns)
	if err != nil {
		return nil, err
	}
	page, err := f.c.pageOf(ctx, f.c.find, "select "+rowColumns+" from json_each(?) j cross join conversation c on c.n = j.value "+rowTables+
		" where c.shown = 1", []any{string(b)}, len(list))
	if err != nil {
		return nil, err
	}
	rows := slices.DeleteFunc(page.Rows, func(r ListRow) bool { _, ok := at[r.ID]; return !ok })
	slices.SortFunc(rows, func(a, b ListRow) int { return cmp.Compare(at[a.ID], at[b.ID]) })
	for i, r := range rows {
		rows[i].Hit = f.hit(list[at[r.ID]].message)
	}
	return rows, nil
}

// hit makes what is shown of a message: the part that fits best, around what
// was found in it.
func (f *finding) hit(m search.Message) *Hit {
	h := &Hit{Message: m.ID, Number: m.Number, Kind: m.Kind, Author: m.Author, At: m.StoredAt}
	for _, p := range m.Parts {
		if h.Part == "" {
			h.Part, h.Marks = p.Kind, []search.Mark{}
		}
		for _, text := range p.Texts() {
			if s := f.q.Snippet(text); h.Text == "" || len(s.Marks) > len(h.Marks) {
				h.Part, h.Snippet = p.Kind, s
			}
		}
	}
	return h
}
