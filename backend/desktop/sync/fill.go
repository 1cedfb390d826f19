package sync

import (
	"context"
	"errors"
	"slices"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// fillRows is how many rows one transaction of a fill holds.
const fillRows = 1000

// fill is a bulk load under way.
type fill struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// startFill loads in the background. A fill before it is given up first: two
// must not write at once.
func (s *Sync) startFill(a Fill) {
	ctx, cancel := context.WithCancel(s.ctx)
	before := s.fill
	f := &fill{cancel, make(chan struct{})}
	s.fill = f
	s.flying.Go(func() {
		defer close(f.done)
		defer cancel()
		if before != nil {
			before.cancel()
			<-before.done
		}
		l := loader{s: s, ctx: ctx, a: a}
		if err := l.load(); err != nil {
			s.post(FillFailed{Gen: a.Gen, Err: err, Local: l.local})
			return
		}
		position, epoch := s.cfg.Cache.Position()
		_, gained := s.cfg.Cache.Gained()
		s.cfg.Log.Info("cache filled", "kind", a.Kind, "conversations", l.done, "position", position, "more", gained)
		s.post(Filled{Gen: a.Gen, Position: position, Epoch: epoch, Gained: gained, Unknown: s.unknown()})
	})
}

// loader reads one bootstrap or state answer into the cache, page by page,
// going on where an earlier attempt was cut off.
type loader struct {
	s      *Sync
	ctx    context.Context
	a      Fill
	cursor string
	rows   []cache.Row
	safe   string // the last cursor among rows: where to go on after them
	done   int64
	total  int64
	since  chat.Time // when the window of the answer begins
	gains  int64     // what this load holds, of what was gained
	local  bool      // the error is the cache's, not the network's
}

func (l *loader) load() error {
	if _, epoch := l.s.cfg.Cache.Position(); l.a.Another && epoch != "" {
		// Noted before it is asked for: it may go by the same epoch, and be longer
		// by then than what is known.
		if err := l.fail(l.s.cfg.Cache.BeginEra(l.ctx)); err != nil {
			return err
		}
	}
	l.gains, _ = l.s.cfg.Cache.Gained() // before the first answer: what is gained later may not be in it
	if b, ok := l.s.cfg.Cache.Bootstrapping(); ok && l.resumable() && b.Sweep == (l.a.Kind == FillBootstrap) {
		l.cursor = b.Cursor
	}
	if l.cursor != "" {
		if stats, err := l.s.cfg.Cache.Stats(l.ctx); err == nil {
			l.done = stats.Conversations
		}
	}
	for {
		end, err := l.page()
		if code := chat.ErrorCode(err); l.cursor != "" && (code == chat.CodeInvalid || code == chat.CodeReset) {
			l.cursor, l.done = "", 0 // the cursor is of another time: from the beginning
			continue
		}
		if err != nil {
			return err
		}
		if err := l.flush(end.Cursor); err != nil {
			return err
		}
		if !end.More {
			return l.finish()
		}
		l.cursor = end.Cursor
	}
}

// resumable reports whether progress is kept in the cache. What is gained in
// addition is simply loaded again.
func (l *loader) resumable() bool { return l.a.Kind != FillGained }

func (l *loader) page() (protocol.BootstrapEnd, error) {
	l.rows, l.safe = l.rows[:0], ""
	rows := protocol.Rows{Head: l.head, Line: l.line}
	if l.a.Kind == FillState {
		return l.s.cfg.Client.State(l.ctx, l.a.Epoch, l.a.After, l.s.cfg.Days, l.cursor, rows)
	}
	return l.s.cfg.Client.Bootstrap(l.ctx, l.s.cfg.Days, l.cursor, rows)
}

func (l *loader) head(h protocol.BootstrapHead) error {
	if h.Total > 0 {
		l.total = h.Total
	}
	l.report()
	l.since = h.Since
	if !l.resumable() {
		// Under another access than the one that is known here, the answer lacks
		// what was gained, and what it has instead is not taken. The change of
		// access is on its way.
		if known, ok := l.s.cfg.Cache.Access(); ok && h.Access != nil && !sameAccess(known, *h.Access) {
			return protocol.Unreachable("load what was gained", errAccessChanges)
		}
		return nil
	}
	if b, ok := l.s.cfg.Cache.Bootstrapping(); ok && l.a.Kind == FillState && h.Head < b.Head {
		return chat.Errorf(chat.CodeReset, "The server's log ends before what it said of it.")
	}
	if h.Access != nil {
		if err := l.s.cfg.BeforeAccess(l.ctx, *h.Access); err != nil {
			return l.fail(err)
		}
	}
	return l.fail(l.s.cfg.Cache.BeginBootstrap(l.ctx, cache.Bootstrap{
		Head: h.Head, Epoch: h.Epoch, Access: h.Access, Sweep: l.a.Kind == FillBootstrap, Since: h.Since, Cursor: l.cursor}))
}

var errAccessChanges = errors.New("the server knows of another access by now")

// sameAccess reports whether two accesses let see the same.
func sameAccess(a, b chat.Access) bool {
	return a.Revoked == b.Revoked && len(a.Brands) == len(b.Brands) &&
		!slices.ContainsFunc(a.Brands, func(id chat.BrandID) bool { return !slices.Contains(b.Brands, id) })
}

func (l *loader) line(b protocol.BootstrapLine) error {
	l.rows = append(l.rows, rowOf(b))
	if b.Cursor != "" {
		l.safe = b.Cursor
	}
	if b.Kind == chat.EntityConversation {
		l.done++
	}
	if len(l.rows) < fillRows {
		return nil
	}
	return l.flush(l.safe)
}

// flush writes what has been read; cursor is where to go on after a break.
func (l *loader) flush(cursor string) error {
	var applied cache.Applied
	var err error
	switch {
	case l.resumable():
		applied, err = l.s.cfg.Cache.PutBootstrap(l.ctx, l.rows, cursor)
	case len(l.rows) > 0:
		applied, err = l.s.cfg.Cache.PutRows(l.ctx, l.rows)
	}
	if err != nil {
		return l.fail(err)
	}
	l.rows, l.safe = l.rows[:0], ""
	l.s.cfg.Changed(applied)
	l.report()
	return nil
}

func (l *loader) finish() error {
	if !l.resumable() {
		return l.fail(l.s.cfg.Cache.LoadedGained(l.ctx, l.gains, l.since))
	}
	if l.a.Kind == FillBootstrap {
		if err := l.catchUp(); err != nil {
			return err
		}
		if err := l.resolveDoubts(); err != nil {
			return err
		}
	}
	if err := l.s.cfg.BeforeSweep(l.ctx); err != nil {
		return l.fail(err)
	}
	applied, err := l.s.cfg.Cache.FinishBootstrap(l.ctx)
	if err != nil {
		return l.fail(err)
	}
	applied.Everything = true
	l.s.cfg.Changed(applied)
	return nil
}

func (l *loader) report() { l.s.post(Filling{Gen: l.a.Gen, Done: l.done, Total: max(l.total, 0)}) }

// fail marks an error as the cache's.
func (l *loader) fail(err error) error {
	if err != nil && l.ctx.Err() == nil {
		l.local = true
		l.s.cfg.Log.Error("fill cache", "kind", l.a.Kind, "error", err)
	}
	return err
}

// rowOf is a line of an answer as the cache takes it.
func rowOf(b protocol.BootstrapLine) cache.Row {
	return cache.Row{Kind: b.Kind, ID: b.ID, Ver: b.Ver, Op: b.Op, Brand: b.Brand, Conversation: b.Conversation, Data: b.Data}
}
