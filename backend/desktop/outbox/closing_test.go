package outbox

import (
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

func TestWhatIsHeldIsReleasedWhenItsAuthorLeaves(t *testing.T) {
	b := newBench(t)
	one, two := chat.NewID[chat.Conversation](), chat.NewID[chat.Conversation]()
	held := Entry{ID: chat.NewID[chat.Command](), Conversation: one, Kind: protocol.MessageSend, CreatedAt: b.now.Wall, Due: b.now.Wall.Add(20 * time.Second)}
	b.q.Add(b.now, held)
	b.ready()
	b.add(two, protocol.ConversationRead)
	b.ready(b.q.Entries()[1])
	b.pass(time.Second)
	b.q.Release(b.now)
	if n := b.q.Going(b.now); n != 1 { // reads are not waited for
		t.Fatalf("%d texts go, want 1", n)
	}
	b.ready(held)
	if got, _ := b.q.Get(held.ID); got.Elapsed != 0 {
		t.Errorf("the time to take it back counts as its age: %v", got.Elapsed)
	}
	if b.q.Fail(b.now, held.ID, protocol.Unreachable("commands", nil)); b.q.Going(b.now) != 0 {
		t.Error("what the server is out of reach for is waited for")
	}
	b.pass(time.Minute)
	b.ready(held)
	if b.applied(held) != Done || b.q.Going(b.now) != 0 {
		t.Error("what has arrived is waited for")
	}
}

func TestNobodyWaitsForWhatIsStuck(t *testing.T) {
	b := newBench(t)
	c := chat.NewID[chat.Conversation]()
	first, second := b.add(c, protocol.MessageSend), b.add(c, protocol.MessageSend)
	if n := b.q.Going(b.now); n != 2 {
		t.Fatalf("%d texts go, want 2", n)
	}
	b.ready(first)
	b.q.Judge(b.now, first.ID, protocol.Result{ID: first.ID, Status: protocol.StatusRefused, Problem: &protocol.Problem{Code: chat.CodeConflict}})
	if n := b.q.Going(b.now); n != 0 {
		t.Errorf("%d texts go behind one that waits for its author (%v)", n, second.ID)
	}
	b.q.Pause(true)
	if b.q.Going(b.now) != 0 {
		t.Error("somebody waits although nobody is signed in")
	}
}
