package cache

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// What is deleted from an FTS5 table is only marked there: its words stay in
// the file until the part of the index they are in is merged with others, which
// of a small brand may take years. So after a purge both indexes are merged
// whole, a few pages at a time, and what they leave is overwritten.

// mergePages is about how much FTS5 writes at once. It does not end within a
// word, so that one which very many messages have takes longer.
const mergePages = 8

// wordsOwed reports whether the index may still hold words of rows that were
// purged.
func (s *state) wordsOwed() bool { return s.WordsOwed > s.WordsGone }

// oweWords notes, with the last row of a brand, that its words must go.
func (t *tx) oweWords() error {
	t.state.WordsOwed++
	// Else a merge stands still where more parts have come than it has left, and
	// too few of them to be merged.
	for _, query := range []string{
		"insert into message_fts (message_fts, rank) values ('usermerge', 2)",
		"insert into contact_fts (contact_fts, rank) values ('usermerge', 2)",
	} {
		if _, err := t.exec(query); err != nil {
			return err
		}
	}
	return nil
}

// merging reports whether the index is to be merged now: what was purged has
// to be marked there before, and what has come is to be found first.
func (w *writer) merging() bool { return w.cache.state.Load().wordsOwed() && !w.behind }

// mergeStep merges some of the index, until it is enough, and says whether it
// could.
//
// It is merged whole twice, of which the second time mostly has nothing to do:
// a merge of FTS5's own that was under way at the beginning of the first may
// have written already what was deleted since, and is only brought to its end.
func (t *tx) mergeStep(enough func() bool) (could bool, err error) {
	for {
		more := false
		if t.state.WordsRound > 0 {
			if more, err = t.merge(mergePages); err != nil {
				return false, err
			}
		}
		if !more {
			if could, err = t.nextRound(); !could || err != nil || !t.state.wordsOwed() {
				return could, err
			}
		}
		if enough() {
			return true, nil
		}
	}
}

// nextRound goes on where there is nothing more to merge.
func (t *tx) nextRound() (could bool, err error) {
	switch t.state.WordsRound {
	case 0:
		var waits bool
		if _, err := t.one("select exists (select 1 from unindexed)", nil, &waits); err != nil || waits {
			return false, err
		}
		t.state.WordsMerged = t.state.WordsOwed
	case 2:
		more, err := t.giveBack()
		if err == nil && !more {
			t.state.WordsGone, t.state.WordsRound = t.state.WordsMerged, 0
		}
		return true, err
	}
	t.state.WordsRound++
	_, err = t.merge(-mergePages)
	return true, err
}

// merge goes on with merging both indexes, or begins to merge them whole where
// pages are negative, and says whether there was anything to do.
func (t *tx) merge(pages int) (more bool, err error) {
	for _, query := range []string{
		"insert into message_fts (message_fts, rank) values ('merge', ?)",
		"insert into contact_fts (contact_fts, rank) values ('merge', ?)",
	} {
		var before, after int64
		if _, err := t.one("select total_changes()", nil, &before); err != nil {
			return false, err
		}
		if _, err := t.exec(query, pages); err != nil {
			return false, err
		}
		if _, err := t.one("select total_changes()", nil, &after); err != nil {
			return false, err
		}
		more = more || after-before > 1 // the command itself counts as one
	}
	return more, nil
}

// giveBack has the file give back some of its free pages and says whether there
// were any. Those that merges of before have left were not overwritten.
func (t *tx) giveBack() (more bool, err error) {
	var free int
	if _, err := t.one("pragma freelist_count", nil, &free); err != nil || free == 0 {
		return false, err
	}
	nothing := func(*sql.Rows) (struct{}, error) { return struct{}{}, nil }
	return true, each(t, "pragma incremental_vacuum(100)", nil, nothing, func(struct{}) error { return nil })
}

// merge has the index forget some of the words it owes, unless feeding it has
// failed. Somebody who waits to write ends it before its time.
func (w *writer) merge(ctx context.Context) (could bool, err error) {
	until := time.Now().Add(purgeTime)
	err = w.overwriting(ctx, "merge index", func(t *tx) (err error) {
		could, err = t.mergeStep(func() bool { return w.waiting.Load() > 0 || time.Now().After(until) })
		return err
	})
	return could, err
}

// overwriting runs a transaction after which nothing of what it removes is left
// in the file. Pages that become free by it are overwritten too, which the
// writer else leaves to the tidying: a line more to the log, for what nobody
// may read any more.
func (w *writer) overwriting(ctx context.Context, op string, fn func(*tx) error) error {
	if _, err := w.conn.ExecContext(ctx, "pragma secure_delete=on"); err != nil {
		return err
	}
	err := w.transact(ctx, op, fn)
	_, after := w.conn.ExecContext(ctx, "pragma secure_delete=fast")
	return errors.Join(err, after)
}
