package cache

import (
	"context"
	"fmt"

	"parley/backend/chat"
)

// Bootstrapping gives the bootstrap that was begun and not finished, with the
// cursor to go on from; false if there is none.
func (c *Cache) Bootstrapping() (Bootstrap, bool) {
	if b := c.state.Load().Boot; b != nil {
		return *b, true
	}
	return Bootstrap{}, false
}

// BeginBootstrap starts taking over a bootstrap or a delta of state, after its
// first line. With the cursor and the epoch of one that was interrupted it
// goes on with that one, whose first head stays: what came before the break is
// only known to be true there.
//
// Old rows stay readable meanwhile. Rows of another epoch are replaced by any
// new row, whatever its ver. A given access holds from here on.
func (c *Cache) BeginBootstrap(ctx context.Context, b Bootstrap) error {
	if err := c.writer.pages(ctx, loadPages); err != nil {
		return err
	}
	return c.writer.do(ctx, "begin bootstrap", func(t *tx) error {
		if b.Access != nil {
			if err := t.setAccess(*b.Access); err != nil {
				return err
			}
		}
		if old := t.state.Boot; old != nil && b.Cursor != "" && old.Cursor == b.Cursor && old.Epoch == b.Epoch {
			return nil
		}
		b.Cursor, b.Access = "", nil
		fresh := t.state.Epoch == "" && t.state.Boot == nil
		another := t.state.Epoch != b.Epoch || t.state.Boot != nil && t.state.Boot.Epoch != b.Epoch
		t.state.Boot = &b
		t.state.Mark++
		if another && !fresh {
			return t.beginEpoch()
		}
		return nil
	})
}

// beginEpoch makes everything cached so far replaceable. No number of another
// epoch means anything: spans and tombstones go at once.
func (t *tx) beginEpoch() error {
	t.state.Floor = t.state.Mark
	t.state.Boot.Sweep = true
	t.state.Position, t.state.Epoch = 0, ""
	for _, table := range []string{"span", "tombstone"} {
		if _, err := t.exec("delete from " + table); err != nil {
			return err
		}
	}
	return nil
}

// PutBootstrap takes over lines of the bootstrap under way; cursor, unless "",
// is where to go on after them and is kept in the same transaction. Some
// hundreds of lines in one call are fast.
func (c *Cache) PutBootstrap(ctx context.Context, rows []Row, cursor string) (Applied, error) {
	return c.change(ctx, "put bootstrap", func(t *tx) error {
		if t.state.Boot == nil {
			return chat.Errorf(chat.CodeConflict, "No bootstrap is under way.")
		}
		t.reloading, t.naming = true, t.state.Boot.Sweep
		if cursor != "" {
			b := *t.state.Boot
			b.Cursor = cursor
			t.state.Boot = &b
		}
		return t.putAll(rows)
	})
}

// FinishBootstrap ends the bootstrap: what is gone from the server is removed,
// and the position is its head.
func (c *Cache) FinishBootstrap(ctx context.Context) (Applied, error) {
	applied, err := c.change(ctx, "finish bootstrap", func(t *tx) error {
		b := t.state.Boot
		if b == nil {
			return chat.Errorf(chat.CodeConflict, "No bootstrap is under way.")
		}
		if err := t.sweep(*b); err != nil {
			return err
		}
		t.state.Position, t.state.Epoch, t.state.Boot = b.Head, b.Epoch, nil
		t.applied.Everything, t.applied.Directory = true, true
		return nil
	})
	if err != nil {
		return applied, err
	}
	return applied, c.writer.pages(ctx, usualPages)
}

// How much of the file the writer keeps in memory, in KiB: a load in the order
// of ids touches indexes everywhere, later writes touch little.
const (
	usualPages = 16_000
	loadPages  = 64_000
)

// pages sets the size of the writer's page cache.
func (w *writer) pages(ctx context.Context, kib int) error {
	return w.do(ctx, "size page cache", func(t *tx) error {
		_, err := w.conn.ExecContext(t.ctx, fmt.Sprintf("pragma cache_size=-%d; pragma shrink_memory", kib))
		return err
	})
}
