package cache

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"sync"

	"parley/backend/chat"
)

// What a member has written themselves and nobody was sent yet, their drafts
// and what is to go out later, is sealed here with the key of local.db. Its
// words come back only with that key; that there is something, of which chat
// and version, stands open.
//
// The server has it too: what no key opens any more is let go and loaded anew.

// errSealed: a row is here, and its words cannot be read yet.
var errSealed = &chat.Error{Code: chat.CodeUnavailable, Message: "What you have written cannot be read before the keychain of this system is unlocked."}

// opened are the texts that were sealed or opened in this run, by their row:
// what is written while the keychain is locked can be read all the same.
type opened struct {
	mu   sync.Mutex
	rows map[string]openedRow
}

type openedRow struct{ sealed, text string }

func (o *opened) note(row, sealed, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.rows == nil {
		o.rows = map[string]openedRow{}
	}
	o.rows[row] = openedRow{sealed, text}
}

func (o *opened) of(row, sealed string) (text string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	x := o.rows[row]
	return x.text, x.sealed == sealed
}

// sealer is what seals at this moment; nil where there is no key yet.
func (c *Cache) sealer() *sealer {
	if c.keys == nil {
		return nil
	}
	c.keys.seal.mu.RLock()
	defer c.keys.seal.mu.RUnlock()
	return c.keys.seal.with
}

// ownRow names a row for its seal: it does not open in local.db, nor there here.
func ownRow(kind chat.EntityKind, id string) string { return "cached " + string(kind) + " " + id }

func draftOf(c chat.ConversationID) string { return ownRow(chat.EntityDraft, c.String()) }
func scheduledOf(m chat.MessageID) string  { return ownRow(chat.EntityScheduled, m.String()) }

// sealOwn gives the form in which something a member has written is kept.
func (c *Cache) sealOwn(row string, data json.RawMessage) ([]byte, error) {
	sealed, err := c.sealer().seal(row, string(data))
	if err == nil {
		c.opened.note(row, sealed, string(data))
	}
	return []byte(sealed), err
}

// openOwn gives it back; false where it cannot be opened now.
func (c *Cache) openOwn(row string, stored []byte) (data json.RawMessage, ok bool) {
	if len(stored) > 0 && stored[0] == '{' {
		return stored, true // from before there was a key
	}
	sealed := string(stored)
	text, ok := c.opened.of(row, sealed)
	if !ok {
		s := c.sealer()
		if s == nil { // local.db is another one, with no key yet
			return nil, false
		}
		if text, ok = s.open(row, sealed); !ok {
			return nil, false
		}
		c.opened.note(row, sealed, text)
	}
	return json.RawMessage(text), true
}

// own is a row of what a member has written.
type own struct {
	kind   chat.EntityKind
	id     chat.ConversationID // or a message's
	stored []byte
}

func (o own) row() string { return ownRow(o.kind, o.id.String()) }

// cross join: it would read every conversation first, and there are few drafts.
const ownRows = `select 'draft', c.id, d.data from draft d cross join conversation c on c.n = d.conversation
	union all select 'scheduled', id, data from scheduled`

func scanOwn(rows *sql.Rows) (o own, err error) {
	err = rows.Scan((*string)(&o.kind), &o.id, &o.stored)
	return o, err
}

// Sealed counts what is here and cannot be opened now.
func (c *Cache) Sealed(ctx context.Context) (n int, err error) {
	all, err := list(ctx, c, "count sealed rows", ownRows, nil, scanOwn)
	for _, o := range all {
		if _, ok := c.openOwn(o.row(), o.stored); !ok {
			n++
		}
	}
	return n, err
}

// Reseal seals with the key of local.db, which must have been shown, what was
// kept open or was sealed for another one. What cannot be opened any more is
// let go, to be loaded anew: see Gained.
func (c *Cache) Reseal(ctx context.Context) error {
	with := c.sealer()
	if with == nil || with.private == nil {
		return nil
	}
	all, err := list(ctx, c, "read sealed rows", ownRows, nil, scanOwn)
	if err != nil {
		return err
	}
	stale := false
	for _, o := range all {
		_, ok := c.openOwn(o.row(), o.stored)
		stale = stale || !ok || !with.mine(string(o.stored))
	}
	if !stale {
		return nil
	}
	return c.writer.do(ctx, "seal rows", func(t *tx) (err error) {
		// Pages that become free may hold what stood open: see purge.
		if _, err = t.w.conn.ExecContext(t.ctx, "pragma secure_delete=on"); err != nil {
			return err
		}
		defer func() {
			_, after := t.w.conn.ExecContext(t.ctx, "pragma secure_delete=fast")
			err = errors.Join(err, after)
		}()
		lost := false
		err = each(t, ownRows, nil, scanOwn, func(o own) error {
			if with.mine(string(o.stored)) {
				if _, ok := c.openOwn(o.row(), o.stored); ok {
					return nil
				}
			}
			gone, err := t.resealOwn(o)
			lost = lost || gone
			return err
		})
		if lost {
			t.state.Gains++
		}
		return err
	})
}

// resealOwn seals one row anew, or lets go of it.
func (t *tx) resealOwn(o own) (gone bool, err error) {
	c, table, where := t.w.cache, string(o.kind), " where id = ?"
	if o.kind == chat.EntityDraft {
		where = " where conversation = (select n from conversation where id = ?)"
	}
	data, ok := c.openOwn(o.row(), o.stored)
	if !ok {
		_, err = t.exec("delete from "+table+where, o.id)
		return true, err
	}
	sealed, err := c.sealOwn(o.row(), data)
	if err != nil {
		return false, err
	}
	_, err = t.exec("update "+table+" set data = ?"+where, sealed, o.id)
	return false, err
}
