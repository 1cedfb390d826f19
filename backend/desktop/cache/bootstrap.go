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
// Old rows stay readable meanwhile. Another epoch is another log, and so is one
// that ends before what is known of it: it was put back without a new epoch.
// Rows of another log are replaced by any new row, whatever its ver. A given
// access holds from here on.
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
			// What was gained since is not in the part that is here, and the
			// window has moved on for what follows.
			now := *old
			now.Since = max(old.Since, b.Since)
			t.state.Boot = &now
			return nil
		}
		b.Cursor, b.Access = "", nil
		if old := t.state.Boot; old != nil {
			b.Pages = old.Pages
		}
		fresh := t.state.Epoch == "" && t.state.Boot == nil && t.state.Floor == 0
		another := t.state.Epoch != b.Epoch || b.Head < t.state.Position
		if old := t.state.Boot; old != nil {
			another = another || old.Epoch != b.Epoch || b.Head < old.Head
		}
		t.state.Boot = &b
		t.state.Mark++
		if another && !fresh {
			t.state.Boot.Sweep = true
			if err := t.beginEra(); err != nil {
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
// gave n, of a window that begins at since.
func (c *Cache) LoadedGained(ctx context.Context, n int64, since chat.Time) error {
	return c.writer.do(ctx, "note what was gained", func(t *tx) error {
		t.state.GainsLoaded = max(t.state.GainsLoaded, min(n, t.state.Gains))
		t.narrow(since)
		return nil
	})
}

// narrow notes that what was loaded in addition reaches back to since only.
func (t *tx) narrow(since chat.Time) {
	if t.state.Since > 0 && since > 0 {
		since = max(since, t.state.Since)
	}
	t.state.Since, t.state.Proven = since, Proof{}
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

// BeginEra notes that the log that was followed is no more, whatever epoch and
// head the next answer has. The bootstrap that follows is of another one.
func (c *Cache) BeginEra(ctx context.Context) error {
	return c.writer.do(ctx, "begin era", func(t *tx) error {
		t.state.Boot = nil
		t.state.Mark++
		return t.beginEra()
	})
}

// beginEra makes everything cached so far replaceable. No number of another
// log means anything: spans and tombstones go at once.
func (t *tx) beginEra() error {
	t.state.Floor = t.state.Mark
	t.state.Position, t.state.Epoch, t.state.Since, t.state.Proven = 0, "", 0, Proof{}
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
		for _, id := range b.Pages {
			if conv, err := t.conversation(id); err != nil {
				return err
			} else if conv != nil {
				if err := t.dropSpans(conv.n, id); err != nil {
					return err
				}
			}
		}
		if b.Sweep {
			t.state.Since, t.state.Proven = b.Since, Proof{} // everything has been named
		} else {
			t.narrow(b.Since)
		}
		t.state.Position, t.state.Epoch, t.state.Boot = b.Head, b.Epoch, nil
		t.state.Whole = t.state.Mark
		t.applied.Everything, t.applied.Directory = true, true
		return nil
	})
	if err != nil {
		return applied, err
	}
	if c.Loaded() {
		c.dropAside()
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
