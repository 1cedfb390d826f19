package outbox

import (
	"context"
	"slices"
	"time"
)

// releaseLook is how often HandIn looks whether the texts have arrived.
const releaseLook = 20 * time.Millisecond

// releaseOp lets go what can still be taken back, and asks how many texts are
// about to arrive.
type releaseOp struct{ reply chan int }

func (releaseOp) op() {}

// HandIn lets what can still be taken back go out now and waits until every
// text has arrived, or is not about to, or ctx ends. Nothing is given up: what
// has not arrived waits on disk, as ever.
func (o *Outbox) HandIn(ctx context.Context) {
	look := time.NewTicker(releaseLook)
	defer look.Stop()
	for {
		reply := make(chan int, 1)
		select {
		case o.ops <- releaseOp{reply}:
		case <-ctx.Done():
			return
		case <-o.done:
			return
		}
		select {
		case going := <-reply:
			if going == 0 {
				return
			}
		case <-ctx.Done():
			return
		case <-o.done:
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		case <-o.done:
			return
		}
	}
}

// Waits reports whether something is still to go out by itself.
func (s *Snapshot) Waits() bool {
	goes := func(e Entry) bool { return e.Problem == nil && !e.byReply() } // without its text it does nothing
	for _, lane := range s.byConversation {
		if slices.ContainsFunc(lane, goes) {
			return true
		}
	}
	for _, lane := range s.byContact {
		if slices.ContainsFunc(lane, goes) {
			return true
		}
	}
	return slices.ContainsFunc(s.me, goes)
}

// Release ends the time in which entries can be taken back: whoever could do it
// is leaving.
func (q *Queue) Release(now Instant) {
	for _, l := range q.lanes {
		for _, it := range l.items {
			if it.release > now.Mono {
				it.release, it.Due = now.Mono, min(it.Due, now.Wall)
			}
		}
	}
}

// Going counts the texts that are on their way or go as soon as the pause
// between two messages is over. One that the server was just out of reach for,
// or that stands behind a text that waits for its author, is not among them.
func (q *Queue) Going(now Instant) (n int) {
	if q.paused {
		return 0
	}
	for _, l := range q.lanes {
		if !l.sending && now.Mono < l.notBefore {
			continue
		}
		held := false
		for _, it := range l.items {
			held = held || it.Text() && it.Problem != nil
			if it.goesOut() && !held {
				n++
			}
		}
	}
	return n
}
