package store

import (
	"cmp"
	"context"
	"database/sql"
	"hash/fnv"
	"maps"
	"slices"

	"parley/backend/chat"
	"parley/backend/search"
)

// The index of messages is fed behind the writes, from the log: IndexMessages
// takes some, and whoever runs the server calls it as long as there is more.
// A search reads what the index has not reached from the log itself, and
// checks every hit on the message.

// indexSlice is how many messages one call takes: other writers wait meanwhile.
const indexSlice = 200

// indexState is how far a workspace's index has come.
type indexState struct {
	epoch string
	upto  int64
	anew  bool
	at    []byte // the conversation that the pass through all messages is at; nil: none is under way
	from  int64  // and the number
}

func (r *reader) indexState() (x indexState, err error) {
	var anew int64
	err = r.row("index", `select epoch, upto, anew, at_conversation, at_number from message_index where workspace_id = ?`,
		[]any{&x.epoch, &x.upto, &anew, &x.at, &x.from}, r.ws)
	x.anew = anew != 0
	if chat.ErrorCode(err) == chat.CodeNotFound {
		return indexState{}, nil
	}
	return x, err
}

// IndexMessages takes some messages into the index of a workspace and reports
// whether there is more to do.
func (s *Store) IndexMessages(ctx context.Context, ws chat.WorkspaceID) (more bool, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return false, err
	}
	x, err := r.indexState()
	if err != nil {
		return false, err
	}
	head, epoch, _, err := r.head()
	if err != nil || x.epoch == epoch && x.upto == head && x.at == nil {
		return false, err
	}
	err = s.Update(ctx, ws, func(tx *Tx) error {
		more, err = tx.indexMessages()
		return err
	})
	return more, err
}

func (tx *Tx) indexMessages() (more bool, err error) {
	x, err := tx.r.indexState()
	if err != nil {
		return false, err
	}
	head, epoch, floor, err := tx.r.head()
	if err != nil {
		return false, err
	}
	before := x
	switch {
	case x.epoch != epoch: // the first time, or after a restore, which brings no index
		x = indexState{epoch: epoch, upto: head, anew: true, at: make([]byte, 16)}
	case x.at == nil && x.upto < floor: // an import, which the log does not list
		x.at, x.from, x.upto = make([]byte, 16), 0, head
	}
	if x.at != nil {
		more, err = tx.indexAll(&x)
	} else {
		more, err = tx.indexLog(&x, head)
	}
	if err != nil || before.epoch == x.epoch && before.upto == x.upto && slices.Equal(before.at, x.at) && before.from == x.from {
		return more, err
	}
	var at any
	if x.at != nil {
		at = x.at
	}
	return more, tx.exec("note index", `insert into message_index (workspace_id, epoch, upto, anew, at_conversation, at_number) values (?, ?, ?, ?, ?, ?)
		on conflict (workspace_id) do update set epoch = excluded.epoch, upto = excluded.upto, anew = excluded.anew,
			at_conversation = excluded.at_conversation, at_number = excluded.at_number`,
		tx.r.ws, x.epoch, x.upto, boolArg(x.anew), at, x.from)
}

// indexAll goes on through all messages.
func (tx *Tx) indexAll(x *indexState) (more bool, err error) {
	var list [][]byte
	err = tx.r.each("message", `select conversation_id, number, data from message
		where workspace_id = ? and (conversation_id, number) > (?, ?) order by conversation_id, number limit ?`,
		func(rows *sql.Rows) error {
			var data []byte
			if err := rows.Scan(&x.at, &x.from, &data); err != nil {
				return err
			}
			list = append(list, data)
			return nil
		}, tx.r.ws, x.at, x.from, int64(indexSlice))
	if err != nil {
		return false, err
	}
	err = tx.index(list, x.anew)
	if len(list) < indexSlice {
		x.at, x.from, x.anew = nil, 0, false
	}
	return true, err // the log is next
}

// indexLog goes on along the log.
func (tx *Tx) indexLog(x *indexState, head int64) (more bool, err error) {
	var list [][]byte
	upto := x.upto
	err = tx.r.each("change", `select seq, data from change where workspace_id = ? and seq > ? and seq <= ? and kind = 'message' order by seq limit ?`,
		func(rows *sql.Rows) error {
			var data []byte
			if err := rows.Scan(&upto, &data); err != nil {
				return err
			}
			list = append(list, data)
			return nil
		}, tx.r.ws, x.upto, head, int64(indexSlice))
	if err != nil {
		return false, err
	}
	if more = len(list) == indexSlice; !more {
		upto = head
	}
	x.upto = upto
	return more, tx.index(list, false)
}

// doc is a message's place in the index.
type doc struct {
	doc, sum  int64
	body, has string
	message   search.Message
}

// index takes messages into the index as they are now.
func (tx *Tx) index(list [][]byte, anew bool) error {
	type place struct {
		conversation chat.ConversationID
		number       int64
	}
	last := map[place]doc{}
	for _, data := range list {
		m, ok := search.ReadMessage(data)
		if m.Conversation.IsZero() {
			continue
		}
		x := doc{message: m}
		if ok {
			x.body, x.has = m.Index()
			sum := fnv.New32a()
			_, _ = sum.Write([]byte(x.body + "\x00" + x.has))
			x.sum = int64(sum.Sum32())
		}
		last[place{m.Conversation, m.Number}] = x // of several versions the last
	}
	// Messages of one moment take the places after each other: the later ones are
	// to be found first.
	inOrder := slices.SortedFunc(maps.Values(last), func(a, b doc) int {
		return cmp.Or(cmp.Compare(a.message.StoredAt, b.message.StoredAt), cmp.Compare(a.message.Number, b.message.Number))
	})
	taken := map[int64]bool{}
	var add []doc
	for _, x := range inOrder {
		changed, err := tx.renew(&x, anew, taken)
		if err != nil {
			return err
		}
		if changed && x.doc != 0 {
			taken[x.doc] = true
			add = append(add, x)
		}
	}
	// FTS5 keeps what it is given in memory as long as docs ascend.
	slices.SortFunc(add, func(a, b doc) int { return cmp.Compare(a.doc, b.doc) })
	for _, x := range add {
		words := ""
		if tx.r.d.postgres {
			words = search.Vector(x.body, x.has)
		} else if err := tx.exec("index message", `insert into message_fts (rowid, body, has) values (?, ?, ?)`, x.doc, x.body, x.has); err != nil {
			return err
		}
		if err := tx.exec("index message", `insert into message_doc (workspace_id, doc, conversation_id, number, sum, words) values (?, ?, ?, ?, ?, ?)`,
			tx.r.ws, x.doc, x.message.Conversation.Bytes(), x.message.Number, x.sum, words); err != nil {
			return err
		}
	}
	return nil
}

// renew takes a message out of the index unless it stands there as it is, and
// finds its new place.
func (tx *Tx) renew(x *doc, anew bool, taken map[int64]bool) (changed bool, err error) {
	m := x.message
	empty := x.body == "" && x.has == ""
	var old doc
	err = tx.r.row("index", `select doc, sum from message_doc where workspace_id = ? and conversation_id = ? and number = ?`,
		[]any{&old.doc, &old.sum}, tx.r.ws, m.Conversation.Bytes(), m.Number)
	there := err == nil
	if err != nil && chat.ErrorCode(err) != chat.CodeNotFound {
		return false, err
	}
	if there && !empty && !anew && old.sum == x.sum {
		return false, nil
	}
	if there {
		if !tx.r.d.postgres {
			if err := tx.exec("forget words", `delete from message_fts where rowid = ?`, old.doc); err != nil {
				return false, err
			}
		}
		if err := tx.exec("forget words", `delete from message_doc where workspace_id = ? and doc = ?`, tx.r.ws, old.doc); err != nil {
			return false, err
		}
	}
	if empty {
		return there, nil
	}
	key := fnv.New64a()
	_, _ = key.Write(m.Conversation.Bytes())
	for try := 0; ; try++ {
		x.doc = search.Place(m.StoredAt, key.Sum64()+uint64(m.Number), try)
		if taken[x.doc] {
			continue
		}
		// SQLite's index has one room for all workspaces.
		var n int64
		if err := tx.r.row("index", `select count(*) from message_doc where doc = ?`, []any{&n}, x.doc); err != nil || n == 0 {
			return true, err
		}
	}
}
