package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/backend/chat"
	"parley/backend/server/fanout"
	"parley/backend/server/inbox"
)

// The bounds of a workspace's tail cache.
const (
	tailEntries = 4000
	tailBytes   = 4 << 20
	tailRead    = 500 // changes read from the log at once
)

// hubs keeps one hub per workspace that has sockets.
type hubs struct {
	inbox       *inbox.Inbox
	log         *slog.Logger
	metrics     *metrics
	beat, hello time.Duration
	poll, slow  time.Duration

	mu       sync.Mutex
	m        map[chat.WorkspaceID]*hub
	draining bool
	sockets  sync.WaitGroup // every socket, from its handshake
	runs     sync.WaitGroup // every hub's goroutine
}

func newHubs(in *inbox.Inbox, log *slog.Logger, m *metrics, beat, hello, poll, slow time.Duration) *hubs {
	return &hubs{inbox: in, log: log, metrics: m, beat: beat, hello: hello, poll: poll, slow: slow, m: map[chat.WorkspaceID]*hub{}}
}

// hub is the members' sockets of one workspace and the newest piece of its
// log, read once for all of them. A socket that wants older changes reads the
// log itself, so the cache's size bounds memory, never truth.
type hub struct {
	hubs   *hubs
	ws     chat.WorkspaceID
	wake   chan struct{} // holds one: the log may have grown
	stop   chan struct{}
	cancel func()
	users  int // guarded by hubs.mu

	mu      sync.Mutex
	kicks   []fanout.Kick // heard, and not yet passed on
	tail    []entry       // the changes (from, head], one each
	from    int64
	head    int64
	bytes   int
	sockets map[*socket]struct{}
}

// entry is a change and its JSON, encoded once for all sockets.
type entry struct {
	change chat.Change
	raw    json.RawMessage
}

// enter counts a socket that is about to shake hands; false while draining.
func (hs *hubs) enter() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.draining {
		return false
	}
	hs.sockets.Add(1)
	return true
}

func (hs *hubs) leave() { hs.sockets.Done() }

// join adds a socket to its workspace's hub, and starts the hub if it is the
// first.
func (hs *hubs) join(ctx context.Context, ws chat.WorkspaceID, s *socket) (*hub, error) {
	hs.mu.Lock()
	h := hs.m[ws]
	if h == nil {
		h = &hub{hubs: hs, ws: ws, wake: make(chan struct{}, 1), stop: make(chan struct{}), sockets: map[*socket]struct{}{}, from: -1, head: -1}
		h.cancel = hs.inbox.Subscribe(ws, h.hear)
		hs.m[ws] = h
		hs.runs.Add(1)
		go h.run()
	}
	h.users++
	draining := hs.draining
	hs.mu.Unlock()

	if err := h.begin(ctx); err != nil {
		h.part(s)
		return nil, err
	}
	h.mu.Lock()
	h.sockets[s] = struct{}{}
	h.mu.Unlock()
	hs.metrics.sockets.Inc()
	s.counted = true
	if draining {
		s.close(restarting(1))
	}
	select { // the log may have grown between its reading and the joining
	case h.wake <- struct{}{}:
	default:
	}
	return h, nil
}

// part removes a socket; the last one ends the hub.
func (h *hub) part(s *socket) {
	h.mu.Lock()
	delete(h.sockets, s)
	h.mu.Unlock()
	if s.counted {
		h.hubs.metrics.sockets.Dec()
	}
	h.hubs.mu.Lock()
	defer h.hubs.mu.Unlock()
	h.users--
	if h.users == 0 {
		delete(h.hubs.m, h.ws)
		h.cancel()
		close(h.stop)
	}
}

// begin learns where the log stands, once.
func (h *hub) begin(ctx context.Context) error {
	h.mu.Lock()
	known := h.head >= 0
	h.mu.Unlock()
	if known {
		return nil
	}
	head, _, err := h.hubs.inbox.Head(ctx, h.ws)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.head < 0 {
		h.from, h.head = head, head
	}
	return nil
}

// run follows the log: woken by hints, and by the clock in case one was lost.
func (h *hub) run() {
	defer h.hubs.runs.Done()
	tick := time.NewTicker(h.hubs.poll)
	defer tick.Stop()
	ctx := context.Background() // not of any one socket's request
	for {
		select {
		case <-h.wake:
		case <-tick.C:
		case <-h.stop:
			return
		}
		kicks := h.takeKicks()
		turn, cancel := context.WithTimeout(ctx, 10*time.Second)
		if err := h.follow(turn); err != nil {
			h.hubs.log.Warn("follow the log", "error", err) // the next tick tries again
		}
		cancel()
		h.kick(kicks)
	}
}

func (h *hub) takeKicks() []fanout.Kick {
	h.mu.Lock()
	defer h.mu.Unlock()
	kicks := h.kicks
	h.kicks = nil
	return kicks
}

// kick ends the sockets of members and sessions that may not listen any more.
// It comes after the log was read, so that the client hears the change which
// took its access away before it hears the end.
func (h *hub) kick(kicks []fanout.Kick) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range kicks {
		for s := range h.sockets {
			if s.who.Member.ID == k.Member && (k.Session.IsZero() || k.Session == s.who.Session.ID) {
				s.close(closing{code: k.Code})
			}
		}
	}
}

// follow reads what is new and wakes the sockets.
func (h *hub) follow(ctx context.Context) error {
	for {
		h.mu.Lock()
		after := h.head
		h.mu.Unlock()
		if after < 0 {
			return nil
		}
		changes, err := h.hubs.inbox.LogTail(ctx, h.ws, after, tailRead)
		switch code := chat.ErrorCode(err); {
		case code == chat.CodeFarBehind || code == chat.CodeReset:
			return h.jump(ctx)
		case err != nil:
			return fmt.Errorf("read tail: %w", err)
		}
		if len(changes) == 0 {
			return nil
		}
		fresh := make([]entry, len(changes))
		for i, c := range changes {
			raw, err := json.Marshal(c)
			if err != nil {
				return fmt.Errorf("encode change: %w", err)
			}
			if c.Kind != chat.EntityAccess {
				c.Data = nil // only the encoded form is needed from here on
			}
			fresh[i] = entry{change: c, raw: raw}
		}
		h.grow(fresh)
		if len(changes) < tailRead {
			return nil
		}
	}
}

// jump goes on from the head of a log that cannot be followed: it was trimmed
// past our position, as an import does, or replaced. The sockets are told that
// they are behind.
func (h *hub) jump(ctx context.Context) error {
	head, _, err := h.hubs.inbox.Head(ctx, h.ws)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tail, h.bytes, h.from, h.head = nil, 0, head, head
	for s := range h.sockets {
		s.nudge()
	}
	return nil
}

// grow appends to the tail, trims it to its bounds and wakes every socket.
func (h *hub) grow(fresh []entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range fresh {
		h.tail = append(h.tail, e)
		h.bytes += len(e.raw)
		h.head = e.change.Seq
	}
	drop := 0
	for len(h.tail)-drop > tailEntries || h.bytes > tailBytes && drop < len(h.tail) {
		h.bytes -= len(h.tail[drop].raw)
		h.from = h.tail[drop].change.Seq
		drop++
	}
	if drop > 0 { // a new array: sockets may still read the old one
		h.tail = append(make([]entry, 0, len(h.tail)-drop+tailRead), h.tail[drop:]...)
	}
	for s := range h.sockets {
		s.nudge()
	}
}

// since gives the changes after a position, as far as the tail has them; ok is
// false when it does not reach back that far.
func (h *hub) since(after int64) (entries []entry, head int64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if after < h.from || after > h.head {
		return nil, h.head, after > h.head
	}
	return h.tail[after-h.from : len(h.tail) : len(h.tail)], h.head, true
}

// hear takes a hint. It does not block.
func (h *hub) hear(hint fanout.Hint) {
	if hint.Kick != nil {
		h.mu.Lock()
		h.kicks = append(h.kicks, *hint.Kick)
		h.mu.Unlock()
	}
	if hint.Head > 0 || hint.Kick != nil {
		select {
		case h.wake <- struct{}{}:
		default: // it is already awake
		}
	}
	if hint.Ephemeral == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sockets {
		if hint.From.IsZero() || hint.From != s.who.Member.ID {
			s.whisper(hint)
		}
	}
}

// drain sends every socket elsewhere, spread over a while so that they do not
// all come back at once.
func (hs *hubs) drain() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.draining {
		return
	}
	hs.draining = true
	for _, h := range hs.m {
		h.mu.Lock()
		spread := 2 + float64(len(h.sockets))/100
		for s := range h.sockets {
			s.close(restarting(spread))
		}
		h.mu.Unlock()
	}
}

func (hs *hubs) wait() {
	hs.sockets.Wait()
	hs.runs.Wait()
}
