package api

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/server/fanout"
	"parley/backend/server/inbox"
)

const (
	tailRead  = 500  // changes read from the log at once
	tailFirst = 1000 // changes that a hub begins with
)

// hubs keeps one hub per workspace that has sockets.
type hubs struct {
	inbox       *inbox.Inbox
	log         *slog.Logger
	metrics     *metrics
	beat, hello time.Duration
	poll, slow  time.Duration
	tick        time.Duration // of a hub's clock
	// In ticks: the time between two beats, and what the
	// writing of a frame may take.
	beatTicks, slowTicks int64

	mu       sync.Mutex
	m        map[chat.WorkspaceID]*hub
	draining bool
	sockets  sync.WaitGroup // every socket, from its handshake
	runs     sync.WaitGroup // every hub's goroutine
}

func newHubs(in *inbox.Inbox, log *slog.Logger, m *metrics, beat, hello, poll, slow time.Duration) *hubs {
	tick := max(min(maxTick, beat/10, slow/4), time.Millisecond)
	return &hubs{inbox: in, log: log, metrics: m, beat: beat, hello: hello, poll: poll, slow: slow, tick: tick,
		beatTicks: max(int64(beat/tick), 1), slowTicks: max(int64((slow+tick-1)/tick), 1), m: map[chat.WorkspaceID]*hub{}}
}

// hub is the members' sockets of one workspace and the newest piece of its
// log, read once for all of them. Who wants older changes asks for a page of
// the log, so the tail's size bounds memory, never truth.
type hub struct {
	hubs   *hubs
	ws     chat.WorkspaceID
	wake   chan struct{} // holds one: the log may have grown
	stop   chan struct{}
	cancel func()
	users  int        // guarded by hubs.mu
	first  sync.Mutex // held by whoever begins

	// tail is nil until the hub has begun; from then on only run replaces it.
	// Sockets read it without a lock, a thousand of them at once.
	tail   atomic.Pointer[tail]
	frames frames
	pages  pages
	clock  atomic.Int64 // ticks of pace
	blind  atomic.Bool  // the log could not be read the last time

	mu      sync.Mutex
	kicks   []fanout.Kick // heard, and not yet passed on
	sockets map[*socket]struct{}
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
		h = &hub{hubs: hs, ws: ws, wake: make(chan struct{}, 1), stop: make(chan struct{}), sockets: map[*socket]struct{}{}}
		h.cancel = hs.inbox.Subscribe(ws, h.hear)
		hs.m[ws] = h
		hs.runs.Go(h.run)
		hs.runs.Go(h.pace)
	}
	h.users++
	draining := hs.draining
	hs.mu.Unlock()

	if err := h.begin(ctx); err != nil {
		h.part(s)
		return nil, err
	}
	h.mu.Lock()
	// Who came together beats apart.
	s.beatAt = h.clock.Load() + 1 + rand.Int64N(hs.beatTicks)
	h.sockets[s] = struct{}{}
	h.mu.Unlock()
	hs.metrics.sockets.Inc()
	s.counted = true
	if draining {
		s.close(restarting(1))
	}
	return h, nil
}

// look makes the hub look at the log. It does not block.
func (h *hub) look() {
	select {
	case h.wake <- struct{}{}:
	default: // it is already awake
	}
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

// begin learns where the log stands, once, and takes its newest piece over: after
// a restart every client comes back from a little behind the head, and one
// reading serves them all.
func (h *hub) begin(ctx context.Context) error {
	h.first.Lock()
	defer h.first.Unlock()
	if h.tail.Load() != nil {
		return nil
	}
	head, _, err := h.hubs.inbox.Head(ctx, h.ws)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	from := max(head-tailFirst, 0)
	changes, err := h.hubs.inbox.LogTail(ctx, h.ws, from, tailFirst, 0)
	if err != nil {
		from, changes = head, nil // trimmed: who is behind reads for itself
	}
	fresh, err := encoded(changes)
	if err != nil {
		return err
	}
	h.tail.Store((&tail{from: from, head: from}).with(fresh))
	h.look() // what came since was heard before there was anything to do
	return nil
}

// run follows the log: woken by hints, and by the clock in case one was lost.
func (h *hub) run() {
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
		err := h.follow(turn)
		if err != nil {
			h.hubs.log.Warn("follow the log", "error", err) // the next tick tries again
		}
		h.blind.Store(err != nil)
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
		t := h.tail.Load()
		if t == nil {
			return nil
		}
		changes, err := h.hubs.inbox.LogTail(ctx, h.ws, t.head, tailRead, 0)
		switch code := chat.ErrorCode(err); {
		case code == chat.CodeFarBehind || code == chat.CodeReset:
			return h.jump(ctx)
		case err != nil:
			return fmt.Errorf("read tail: %w", err)
		}
		if len(changes) == 0 {
			return nil
		}
		fresh, err := encoded(changes)
		if err != nil {
			return err
		}
		h.turn(t.with(fresh))
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
	h.turn(&tail{log: h.tail.Load().log + 1, from: head, head: head})
	return nil
}

// turn puts a new tail in the place of the old one and wakes every socket.
func (h *hub) turn(t *tail) {
	h.tail.Store(t)
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sockets {
		s.nudge()
	}
}

// hear takes a hint. It does not block.
func (h *hub) hear(hint fanout.Hint) {
	if hint.Kick != nil {
		h.mu.Lock()
		h.kicks = append(h.kicks, *hint.Kick)
		h.mu.Unlock()
	}
	if hint.Head > 0 || hint.Kick != nil {
		h.look()
	}
	if hint.Ephemeral == nil {
		return
	}
	frame, err := websocket.NewPreparedMessage(websocket.TextMessage, hint.Ephemeral)
	if err != nil {
		h.hubs.log.Warn("prepare ephemeral", "error", err)
		return
	}
	w := whisper{key: hint.Key, brand: hint.Brand, frame: frame}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sockets {
		if hint.From.IsZero() || hint.From != s.who.Member.ID {
			s.whisper(w)
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
