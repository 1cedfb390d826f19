package sync

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

const (
	historyFlights = 4               // pages fetched at once
	historyWaiting = 32              // pages that wait; older wishes are forgotten
	historyRetry   = 5 * time.Second // doubling for a page that the server cannot give
)

// Want is part of a thread that the window wants and the cache does not have:
// the page before, after or around a number, or the newest.
type Want struct {
	Conversation          chat.ConversationID
	Before, After, Around int64
	Limit                 int
}

func (w Want) key() string {
	return fmt.Sprint(w.Conversation, w.Before, w.After, w.Around)
}

// wish is a page that was asked for.
type wish struct {
	Want
	next    time.Duration // not before
	refused int           // how often in a row the server could not give it
}

// history is what is being fetched and what waits, newest wish last.
type history struct {
	flying  map[string]wish
	waiting []wish
	rest    time.Duration // nothing goes out before: the server has had enough, or the disk
	// unwritable: a page could not be stored, neither one that was wanted nor
	// one of the background. Until one can, they are tried one at a time.
	unwritable bool
}

func newHistory() history { return history{flying: map[string]wish{}} }

// busy reports whether the window waits for something that may come now.
func (h *history) busy(now time.Duration) bool {
	return len(h.flying) > 0 || slices.ContainsFunc(h.waiting, func(x wish) bool { return x.next <= now })
}

// again lets a wish wait behind those that came after it.
func (h *history) again(x wish) {
	h.waiting = append([]wish{x}, h.waiting...)
	if len(h.waiting) > historyWaiting {
		h.waiting = h.waiting[1:]
	}
}

func (s *Sync) want(w Want) {
	h := &s.history
	if _, flies := h.flying[w.key()]; flies {
		return
	}
	x := wish{Want: w}
	if i := slices.IndexFunc(h.waiting, func(x wish) bool { return x.key() == w.key() }); i >= 0 {
		if h.waiting[i].refused > 0 {
			x = h.waiting[i] // asking again changes nothing
		}
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
	h.waiting = append(h.waiting, x)
	if len(h.waiting) > historyWaiting {
		h.waiting = h.waiting[1:]
	}
	s.flyHistory()
}

// flyHistory starts what may start, the newest wish first: it is what the
// agent looks at.
func (s *Sync) flyHistory() {
	h := &s.history
	now := s.cfg.Clock().Mono
	flights := historyFlights
	if h.unwritable {
		flights = 1
	}
	for i := len(h.waiting) - 1; i >= 0 && len(h.flying) < flights && now >= h.rest; i-- {
		x := h.waiting[i]
		if now < x.next {
			continue
		}
		h.waiting = slices.Delete(h.waiting, i, i+1)
		h.flying[x.key()] = x
		fills := s.fills
		s.flying.Go(func() {
			page, err := s.cfg.Client.Messages(s.ctx, x.Conversation,
				protocol.MessagesQuery{Before: x.Before, After: x.After, Around: x.Around, Limit: x.Limit})
			s.post(fetched{want: x.Want, page: page, err: err, fills: fills})
		})
	}
}

func (s *Sync) arrived(got fetched) {
	if got.behind {
		s.backfilled(got)
		return
	}
	h := &s.history
	now := s.cfg.Clock().Mono
	x := h.flying[got.want.key()]
	delete(h.flying, got.want.key())
	switch code := chat.ErrorCode(got.err); {
	case got.err == nil && got.fills != s.fills:
		h.again(x)
	case got.err == nil:
		if !s.store(got) {
			h.again(x)
			h.rest = max(h.rest, now+historyRetry)
		}
	case protocol.IsUnreachable(got.err):
		x.next = now + historyRetry
		h.again(x)
		s.handle(Doubted{})
		return // the others would fare no better
	case code == chat.CodeReset: // of another log: asked for again when that is here
		h.again(x)
		h.rest = max(h.rest, now+historyRetry)
		s.handle(PullFailed{got.err})
	case code == chat.CodeUnauthorized:
		s.handle(PullFailed{got.err})
	case code == chat.CodeNotFound || code == chat.CodeForbidden || code == chat.CodeInvalid:
		s.cfg.Log.Warn("fetch history", "conversation", x.Conversation, "error", got.err) // gone meanwhile: the log says so too
		s.stored(nil)
	case code == chat.CodeTooMany || code == chat.CodeUnavailable:
		h.again(x)
		h.rest = max(h.rest, now+cmp.Or(retryAfter(got.err), historyRetry))
		if code == chat.CodeUnavailable {
			s.handle(Doubted{})
		}
	default:
		s.cfg.Log.Warn("fetch history", "conversation", x.Conversation, "error", got.err)
		x.next = now + min(historyRetry<<min(x.refused, 10), maxBackoff)
		x.refused++
		h.again(x)
	}
	s.flyHistory()
}

// reachable lets go out at once what has waited for the server.
func (s *Sync) reachable() {
	h := &s.history
	h.rest = 0
	for i := range h.waiting {
		if h.waiting[i].refused == 0 {
			h.waiting[i].next = 0
		}
	}
	s.flyHistory()
}

// store writes a page and reports whether it need not be fetched again.
func (s *Sync) store(x fetched) bool {
	id := x.want.Conversation
	applied, err := s.put(s.ctx, id, x.page.Range[0], x.page.Range[1], x.page.Head, x.page.Messages)
	if err != nil {
		s.cfg.Log.Warn("store messages", "conversation", id, "error", err)
		if chat.ErrorCode(err) != chat.CodeUnavailable {
			s.stored(nil) // the disk is not what is wrong, and the page will be no other next time
			return true
		}
		first := !s.history.unwritable
		s.stored(err)
		if first { // who looks at it reads it anew, and sees that it is not coming
			s.cfg.Changed(cache.Applied{Threads: []chat.ConversationID{id}})
		}
		return false
	}
	s.stored(nil)
	s.cfg.Changed(applied)
	return true
}

// write tries whether the cache can be written again. What could not be stored
// may have come another way since, so that nothing else would find out.
func (s *Sync) write() Event {
	h, b := &s.history, &s.backfill
	wanted := len(h.flying) > 0 || slices.ContainsFunc(h.waiting, func(x wish) bool { return x.refused == 0 })
	if wanted || len(b.flying) > 0 || b.dirty && b.count < backfillMost {
		return nil // these do
	}
	err := s.cfg.Cache.SaveChecked(s.ctx)
	h.unwritable = err != nil
	return Stored{err}
}

// stored notes whether pages can be written.
func (s *Sync) stored(err error) {
	if err == nil && !s.history.unwritable {
		return
	}
	s.history.unwritable = err != nil
	s.handle(Stored{err})
}
