// Package sync keeps the cache of one account true: it holds the live socket,
// applies the change log packet by packet, catches up after a break, fills an
// empty cache and pages history in.
//
// Machine decides and does nothing; Sync does what Machine says and decides
// nothing. So every decision can be run in a simulation with clocks of its own.
//
// What it guarantees: a packet is applied only on top of its own start; the
// position never passes a change that was not applied; whatever breaks is tried
// again for ever; what the window is told about freshness is never better than
// what is known.
package sync

import (
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// The times of the protocol, §6, and of the window's promise to say "offline"
// within three seconds.
const (
	silentBeats  = 2                       // a socket this quiet is abandoned
	behindGrace  = 5 * time.Second         // how long head may be ahead before we pull
	wakeJump     = 10 * time.Second        // a wall clock that jumped: the machine slept
	firstBackoff = time.Second             // full jitter up to this, then doubling
	maxBackoff   = 30 * time.Second        //
	healthy      = 30 * time.Second        // a socket this old has earned a quick redial
	welcomeLimit = 10 * time.Second        // between dial and welcome
	pingLimit    = 4 * time.Second         // between a doubt and a sign of life
	offlineGrace = 2500 * time.Millisecond // between trouble and saying so
	writeAgain   = 15 * time.Second        // after which a cache that could not be written is tried
)

// Instant is one reading of both clocks: Mono only ever goes on and may stand
// still in sleep, Wall may do anything.
type Instant struct {
	Mono time.Duration
	Wall chat.Time
}

type socketState int

const (
	socketNone socketState = iota
	socketDialing
	socketOpen     // connected, no welcome yet
	socketWelcomed // hears everything
)

// Machine decides what to do. It has no clock, no randomness and no I/O of its
// own, and is used by one goroutine.
type Machine struct {
	random func() float64 // in [0, 1)

	now      Instant
	position int64
	head     int64
	epoch    string
	loaded   bool

	socket    socketState
	gen       int
	after     int64 // what the socket was asked to go on from
	openedAt  time.Duration
	heardAt   Instant
	beat      time.Duration
	pingedAt  time.Duration
	pinged    bool
	dialAt    time.Duration
	redials   int
	behindAt  time.Duration // since when head is ahead of position
	behind    bool
	pulling   bool
	pullAt    time.Duration // not before
	pulls     int
	filling   FillKind // under way or wanted; "" none
	fillBusy  bool
	fillGen   int
	fillAt    time.Duration
	fills     int
	another   bool // the log is another than the cache's, until that is loaded
	resets    int  // times in a row, without a healthy socket in between
	gained    bool // load what was gained once nothing else fills
	done      int64
	total     int64
	trouble   bool
	since     Instant
	offline   bool // said so; stays until the server is heard again
	checkedAt chat.Time
	problem   string
	stuck     bool          // the cache cannot be written: said, and tried again
	writeAt   time.Duration // then, if nothing that is to be written tries it before
	ended     Status        // signed_out, error: nothing more is done

	shown    List // what the window shows
	peeked   List // what was asked for since we lag; zero: nothing
	lagging  bool // more to catch up with than one page
	peeking  bool
	peekGen  int
	peekAt   time.Duration // not before
	peeks    int
	unknown  bool          // contacts are missing
	asking   bool          // for them
	askAt    time.Duration // not before
	asks     int
	provenAt chat.Time // 0: not since the cache became what it is
	proving  bool
	proveGen int
	proveAt  time.Duration // not before
	differed int           // times in a row
	rounds   int           // of a repair in parts

	out []Action
}

// NewMachine makes a machine; random gives numbers in [0, 1).
func NewMachine(random func() float64) *Machine {
	return &Machine{random: random, beat: protocol.BeatSeconds * time.Second}
}

// Handle takes one event and gives what is to be done now, in order.
func (m *Machine) Handle(now Instant, ev Event) []Action {
	slept := m.now.Wall != 0 && now.Wall.Sub(m.now.Wall) > wakeJump
	m.now = now
	m.out = nil
	if m.ended != "" {
		return nil
	}
	if slept {
		m.wake()
		m.fillBusy = false // what it reads from is as dead as the socket
		if m.pulling {
			m.do(GiveUp{})
		}
	}
	m.take(ev)
	if m.ended == "" {
		m.step()
	}
	return m.out
}

func (m *Machine) take(ev Event) {
	switch ev := ev.(type) {
	case Started:
		m.position, m.head, m.epoch, m.loaded = ev.Position, ev.Position, ev.Epoch, ev.Loaded
		m.gained, m.unknown, m.checkedAt = ev.Gained, ev.Unknown, ev.CheckedAt
		m.unproven()
		m.provenAt = ev.ProvenAt
		// As long as nobody answers, the line is as lost as when the program
		// last knew better.
		m.troubled(Instant{Mono: m.now.Mono, Wall: ev.CheckedAt})
		if !m.loaded {
			m.want(FillBootstrap)
		}
	case Woken:
		m.wake()
	case Doubted:
		if m.socket == socketWelcomed && !m.pinged {
			m.pinged, m.pingedAt = true, m.now.Mono
			m.do(Ping{m.gen})
		}
	case Opened:
		if ev.Gen == m.gen && m.socket == socketDialing {
			m.socket, m.openedAt, m.heardAt = socketOpen, m.now.Mono, m.now
		}
	case Ponged:
		if ev.Gen == m.gen {
			m.pinged, m.heardAt = false, m.now
		}
	case Lost:
		m.lost(ev)
	case Heard:
		if ev.Gen == m.gen && (m.socket == socketOpen || m.socket == socketWelcomed) {
			m.heard(ev.Frame)
		}
	case Applied:
		m.applied(ev)
	case Stored:
		m.written(ev.Err)
	case Pulled, PullFailed, Filling, Filled, FillFailed:
		m.fetched(ev)
	case Shown:
		m.shown = ev.List
	case Peeked:
		m.peekAnswered(ev)
	case Introduced:
		m.introduced(ev)
	case Rested:
		m.rested()
	case Proved:
		m.proved(ev)
	}
}

// step does whatever is due.
func (m *Machine) step() {
	now := m.now.Mono
	switch {
	case m.socket == socketOpen && now-m.openedAt > welcomeLimit,
		m.socket == socketWelcomed && now-m.heardAt.Mono > silentBeats*m.beat,
		m.pinged && now-m.pingedAt > pingLimit:
		m.abandon(m.heardAt)
	}
	if m.filling == "" && m.gained && m.loaded {
		m.gained = false
		m.want(FillGained)
	}
	if m.filling != "" && !m.fillBusy && now >= m.fillAt {
		m.fillBusy = true
		m.fillGen++
		m.do(Fill{m.fillGen, m.filling, m.position, m.epoch, m.another})
	}
	// A socket serves a cache that has a position; a bootstrap gives it one.
	if m.socket == socketNone && m.loaded && m.filling != FillBootstrap && now >= m.dialAt {
		m.gen++
		m.socket = socketDialing
		m.after = m.position
		m.do(Dial{m.gen, m.after, m.epoch})
	}
	if m.head > m.position {
		if !m.behind {
			m.behind, m.behindAt = true, now
		}
	} else {
		m.behind = false
	}
	if m.behind && now-m.behindAt >= behindGrace {
		m.pull()
	}
	if m.head-m.position > protocol.MaxChanges {
		m.lag()
	}
	if m.stuck && m.complete() && now >= m.writeAt {
		m.writeAt = now + writeAgain
		m.do(Write{})
	}
	m.peek()
	m.introduce()
	if m.trouble && now-m.since.Mono >= offlineGrace {
		m.offline = true
	}
}

// Next gives when the machine wants a Ticked at the latest.
func (m *Machine) Next() time.Duration {
	next := m.now.Mono + 2*time.Second
	earlier := func(t time.Duration) {
		if t > m.now.Mono && t < next {
			next = t
		}
	}
	if m.socket == socketNone {
		earlier(m.dialAt)
	}
	if m.filling != "" && !m.fillBusy {
		earlier(m.fillAt)
	}
	if m.behind {
		earlier(m.behindAt + behindGrace)
		earlier(m.pullAt)
	}
	if m.unknown && !m.asking {
		earlier(m.askAt)
	}
	if m.trouble && !m.offline {
		earlier(m.since.Mono + offlineGrace)
	}
	return next
}

// Report gives what may be said about the connection now.
func (m *Machine) Report() Report {
	r := Report{CheckedAt: m.checkedAt, Position: m.position, Head: max(m.head, m.position), Problem: m.problem, Proven: m.provenAt > 0}
	if m.filling != "" {
		r.Filling, r.Done, r.Total = true, m.done, m.total
	}
	switch {
	case m.ended != "":
		r.Status = m.ended
	case m.stuck:
		r.Status = StatusError
	case m.offline:
		r.Status, r.Since = StatusOffline, m.since.Wall
	case m.filling == FillBootstrap && !m.trouble:
		r.Status = StatusCatchingUp
	case m.socket != socketWelcomed:
		r.Status = StatusConnecting
	case !m.complete():
		r.Status = StatusCatchingUp
	default:
		r.Status = StatusLive
	}
	return r
}

// Current reports whether the cache follows a server that is heard, even if
// some of what it should hold besides cannot be written.
func (m *Machine) Current() bool {
	return m.ended == "" && !m.offline && m.socket == socketWelcomed && m.complete()
}

// complete reports whether nothing is missing, as far as is known: no change of
// the log, and nothing that lies before the position either.
func (m *Machine) complete() bool {
	return m.head <= m.position && m.filling == "" && !m.gained
}

func (m *Machine) do(a Action) { m.out = append(m.out, a) }

// wake drops everything that may have died in its sleep and tries at once.
func (m *Machine) wake() {
	switch m.socket {
	case socketDialing:
		m.abandon(m.now)
	case socketOpen, socketWelcomed:
		m.abandon(m.heardAt)
	}
	m.redials, m.dialAt = 0, m.now.Mono
	m.pulls, m.pullAt = 0, m.now.Mono
	m.fills, m.fillAt = 0, m.now.Mono
}

// abandon gives the socket up; since is when it was last known to be well.
func (m *Machine) abandon(since Instant) {
	m.do(Abandon{m.gen})
	m.noSocket(since)
	m.dialAt = m.now.Mono + m.delay(&m.redials)
}

func (m *Machine) noSocket(since Instant) {
	if m.socket == socketWelcomed && m.now.Mono-m.openedAt > healthy {
		m.redials, m.resets = 0, 0
	}
	m.socket, m.pinged = socketNone, false
	m.troubled(since)
}

func (m *Machine) lost(ev Lost) {
	if ev.Gen != m.gen || m.socket == socketNone {
		return
	}
	code := chat.ErrorCode(ev.Err)
	switch {
	case ev.Code == protocol.CloseRevoked || protocol.IsWipe(ev.Err):
		m.end(true)
		return
	case ev.Code == protocol.CloseSignedOut || code == chat.CodeUnauthorized:
		m.end(false)
		return
	case ev.Code == protocol.CloseTooOld:
		m.ended, m.problem = StatusError, "This version of Parley is too old for the server. Please update it."
		return
	case code == chat.CodeReset:
		m.reset()
	}
	m.noSocket(m.now)
	if protocol.IsUntrusted(ev.Err) {
		m.problem = chat.ErrorMessage(ev.Err)
	}
	m.dialAt = m.now.Mono + max(m.delay(&m.redials), ev.RetryAfter, retryAfter(ev.Err))
}

// end stops everything: the session is no more.
func (m *Machine) end(wipe bool) {
	if m.socket != socketNone {
		m.do(Abandon{m.gen})
		m.socket = socketNone
	}
	m.ended = StatusSignedOut
	m.do(SignOut{wipe})
}

func (m *Machine) heard(f protocol.Frame) {
	m.heardAt, m.pinged = m.now, false
	switch f.Type {
	case protocol.FrameWelcome:
		m.welcome(f)
	case protocol.FrameBehind:
		m.head = max(m.head, f.Head)
		m.lag() // too far for packets
		m.pull()
	case protocol.FrameBeat:
		m.head = max(m.head, f.Head)
	case protocol.FrameChanges:
		m.packet(protocol.Packet{From: f.From, To: f.To, Changes: f.Changes})
	default:
		return // says nothing of the log: a change may be on its way that is older
	}
	m.check()
}

func (m *Machine) welcome(f protocol.Frame) {
	// Against where it was dialled from: a pull may have been faster than this
	// frame, and have brought what was not there yet when it was written.
	if (f.Epoch != "" && m.epoch != "" && f.Epoch != m.epoch) || f.Head < m.after {
		m.do(Abandon{m.gen})
		m.socket, m.dialAt = socketNone, m.now.Mono
		m.reset()
		return
	}
	m.socket = socketWelcomed
	// A server that takes us in is there; should it drop us at once again, the
	// next tries need not begin at the far end. It is healthy that earns more.
	m.redials = min(m.redials, 2)
	m.head = max(m.head, f.Head)
	if f.Beat > 0 {
		m.beat = time.Duration(f.Beat * float64(time.Second))
	}
	m.well()
	m.do(Online{})
}

// packet applies what follows on the position, ignores what is known, and
// pulls when something is missing in between.
func (m *Machine) packet(p protocol.Packet) {
	m.head = max(m.head, p.To)
	switch {
	case p.To <= m.position:
	case p.From == m.position && m.filling != FillState && m.filling != FillBootstrap:
		m.apply(p)
	default:
		m.pull()
	}
}

// apply asks for a packet to be written; until that is done, being behind is
// nothing to worry about.
func (m *Machine) apply(p protocol.Packet) {
	m.behind, m.behindAt = true, m.now.Mono
	m.do(Apply{p})
}

// check notes that, at this moment, nothing is missing.
func (m *Machine) check() {
	if m.socket == socketWelcomed && m.complete() {
		m.checkedAt = m.now.Wall
	}
}

// well says that the server has been heard.
func (m *Machine) well() {
	m.trouble, m.offline = false, false
	if !m.stuck {
		m.problem = ""
	}
}

func (m *Machine) troubled(since Instant) {
	if !m.trouble {
		m.trouble, m.since = true, since
	}
}

func (m *Machine) delay(attempt *int) time.Duration {
	limit := min(firstBackoff<<min(*attempt, 10), maxBackoff)
	*attempt++
	return time.Duration(m.random() * float64(limit))
}
