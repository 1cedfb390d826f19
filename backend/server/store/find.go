package store

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strconv"
	"strings"

	"parley/backend/chat"
	"parley/backend/search"
)

// Found is a page of what a search has found: conversations by their contact,
// and messages, the newest first, one of each conversation on a page.
type Found struct {
	Conversations []chat.Conversation // those of the messages included
	Contacts      []chat.Contact
	Messages      []chat.Message
	Next          string // cursor of the next page; "" on the last
}

const (
	// findRows are read at a time, findRounds times at most: a search that has
	// found little until then goes on on the next page.
	findRows   = 200
	findRounds = 20
	// findTail is how much of the log that the index has not reached is read.
	findTail = 2000
)

// Search finds conversations and messages that the view includes. from:me
// means member.
func (s *Store) Search(ctx context.Context, ws chat.WorkspaceID, view chat.View, member chat.MemberID, q search.Query, cursor string, limit int) (Found, error) {
	f := finding{s: s, ctx: ctx, ws: ws, view: view, q: q, limit: limit,
		found: Found{Conversations: []chat.Conversation{}, Contacts: []chat.Contact{}, Messages: []chat.Message{}}}
	var err error
	if f.r, err = s.read(ctx, ws); err != nil || q.Blank() {
		return f.found, err
	}
	names, messages := "", ""
	if cursor != "" {
		var ok bool
		if names, messages, ok = strings.Cut(cursor, "~"); !ok {
			return f.found, errCursor()
		}
	}
	some, err := f.scope(member)
	if err != nil || !some {
		return f.found, err
	}
	const over = "-"
	if q.OfMessages() {
		names = over
	}
	if !q.HasWords() && !q.OfMessages() {
		messages = over
	}
	if names != over {
		if names, err = f.byName(names); err != nil {
			return f.found, err
		}
		if names == "" {
			names = over
		}
	}
	if messages != over {
		if messages, err = f.messages(messages); err != nil {
			return f.found, err
		}
		if messages == "" {
			messages = over
		}
	}
	if names != over || messages != over {
		f.found.Next = names + "~" + messages
	}
	return f.found, nil
}

// finding is one search under way.
type finding struct {
	s        *Store
	ctx      context.Context
	r        *reader
	ws       chat.WorkspaceID
	view     chat.View
	q        search.Query
	limit    int
	brands   []chat.BrandID   // nil: any
	channels []chat.ChannelID // nil: any
	members  []any            // who may have written it, as stored; nil with contacts and called nil: anybody
	contacts []any
	called   [][]string // customers who may have written it too, where very many are called so
	found    Found
	contact  map[chat.ContactID]bool
	has      map[chat.ConversationID]bool
}

// scope finds out what the operators name; false where that is nothing.
func (f *finding) scope(me chat.MemberID) (some bool, err error) {
	f.contact, f.has = map[chat.ContactID]bool{}, map[chat.ConversationID]bool{}
	named := func(typed []string, names ...string) bool {
		return slices.ContainsFunc(typed, func(t string) bool {
			return slices.ContainsFunc(names, func(n string) bool { return search.Named(t, n) })
		})
	}
	if len(f.q.Brand) > 0 {
		f.brands = []chat.BrandID{}
		all, err := f.s.Brands(f.ctx, f.ws, f.view)
		if err != nil {
			return false, err
		}
		for _, b := range all {
			if named(f.q.Brand, b.Name) {
				f.brands = append(f.brands, b.ID)
			}
		}
	}
	if len(f.q.Channel) > 0 {
		f.channels = []chat.ChannelID{}
		all, err := f.s.Channels(f.ctx, f.ws, f.view)
		if err != nil {
			return false, err
		}
		for _, c := range all {
			if named(f.q.Channel, c.Name, string(c.Kind)) {
				f.channels = append(f.channels, c.ID)
			}
		}
	}
	if f.brands != nil && len(f.brands) == 0 || f.channels != nil && len(f.channels) == 0 {
		return false, nil
	}
	if len(f.q.From) == 0 {
		return true, nil
	}
	members, err := f.s.Members(f.ctx, f.ws)
	if err != nil {
		return false, err
	}
	for _, typed := range f.q.From {
		if search.Fold(typed) == "me" {
			f.members = append(f.members, me.String())
			continue
		}
		for _, m := range members {
			if search.Named(typed, m.Name) {
				f.members = append(f.members, m.ID.String())
			}
		}
		for _, called := range search.Beginnings(typed) {
			people, all, err := f.r.people(called)
			if err != nil {
				return false, err
			}
			if !all {
				f.called = append(f.called, called)
				continue
			}
			for _, id := range people {
				f.contacts = append(f.contacts, id.String())
			}
		}
	}
	return len(f.members)+len(f.contacts)+len(f.called) > 0, nil
}

// byName adds a page of the conversations whose contact is called so.
func (f *finding) byName(cursor string) (next string, err error) {
	filter := ConversationFilter{Brands: f.brands, Channels: f.channels}
	if f.q.HasWords() {
		filter.called = f.q.Beginnings()
	}
	list, contacts, next, err := f.s.Conversations(f.ctx, f.ws, f.view, filter, cursor, f.limit)
	if err != nil {
		return "", err
	}
	for _, c := range list {
		f.has[c.ID] = true
	}
	for _, k := range contacts {
		f.contact[k.ID] = true
	}
	f.found.Conversations, f.found.Contacts = append(f.found.Conversations, list...), append(f.found.Contacts, contacts...)
	return next, nil
}

// messages adds a page of messages from below a place.
func (f *finding) messages(cursor string) (next string, err error) {
	x, err := f.r.indexState()
	if err != nil {
		return "", err
	}
	below := int64(math.MaxInt64)
	switch seq, inLog := strings.CutPrefix(cursor, "log"); {
	case cursor == "" || inLog:
		last := below
		if inLog {
			if last, err = strconv.ParseInt(seq, 36, 64); err != nil {
				return "", errCursor()
			}
		}
		if next, err = f.tail(x.upto, last); err != nil || next != "" {
			return next, err
		}
		if len(f.found.Messages) == f.limit {
			return strconv.FormatInt(below, 36), nil
		}
	default:
		if below, err = strconv.ParseInt(cursor, 36, 64); err != nil {
			return "", errCursor()
		}
	}
	if f.q.Before != 0 {
		below = min(below, search.FirstPlace(f.q.Before)+search.PlaceSlack)
	}
	for range findRounds {
		if err := f.ctx.Err(); err != nil {
			return "", err
		}
		rows := 0
		q := f.query(below)
		err := f.r.each("message", q.text.String(), func(rs *sql.Rows) error {
			rows++
			var message, conversation, contact sql.RawBytes
			if err := rs.Scan(&below, &message, &conversation, &contact); err != nil {
				return err
			}
			if len(f.found.Messages) == f.limit {
				return nil // the page ends before this one
			}
			next = strconv.FormatInt(below, 36)
			return f.take(message, conversation, contact)
		}, q.args...)
		switch {
		case err != nil:
			return "", err
		case len(f.found.Messages) == f.limit:
			return next, nil
		case rows < findRows:
			return "", nil
		}
	}
	return next, nil
}

// take adds a message with its conversation if it is what is looked for.
func (f *finding) take(message, conversation, contact []byte) error {
	m, ok := search.ReadMessage(message)
	if !ok || f.has[m.Conversation] || !f.q.Fits(&m) {
		return nil
	}
	var full chat.Message
	var c chat.Conversation
	var k chat.Contact
	if err := decode("message", message, &full); err != nil {
		return err
	}
	if err := decode("conversation", conversation, &c); err != nil {
		return err
	}
	if err := decode("contact", contact, &k); err != nil {
		return err
	}
	f.has[c.ID] = true
	f.found.Messages, f.found.Conversations = append(f.found.Messages, full), append(f.found.Conversations, c)
	if !f.contact[k.ID] {
		f.contact[k.ID] = true
		f.found.Contacts = append(f.found.Contacts, k)
	}
	return nil
}

// query asks for the next rows below a place, the newest first.
func (f *finding) query(below int64) *query {
	q := &query{}
	const columns = `select d.doc, m.data, c.data, k.data from `
	const rest = `message_doc d
		join message m on m.workspace_id = d.workspace_id and m.conversation_id = d.conversation_id and m.number = d.number
		join conversation c on c.workspace_id = d.workspace_id and c.id = d.conversation_id
		join contact k on k.workspace_id = c.workspace_id and k.id = c.contact_id
		where d.workspace_id = ?`
	after := int64(0)
	if f.q.After != 0 {
		after = search.FirstPlace(f.q.After)
	}
	match := f.q.MatchIndex()
	switch {
	case match == "":
		q.add(columns+rest+` and d.doc < ? and d.doc >= ?`, f.r.ws, below, after)
	case f.s.d.postgres:
		q.add(columns+rest+` and d.doc < ? and d.doc >= ? and (d.words::tsvector) @@ (?::text)::tsquery`, f.r.ws, below, after, f.q.MatchVector())
	default: // the index of words leads, in its order
		q.add(columns+`message_fts cross join `+strings.Replace(rest, "where", "where d.doc = message_fts.rowid and", 1)+
			` and message_fts match ? and message_fts.rowid < ? and message_fts.rowid >= ?`, f.r.ws, match, below, after)
	}
	f.limits(q)
	order := " order by d.doc desc limit ?"
	if match != "" && !f.s.d.postgres {
		order = " order by message_fts.rowid desc limit ?"
	}
	q.add(order, int64(findRows))
	return q
}

// limits adds what a message m of a conversation c must be.
func (f *finding) limits(q *query) {
	q.brands(f.view, "c.brand_id")
	if f.brands != nil {
		q.among("c.brand_id", bytesOf(f.brands))
	}
	if f.channels != nil {
		q.among("c.channel_id", bytesOf(f.channels))
	}
	if f.members == nil && f.contacts == nil && f.called == nil {
		return
	}
	q.add(" and (m.author_kind = 'member'")
	q.among("m.author_id", f.members)
	q.add(" or m.author_kind = 'customer'")
	q.among("m.author_id", f.contacts)
	if f.called != nil {
		q.add(" or m.author_kind = 'customer' and ")
		f.r.called(q, f.called)
	}
	q.add(")")
}

// among restricts a column to a list.
func (q *query) among(column string, list []any) {
	if len(list) == 0 {
		q.add(" and false")
		return
	}
	q.add(" and "+column+" in ("+strings.Repeat("?, ", len(list)-1)+"?)", list...)
}

func bytesOf[E any](ids []chat.ID[E]) []any {
	list := make([]any, len(ids))
	for i, id := range ids {
		list[i] = id.Bytes()
	}
	return list
}

// tail adds what fits in the log that the index has not reached, below a
// change; next is where to go on in it.
func (f *finding) tail(upto, below int64) (next string, err error) {
	q := &query{}
	q.add(`select h.seq, h.data, c.data, k.data from change h
		join conversation c on c.workspace_id = h.workspace_id and c.id = h.conversation_id
		join contact k on k.workspace_id = c.workspace_id and k.id = c.contact_id
		join message m on m.workspace_id = h.workspace_id and m.conversation_id = h.conversation_id and m.ver = h.seq
		where h.workspace_id = ? and h.seq > ? and h.seq < ? and h.kind = 'message'`, f.r.ws, upto, below)
	f.limits(q)
	q.add(" order by h.seq desc limit ?", int64(findTail))
	var last int64
	err = f.r.each("change", q.text.String(), func(rows *sql.Rows) error {
		var seq int64
		var message, conversation, contact sql.RawBytes
		if err := rows.Scan(&seq, &message, &conversation, &contact); err != nil {
			return err
		}
		if len(f.found.Messages) == f.limit {
			next = "log" + strconv.FormatInt(last, 36)
			return nil
		}
		last = seq
		return f.take(message, conversation, contact)
	}, q.args...)
	return next, err
}
