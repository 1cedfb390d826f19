package store

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"

	"parley/backend/chat"
)

// A digest is asked for by every desktop, once a day and after every reload.
// Reading all conversations each time would make that dear, so what it needs of
// them is kept in memory while it is asked for, and brought up to date by
// reading only what has changed since: about 100 bytes a conversation, let go
// of after digestRest without a question.
const (
	digestRest    = 10 * time.Minute
	digestChanged = 2000 // changed conversations that one answer names
)

// digests are the tables of all workspaces that were asked about lately.
type digests struct {
	mu     sync.Mutex
	tables map[chat.WorkspaceID]*digestTable
}

// digestTable is what digests need of one workspace's conversations.
type digestTable struct {
	mu    sync.Mutex
	rows  map[chat.ConversationID]digestRow
	head  int64 // everything up to here is in it
	epoch string
	idle  *time.Timer
}

type digestRow struct {
	ver   int64
	hash  uint64
	at    chat.Time // of the last message
	brand chat.BrandID
	open  bool
}

// within reports whether a conversation belongs to a window.
func (r digestRow) within(since chat.Time) bool { return r.open || r.at >= since }

// table gives a workspace's table, which may be empty yet.
func (d *digests) table(ws chat.WorkspaceID) *digestTable {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[ws]
	if t == nil {
		t = &digestTable{}
		t.idle = time.AfterFunc(digestRest, func() { d.drop(ws, t) })
		if d.tables == nil {
			d.tables = map[chat.WorkspaceID]*digestTable{}
		}
		d.tables[ws] = t
	}
	t.idle.Reset(digestRest)
	return t
}

func (d *digests) drop(ws chat.WorkspaceID, t *digestTable) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tables[ws] == t {
		delete(d.tables, ws)
	}
}

func (d *digests) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.tables {
		t.idle.Stop()
	}
	d.tables = nil
}

// Digest answers for the conversations of a window that a view includes. The
// sum is of those whose newest version is at most position; changed are the
// others, and those deleted since: how they were at position nobody knows.
// A position that the log has not reached is chat.CodeReset; one from which too
// much has changed is chat.CodeFarBehind.
func (s *Store) Digest(ctx context.Context, ws chat.WorkspaceID, view chat.View, position int64, since chat.Time) (
	sum chat.Digest, changed []chat.ConversationID, head int64, err error) {
	t, r, err := s.digestTable(ctx, ws)
	if err != nil {
		return sum, nil, 0, err
	}
	defer t.mu.Unlock()
	if position > t.head {
		return sum, nil, 0, errReset()
	}
	changed = []chat.ConversationID{}
	for id, row := range t.rows {
		switch {
		case !view.Sees(row.brand):
		case row.ver > position:
			changed = append(changed, id)
		case row.within(since):
			sum.Add(id, row.hash)
		}
	}
	err = r.each("tombstone", `select id from tombstone where workspace_id = ? and ver > ? and kind = 'conversation'`, func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		id, err := chat.ParseID[chat.Conversation](text)
		changed = append(changed, id)
		return err
	}, r.ws, position)
	if err == nil && len(changed) > digestChanged {
		err = errFarBehind()
	}
	return sum, changed, t.head, err
}

// digestIDs gives the conversations of some buckets that are in a window and a
// view, in the order of their ids.
func (s *Store) digestIDs(ctx context.Context, ws chat.WorkspaceID, view chat.View, since chat.Time, buckets []int) ([]chat.ConversationID, error) {
	t, _, err := s.digestTable(ctx, ws)
	if err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	var ids []chat.ConversationID
	for id, row := range t.rows {
		if row.within(since) && view.Sees(row.brand) && slices.Contains(buckets, chat.DigestBucket(id)) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b chat.ConversationID) int { return slices.Compare(a[:], b[:]) })
	return ids, nil
}

// digestTable gives a workspace's table, up to date and locked.
func (s *Store) digestTable(ctx context.Context, ws chat.WorkspaceID) (*digestTable, *reader, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return nil, nil, err
	}
	t := s.digests.table(ws)
	t.mu.Lock()
	if err := t.refresh(r); err != nil {
		t.rows = nil // what was read in part is read again
		t.mu.Unlock()
		return nil, nil, err
	}
	return t, r, nil
}

// refresh reads what has changed. The head is read first: a row that is newer
// than it is only more recent than it had to be.
func (t *digestTable) refresh(r *reader) error {
	head, epoch, _, err := r.head()
	if err != nil {
		return err
	}
	if t.rows == nil || epoch != t.epoch || head < t.head {
		t.rows, t.head, t.epoch = map[chat.ConversationID]digestRow{}, everything, epoch
	}
	if head == t.head {
		return nil
	}
	err = r.each("conversation", `select id, ver, brand_id, last_message_at, status from conversation
		where workspace_id = ? and ver > ? and brand_id is not null`, func(rows *sql.Rows) error {
		var id chat.ConversationID
		var row digestRow
		var status string
		if err := rows.Scan(&id, &row.ver, &row.brand, &row.at, &status); err != nil {
			return err
		}
		row.hash, row.open = chat.DigestHash(id, row.ver), chat.Status(status) == chat.StatusOpen
		t.rows[id] = row
		return nil
	}, r.ws, t.head)
	if err != nil {
		return err
	}
	err = r.each("tombstone", `select id, ver from tombstone where workspace_id = ? and ver > ? and kind = 'conversation'`, func(rows *sql.Rows) error {
		var text string
		var ver int64
		if err := rows.Scan(&text, &ver); err != nil {
			return err
		}
		id, err := chat.ParseID[chat.Conversation](text)
		if t.rows[id].ver < ver {
			delete(t.rows, id)
		}
		return err
	}, r.ws, t.head)
	t.head = head
	return err
}

// repair sends the window's conversations of some buckets, each after its
// contact, behind the one with the id of from.
func (a *stream) repair(ws chat.WorkspaceID, from []byte) error {
	ids, err := a.s.digestIDs(a.ctx, ws, a.view, a.Since, a.Buckets)
	if err != nil {
		return err
	}
	if from != nil {
		ids = ids[sortedAfter(ids, from):]
	}
	for len(ids) > 0 && a.stop == "" {
		n := min(pageRows, len(ids))
		q := &query{}
		q.add(selectPairs + ` where c.workspace_id = ? and c.id in (`)
		q.args = append(q.args, a.r.ws)
		for i, id := range ids[:n] {
			if i > 0 {
				q.add(", ")
			}
			q.add("?", id.Bytes())
		}
		q.add(`) order by c.id`)
		ids = ids[n:]
		page, err := a.pairs(q)
		if err != nil {
			return err
		}
		for _, p := range page {
			if err := a.emitPair(p, cursor{stage: stageBuckets, pos: position{id: p.at.id}}); err != nil || a.stop != "" {
				return err
			}
		}
	}
	return nil
}

// sortedAfter gives the place in sorted ids after one of them.
func sortedAfter(ids []chat.ConversationID, id []byte) int {
	n, found := slices.BinarySearchFunc(ids, id, func(a chat.ConversationID, b []byte) int { return slices.Compare(a[:], b) })
	if found {
		n++
	}
	return n
}
