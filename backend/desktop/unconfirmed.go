package desktop

import (
	"slices"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
)

// A text that waits in the outbox goes out by itself as soon as it can. Where
// that takes long, its author hears of it once, and finds it in the list of
// what was not sent: they may think that it is with the customer.
//
// What counts is how often it was seen waiting, not by any clock: a computer
// that wakes up has not been trying to send while it slept.
const (
	unconfirmedEvery = 30 * time.Second // between two looks
	unconfirmedLooks = 20
)

// codeUnconfirmed is the code of what has not gone out yet, as far as is known.
const codeUnconfirmed chat.Code = "unconfirmed"

// unconfirmedPrefix stands before the id of an entry where it is kept that its
// author was told of its waiting: that it is refused later is told again.
const unconfirmedPrefix = "unconfirmed:"

// unconfirmedReason says what becomes of it.
func (s *session) unconfirmedReason() string {
	if s.report.Load().Status == sync.StatusSignedOut {
		return "It was not confirmed yet. It is safe on this computer, and goes out once you are signed in again."
	}
	return "It was not confirmed yet. It is safe on this computer, and goes out by itself as soon as it can."
}

// watchWaiting looks after what waits until the session ends.
func (s *session) watchWaiting() {
	tick := time.NewTicker(unconfirmedEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.lookAtWaiting()
		case <-s.ctx.Done():
			return
		}
	}
}

// lookAtWaiting counts once more how often each text was seen waiting, and tells
// of those that have become too many times.
func (s *session) lookAtWaiting() {
	s.looking.Lock()
	defer s.looking.Unlock()
	late := map[chat.CommandID]bool{}
	waiting := s.outbox.Snapshot().Waiting(s.e.now())
	for id := range s.looks {
		if !slices.ContainsFunc(waiting, func(w outbox.Entry) bool { return w.ID == id }) {
			delete(s.looks, id)
		}
	}
	for _, w := range waiting {
		s.looks[w.ID]++
		if s.looks[w.ID] >= unconfirmedLooks {
			late[w.ID] = true
		}
	}
	old := s.late.Swap(&late)
	if len(late) == 0 && (old == nil || len(*old) == 0) {
		return
	}
	s.tellFailed(nil)
	s.e.tell.state()
}

// unconfirmed reports whether a text has been waiting for too long.
func (s *session) unconfirmed(w outbox.Entry) bool {
	late := s.late.Load()
	return late != nil && (*late)[w.ID] && w.Problem == nil
}

// unconfirmedTexts gives the texts that have been waiting for too long.
func (s *session) unconfirmedTexts() (late []outbox.Entry) {
	for _, w := range s.outbox.Snapshot().Waiting(s.e.now()) {
		if s.unconfirmed(w) {
			late = append(late, w)
		}
	}
	return late
}
