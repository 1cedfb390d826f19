package sync

import (
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// The background is for whoever goes offline later: it must never be felt by
// whoever works now, nor by the server.
const (
	backfillFlights = 2
	backfillPage    = 50
	backfillList    = 200                   // conversations looked up at once
	backfillMost    = 20_000                // conversations of one run of the program
	backfillPause   = 10 * time.Millisecond // between two requests
	backfillRest    = 5 * time.Second       // between two looks for more, and after a failure
	backfillYield   = time.Second           // after the agent last opened a chat, or typed
)

// backfill loads the newest messages of conversations that came without any,
// newest first. What is missing is in the cache, so it goes on by itself after
// a restart.
type backfill struct {
	flying map[chat.ConversationID]bool
	queue  []cache.HeadlessAt
	after  cache.HeadlessAt             // where the look for more goes on
	ended  bool                         // the look has come to the end
	dirty  bool                         // something changed since it began
	asked  map[chat.ConversationID]bool // once is enough, whatever came of it
	count  int
	next   time.Duration // not before
}

func newBackfill() backfill {
	b := backfill{flying: map[chat.ConversationID]bool{}}
	b.renew()
	return b
}

// renew begins from the top: a fill may have taken back what was here.
func (b *backfill) renew() {
	b.queue, b.after, b.ended, b.dirty = nil, cache.HeadlessAt{}, false, true
	b.asked = map[chat.ConversationID]bool{}
	for id := range b.flying {
		b.asked[id] = true
	}
}

// idle reports whether there is nothing better to do than to fill up: all that
// is live is here and the window waits for nothing.
func (s *Sync) idle() bool {
	return s.m.Current() && !s.history.busy(s.cfg.Clock().Mono)
}

// flyBackfill starts what may start now.
func (s *Sync) flyBackfill() {
	b := &s.backfill
	now := s.cfg.Clock().Mono
	if now < s.backfillFrom() || len(b.flying) >= s.backfillFlights() || b.count >= backfillMost || !s.idle() {
		return
	}
	if len(b.queue) == 0 && (!b.dirty || !s.findBackfill(now)) {
		return
	}
	c := b.queue[0]
	b.queue = b.queue[1:]
	b.flying[c.ID], b.asked[c.ID] = true, true
	b.count++
	b.next = now + backfillPause
	fills := s.fills
	s.flying.Go(func() {
		page, err := s.cfg.Client.Messages(s.ctx, c.ID, protocol.MessagesQuery{Limit: backfillPage})
		s.post(fetched{want: Want{Conversation: c.ID}, page: page, err: err, behind: true, fills: fills})
	})
}

// findBackfill looks for more to load and reports whether there is.
func (s *Sync) findBackfill(now time.Duration) bool {
	b := &s.backfill
	since := s.cfg.Clock().Wall.Add(-time.Duration(s.cfg.Days) * 24 * time.Hour)
	for len(b.queue) == 0 {
		if b.ended { // what comes later is found by the next look
			b.after, b.ended, b.dirty, b.next = cache.HeadlessAt{}, false, false, now+backfillRest
			return false
		}
		list, err := s.cfg.Cache.Headless(s.ctx, since, b.after, backfillList)
		if err != nil {
			s.cfg.Log.Warn("find what to load", "error", err)
			b.ended = true
			continue
		}
		b.ended = len(list) < backfillList
		for _, c := range list {
			b.after = c
			if !b.asked[c.ID] {
				b.queue = append(b.queue, c)
			}
		}
	}
	return true
}

// backfilled takes a page over.
func (s *Sync) backfilled(x fetched) {
	b := &s.backfill
	id := x.want.Conversation
	delete(b.flying, id)
	switch {
	case x.err == nil && x.fills != s.fills:
		b.count--
		s.backfillAgain(id, backfillPause)
	case x.err == nil:
		if !s.store(x) {
			b.count-- // it is not here
			s.backfillAgain(id, backfillRest)
		}
	case chat.ErrorCode(x.err) == chat.CodeUnauthorized:
		s.handle(PullFailed{x.err})
	case chat.ErrorCode(x.err) == chat.CodeNotFound || chat.ErrorCode(x.err) == chat.CodeForbidden:
		s.stored(nil) // gone meanwhile: the log says so too
	default:
		s.backfillAgain(id, max(backfillRest, retryAfter(x.err)))
		if protocol.IsUnreachable(x.err) {
			s.handle(Doubted{})
		}
	}
}

// backfillAgain leaves a conversation to the next look, after a rest.
func (s *Sync) backfillAgain(id chat.ConversationID, rest time.Duration) {
	b := &s.backfill
	delete(b.asked, id)
	b.queue, b.after, b.ended, b.dirty = nil, cache.HeadlessAt{}, false, true
	b.next = s.cfg.Clock().Mono + rest
}

// backfillFlights gives how many requests of the background there may be.
func (s *Sync) backfillFlights() int {
	if s.history.unwritable {
		return 1
	}
	return backfillFlights
}

// nextBackfill gives when the background may go on.
func (s *Sync) nextBackfill() time.Duration {
	b := &s.backfill
	if len(b.flying) >= s.backfillFlights() || b.count >= backfillMost || len(b.queue) == 0 || !s.idle() {
		return s.m.Next() // an arrival or the machine's tick comes before
	}
	return s.backfillFrom()
}

// backfillFrom gives when the next request may go out, if nothing else is in
// its way.
func (s *Sync) backfillFrom() time.Duration {
	return max(s.backfill.next, time.Duration(s.worked.Load())+backfillYield)
}
