package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"parley/backend/chat"
)

// importBatch is how many entities share a commit of an import, at least.
const importBatch = 20_000

// Importer takes entities in bulk, in an order that foreign keys allow: brands,
// channels, members, contacts, then conversations and messages. Vers are given
// in that order; those in the entities are ignored. Whoever brings many calls
// Whole between threads.
type Importer struct {
	ctx   context.Context
	s     *Store
	ws    chat.WorkspaceID
	batch int

	brands        []chat.Brand
	channels      []chat.Channel
	members       []chat.Member
	contacts      []chat.Contact
	conversations []chat.Conversation
	messages      []chat.Message
	files         []chat.File
	size          int
}

// Import brings in entities in big transactions, beside other writers. The
// log does not list them: it is trimmed up to them, and readers behind that
// load the state instead. What was committed before an error of fill, or before
// ctx ended, stays.
func (s *Store) Import(ctx context.Context, ws chat.WorkspaceID, fill func(*Importer) error) error {
	imp := &Importer{ctx: ctx, s: s, ws: ws, batch: importBatch}
	if err := fill(imp); err != nil {
		return err
	}
	if err := imp.flush(); err != nil {
		return err
	}
	return s.analyze(ctx)
}

// analyze tells the planner what the data look like now: without, PostgreSQL
// sorts whole tables for a page.
func (s *Store) analyze(ctx context.Context) error {
	if s.d.postgres {
		_, err := s.w.ExecContext(ctx, `analyze`)
		return wrap("analyze", err)
	}
	j := &job{bare: true, run: func(tx *Tx) error {
		if err := tx.b.do(`pragma analysis_limit = 1000`); err != nil {
			return err
		}
		return tx.b.do(`analyze`)
	}}
	return wrap("analyze", s.submit(ctx, j))
}

// Brand takes a brand.
func (imp *Importer) Brand(x chat.Brand) error {
	imp.brands = append(imp.brands, x)
	return imp.added()
}

// Channel takes a channel with its secret.
func (imp *Importer) Channel(x chat.Channel) error {
	imp.channels = append(imp.channels, x)
	return imp.added()
}

// Member takes a member with the password's hash.
func (imp *Importer) Member(x chat.Member) error {
	imp.members = append(imp.members, x)
	return imp.added()
}

// Contact takes a contact with its identities.
func (imp *Importer) Contact(x chat.Contact) error {
	imp.contacts = append(imp.contacts, x)
	return imp.added()
}

// Conversation takes a conversation with its derived values.
func (imp *Importer) Conversation(x chat.Conversation) error {
	imp.conversations = append(imp.conversations, x)
	return imp.added()
}

// Message takes a message with its number. Its remote id is not kept from
// coming in again.
func (imp *Importer) Message(x chat.Message) error {
	imp.messages = append(imp.messages, x)
	return imp.added()
}

// File takes what is known about a stored file.
func (imp *Importer) File(x chat.File) error {
	imp.files = append(imp.files, x)
	return imp.added()
}

func (imp *Importer) added() error {
	imp.size++
	return imp.ctx.Err()
}

// Whole says that what was taken so far fits together, every thread with all
// of its messages. Only there is an import committed, so that one that is cut
// off leaves no half thread.
func (imp *Importer) Whole() error {
	if imp.size < imp.batch {
		return nil
	}
	return imp.flush()
}

// flush writes what was taken in one transaction and trims the log up to it.
func (imp *Importer) flush() error {
	if imp.size == 0 {
		return nil
	}
	byPlace := func(a, b chat.Message) int { // rows of a thread lie together
		return cmp.Or(bytes.Compare(a.Conversation[:], b.Conversation[:]), cmp.Compare(a.Number, b.Number))
	}
	slices.SortFunc(imp.messages, byPlace)
	err := imp.s.Update(imp.ctx, imp.ws, func(tx *Tx) error {
		logged := len(tx.b.changes)
		if err := imp.put(tx); err != nil {
			return err
		}
		tx.b.changes = tx.b.changes[:logged]
		tx.c.floor = tx.c.head
		return nil
	})
	if err != nil {
		return err
	}
	imp.brands, imp.channels, imp.members = imp.brands[:0], imp.channels[:0], imp.members[:0]
	imp.contacts, imp.conversations, imp.messages, imp.files = imp.contacts[:0], imp.conversations[:0], imp.messages[:0], imp.files[:0]
	imp.size = 0
	return nil
}

func (imp *Importer) put(tx *Tx) error {
	meta := Meta{}
	for i := range imp.brands {
		imp.brands[i].Ver = 0
		if err := tx.PutBrand(&imp.brands[i], meta); err != nil {
			return err
		}
	}
	for i := range imp.channels {
		imp.channels[i].Ver = 0
		if err := tx.PutChannel(&imp.channels[i], meta); err != nil {
			return err
		}
	}
	for i := range imp.members {
		imp.members[i].Ver = 0
		if err := tx.PutMember(&imp.members[i], meta); err != nil {
			return err
		}
	}
	for _, f := range imp.files {
		if err := tx.PutFile(f); err != nil {
			return err
		}
	}
	if err := tx.importContacts(imp.contacts); err != nil {
		return err
	}
	if err := tx.importConversations(imp.conversations); err != nil {
		return err
	}
	return tx.importMessages(imp.messages)
}

// bulk inserts rows many at a time. Rows of one statement share its parsing
// and, on PostgreSQL, its round trip.
type bulk struct {
	tx     *Tx
	insert string // up to "values "
	k      int    // values of a row
	rows   int    // of a statement
	full   string // the statement for that many rows
	args   []any
}

func (tx *Tx) bulk(insert string, k, rows int) *bulk {
	return &bulk{tx: tx, insert: insert, k: k, rows: rows, full: insert + rowsOf(rows, k), args: make([]any, 0, k*rows)}
}

func (b *bulk) add(values ...any) error {
	b.args = append(b.args, values...)
	if len(b.args) < b.k*b.rows {
		return nil
	}
	err := b.tx.exec("import", b.full, b.args...)
	b.args = b.args[:0]
	return err
}

func (b *bulk) end() error {
	if len(b.args) == 0 {
		return nil
	}
	return b.tx.exec("import", b.insert+rowsOf(len(b.args)/b.k, b.k), b.args...)
}

// importRows are how many rows go into one statement.
const importRows = 32

func (tx *Tx) importContacts(list []chat.Contact) error {
	contacts := tx.bulk(`insert into contact (ver, brand_id, data, workspace_id, id) values `, 5, importRows)
	identities := tx.bulk(`insert into identity (workspace_id, channel_id, address, id, contact_id) values `, 5, importRows)
	terms := tx.bulk(`insert into contact_term (workspace_id, term, contact_id) values `, 3, importRows)
	type found struct {
		term string
		id   []byte
	}
	var index []found
	for i := range list {
		x := &list[i]
		x.Ver = tx.next()
		data, err := encode(x)
		if err != nil {
			return err
		}
		id := x.ID.Bytes()
		if err := contacts.add(x.Ver, idArg(x.Brand), string(data), tx.r.ws, id); err != nil {
			return err
		}
		for _, n := range x.Identities {
			if err := identities.add(tx.r.ws, n.Channel.Bytes(), n.Address, idArg(n.ID), id); err != nil {
				return err
			}
		}
		for _, t := range contactTerms(*x) {
			index = append(index, found{t, id})
		}
	}
	slices.SortFunc(index, func(a, b found) int { return cmp.Or(cmp.Compare(a.term, b.term), bytes.Compare(a.id, b.id)) })
	for _, f := range index {
		if err := terms.add(tx.r.ws, f.term, f.id); err != nil {
			return err
		}
	}
	return cmp.Or(contacts.end(), identities.end(), terms.end())
}

func (tx *Tx) importConversations(list []chat.Conversation) error {
	rows := tx.bulk(`insert into conversation (ver, brand_id, channel_id, contact_id, status, state, assignee_id, unread, last_number,
		last_message_at, data, workspace_id, id) values `, 13, importRows)
	for i := range list {
		x := &list[i]
		x.Ver = tx.next()
		data, err := encode(x)
		if err != nil {
			return err
		}
		if err := rows.add(append(conversationValues(*x, data), tx.r.ws, x.ID.Bytes())...); err != nil {
			return err
		}
	}
	return rows.end()
}

func (tx *Tx) importMessages(list []chat.Message) error {
	rows := tx.bulk(`insert into message (ver, in_number, kind, author_kind, author_id, stored_at, remote_id, data,
		workspace_id, id, conversation_id, number) values `, 12, importRows)
	files := tx.bulk(`insert into message_file (workspace_id, sha256, conversation_id, number) values `, 4, importRows)
	for i := range list {
		x := &list[i]
		x.Ver = tx.next()
		data, err := encode(x)
		if err != nil {
			return err
		}
		if err := rows.add(x.Ver, x.InNumber, string(x.Kind), string(x.Author.Kind), x.Author.ID, int64(x.StoredAt), x.RemoteID,
			string(data), tx.r.ws, x.ID.Bytes(), x.Conversation.Bytes(), x.Number); err != nil {
			return err
		}
		for _, sha := range filesOf(x) {
			if err := files.add(tx.r.ws, sha, x.Conversation.Bytes(), x.Number); err != nil {
				return err
			}
		}
	}
	return cmp.Or(rows.end(), files.end())
}
