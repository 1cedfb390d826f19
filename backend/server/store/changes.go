package store

import (
	"context"
	"database/sql"

	"parley/backend/chat"
)

// farBehind is how many changes a reader may lack before the log is the wrong
// way to catch up.
const farBehind = 20_000

// changeEnvelope is the most that a change takes in an answer beside its data:
// the names, three ids and the numbers at their longest.
const changeEnvelope = 480

// Head tells how far a workspace's log goes, which log it is, and up to where
// it was trimmed.
func (s *Store) Head(ctx context.Context, ws chat.WorkspaceID) (head int64, epoch string, floor int64, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return 0, "", 0, err
	}
	return r.head()
}

func (r *reader) head() (head int64, epoch string, floor int64, err error) {
	err = r.row("workspace", `select head, epoch, floor from counter where workspace_id = ?`, []any{&head, &epoch, &floor}, r.ws)
	return head, epoch, floor, err
}

// Changes reads the log behind a position, as far as a view allows: everything
// it includes in (after, to], where head is the newest change there is and
// more says that to is not head. At most limit changes are looked at, and
// about maxBytes given (but at least one). Who is too far behind or behind
// what was trimmed gets chat.CodeFarBehind; a position that the log has not
// reached is chat.CodeReset.
func (s *Store) Changes(ctx context.Context, ws chat.WorkspaceID, view chat.View, after int64, limit, maxBytes int) (
	changes []chat.Change, to, head int64, more bool, err error) {
	all, head, err := s.tail(ctx, ws, after, limit, maxBytes)
	if err != nil {
		return nil, 0, 0, false, err
	}
	to = after + int64(len(all))
	seen := all[:0]
	for _, c := range all {
		if view.SeesChange(c) {
			seen = append(seen, c)
		}
	}
	return seen, to, head, to < head, nil
}

// LogTail reads the log behind a position, whoever may see it: for a node that
// filters for many readers itself. Its bounds are those of Changes; no bytes
// are counted where maxBytes is 0.
func (s *Store) LogTail(ctx context.Context, ws chat.WorkspaceID, after int64, limit, maxBytes int) ([]chat.Change, error) {
	all, _, err := s.tail(ctx, ws, after, limit, maxBytes)
	return all, err
}

// tail reads changes after a position without a hole. The head is read before
// the rows: what is committed up to it is all there and stays as it is, so
// that no snapshot has to be held.
func (s *Store) tail(ctx context.Context, ws chat.WorkspaceID, after int64, limit, maxBytes int) (changes []chat.Change, head int64, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return nil, 0, err
	}
	head, _, floor, err := r.head()
	switch {
	case err != nil:
		return nil, 0, err
	case after > head:
		return nil, 0, errReset()
	case after < floor || head-after > farBehind:
		return nil, 0, errFarBehind()
	case after == head:
		return []chat.Change{}, head, nil
	}
	if limit <= 0 {
		limit = 1000
	}
	changes = make([]chat.Change, 0, min(int64(limit), head-after))
	bytes := 0
	scan := func(rows *sql.Rows) error {
		if maxBytes > 0 && bytes >= maxBytes {
			return nil // the rest of the page is dropped unread
		}
		c, err := scanChange(rows)
		if err != nil {
			return err
		}
		if size := len(c.Data) + changeEnvelope; maxBytes > 0 && len(changes) > 0 && bytes+size > maxBytes {
			bytes = maxBytes
			return nil
		}
		bytes += len(c.Data) + changeEnvelope
		changes = append(changes, c)
		return nil
	}
	err = r.each("change", `select seq, at, kind, id, op, brand_id, conversation_id, member_id, actor_kind, actor_id, cause, data
		from change where workspace_id = ? and seq > ? and seq <= ? order by seq limit ?`, scan, r.ws, after, head, int64(limit))
	if err != nil {
		return nil, 0, err
	}
	if len(changes) == 0 || changes[0].Seq != after+1 {
		return nil, 0, errFarBehind() // trimmed since the head was read
	}
	return changes, head, nil
}

func errFarBehind() error {
	return chat.Errorf(chat.CodeFarBehind, "Too much has happened since then to list it change by change. Load the state instead.")
}

func errReset() error {
	return chat.Errorf(chat.CodeReset, "This position is not in the log: the data were restored from a backup. Load them anew.")
}

func scanChange(rows *sql.Rows) (chat.Change, error) {
	var c chat.Change
	var kind, op, actor string
	var data []byte
	err := rows.Scan(&c.Seq, &c.At, &kind, &c.ID, &op, &c.Brand, &c.Conversation, &c.Member, &actor, &c.Actor.ID, &c.Cause, &data)
	c.Kind, c.Op, c.Actor.Kind, c.Data = chat.EntityKind(kind), chat.Op(op), chat.ActorKind(actor), data
	return c, err
}
