package cache

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"parley/backend/chat"
)

// Proof is when the cache was last compared with the server and held what the
// server has. What it follows from there without a gap is proven with it, until
// it is loaded anew or the program ends without closing it.
type Proof struct {
	Position int64
	At       chat.Time // 0: not proven
}

// Proven gives the last proof.
func (c *Cache) Proven() Proof { return c.state.Load().Proven }

// Repaired is how many conversations were found not to be what the server has,
// ever since this cache was made. Each of them was a bug.
func (c *Cache) Repaired() int64 { return c.state.Load().Repaired }

// ErrYield says that reading was broken off for something more urgent.
var ErrYield = errors.New("something more urgent is to be done")

// errMoved says that the cache is another one than it was when it was read.
func errMoved() error {
	return chat.Errorf(chat.CodeConflict, "The cache has been loaded anew meanwhile.")
}

// Holding is what the cache held at one position of what it must hold: the
// conversations that are open or were active at or after Since.
type Holding struct {
	Position int64
	Epoch    string
	Since    chat.Time
	Access   *chat.Access
	Sum      chat.Digest
	vers     map[chat.ConversationID]int64 // in Sum
	ahead    map[chat.ConversationID]int64 // in a version above Position: not in Sum
	era      int64
	yield    func() bool
}

// Len is how many conversations are summed.
func (h *Holding) Len() int { return len(h.vers) }

// Without gives the sum without some of the conversations.
func (h *Holding) Without(ids []chat.ConversationID) chat.Digest {
	sum := h.Sum
	for i, id := range ids {
		if ver, ok := h.vers[id]; ok && !slices.Contains(ids[:i], id) {
			sum.Remove(id, chat.DigestHash(id, ver))
		}
	}
	return sum
}

const holdingQuery = `select id, ver from conversation indexed by holding where shown = 1 and done = 0
	union all select id, ver from conversation indexed by holding where shown = 1 and done = 1 and last_at >= ?`

// Hold reads what the cache holds, in one glance. It reads all there is, which
// takes a moment: whenever yield says so it gives up with ErrYield. A cache
// that is not filled, or is being filled, holds nothing to speak of:
// CodeConflict.
func (c *Cache) Hold(ctx context.Context, yield func() bool) (*Holding, error) {
	h := &Holding{vers: map[chat.ConversationID]int64{}, ahead: map[chat.ConversationID]int64{}, yield: yield}
	err := c.read.glance(ctx, func(tx *sql.Tx) error { return h.read(ctx, tx) })
	if errors.Is(err, ErrYield) || chat.ErrorCode(err) == chat.CodeConflict {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read what is held: %w", c.noteDamage(unavailable(err)))
	}
	return h, nil
}

// glance runs fn on one connection in one transaction, which sees one state.
func (r *reader) glance(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(fn(tx), tx.Rollback())
}

func (h *Holding) read(ctx context.Context, tx *sql.Tx) error {
	var text string
	if err := tx.QueryRowContext(ctx, "select value from meta where key = 'state'").Scan(&text); err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return errors.Join(errDamaged, err)
	}
	if s.Epoch == "" || s.Boot != nil || s.Since == 0 || s.Gains > s.GainsLoaded {
		return errMoved()
	}
	if len(s.Purging) > 0 {
		return ErrYield // what is hidden is still among the rows
	}
	h.Position, h.Epoch, h.Since, h.Access, h.era = s.Position, s.Epoch, s.Since, s.Access, s.Floor
	rows, err := tx.QueryContext(ctx, holdingQuery, int64(s.Since))
	if err != nil {
		return err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n%1000 == 0 && h.yield() {
			return ErrYield
		}
		var id chat.ConversationID
		var ver int64
		if err := rows.Scan(&id, &ver); err != nil {
			return err
		}
		if ver > h.Position {
			h.ahead[id] = ver
			continue
		}
		h.vers[id] = ver
		h.Sum.Add(id, chat.DigestHash(id, ver))
	}
	return rows.Err()
}

// NoteProven keeps that what was held is what the server has.
func (c *Cache) NoteProven(ctx context.Context, h *Holding, at chat.Time) error {
	return c.writer.do(ctx, "note proof", func(t *tx) error {
		if !t.holds(h) {
			return errMoved()
		}
		t.state.Proven = Proof{h.Position, at}
		return nil
	})
}

// holds reports whether what was read of the cache is still of this cache.
func (t *tx) holds(h *Holding) bool {
	return t.state.Boot == nil && t.state.Floor == h.era && t.state.Since == h.Since &&
		t.state.Gains == t.state.GainsLoaded && sameAccess(t.state.Access, h.Access)
}

// SameView reports whether the server has looked with the eyes of the cache.
func (h *Holding) SameView(a chat.Access) bool { return sameAccess(h.Access, &a) }

// sameAccess reports whether two accesses let see the same.
func sameAccess(a, b *chat.Access) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Revoked != b.Revoked || len(a.Brands) != len(b.Brands) {
		return false
	}
	return !slices.ContainsFunc(a.Brands, func(id chat.BrandID) bool { return !slices.Contains(b.Brands, id) })
}

// Repair makes some buckets what the server says they are: rows are all that
// is in them in the window, as of head or later. It says what it has changed
// and how many conversations were not as they should have been.
//
// The rule of ver alone repairs nothing that is wrong with the right ver, or
// one too high. But a version above head that was here before head was asked
// for cannot be: whatever the server has written by then is not above it.
func (c *Cache) Repair(ctx context.Context, h *Holding, buckets []int, head int64, rows []Row) (applied Applied, repaired int, err error) {
	applied, err = c.change(ctx, "repair", func(t *tx) error {
		if !t.holds(h) {
			return errMoved()
		}
		t.reloading, repaired = true, 0
		named := map[chat.ConversationID]bool{}
		for _, r := range rows {
			if r.Kind != chat.EntityConversation {
				if err := t.put(r); err != nil {
					return err
				}
				continue
			}
			id, changed, err := t.repair(h, head, r)
			if err != nil {
				return err
			}
			named[id] = true
			if changed {
				repaired++
			}
		}
		dropped, err := t.dropUnnamed(h, buckets, named)
		repaired += dropped
		t.state.Repaired += int64(repaired)
		t.state.Proven = Proof{}
		return err
	})
	return applied, repaired, err
}

// repair takes one conversation over as the server has it, unless what is here
// is newer. It reports whether that changed anything.
func (t *tx) repair(h *Holding, head int64, r Row) (id chat.ConversationID, changed bool, err error) {
	var c conversationJSON
	if err := json.Unmarshal(r.Data, &c); err != nil || c.ID.IsZero() || c.Brand.IsZero() {
		return id, false, t.skip(r, "not a conversation")
	}
	if !t.state.sees(c.Brand) {
		return c.ID, false, nil
	}
	row, err := t.conversation(c.ID)
	if err != nil {
		return c.ID, false, err
	}
	if row != nil && row.shown {
		if row.ver > head && h.ahead[c.ID] != row.ver {
			return c.ID, false, nil // it came after we asked
		}
		if same, err := t.sameConversation(row.n, c, r.Data); same || err != nil {
			return c.ID, false, err
		}
	} else {
		// It is there: that it was deleted before can only be wrong.
		if _, err := t.exec("delete from tombstone where kind = ? and id = ? and ver <= ?", string(chat.EntityConversation), c.ID, head); err != nil {
			return c.ID, false, err
		}
		if gone, err := t.buried(chat.EntityConversation, c.ID.Bytes(), 0); gone || err != nil {
			return c.ID, false, err
		}
	}
	return c.ID, true, t.writeConversation(c, row, r.Data)
}

// sameConversation reports whether a row is what the server's JSON makes of it.
func (t *tx) sameConversation(n int64, c conversationJSON, data []byte) (same bool, err error) {
	brand, err := ref(t, c.Brand)
	if err != nil {
		return false, err
	}
	assignee, err := ref(t, c.Assignee)
	if err != nil {
		return false, err
	}
	_, err = t.one(`select ver = ? and brand = ? and coalesce(assignee, 0) = ? and done = ? and unread = ? and last_at = ? and last_number = ? and data = ?
		from conversation where n = ?`, []any{c.Ver, brand, assignee, c.Status != chat.StatusOpen, c.Unread, int64(c.LastAt), c.LastNumber, data, n}, &same)
	return same, err
}

// dropUnnamed removes what was here when it was read, has not changed since,
// and is not there.
func (t *tx) dropUnnamed(h *Holding, buckets []int, named map[chat.ConversationID]bool) (n int, err error) {
	for _, held := range []map[chat.ConversationID]int64{h.vers, h.ahead} {
		for id, ver := range held {
			if named[id] || !slices.Contains(buckets, chat.DigestBucket(id)) {
				continue
			}
			row, err := t.conversation(id)
			if err != nil {
				return n, err
			}
			if row == nil || row.ver != ver {
				continue
			}
			if err := t.dropConversation(row.n, id); err != nil {
				return n, err
			}
			t.rows[id], t.threads[id] = struct{}{}, struct{}{}
			n++
		}
	}
	return n, nil
}
