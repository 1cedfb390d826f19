package sync

import (
	"errors"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

var (
	errGone    = errors.New("gone")
	unreadList = List{Quick: cache.QuickUnread, Limit: 50}
	allList    = List{Quick: cache.QuickAll, Limit: 50}
)

// showing is a live machine whose window shows a list.
func showing(t *testing.T) *world {
	t.Helper()
	w := online(t)
	w.want(w.event(Shown{unreadList}))
	return w
}

func TestFirstPageComesBesideALongCatchUp(t *testing.T) {
	w := showing(t)
	w.want(w.frame(protocol.Frame{Type: protocol.FrameBehind, Head: 20_000}), Pull{10, "e"}, Peek{1, unreadList})
	w.want(w.event(page(10, 1010, 20_000, true)), apply(10, 1010), Pull{1010, "e"})
	w.want(w.event(Applied{Position: 1010}))
	w.want(w.event(Peeked{Gen: 1}))
	w.want(w.event(page(1010, 2010, 20_000, true)), apply(1010, 2010), Pull{2010, "e"}) // once is enough
	w.want(w.event(Shown{allList}), Peek{2, allList})                                   // but the window turned to another list
	w.event(Peeked{Gen: 2})
	w.event(Applied{Position: 2010})
	w.want(w.event(page(2010, 20_000, 20_000, false)), apply(2010, 20_000))
	w.event(Applied{Position: 20_000})
	w.want(w.event(Shown{unreadList})) // caught up: what is here is right
}

func TestAShortCatchUpNeedsNoFirstPage(t *testing.T) {
	w := showing(t)
	w.want(w.packet(290, 300), Pull{10, "e"})
	w.want(w.event(page(10, 300, 300, false)), apply(10, 300))
	w.event(Applied{Position: 300})
	// Big changes: few to a page, so that there is a second one all the same.
	w.want(w.packet(490, 500), Pull{300, "e"})
	w.want(w.event(page(300, 340, 500, true)), apply(300, 340), Pull{340, "e"}, Peek{1, unreadList})
}

func TestFirstPageComesBesideTheState(t *testing.T) {
	w := newWorld(t)
	w.event(Shown{allList})
	w.want(w.event(Started{Position: 10, Epoch: "e", Loaded: true}), Dial{1, 10, "e"})
	w.event(Opened{1})
	got := w.frame(protocol.Frame{Type: protocol.FrameWelcome, Head: 90_000, Beat: 20, Epoch: "e"})
	w.want(got, Online{}, Peek{1, allList})
	w.want(w.frame(protocol.Frame{Type: protocol.FrameBehind, Head: 90_000}), Pull{10, "e"})
	w.want(w.event(PullFailed{chat.Errorf(chat.CodeFarBehind, "far")}), Fill{1, FillState, 10, "e", false})
	// The server is gone before it answers: asked again, not in haste.
	w.want(w.event(Peeked{Gen: 1, Err: protocol.Unreachable("list", errGone)}))
	w.want(w.pass(time.Second), Peek{2, allList})
	w.event(Peeked{Gen: 2, Err: chat.Errorf(chat.CodeForbidden, "no")}) // would fail again
	w.want(w.pass(10 * time.Second))
	w.event(Filled{Gen: 1, Position: 90_000, Epoch: "e"})
	w.status(StatusLive)
}

func TestNoFirstPageForAnEmptyCache(t *testing.T) {
	w := newWorld(t)
	w.event(Shown{allList})
	w.want(w.event(Started{}), Fill{1, FillBootstrap, 0, "", false})
	w.want(w.event(Filling{1, 5, 10_000}))
}

// alive lets time pass on a socket that beats.
func (w *world) alive(d time.Duration) {
	w.t.Helper()
	for range d / (10 * time.Second) {
		w.pass(10 * time.Second)
		w.frame(protocol.Frame{Type: protocol.FrameBeat, Head: w.m.position})
	}
}

func TestProofIsMadeWhenDueAndAtRest(t *testing.T) {
	w := online(t)
	if w.m.Report().Proven {
		t.Error("proven without a proof")
	}
	w.want(w.event(Rested{})) // not at once: others come back too
	w.pass(proofSpread)
	w.want(w.event(Rested{}), Prove{2}) // 1 was given away at the start
	w.want(w.event(Rested{}))           // under way
	w.event(Proved{Gen: 2, At: w.now.Wall})
	if !w.m.Report().Proven {
		t.Error("not proven after a proof")
	}
	w.alive(proofRest - time.Minute)
	w.want(w.event(Rested{}))
	w.alive(2 * time.Minute)
	w.want(w.event(Rested{}), Prove{3})
}

func TestNoProofWhileSomethingIsMissing(t *testing.T) {
	w := online(t)
	w.pass(proofSpread)
	w.frame(protocol.Frame{Type: protocol.FrameBeat, Head: 13})
	w.want(w.event(Rested{}))
	w.want(w.packet(10, 13), apply(10, 13))
	w.want(w.event(Rested{}))
	w.event(Applied{Position: 13})
	w.want(w.event(Rested{}), Prove{2})
}

func TestWhatIsLoadedAnewIsProvenAnew(t *testing.T) {
	w := newWorld(t)
	proven := w.now.Wall
	w.event(Started{Position: 10, Epoch: "e", Loaded: true, ProvenAt: proven})
	w.event(Opened{1})
	w.frame(protocol.Frame{Type: protocol.FrameWelcome, Head: 10, Beat: 20, Epoch: "e"})
	if !w.m.Report().Proven {
		t.Error("the proof of before is forgotten")
	}
	w.alive(proofSpread)
	w.want(w.event(Rested{}))
	w.event(Applied{Position: 10, Gained: true})
	w.event(Filled{Gen: 1, Position: 10, Epoch: "e"})
	if w.m.Report().Proven {
		t.Error("what was gained is taken for proven")
	}
	w.alive(proofSpread)
	w.want(w.event(Rested{}), Prove{3})
	// While it runs, the cache is loaded anew: what comes of it says nothing.
	w.m.want(FillState)
	w.m.step()
	w.event(Filled{Gen: 2, Position: 10, Epoch: "e"})
	w.event(Proved{Gen: 3, At: w.now.Wall})
	if w.m.Report().Proven {
		t.Error("a proof of the cache before counts for the one after")
	}
}

func TestADifferenceIsLookedAtAgainButNotForEver(t *testing.T) {
	w := online(t)
	w.pass(proofSpread)
	w.want(w.event(Rested{}), Prove{2})
	w.event(Proved{Gen: 2, Differs: true, Repaired: 7, Left: 12})
	w.want(w.event(Rested{}), Prove{3}) // the rest, and then whether it is right now
	gen, waits := 3, 0
	for range 8 {
		w.event(Proved{Gen: gen, Differs: true, Left: 3}) // nothing came of it
		gen++
		for waits = 0; ; waits++ {
			if len(w.event(Rested{})) > 0 {
				break
			}
			w.pass(proofAgain)
			w.frame(protocol.Frame{Type: protocol.FrameBeat, Head: 10})
		}
	}
	if waits < 100 {
		t.Errorf("what cannot be repaired is tried again after %d × %v", waits, proofAgain)
	}
	w.event(Proved{Gen: gen, Err: chat.Errorf(chat.CodeNotFound, "no such route")})
	w.pass(time.Minute)
	w.frame(protocol.Frame{Type: protocol.FrameBeat, Head: 10})
	w.want(w.event(Rested{})) // a server without proofs is not asked every minute
}

// TestProofWaitsForRest: while the agent works, or the window waits for a
// thread, no proof begins.
func TestProofWaitsForRest(t *testing.T) {
	f := newFiller(t, 1)
	f.live()
	f.now.Mono += proofSpread
	f.Working()
	f.rest()
	f.now.Mono += proofYield - time.Millisecond
	f.rest()
	if f.m.proving {
		t.Fatal("a proof began while the agent worked")
	}
	f.now.Mono += time.Millisecond
	f.rest()
	if !f.m.proving {
		t.Error("no proof at rest")
	}
}
