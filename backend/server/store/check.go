package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"parley/backend/chat"
)

// maxDifferences ends a check that would only repeat itself.
const maxDifferences = 1000

// Check proves the data: the log is gapless and its newest entry of each
// entity is the entity; numbers of messages have no holes; every derived value
// of every conversation is what a recount of its thread gives; columns agree
// with the entities beside them. It reads in one transaction, changes nothing,
// and gives what differs, at most a thousand places.
func (s *Store) Check(ctx context.Context) (list []Difference, err error) {
	tx, err := s.snapshot(ctx)
	if err != nil {
		return nil, wrap("check", err)
	}
	defer func() {
		if end := tx.Rollback(); err == nil && end != nil {
			err = wrap("check", end)
		}
	}()
	c := &checker{ctx: ctx}
	if !s.d.postgres {
		if err := c.integrity(tx); err != nil {
			return nil, wrap("check", err)
		}
	}
	var all []chat.WorkspaceID
	r := &reader{ctx: s.readContext(ctx), q: tx, d: s.d}
	if err := r.each("workspace", `select workspace_id from counter order by workspace_id`, func(rows *sql.Rows) error {
		var ws chat.WorkspaceID
		err := rows.Scan(&ws)
		all = append(all, ws)
		return err
	}); err != nil {
		return nil, err
	}
	for _, ws := range all {
		c.ws = ws
		c.r = &reader{ctx: r.ctx, q: tx, d: s.d, ws: ws.Bytes()}
		for _, part := range []func() error{c.log, c.vers, c.contacts, c.threads} {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := part(); err != nil {
				return nil, err
			}
		}
	}
	if s.disturbed() {
		return nil, chat.Errorf(chat.CodeConflict, "The database was opened by another program during the check. Check once more.")
	}
	return c.list, nil
}

// snapshot begins a transaction that sees one moment, however long it lasts.
func (s *Store) snapshot(ctx context.Context) (*sql.Tx, error) {
	opts := &sql.TxOptions{ReadOnly: true}
	if s.d.postgres {
		opts.Isolation = sql.LevelRepeatableRead
	}
	tx, err := s.r.BeginTx(s.readContext(ctx), opts)
	if err == nil && s.d.postgres {
		_, err = tx.ExecContext(ctx, `set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0`)
	}
	return tx, err
}

type checker struct {
	ctx  context.Context
	r    *reader
	ws   chat.WorkspaceID
	list []Difference
}

func (c *checker) differ(kind, id, field string, stored, want any) {
	if len(c.list) < maxDifferences {
		c.list = append(c.list, Difference{c.ws, kind, id, field, fmt.Sprint(stored), fmt.Sprint(want)})
	}
}

// integrity asks SQLite whether its own structures are whole.
func (c *checker) integrity(tx *sql.Tx) error {
	rows, err := tx.QueryContext(context.WithoutCancel(c.ctx), `pragma integrity_check(100)`)
	if err != nil {
		return err
	}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if text != "ok" {
			c.differ("database", "file", "structure", strconv.Quote(text), "whole")
		}
	}
	return rows.Close()
}

// log proves that sequence numbers have no holes.
func (c *checker) log() error {
	head, _, floor, err := c.r.head()
	if err != nil {
		return err
	}
	expected := floor
	err = c.r.each("change", `select seq from change where workspace_id = ? and seq > ? order by seq`, func(rows *sql.Rows) error {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return err
		}
		if expected++; seq != expected {
			c.differ("log", strconv.FormatInt(expected, 10), "next change", seq, expected)
			expected = seq
		}
		return nil
	}, c.r.ws, floor)
	if err == nil && expected != head {
		c.differ("log", "counter", "head", head, expected)
	}
	return err
}

// versioned are the tables whose rows the log describes.
var versioned = [...]struct{ kind, q string }{
	{"workspace", `select workspace_id, ver, data from workspace where workspace_id = ?`},
	{"brand", `select id, ver, data from brand where workspace_id = ?`},
	{"channel", `select id, ver, data from channel where workspace_id = ?`},
	{"member", `select id, ver, data from member where workspace_id = ?`},
	{"contact", `select id, ver, data from contact where workspace_id = ?`},
	{"conversation", `select id, ver, data from conversation where workspace_id = ?`},
	{"message", `select id, ver, data from message where workspace_id = ?`},
}

// vers proves that each row says in its JSON the same id and ver as beside it,
// and that the log's newest change of it is this version of it.
func (c *checker) vers() error {
	head, _, floor, err := c.r.head()
	if err != nil {
		return err
	}
	newest, err := c.newest(floor)
	if err != nil {
		return err
	}
	for _, table := range versioned {
		err := c.r.each(table.kind, table.q, func(rows *sql.Rows) error {
			var id chat.MessageID
			var ver int64
			var data sql.RawBytes
			if err := rows.Scan(&id, &ver, &data); err != nil {
				return err
			}
			var said struct {
				ID  chat.MessageID `json:"id"`
				Ver int64          `json:"ver"`
			}
			if json.Unmarshal(data, &said) != nil || said.ID != id || said.Ver != ver {
				c.differ(table.kind, id.String(), "id and ver in data", fmt.Sprint(said.ID, " ", said.Ver), fmt.Sprint(id, " ", ver))
			}
			if ver > head {
				c.differ(table.kind, id.String(), "ver", ver, fmt.Sprint("at most ", head))
			}
			if seq, ok := newest[entityKey{table.kind, id.String()}]; ok && seq != ver || !ok && ver > floor {
				c.differ(table.kind, id.String(), "newest change", seq, ver)
			}
			return nil
		}, c.r.ws)
		if err != nil {
			return err
		}
	}
	return c.logged(newest)
}

type entityKey struct{ kind, id string }

func (c *checker) newest(floor int64) (map[entityKey]int64, error) {
	newest := map[entityKey]int64{}
	err := c.r.each("change", `select kind, id, max(seq) from change where workspace_id = ? and seq > ? and kind not in ('draft', 'access')
		group by kind, id`, func(rows *sql.Rows) error {
		var k entityKey
		var seq int64
		err := rows.Scan(&k.kind, &k.id, &seq)
		newest[k] = seq
		return err
	}, c.r.ws, floor)
	return newest, err
}

// logged proves that the newest change of each entity carries the entity.
func (c *checker) logged(newest map[entityKey]int64) error {
	for _, table := range versioned {
		q := `select e.id, e.ver from ` + table.kind + ` e join change h on h.workspace_id = e.workspace_id and h.seq = e.ver
			where e.workspace_id = ? and (h.data is null or h.data <> e.data)`
		if table.kind == "workspace" {
			q = `select e.workspace_id, e.ver from workspace e join change h on h.workspace_id = e.workspace_id and h.seq = e.ver
				where e.workspace_id = ? and (h.data is null or h.data <> e.data)`
		}
		err := c.r.each(table.kind, q, func(rows *sql.Rows) error {
			var id chat.MessageID
			var ver int64
			if err := rows.Scan(&id, &ver); err != nil {
				return err
			}
			if newest[entityKey{table.kind, id.String()}] == ver {
				c.differ(table.kind, id.String(), "data", "not what the log says", fmt.Sprint("change ", ver))
			}
			return nil
		}, c.r.ws)
		if err != nil {
			return err
		}
	}
	return nil
}

// contacts proves the lists of identities and search terms.
func (c *checker) contacts() error {
	type pair struct{ a, b string }
	want := map[pair]string{}
	terms := map[pair]bool{}
	err := c.r.each("contact", `select data from contact where workspace_id = ? order by ver`, func(rows *sql.Rows) error {
		var data sql.RawBytes
		var k chat.Contact
		if err := rows.Scan(&data); err != nil {
			return err
		}
		if err := decode("contact", data, &k); err != nil {
			return err
		}
		for _, i := range k.Identities { // the last that claimed an address has it
			want[pair{i.Channel.String(), i.Address}] = k.ID.String()
		}
		for _, t := range contactTerms(k) {
			terms[pair{t, k.ID.String()}] = true
		}
		return nil
	}, c.r.ws)
	if err != nil {
		return err
	}
	err = c.r.each("identity", `select channel_id, address, contact_id from identity where workspace_id = ?`, func(rows *sql.Rows) error {
		var channel chat.ChannelID
		var contact chat.ContactID
		var address string
		if err := rows.Scan(&channel, &address, &contact); err != nil {
			return err
		}
		key := pair{channel.String(), address}
		if want[key] != contact.String() {
			c.differ("identity", key.a, "contact", contact, strconv.Quote(want[key]))
		}
		delete(want, key)
		return nil
	}, c.r.ws)
	if err != nil {
		return err
	}
	for key, contact := range want {
		c.differ("identity", key.a, "contact", "none", contact)
	}
	err = c.r.each("search term", `select term, contact_id from contact_term where workspace_id = ?`, func(rows *sql.Rows) error {
		var term string
		var contact chat.ContactID
		if err := rows.Scan(&term, &contact); err != nil {
			return err
		}
		key := pair{term, contact.String()}
		if !terms[key] {
			c.differ("contact", key.b, "search term", "one too many", "none")
		}
		delete(terms, key)
		return nil
	}, c.r.ws)
	for key := range terms {
		c.differ("contact", key.b, "search term", "missing", "there")
	}
	return err
}

// threads recounts every conversation from its messages. Both are read in the
// order of conversations' ids, side by side.
func (c *checker) threads() error {
	var from []byte
	for {
		var page []stored
		q := `select id, status, state, unread, last_number, last_message_at, data from conversation
			where workspace_id = ? and id > ? order by id limit ?`
		err := c.r.each("conversation", q, func(rows *sql.Rows) error {
			var x stored
			var data sql.RawBytes
			if err := rows.Scan(&from, &x.status, &x.state, &x.unread, &x.lastNumber, &x.lastMessageAt, &data); err != nil {
				return err
			}
			page = append(page, x)
			return decode("conversation", data, &page[len(page)-1].Conversation)
		}, c.r.ws, notNull(bytes.Clone(from)), int64(pageRows))
		if err != nil {
			return err
		}
		for _, x := range page {
			if err := c.thread(x); err != nil {
				return err
			}
		}
		if len(page) < pageRows || len(c.list) >= maxDifferences {
			return c.orphans()
		}
	}
}

// stored is a conversation with the columns beside it.
type stored struct {
	chat.Conversation
	status, state      string
	unread, lastNumber int64
	lastMessageAt      chat.Time
}

func (c *checker) thread(x stored) error {
	messages, err := c.r.messages(`select data, remote_id from message where workspace_id = ? and conversation_id = ? order by number`,
		int(x.LastNumber), c.r.ws, x.ID.Bytes())
	if err != nil {
		return err
	}
	id := x.ID.String()
	if err := c.files(x.ID, messages); err != nil {
		return err
	}
	in := int64(0)
	for i, m := range messages {
		if m.FromCustomer() {
			in++
		}
		if m.Number != int64(i+1) {
			c.differ("message", m.ID.String(), "number", m.Number, i+1)
		}
		if m.InNumber != in {
			c.differ("message", m.ID.String(), "in_number", m.InNumber, in)
		}
	}
	want := x.Recount(messages)
	for _, v := range []struct {
		field        string
		stored, want any
	}{
		{"last_number", x.LastNumber, want.LastNumber}, {"in_number", x.InNumber, want.InNumber}, {"read_in", x.ReadIn, want.ReadIn},
		{"unread", x.Unread, want.Unread}, {"last_customer_number", x.LastCustomerNumber, want.LastCustomerNumber},
		{"last_reply_number", x.LastReplyNumber, want.LastReplyNumber}, {"last_message_at", x.LastMessageAt, want.LastMessageAt},
		{"last_customer_at", x.LastCustomerAt, want.LastCustomerAt}, {"turns", x.Turns, want.Turns},
		{"preview_kind", x.PreviewKind, want.PreviewKind}, {"preview_author", x.PreviewAuthor, want.PreviewAuthor},
		{"column status", x.status, string(x.Status)}, {"column state", x.state, string(x.State)}, {"column unread", x.unread, x.Unread},
		{"column last_number", x.lastNumber, x.LastNumber}, {"column last_message_at", x.lastMessageAt, x.LastMessageAt},
	} {
		if v.stored != v.want {
			c.differ("conversation", id, v.field, v.stored, v.want)
		}
	}
	if x.Preview != want.Preview { // never the text itself
		c.differ("conversation", id, "preview", fmt.Sprint(len(x.Preview), " bytes"), fmt.Sprint("another text of ", len(want.Preview), " bytes"))
	}
	return nil
}

// files proves the list of a thread's files: by it is decided who may have one.
func (c *checker) files(conv chat.ConversationID, messages []chat.Message) error {
	type place struct {
		sha    string
		number int64
	}
	want := map[place]bool{}
	for i := range messages {
		for _, sha := range filesOf(&messages[i]) {
			want[place{sha, messages[i].Number}] = true
		}
	}
	err := c.r.each("file", `select sha256, number from message_file where workspace_id = ? and conversation_id = ?`, func(rows *sql.Rows) error {
		var at place
		if err := rows.Scan(&at.sha, &at.number); err != nil {
			return err
		}
		if !want[at] {
			c.differ("conversation", conv.String(), "file of message "+strconv.FormatInt(at.number, 10), at.sha, "none")
		}
		delete(want, at)
		return nil
	}, c.r.ws, conv.Bytes())
	for at := range want {
		c.differ("conversation", conv.String(), "file of message "+strconv.FormatInt(at.number, 10), "none", at.sha)
	}
	return err
}

// orphans finds messages without their conversation.
func (c *checker) orphans() error {
	return c.r.each("message", `select m.id from message m left join conversation c on c.workspace_id = m.workspace_id and c.id = m.conversation_id
		where m.workspace_id = ? and c.id is null limit ?`, func(rows *sql.Rows) error {
		var id []byte
		err := rows.Scan(&id)
		c.differ("message", hex.EncodeToString(id), "conversation", "missing", "there")
		return err
	}, c.r.ws, int64(maxDifferences))
}
