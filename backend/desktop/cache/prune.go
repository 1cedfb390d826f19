package cache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"parley/backend/chat"
)

// Pruning says what may leave the cache. It takes conversations that are done
// and that nobody here has anything to do with, those first that were last
// active longest ago: their messages, which opening one loads again, and, if
// that does not make enough room, what is left of them.
type Pruning struct {
	Bytes  int64     // how much the file may hold; 0: whatever there is
	Before chat.Time // messages of what was last active before go, whatever the room
	// RowsBefore: of what was last active before, the rows may go too. What sync
	// would load again at once must not be among it.
	RowsBefore  chat.Time
	OpenedSince chat.Time // what was opened since stays
	FailedSince chat.Time // and that of which a message has failed since, for its author to repair
	Me          chat.MemberID
	// Keep reports that something waits in a conversation.
	Keep func(chat.ConversationID) bool
}

// Pruner prunes step by step.
type Pruner struct {
	c         *Cache
	p         Pruning
	after     HeadlessAt // the place among the victims
	shrinking bool       // until there is some room to spare
	rows      bool       // their messages are gone already
	pruned    int
}

// Pruner begins to prune.
func (c *Cache) Pruner(p Pruning) *Pruner { return &Pruner{c: c, p: p} }

// Pruned is of how many conversations something has gone.
func (p *Pruner) Pruned() int { return p.pruned }

// Size is how much of the disk the cache takes.
type Size struct {
	File int64 // with its log, and what was set aside of an older one
	Used int64 // of it, what holds something
}

// Size says how much of the disk the cache takes.
func (c *Cache) Size(ctx context.Context) (Size, error) {
	type pages struct{ all, free, size int64 }
	got, err := list(ctx, c, "measure cache", "select page_count, freelist_count, page_size from pragma_page_count, pragma_freelist_count, pragma_page_size",
		nil, func(rows *sql.Rows) (p pages, err error) {
			err = rows.Scan(&p.all, &p.free, &p.size)
			return p, err
		})
	if err != nil {
		return Size{}, err
	}
	p := got[0]
	return Size{File: p.all*p.size + c.besides(), Used: (p.all - p.free) * p.size}, nil
}

const victimsAtOnce = 16

// victims are in the order of the list of what is done. The first condition on
// last_at is where the search goes on, the second where it ends.
const victims = `select id, last_at from conversation c indexed by list_resolved
	where shown = 1 and done = 1 and (last_at, id) > (?1, ?2) and last_at < ?3
	and %s
	` + spared + `
	order by last_at, id limit ?7`

// spared are conversations of the member's, and those in which something came
// up, is being written, or waits to go out.
const spared = `and coalesce(assignee, 0) <> ?4
	and not exists (select 1 from draft d where d.conversation = c.n and d.filled)
	and not exists (select 1 from opened o where o.conversation = c.n and o.at >= ?5)
	and not exists (select 1 from scheduled s where s.conversation = c.n)
	and c.n not in (select key >> 24 from message where undelivered_at > 0 and undelivered_at >= ?6)`

const withMessages = "exists (select 1 from message m where m.key between c.n << 24 and (c.n << 24 | 16777215))"

// Step prunes for about so long and reports whether more is to be done.
func (p *Pruner) Step(ctx context.Context, budget time.Duration) (more bool, err error) {
	size, err := p.c.Size(ctx)
	if err != nil {
		return false, err
	}
	p.shrinking = p.p.Bytes > 0 && (size.Used > p.p.Bytes || p.shrinking && size.Used > p.p.Bytes/10*9)
	end := p.p.Before
	switch {
	case p.rows && !p.shrinking:
		return false, nil
	case p.rows:
		end = p.p.RowsBefore
	case p.shrinking:
		end = math.MaxInt64
	}
	found, err := p.find(ctx, end)
	if err != nil {
		return false, err
	}
	if len(found) == 0 {
		if p.rows || !p.shrinking {
			return false, nil
		}
		p.rows, p.after = true, HeadlessAt{} // from the oldest on again
		return true, nil
	}
	return true, p.prune(ctx, found, time.Now().Add(budget))
}

func (p *Pruner) find(ctx context.Context, end chat.Time) ([]HeadlessAt, error) {
	what := withMessages
	if p.rows {
		what = "1"
	}
	after := p.after
	if after == (HeadlessAt{}) {
		after.LastAt = math.MinInt64
	}
	return list(ctx, p.c, "find what to prune", fmt.Sprintf(victims, what+p.c.seen("brand")),
		[]any{int64(after.LastAt), after.ID, int64(end), p.me(), int64(p.p.OpenedSince), int64(p.p.FailedSince), victimsAtOnce},
		func(rows *sql.Rows) (h HeadlessAt, err error) {
			err = rows.Scan(&h.ID, &h.LastAt)
			return h, err
		})
}

// me is the member's number here.
func (p *Pruner) me() int64 {
	if n := p.c.names.Load().refs[p.p.Me]; n != 0 {
		return n
	}
	return -1 // nobody
}

func (p *Pruner) prune(ctx context.Context, found []HeadlessAt, until time.Time) error {
	after, pruned := p.after, 0
	err := p.c.writer.do(ctx, "prune", func(t *tx) error {
		for _, v := range found {
			if p.p.Keep == nil || !p.p.Keep(v.ID) {
				if p.rows && v.LastAt >= t.state.Since {
					t.narrow(v.LastAt + 1) // or a proof would miss it
				}
				gone, err := p.take(t, v.ID)
				if err != nil {
					return err
				}
				if !gone {
					return nil // a long thread goes over several steps
				}
				pruned++
			}
			after = v
			if time.Now().After(until) {
				return nil
			}
		}
		return nil
	})
	if err == nil {
		p.after, p.pruned = after, p.pruned+pruned
	}
	return err
}

// take removes what is due of a conversation; it may have changed since it was
// found.
func (p *Pruner) take(t *tx, id chat.ConversationID) (gone bool, err error) {
	row, err := t.conversation(id)
	if row == nil || err != nil {
		return true, err
	}
	due, err := t.one("select 1 from conversation c where n = ?1 and shown = 1 and done = 1 "+spared,
		[]any{row.n, nil, nil, p.me(), int64(p.p.OpenedSince), int64(p.p.FailedSince)}, new(int))
	if !due || err != nil {
		return true, err
	}
	if p.rows {
		return true, t.dropWithContact(row.n, id)
	}
	// The spans go with the first message: never does one say that something is
	// here which is not.
	if err := t.dropSpans(row.n, id); err != nil {
		return false, err
	}
	if _, err := t.exec("update conversation set headless = 2 where n = ? and last_number > 0", row.n); err != nil {
		return false, err
	}
	return t.dropMessages(row.n)
}

// dropWithContact removes a conversation, and its contact if it was their last.
func (t *tx) dropWithContact(n int64, id chat.ConversationID) error {
	var contact chat.ContactID
	found, err := t.one("select p.id from conversation c join contact p on p.n = c.contact where c.n = ?", []any{n}, &contact)
	if err != nil {
		return err
	}
	if err := t.dropConversation(n, id); err != nil || !found {
		return err
	}
	person, err := t.contact(contact)
	if person == nil || err != nil {
		return err
	}
	if more, err := t.one("select 1 from conversation where contact = ? limit 1", []any{person.n}, new(int)); more || err != nil {
		return err
	}
	return t.dropContact(person, contact)
}

// NoteOpened keeps when the agent has opened conversations.
func (c *Cache) NoteOpened(ctx context.Context, opened map[chat.ConversationID]chat.Time) error {
	return c.writer.do(ctx, "note what was opened", func(t *tx) error {
		for id, at := range opened {
			row, err := t.conversation(id)
			if err != nil {
				return err
			}
			if row == nil {
				continue
			}
			if _, err := t.exec("insert into opened values (?, ?) on conflict do update set at = excluded.at", row.n, int64(at)); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkEvery is how long a cache goes without being checked whole.
const checkEvery = 30 * 24 * time.Hour

// CheckDue reports whether the file should be checked: because the program did
// not end as it should the last time, or because that is long ago. Whole says
// that the search index and all else is to be compared too.
func (c *Cache) CheckDue(now chat.Time) (due, whole bool) {
	last := c.state.Load().Verified
	whole = last > 0 && now.Sub(last) >= checkEvery
	return whole || last == 0 || c.unclean.Load(), whole
}

// Check reads the file from one end to the other, beside everything else, until
// the context ends. Damage is told like damage that a query meets.
func (c *Cache) Check(ctx context.Context, whole bool, now chat.Time) error {
	verdict, err := c.check(ctx, whole)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("check cache: %w", ctx.Err())
	case err == nil && verdict != "ok":
		err = errors.Join(errDamaged, errors.New(verdict))
	}
	if err != nil {
		return fmt.Errorf("check cache: %w", c.noteDamage(unavailable(err)))
	}
	return c.writer.do(ctx, "note check", func(t *tx) error {
		t.w.cache.unclean.Store(false)
		if whole || t.state.Verified == 0 {
			t.state.Verified = now
		}
		return nil
	})
}

// check uses a connection of its own: those of the readers are for the window.
func (c *Cache) check(ctx context.Context, whole bool) (verdict string, err error) {
	db, err := sql.Open("sqlite3", dsn(c.path(), "mode", "ro", "_query_only", "1", "_busy_timeout", "5000", "_cache_size", "-2000"))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	pragma := "pragma quick_check(1)"
	if whole {
		pragma = "pragma integrity_check(1)"
	}
	err = db.QueryRowContext(ctx, pragma).Scan(&verdict)
	return verdict, err
}
