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
			return nil // what was gained since is not in the part that is here
		}
		b.Cursor, b.Access = "", nil
		fresh := t.state.Epoch == "" && t.state.Boot == nil
		another := t.state.Epoch != b.Epoch || t.state.Boot != nil && t.state.Boot.Epoch != b.Epoch
		t.state.Boot = &b
		t.state.Mark++
		if another && !fresh {
			if err := t.beginEpoch(); err != nil {
				return err
			}
		}
		if t.state.Boot.Sweep {
			t.state.GainsLoaded = t.state.Gains // it loads everything there is to see
		}
		return nil
	})
}

// Loaded reports whether the first load is complete: what the lists show is
// everything, as of the position.
func (c *Cache) Loaded() bool {
	s := c.state.Load()
	return s.Epoch != "" && (s.Boot == nil || !s.Boot.Sweep)
}

// Gained reports whether the member was let to see more that is not loaded
// yet. The number is for LoadedGained.
func (c *Cache) Gained() (n int64, open bool) {
	s := c.state.Load()
	return s.Gains, s.Gains > s.GainsLoaded
}

// LoadedGained notes that everything was loaded that could be seen when Gained
// gave n.
func (c *Cache) LoadedGained(ctx context.Context, n int64) error {
	return c.writer.do(ctx, "note what was gained", func(t *tx) error {
		t.state.GainsLoaded = max(t.state.GainsLoaded, min(n, t.state.Gains))
		return nil
	})
}

// CheckedAt is when it was last known that nothing was missing; zero: never.
func (c *Cache) CheckedAt() chat.Time {
	return max(c.state.Load().Checked, chat.Time(c.checked.Load()))
}

// NoteChecked notes that nothing was missing at a moment. It is kept with the
// next write, or by SaveChecked.
func (c *Cache) NoteChecked(at chat.Time) { c.checked.Store(int64(at)) }

// SaveChecked writes what was noted.
func (c *Cache) SaveChecked(ctx context.Context) error {
	return c.writer.do(ctx, "save time of check", func(*tx) error { return nil })
}

// beginEpoch makes everything cached so far replaceable. No number of another
// epoch means anything: spans and tombstones go at once.
func (t *tx) beginEpoch() error {
	t.state.Floor = t.state.Mark
	t.state.Boot.Sweep = true
	t.state.Position, t.state.Epoch = 0, ""
	for _, query := range []string{
		"delete from span",
		"delete from tombstone",
		"update conversation set headless = 1 where shown = 1 and headless = 0 and last_number > 0",
	} {
		if _, err := t.exec(query); err != nil {
			return err
		}
	}
	clear(t.spans)
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
