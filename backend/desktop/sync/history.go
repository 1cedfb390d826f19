package sync

import (
	"fmt"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

const (
	historyFlights = 4  // pages fetched at once
	historyWaiting = 32 // pages that wait for the network; older wishes are forgotten
	historyRetry   = 5 * time.Second
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

// history is what is being fetched and what waits, newest wish last.
type history struct {
	flying  map[string]bool
	waiting []Want
	triedAt time.Duration
}

func newHistory() history { return history{flying: map[string]bool{}} }

func (s *Sync) want(w Want) {
	h := &s.history
	if h.flying[w.key()] {
		return
	}
	for i, x := range h.waiting {
		if x.key() == w.key() {
			h.waiting = append(h.waiting[:i], h.waiting[i+1:]...)
			break
		}
	}
	h.waiting = append(h.waiting, w)
	if len(h.waiting) > historyWaiting {
		h.waiting = h.waiting[1:]
	}
	s.flyHistory()
}

// flyHistory starts what may start, the newest wish first: it is what the
// agent looks at.
func (s *Sync) flyHistory() {
	h := &s.history
	for len(h.waiting) > 0 && len(h.flying) < historyFlights {
		w := h.waiting[len(h.waiting)-1]
		h.waiting = h.waiting[:len(h.waiting)-1]
		h.flying[w.key()] = true
		s.flying.Go(func() {
			page, err := s.cfg.Client.Messages(s.ctx, w.Conversation,
				protocol.MessagesQuery{Before: w.Before, After: w.After, Around: w.Around, Limit: w.Limit})
			s.post(fetched{want: w, page: page, err: err})
		})
	}
}

func (s *Sync) arrived(x fetched) {
	if x.behind {
		s.backfilled(x)
		return
	}
	h := &s.history
	delete(h.flying, x.want.key())
	switch {
	case x.err == nil:
		applied, err := s.cfg.Cache.PutMessages(s.ctx, x.want.Conversation, x.page.Range[0], x.page.Range[1], x.page.Head, x.page.Messages)
		if err != nil {
			s.cfg.Log.Warn("store history", "conversation", x.want.Conversation, "error", err)
			break
		}
		s.cfg.Changed(applied)
	case protocol.IsUnreachable(x.err) || chat.ErrorCode(x.err) == chat.CodeUnavailable:
		h.waiting = append([]Want{x.want}, h.waiting...)
		if len(h.waiting) > historyWaiting {
			h.waiting = h.waiting[1:]
		}
		s.handle(Doubted{})
		return // goes out again when the server is reached: see retryHistory
	case chat.ErrorCode(x.err) == chat.CodeUnauthorized:
		s.handle(PullFailed{x.err})
	default:
		s.cfg.Log.Warn("fetch history", "conversation", x.want.Conversation, "error", x.err)
	}
	s.flyHistory()
}

// retryHistory tries what waits again: the server was reached, or some time
// has passed.
func (s *Sync) retryHistory() {
	s.history.triedAt = s.cfg.Clock().Mono
	s.flyHistory()
}
