package sync

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// world runs a machine on clocks of its own and notes what it wants.
type world struct {
	t    *testing.T
	m    *Machine
	now  Instant
	seen []Action
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, m: NewMachine(func() float64 { return 0.5 }), now: Instant{Wall: 1_000_000_000_000}}
}

// event hands in an event and gives what the machine wants now.
func (w *world) event(ev Event) []Action {
	w.t.Helper()
	got := w.m.Handle(w.now, ev)
	w.seen = append(w.seen, got...)
	return got
}

// pass lets both clocks go on, in ticks, and gives all that was wanted meanwhile.
func (w *world) pass(d time.Duration) []Action {
	w.t.Helper()
	var got []Action
	for end := w.now.Mono + d; w.now.Mono < end; {
		step := min(max(w.m.Next()-w.now.Mono, time.Millisecond), end-w.now.Mono)
		w.now = Instant{Mono: w.now.Mono + step, Wall: w.now.Wall.Add(step)}
		got = append(got, w.event(Ticked{})...)
	}
	return got
}

func (w *world) want(got []Action, want ...Action) {
	w.t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		w.t.Fatalf("wanted actions %#v, got %#v", want, got)
	}
}

func (w *world) status(want Status) Report {
	w.t.Helper()
	r := w.m.Report()
	if r.Status != want {
		w.t.Fatalf("wanted status %s, got %+v", want, r)
	}
	return r
}

// online brings a machine with a full cache at position 10 to live.
func online(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.want(w.event(Started{Position: 10, Epoch: "e", Loaded: true}), Dial{1, 10, "e"})
	w.status(StatusConnecting)
	w.event(Opened{1})
	w.want(w.frame(protocol.Frame{Type: protocol.FrameWelcome, Head: 10, Beat: 20, Epoch: "e"}), Online{})
	w.status(StatusLive)
	return w
}

func (w *world) frame(f protocol.Frame) []Action { w.t.Helper(); return w.event(Heard{w.m.gen, f}) }

func (w *world) packet(from, to int64) []Action {
	w.t.Helper()
	return w.frame(protocol.Frame{Type: protocol.FrameChanges, From: from, To: to})
}

func apply(from, to int64) Apply { return Apply{protocol.Packet{From: from, To: to}} }

func page(from, to, head int64, more bool) Pulled {
	return Pulled{protocol.ChangesPage{Packet: protocol.Packet{From: from, To: to}, Head: head, More: more, Epoch: "e"}}
}

func TestAppliesOnlyWhatFollows(t *testing.T) {
	w := online(t)
	w.want(w.packet(10, 12), apply(10, 12))
	w.status(StatusCatchingUp)
	w.event(Applied{Position: 12})
	w.status(StatusLive)
	w.want(w.packet(8, 12)) // known
	w.want(w.packet(14, 15), Pull{12, "e"})
	w.want(w.packet(15, 16)) // the pull is on its way
	w.status(StatusCatchingUp)
	w.want(w.event(page(12, 16, 16, false)), apply(12, 16))
	w.event(Applied{Position: 16})
	w.status(StatusLive)
}

func TestOverlappingPacketPulls(t *testing.T) {
	w := online(t)
	w.want(w.packet(9, 11), Pull{10, "e"})
}

func TestHeadAheadPullsAfterGrace(t *testing.T) {
	w := online(t)
	w.want(w.frame(protocol.Frame{Type: protocol.FrameBeat, Head: 13}))
	if r := w.status(StatusCatchingUp); r.Head != 13 || r.Position != 10 {
		t.Fatalf("report %+v does not say what is missing", r)
	}
	w.want(w.pass(behindGrace-time.Millisecond), nil...)
	w.want(w.pass(time.Second), Pull{10, "e"})
}

func TestPagesFollowEachOther(t *testing.T) {
	w := online(t)
	w.want(w.frame(protocol.Frame{Type: protocol.FrameBehind, Head: 30}), Pull{10, "e"})
	w.want(w.event(page(10, 20, 30, true)), apply(10, 20), Pull{20, "e"})
	w.event(Applied{Position: 20})
	w.want(w.event(page(20, 30, 30, false)), apply(20, 30))
	w.event(Applied{Position: 30})
	w.status(StatusLive)
}

func TestSilentSocketIsAbandoned(t *testing.T) {
	w := online(t)
	heard := w.now.Wall
	if got := w.pass(40 * time.Second); len(got) != 0 {
		t.Fatalf("gave up after exactly two beats: %#v", got)
	}
	got := w.pass(2 * time.Second)
	if len(got) == 0 || got[0] != (Abandon{1}) {
		t.Fatalf("wanted Abandon first, got %#v", got)
	}
	w.pass(3 * time.Second)
	if r := w.status(StatusOffline); r.Since != heard {
		t.Fatalf("offline since %v, but last heard at %v", r.Since, heard)
	}
}

func TestOfflineIsSaidWithinThreeSeconds(t *testing.T) {
	w := online(t)
	checked := w.m.Report().CheckedAt
	w.pass(time.Second)
	trouble := w.now.Wall
	w.event(Lost{Gen: 1, Err: protocol.Unreachable("read", errors.New("reset"))})
	w.status(StatusConnecting)
	for w.now.Wall < trouble.Add(3*time.Second) {
		for _, a := range w.pass(100 * time.Millisecond) {
			if d, ok := a.(Dial); ok {
				w.event(Lost{Gen: d.Gen, Err: protocol.Unreachable("dial", errors.New("refused"))})
			}
		}
	}
	r := w.status(StatusOffline)
	if r.Since != trouble || r.CheckedAt != checked {
		t.Fatalf("since %v checked %v, wanted %v and %v", r.Since, r.CheckedAt, trouble, checked)
	}
}

func TestRedialsForEverWithBackoff(t *testing.T) {
	w := online(t)
	w.event(Lost{Gen: 1, Err: errors.New("gone")})
	last, dials := w.now.Mono, 0
	for dials < 40 {
		for _, a := range w.pass(50 * time.Millisecond) {
			d, ok := a.(Dial)
			if !ok {
				continue
			}
			dials++
			if wait := w.now.Mono - last; wait > maxBackoff+time.Second {
				t.Fatalf("dial %d came after %v", dials, wait)
			}
			last = w.now.Mono
			w.event(Lost{Gen: d.Gen, Err: errors.New("refused")})
		}
	}
}

func TestServerSaysWhenToComeBack(t *testing.T) {
	w := online(t)
	w.event(Lost{Gen: 1, Code: protocol.CloseRestarting, RetryAfter: 7 * time.Second, Err: errors.New("restarting")})
	w.want(w.pass(6900*time.Millisecond), nil...)
	w.want(w.pass(200*time.Millisecond), Dial{2, 10, "e"})
}

func TestWakeRedialsAtOnce(t *testing.T) {
	w := online(t)
	// Asleep: the wall clock goes on, the monotonic one hardly does.
	w.now = Instant{Mono: w.now.Mono + time.Second, Wall: w.now.Wall.Add(8 * time.Hour)}
	w.want(w.event(Ticked{}), Abandon{1}, Dial{2, 10, "e"})
}

func TestWakeRedialsWithoutWaiting(t *testing.T) {
	w := online(t)
	w.event(Lost{Gen: 1, Err: errors.New("gone")})
	for range 8 { // deep in backoff
		for _, a := range w.pass(31 * time.Second) {
			if d, ok := a.(Dial); ok {
				w.event(Lost{Gen: d.Gen, Err: errors.New("refused")})
			}
		}
	}
	got := w.event(Woken{})
	if len(got) != 1 {
		t.Fatalf("wanted one dial at once, got %#v", got)
	}
	if _, ok := got[0].(Dial); !ok {
		t.Fatalf("wanted a dial at once, got %#v", got)
	}
}

func TestDoubtIsSettledByPing(t *testing.T) {
	w := online(t)
	w.want(w.event(Doubted{}), Ping{1})
	w.want(w.event(Doubted{}))
	w.event(Ponged{1})
	w.want(w.pass(2*pingLimit), nil...)
	w.want(w.event(Doubted{}), Ping{1})
	got := w.pass(pingLimit + time.Second)
	if len(got) == 0 || got[0] != (Abandon{1}) {
		t.Fatalf("no answer to the ping, but got %#v", got)
	}
}

func TestEmptyCacheIsFilledThenDialled(t *testing.T) {
	w := newWorld(t)
	w.want(w.event(Started{}), Fill{1, FillBootstrap, 0, "", false})
	w.event(Filling{1, 5, 10})
	if r := w.status(StatusCatchingUp); !r.Filling || r.Done != 5 || r.Total != 10 {
		t.Fatalf("progress missing in %+v", r)
	}
	w.event(FillFailed{Gen: 1, Err: protocol.Unreachable("get", protocol.ErrCutOff)})
	w.pass(400 * time.Millisecond)
	w.want(w.pass(200*time.Millisecond), Fill{2, FillBootstrap, 0, "", false})
	w.want(w.event(Filled{Gen: 1, Position: 1, Epoch: "old"})) // the attempt given up says nothing any more
	w.want(w.event(Filled{Gen: 2, Position: 77, Epoch: "e"}), Dial{1, 77, "e"})
}

func TestAnotherEpochBootstraps(t *testing.T) {
	w := newWorld(t)
	w.event(Started{Position: 10, Epoch: "e", Loaded: true})
	w.event(Opened{1})
	w.want(w.frame(protocol.Frame{Type: protocol.FrameWelcome, Head: 50, Epoch: "restored"}),
		Abandon{1}, Fill{1, FillBootstrap, 0, "", true})
	if r := w.m.Report(); r.Status == StatusLive {
		t.Fatal("called live in the middle of a reset")
	}
}

func TestHeadBelowPositionBootstraps(t *testing.T) {
	w := newWorld(t)
	w.event(Started{Position: 10, Epoch: "e", Loaded: true})
	w.event(Opened{1})
	w.want(w.frame(protocol.Frame{Type: protocol.FrameWelcome, Head: 9, Epoch: "e"}), Abandon{1}, Fill{1, FillBootstrap, 0, "", true})
}

// TestAWelcomeThatAPullOvertook says the head of the moment it was written at:
// what a pull brought meanwhile on a faster line was not there yet.
func TestAWelcomeThatAPullOvertook(t *testing.T) {
	w := online(t)
	w.frame(protocol.Frame{Type: protocol.FrameBehind, Head: 12}) // pulls
	w.event(Lost{Gen: 1, Err: protocol.Unreachable("read", errors.New("reset"))})
	w.pass(2 * time.Second) // dials again, from 10
	w.event(Opened{w.m.gen})
	w.want(w.event(page(10, 12, 12, false)), apply(10, 12))
	w.event(Applied{Position: 12})
	w.want(w.frame(protocol.Frame{Type: protocol.FrameWelcome, Head: 10, Beat: 20, Epoch: "e"}), Online{})
	w.status(StatusLive)
}

func TestFarBehindReadsState(t *testing.T) {
	w := online(t)
	w.frame(protocol.Frame{Type: protocol.FrameBehind, Head: 90_000})
	w.want(w.event(PullFailed{chat.Errorf(chat.CodeFarBehind, "far")}), Fill{1, FillState, 10, "e", false})
	w.want(w.packet(90_000, 90_001)) // not on top of this position
	w.want(w.event(Filled{Gen: 1, Position: 90_000, Epoch: "e"}), Pull{90_000, "e"})
	w.want(w.event(page(90_000, 90_001, 90_001, false)), apply(90_000, 90_001))
	w.event(Applied{Position: 90_001})
	w.status(StatusLive)
}

func TestGainedAccessIsLoadedBesides(t *testing.T) {
	w := online(t)
	checked := w.m.Report().CheckedAt
	w.pass(time.Second)
	w.want(w.packet(10, 11), apply(10, 11))
	w.want(w.event(Applied{Position: 11, Gained: true}), Fill{1, FillGained, 11, "e", false})
	w.event(Filling{1, 3, 8})
	if r := w.status(StatusCatchingUp); !r.Filling || r.Done != 3 || r.Total != 8 {
		t.Fatalf("progress missing in %+v", r)
	}
	w.want(w.packet(11, 12), apply(11, 12)) // what is live goes on
	w.event(Applied{Position: 12})
	if r := w.status(StatusCatchingUp); r.CheckedAt != checked {
		t.Fatalf("checked at %v although what was gained is not here", r.CheckedAt)
	}
	w.want(w.event(Filled{Gen: 1, Position: 12, Epoch: "e"}))
	if r := w.status(StatusLive); r.CheckedAt != w.now.Wall {
		t.Fatalf("all is here at %v, but checked at %v", w.now.Wall, r.CheckedAt)
	}
}

func TestGainedAccessIsLoadedAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.want(w.event(Started{Position: 10, Epoch: "e", Loaded: true, Gained: true}), Fill{1, FillGained, 10, "e", false}, Dial{1, 10, "e"})
	w.event(Opened{1})
	w.frame(protocol.Frame{Type: protocol.FrameWelcome, Head: 10, Beat: 20, Epoch: "e"})
	if r := w.status(StatusCatchingUp); r.CheckedAt != 0 {
		t.Fatalf("checked at %v although what was gained is not here", r.CheckedAt)
	}
	w.want(w.event(Filled{Gen: 1, Position: 10, Epoch: "e", Gained: true}), Fill{2, FillGained, 10, "e", false}) // more was gained meanwhile
	w.status(StatusCatchingUp)
	w.event(Filled{Gen: 2, Position: 10, Epoch: "e"})
	w.status(StatusLive)
}

// TestStateLeavesOpenWhatWasGained: a state names what changed, not what could
// not be seen before.
func TestStateLeavesOpenWhatWasGained(t *testing.T) {
	w := online(t)
	w.packet(10, 11)
	w.event(Applied{Position: 11, Gained: true})
	w.want(w.event(PullFailed{chat.Errorf(chat.CodeFarBehind, "far")}), Fill{2, FillState, 11, "e", false})
	w.want(w.event(Filled{Gen: 2, Position: 50, Epoch: "e", Gained: true}), Pull{50, "e"}, Fill{3, FillGained, 50, "e", false})
	w.status(StatusCatchingUp)
}

func TestOfflineSinceOutlivesARestart(t *testing.T) {
	for _, checked := range []chat.Time{0, 999_000_000_000} {
		w := newWorld(t)
		w.event(Started{Position: 10, Epoch: "e", Loaded: true, CheckedAt: checked})
		w.event(Lost{Gen: 1, Err: protocol.Unreachable("dial", errors.New("refused"))})
		for range 30 {
			for _, a := range w.pass(100 * time.Millisecond) {
				if d, ok := a.(Dial); ok {
					w.event(Lost{Gen: d.Gen, Err: protocol.Unreachable("dial", errors.New("refused"))})
				}
			}
		}
		if r := w.status(StatusOffline); r.Since != checked || r.CheckedAt != checked {
			t.Fatalf("offline since %v, checked at %v, wanted both %v", r.Since, r.CheckedAt, checked)
		}
	}
}

func TestSessionEnds(t *testing.T) {
	wipe := &chat.Error{Code: chat.CodeUnauthorized, Cause: &protocol.Problem{Code: chat.CodeUnauthorized, Wipe: true}}
	for name, test := range map[string]struct {
		ev   Event
		want SignOut
	}{
		"signed out":         {Lost{Gen: 1, Code: protocol.CloseSignedOut, Err: errors.New("x")}, SignOut{false}},
		"revoked":            {Lost{Gen: 1, Code: protocol.CloseRevoked, Err: errors.New("x")}, SignOut{true}},
		"401 on the dial":    {Lost{Gen: 1, Err: chat.Errorf(chat.CodeUnauthorized, "no")}, SignOut{false}},
		"401 with wipe":      {Lost{Gen: 1, Err: wipe}, SignOut{true}},
		"401 on a pull":      {PullFailed{chat.Errorf(chat.CodeUnauthorized, "no")}, SignOut{false}},
		"401 wipe on a pull": {PullFailed{wipe}, SignOut{true}},
		"401 while filling":  {Filled{}, SignOut{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := online(t)
			if name == "401 while filling" {
				w = newWorld(t)
				w.event(Started{})
				test.ev = FillFailed{Gen: 1, Err: chat.Errorf(chat.CodeUnauthorized, "no")}
			}
			got := w.event(test.ev)
			if len(got) == 0 || got[len(got)-1] != test.want {
				t.Fatalf("wanted %#v last, got %#v", test.want, got)
			}
			w.status(StatusSignedOut)
			w.want(w.pass(time.Minute), nil...)
		})
	}
}

func TestUnwritableCacheIsSaidAndTriedAgain(t *testing.T) {
	w := online(t)
	w.packet(10, 11)
	w.event(Applied{Err: chat.Errorf(chat.CodeUnavailable, "The disk is full.")})
	if r := w.status(StatusError); r.Problem != "The disk is full." {
		t.Fatalf("report %+v", r)
	}
	w.want(w.pass(behindGrace+time.Second), Pull{10, "e"})
	w.want(w.event(page(10, 11, 11, false)), apply(10, 11))
	w.event(Applied{Position: 11})
	w.status(StatusLive)

	// What could not be written besides came another way, and nobody writes it.
	full := chat.Errorf(chat.CodeUnavailable, "The disk is full.")
	w.event(Stored{full})
	w.want(w.pass(writeAgain-time.Second), nil...)
	w.want(w.pass(time.Second), Write{})
	w.event(Stored{full})
	w.status(StatusError)
	w.want(w.pass(writeAgain), Write{})
	w.event(Stored{})
	w.status(StatusLive)
	w.frame(protocol.Frame{Type: protocol.FrameBeat, Head: 11})
	w.want(w.pass(writeAgain), nil...)
}

func TestSkewedClocksDoNotMatter(t *testing.T) {
	w := online(t)
	w.now.Wall = 12345 // set back by decades
	w.want(w.packet(10, 12), apply(10, 12))
	w.event(Applied{Position: 12})
	w.status(StatusLive)
	w.want(w.pass(30*time.Second), nil...)
}

func TestNoWelcomeIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.event(Started{Position: 10, Epoch: "e", Loaded: true})
	w.event(Opened{1})
	got := w.pass(welcomeLimit + 3*time.Second)
	if len(got) == 0 || got[0] != (Abandon{1}) {
		t.Fatalf("wanted Abandon, got %#v", got)
	}
	w.status(StatusOffline)
}

// TestOnlyTheLogTellsThatNothingIsMissing: that somebody types says that the
// server is there, not how far its log goes.
func TestOnlyTheLogTellsThatNothingIsMissing(t *testing.T) {
	w := online(t)
	w.pass(5 * time.Second)
	w.frame(protocol.Frame{Type: protocol.FrameBeat, Head: 10})
	known := w.now.Wall
	w.pass(5 * time.Second)
	w.frame(protocol.Frame{Type: protocol.FrameTyping, TTL: 6})
	w.frame(protocol.Frame{Type: "of a later version"})
	if at := w.status(StatusLive).CheckedAt; at != known {
		t.Errorf("complete to %v after the newest word of the log", at.Sub(known))
	}
	w.frame(protocol.Frame{Type: protocol.FrameBeat, Head: 10})
	if at := w.status(StatusLive).CheckedAt; at != w.now.Wall {
		t.Errorf("complete to %v before the newest beat", w.now.Wall.Sub(at))
	}
}

// TestSleepEndsALoad: the connection that a load was reading from is dead, and
// would only be given up after a while of silence.
func TestSleepEndsALoad(t *testing.T) {
	w := newWorld(t)
	w.want(w.event(Started{}), Fill{1, FillBootstrap, 0, "", false})
	w.now = Instant{Mono: w.now.Mono + time.Second, Wall: w.now.Wall.Add(8 * time.Hour)}
	w.want(w.event(Ticked{}), Fill{2, FillBootstrap, 0, "", false})
	w.event(FillFailed{Gen: 1, Err: errors.New("given up")})
	w.want(w.pass(time.Minute))
}

// TestALoadThatIsAlwaysResetRests: of two servers that contradict each other,
// as behind one name, none is to be asked for everything without a pause.
func TestALoadThatIsAlwaysResetRests(t *testing.T) {
	for _, code := range []chat.Code{chat.CodeReset, chat.CodeFarBehind} {
		w := newWorld(t)
		w.event(Started{})
		loads := 0
		for end := w.now.Mono + time.Minute; w.now.Mono < end && loads < 100; w.pass(10 * time.Millisecond) {
			if w.m.fillBusy {
				loads++
				w.event(FillFailed{Gen: w.m.fillGen, Err: chat.Errorf(code, "Load everything anew.")})
			}
		}
		if loads > 15 {
			t.Errorf("%s: everything was asked for %d times within %v", code, loads, w.now.Mono)
		}
	}
}
