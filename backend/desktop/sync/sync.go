package sync

import (
	"context"
	"encoding/json"
	"log/slog"
	stdsync "sync"
	"sync/atomic"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// Config is what Sync works with. Its functions are called by Sync's own
// goroutines, must be quick and must not call back into Sync.
type Config struct {
	Client *protocol.Client
	Cache  *cache.Cache
	Me     chat.MemberID
	Days   int // how far back a bootstrap reaches
	// Changed says what a write to the cache has changed.
	Changed func(cache.Applied)
	// Reported says that there is something new to say about the connection.
	Reported func(Report)
	// Heard gives ephemera: typing, viewing, presence.
	Heard func(protocol.Frame)
	// BeforeAccess is called before the cache forgets what the member may no
	// longer see; an error puts that off.
	BeforeAccess func(context.Context, chat.Access) error
	// BeforeSweep is called before the cache forgets what the bootstrap under
	// way has not named; an error puts that off.
	BeforeSweep func(context.Context) error
	// Abandoned says that the line seems to have died without a word: what
	// waits for an answer on it may wait in vain.
	Abandoned func()
	// Online says that the server was reached again.
	Online func()
	// Ended says that the session is no more.
	Ended  func(wipe bool)
	Clock  func() Instant
	Random func() float64
	Log    *slog.Logger
}

// Sync keeps one account's cache true until Stop.
type Sync struct {
	cfg    Config
	m      *Machine
	put    putMessages
	inputs chan any // from Sync's own goroutines: Event, or one of the inputs below
	asks   chan any // from others, who never wait: what does not fit is dropped
	ctx    context.Context
	cancel context.CancelFunc
	flying stdsync.WaitGroup
	done   chan struct{}
	worked atomic.Int64 // Mono of the last call of Working

	// Owned by run.
	gen      int
	live     *protocol.Live
	hangUp   context.CancelFunc
	giveUp   context.CancelFunc // the pull under way; nil before the first
	fill     *fill
	history  history
	backfill backfill
	// fills counts the beginnings and ends of fills that take the position to
	// another place, and changes of access. A page of a thread that was asked
	// for before may be of another log, or older than what the fill has brought,
	// or than what happened while the member could not see it, and no change
	// will say so: it is asked for again.
	fills    int
	reported Report
	savedAt  time.Duration // when the time of the last check was written
}

// putMessages is the cache's PutMessages; a test makes it fail like a full disk.
type putMessages func(ctx context.Context, conversation chat.ConversationID, from, to, head int64, messages []json.RawMessage) (cache.Applied, error)

// What comes in besides events.
type (
	opened struct {
		gen  int
		live *protocol.Live
	}
	fetch   struct{ want Want }
	fetched struct {
		want   Want
		page   protocol.RawMessages
		err    error
		behind bool // by the background, not for the window
		fills  int  // Sync.fills when it was asked for
	}
	send struct{ frame protocol.Frame }
)

// Start begins at once.
func Start(cfg Config) *Sync {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sync{cfg: cfg, m: NewMachine(cfg.Random), put: cfg.Cache.PutMessages, inputs: make(chan any, 64), asks: make(chan any, 64), ctx: ctx, cancel: cancel,
		done: make(chan struct{}), history: newHistory(), backfill: newBackfill()}
	go s.run()
	return s
}

// Stop ends everything and waits for it.
func (s *Sync) Stop() {
	s.cancel()
	<-s.done
}

// Wake tries at once whatever is waiting: the network is another, the screen
// was unlocked, the agent asked.
func (s *Sync) Wake() { s.ask(Woken{}) }

// Doubt says that some other request could not reach the server.
func (s *Sync) Doubt() { s.ask(Doubted{}) }

// Fetch loads part of a thread that the cache does not have. Changed follows,
// at the latest when the server can be reached again.
func (s *Sync) Fetch(w Want) { s.ask(fetch{w}) }

// Send sends an ephemeral frame, if there is a socket.
func (s *Sync) Send(f protocol.Frame) { s.ask(send{f}) }

// Working says that the agent has just opened a chat, or typed. On a small
// machine the background would make every key slower: it waits for a pause.
func (s *Sync) Working() { s.worked.Store(int64(s.cfg.Clock().Mono)) }

func (s *Sync) ask(x any) {
	select {
	case s.asks <- x:
	default:
	}
}

func (s *Sync) post(x any) {
	select {
	case s.inputs <- x:
	case <-s.ctx.Done():
	}
}

func (s *Sync) run() {
	defer close(s.done)
	defer s.flying.Wait()
	defer func() {
		if s.savedAt > 0 {
			s.saveChecked(context.WithoutCancel(s.ctx)) // the next start says since when
		}
	}()
	defer s.abandon()
	position, epoch := s.cfg.Cache.Position()
	_, gained := s.cfg.Cache.Gained()
	s.handle(Started{Position: position, Epoch: epoch, Loaded: s.cfg.Cache.Loaded(), Gained: gained, Unknown: s.unknown(), CheckedAt: s.cfg.Cache.CheckedAt(),
		ProvenAt: s.cfg.Cache.Proven().At})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case x := <-s.inputs:
			s.take(x)
		case x := <-s.asks:
			s.take(x)
		case <-timer.C:
			s.handle(Ticked{})
			s.flyHistory()
		case <-s.ctx.Done():
			return
		}
		s.rest()
		s.flyBackfill()
		next := min(s.m.Next(), s.nextBackfill())
		timer.Reset(max(next-s.cfg.Clock().Mono, time.Millisecond))
	}
}

// checkRest is how often the time of the last check is written when nothing
// else is: what a kill may take from "offline since".
const checkRest = time.Minute

// checked keeps the time at which nothing was missing.
func (s *Sync) checked(at chat.Time) {
	s.cfg.Cache.NoteChecked(at)
	if now := s.cfg.Clock().Mono; s.savedAt == 0 || now-s.savedAt >= checkRest {
		s.savedAt = max(now, 1)
		s.saveChecked(s.ctx)
	}
}

func (s *Sync) saveChecked(ctx context.Context) {
	if err := s.cfg.Cache.SaveChecked(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("keep time of check", "error", err)
	}
}

func (s *Sync) take(x any) {
	switch x := x.(type) {
	case opened:
		if x.gen != s.gen || s.hangUp == nil {
			x.live.Abandon()
			return
		}
		s.live = x.live
		s.handle(Opened{x.gen})
	case fetch:
		s.want(x.want)
	case fetched:
		s.arrived(x)
	case send:
		if s.live != nil {
			if err := s.live.Send(x.frame); err != nil {
				s.handle(Doubted{})
			}
		}
	case Heard:
		if x.Gen == s.gen && ephemeral(x.Frame.Type) {
			s.cfg.Heard(x.Frame)
		}
		s.handle(x)
	case Filled:
		s.fills++
		s.backfill.renew()
		s.handle(x)
	case Event:
		s.handle(x)
	}
}

func ephemeral(t protocol.FrameType) bool {
	return t == protocol.FrameTyping || t == protocol.FrameViewing || t == protocol.FramePresence
}

// handle gives an event to the machine and does what it says, and so on until
// nothing follows at once.
func (s *Sync) handle(ev Event) {
	events := []Event{ev}
	for len(events) > 0 {
		actions := s.m.Handle(s.cfg.Clock(), events[0])
		events = events[1:]
		for _, a := range actions {
			if next := s.execute(a); next != nil {
				events = append(events, next)
			}
		}
	}
	if r := s.m.Report(); r != s.reported {
		if r.CheckedAt != s.cfg.Cache.CheckedAt() {
			s.checked(r.CheckedAt)
		}
		s.reported = r
		s.cfg.Reported(r)
	}
}

// execute does one action; those that are done at once answer with an event.
func (s *Sync) execute(a Action) Event {
	switch a := a.(type) {
	case Dial:
		s.dial(a)
	case Abandon:
		s.abandon()
		s.cfg.Client.Close() // idle connections are as dead: the next request would wait for one in vain
		s.cfg.Abandoned()
	case Ping:
		if s.live != nil && s.live.Ping() != nil {
			return Lost{Gen: a.Gen, Err: protocol.Unreachable("ping", context.DeadlineExceeded)}
		}
	case Apply:
		return s.apply(a.Packet)
	case Pull:
		s.pull(a)
	case GiveUp:
		s.giveUp()
	case Fill:
		if a.Kind != FillGained {
			s.fills++
		}
		s.startFill(a)
	case Peek:
		s.peek(a)
	case Introduce:
		s.introduce()
	case Prove:
		s.prove(a)
	case Write:
		return s.write()
	case SignOut:
		s.cfg.Ended(a.Wipe)
	case Online:
		s.cfg.Online()
		s.reachable()
	}
	return nil
}

func (s *Sync) dial(a Dial) {
	s.abandon()
	ctx, cancel := context.WithCancel(s.ctx)
	s.gen, s.hangUp = a.Gen, cancel
	s.flying.Go(func() {
		live, err := s.cfg.Client.Dial(ctx, a.After, a.Epoch)
		if err != nil {
			s.post(lostBy(a.Gen, err))
			return
		}
		live.OnPong(func() { s.post(Ponged{a.Gen}) })
		// Whoever hangs up closes the connection, which ends the reading.
		stop := context.AfterFunc(ctx, live.Abandon)
		defer stop()
		defer live.Abandon()
		s.post(opened{a.Gen, live})
		for {
			f, err := live.Read()
			if err != nil {
				s.post(lostBy(a.Gen, err))
				return
			}
			s.post(Heard{a.Gen, f})
		}
	})
}

func (s *Sync) abandon() {
	if s.hangUp != nil {
		s.hangUp()
		s.hangUp, s.live = nil, nil
	}
}

func (s *Sync) pull(a Pull) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.giveUp = cancel
	s.flying.Go(func() {
		defer cancel()
		page, err := s.cfg.Client.Changes(ctx, a.Epoch, a.After)
		if err != nil && ctx.Err() != nil {
			err = protocol.Unreachable("pull", ctx.Err())
		}
		if err != nil {
			s.post(PullFailed{err})
			return
		}
		s.post(Pulled{page})
	})
}

// apply writes one packet. What the member loses leaves the outbox first.
func (s *Sync) apply(p protocol.Packet) Event {
	for _, c := range p.Changes {
		if c.Kind != chat.EntityAccess || c.Member != s.cfg.Me {
			continue
		}
		var a chat.Access
		if err := json.Unmarshal(c.Data, &a); err != nil {
			continue // the cache skips it too
		}
		if err := s.cfg.BeforeAccess(s.ctx, a); err != nil {
			return Applied{Err: err}
		}
	}
	applied, err := s.cfg.Cache.Apply(s.ctx, p.From, p.To, p.Changes)
	if err != nil && chat.ErrorCode(err) != chat.CodeConflict {
		s.cfg.Log.Error("apply changes", "from", p.From, "to", p.To, "error", err)
		return Applied{Err: err}
	}
	if applied.Access != nil {
		s.fills++
	}
	position, _ := s.cfg.Cache.Position()
	s.cfg.Changed(applied)
	s.backfill.dirty = true
	return Applied{Position: position, Gained: applied.Gained, Unknown: applied.Unknown}
}
