package desktop

import (
	"context"
	stdsync "sync"
	"time"

	"parley/backend/desktop/sync"
)

// partingPatience is how long closing, or leaving an account, waits for texts to
// arrive.
const partingPatience = 3 * time.Second

// HandIn prepares for the program being closed: nobody will be there to take a
// text back, so what is held for that goes out now. It gives how many texts have
// not arrived when ctx ends, or as soon as no more will. They are on disk, and
// go out after the next start.
//
// Without a line nothing is released: if the program stays open after all, what
// was held can still be taken back.
func (e *Engine) HandIn(ctx context.Context) (left int) {
	left = handIn(ctx, e.view.Load().sessions()...)
	e.handedIn.Store(int64(e.clock().Mono) + 1)
	return left
}

// handIn does so for accounts.
func handIn(ctx context.Context, sessions ...*session) (left int) {
	var all stdsync.WaitGroup
	for _, s := range sessions {
		if s.hasLine() {
			all.Go(func() { s.outbox.HandIn(ctx) })
		}
	}
	all.Wait()
	for _, s := range sessions {
		left += s.outbox.Snapshot().Queued
	}
	return left
}

// leaving hands in before another account takes the place of the open one.
func (e *Engine) leaving(to string) {
	if s := e.view.Load().session; s != nil && s.account.ID != to {
		e.part(s)
	}
}

// part hands in for an account that is about to be left, and takes no longer
// than it may.
func (e *Engine) part(s *session) {
	ctx, cancel := context.WithTimeout(e.ctx, partingPatience)
	defer cancel()
	if left := handIn(ctx, s); left > 0 {
		e.log.Info("texts wait in an account that is left", "account", s.account.ID, "texts", left)
	}
}

// hasLine reports whether the server can be reached, as far as that is known.
func (s *session) hasLine() bool {
	switch s.report.Load().Status {
	case sync.StatusLive, sync.StatusCatchingUp:
		return s.net.Load() != nil
	}
	return false
}
