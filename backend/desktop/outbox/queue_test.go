package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

type bench struct {
	t   *testing.T
	q   *Queue
	now Instant
}

func newBench(t *testing.T) *bench {
	t.Helper()
	q := NewQueue(func() float64 { return 0.5 })
	q.SetInterval(3 * time.Second)
	return &bench{t, q, Instant{Wall: 1_000_000_000_000}}
}

func (b *bench) pass(d time.Duration) {
	b.now = Instant{b.now.Mono + d, b.now.Wall.Add(d)}
}

func (b *bench) add(c chat.ConversationID, kind string) Entry {
	b.t.Helper()
	e := Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: kind, CreatedAt: b.now.Wall}
	b.q.Add(b.now, e)
	return e
}

// ready checks that exactly these entries go out now.
func (b *bench) ready(want ...Entry) {
	b.t.Helper()
	got := b.q.Ready(b.now)
	if len(got) != len(want) {
		b.t.Fatalf("wanted %d entries to go out, got %d: %v", len(want), len(got), kinds(got))
	}
	for i := range want {
		if got[i].ID != want[i].ID {
			b.t.Fatalf("entry %d is %s, wanted %s", i, got[i].Kind, want[i].Kind)
		}
	}
}

func kinds(es []Entry) (out []string) {
	for _, e := range es {
		out = append(out, e.Kind)
	}
	return out
}

func (b *bench) applied(e Entry) Outcome {
	return b.q.Judge(b.now, e.ID, protocol.Result{ID: e.ID, Status: protocol.StatusApplied})
}

func (b *bench) refused(e Entry, p protocol.Problem) Outcome {
	return b.q.Judge(b.now, e.ID, protocol.Result{ID: e.ID, Status: protocol.StatusRefused, Problem: &p})
}

func (b *bench) outcome(got, want Outcome) {
	b.t.Helper()
	if got != want {
		b.t.Fatalf("outcome %s, wanted %s", got, want)
	}
}

func conv() chat.ConversationID { return chat.NewID[chat.Conversation]() }

func TestOneAtATimeInOrder(t *testing.T) {
	b, c := newBench(t), conv()
	one := b.add(c, protocol.ConversationResolve)
	two := b.add(c, protocol.ConversationAssign)
	b.ready(one)
	b.ready()
	b.outcome(b.applied(one), Done)
	b.ready(two)
}

func TestConversationsInParallelUpToEight(t *testing.T) {
	b := newBench(t)
	var first []Entry
	for range 10 {
		first = append(first, b.add(conv(), protocol.ConversationResolve))
	}
	b.ready(first[:8]...)
	b.applied(first[3])
	b.ready(first[8])
}

func TestSendsArePaced(t *testing.T) {
	b, c := newBench(t), conv()
	one, two := b.add(c, protocol.MessageSend), b.add(c, protocol.MessageSend)
	read := b.add(c, protocol.ConversationRead)
	resolve := b.add(c, protocol.ConversationResolve)
	b.ready(one)
	b.applied(one)
	b.ready(read) // may pass a text that waits
	b.applied(read)
	b.ready() // resolve may not: it was pressed after the text
	if at, ok := b.q.Next(b.now); !ok || at != 3*time.Second {
		t.Fatalf("next at %v %v, wanted 3s", at, ok)
	}
	b.pass(3 * time.Second)
	b.ready(two)
	b.applied(two)
	b.ready(resolve)
}

func TestTooSoonKeepsTheCommand(t *testing.T) {
	b, c := newBench(t), conv()
	e := b.add(c, protocol.MessageSend)
	b.ready(e)
	b.outcome(b.refused(e, protocol.Problem{Code: chat.CodeTooSoon, RetryAfter: 1.5}), Again)
	b.pass(1400 * time.Millisecond)
	b.ready()
	b.pass(200 * time.Millisecond)
	b.ready(e)
}

func TestRefusedTextHoldsLaterTexts(t *testing.T) {
	b, c := newBench(t), conv()
	one, two := b.add(c, protocol.MessageSend), b.add(c, protocol.MessageSend)
	b.ready(one)
	b.outcome(b.refused(one, protocol.Problem{Code: chat.CodeNewerMessages, Detail: "read first"}), Refused)
	resolve := b.add(c, protocol.ConversationResolve)
	b.ready(resolve) // pressed with the refusal in view
	b.applied(resolve)
	b.pass(time.Hour)
	b.ready()
	if _, ok := b.q.Next(b.now); ok {
		t.Fatal("time alone must not release a held text")
	}
	again := Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: protocol.MessageSend, CreatedAt: b.now.Wall}
	if !b.q.Replace(b.now, one.ID, again) {
		t.Fatal("could not replace the refused text")
	}
	b.ready(again)
	b.applied(again)
	b.pass(3 * time.Second)
	b.ready(two)
}

func TestDroppingTheRefusedTextReleasesTheRest(t *testing.T) {
	b, c := newBench(t), conv()
	one, two := b.add(c, protocol.MessageSend), b.add(c, protocol.MessageSend)
	b.ready(one)
	b.refused(one, protocol.Problem{Code: chat.CodeClosed})
	if !b.q.Remove(one.ID) {
		t.Fatal("could not drop")
	}
	b.ready(two)
}

func TestRefusedChangeIsDropped(t *testing.T) {
	b, c := newBench(t), conv()
	one, two := b.add(c, protocol.ConversationAssign), b.add(c, protocol.MessageSend)
	b.ready(one)
	b.outcome(b.refused(one, protocol.Problem{Code: chat.CodeForbidden}), Dropped)
	b.ready(two)
}

func TestNetworkTroubleRetriesForEver(t *testing.T) {
	b, c := newBench(t), conv()
	e := b.add(c, protocol.MessageSend)
	for i := range 50 {
		b.ready(e)
		b.outcome(b.q.Fail(b.now, e.ID, protocol.Unreachable("post", errors.New("reset"))), Again)
		b.ready()
		at, ok := b.q.Next(b.now)
		if !ok || at-b.now.Mono > maxBackoff {
			t.Fatalf("try %d: next at %v %v", i, at-b.now.Mono, ok)
		}
		b.pass(at - b.now.Mono)
	}
	b.ready(e)
	b.q.Fail(b.now, e.ID, protocol.Unreachable("post", errors.New("reset")))
	b.q.Wake()
	b.ready(e)
}

func TestRequestLevelErrors(t *testing.T) {
	for code, want := range map[chat.Code]Outcome{
		chat.CodeInvalid: Refused, chat.CodeTooLarge: Refused, chat.CodeForbidden: Refused, chat.CodeIDReused: Refused,
		chat.CodeUnavailable: Again, chat.CodeInternal: Again, chat.CodeTooMany: Again, chat.CodeUnauthorized: Again,
	} {
		t.Run(string(code), func(t *testing.T) {
			b := newBench(t)
			e := b.add(conv(), protocol.MessageSend)
			b.ready(e)
			b.outcome(b.q.Fail(b.now, e.ID, chat.Errorf(code, "x")), want)
			b.q.Wake()
			if code == chat.CodeUnauthorized {
				b.ready() // nobody is signed in
				b.q.Pause(false)
			}
			if want == Again {
				b.ready(e)
			}
		})
	}
}

func TestServerOverloadIsWaitedOut(t *testing.T) {
	b := newBench(t)
	e := b.add(conv(), protocol.ConversationResolve)
	b.ready(e)
	b.outcome(b.q.Fail(b.now, e.ID, &chat.Error{Code: chat.CodeTooMany, RetryAfter: 9 * time.Second}), Again)
	b.pass(8 * time.Second)
	b.ready()
	b.pass(time.Second)
	b.ready(e)
}

func TestAgeTrustsTheLargerClock(t *testing.T) {
	for name, test := range map[string]struct {
		mono, wall, stored, want time.Duration
	}{
		"both agree":               {5 * time.Second, 5 * time.Second, 0, 5 * time.Second},
		"asleep":                   {time.Second, 8 * time.Hour, 0, 8 * time.Hour},
		"clock set back":           {90 * time.Second, -time.Hour, 0, 90 * time.Second},
		"restart, clock set back":  {time.Second, -time.Hour, 70 * time.Second, 71 * time.Second},
		"restart after a long off": {time.Second, time.Hour, 10 * time.Second, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			e := Entry{ID: chat.NewID[chat.Command](), Conversation: conv(), Kind: protocol.MessageSend,
				CreatedAt: b.now.Wall, Elapsed: test.stored, Noted: test.stored}
			b.q.Add(b.now, e)
			b.now = Instant{b.now.Mono + test.mono, b.now.Wall.Add(test.wall)}
			got := b.q.Ready(b.now)
			if len(got) != 1 || got[0].Elapsed != test.want {
				t.Fatalf("age %v, wanted %v", got, test.want)
			}
		})
	}
}

func TestNewestReadCounts(t *testing.T) {
	b, c := newBench(t), conv()
	flying := b.add(c, protocol.ConversationRead)
	b.ready(flying)
	second := b.add(c, protocol.ConversationRead)
	third := Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: protocol.ConversationUnread, CreatedAt: b.now.Wall}
	gone := b.q.Add(b.now, third)
	if len(gone) != 1 || gone[0] != second.ID {
		t.Fatalf("superseded %v, wanted only the one that waits", gone)
	}
	b.applied(flying)
	b.ready(third)
}

// A read position only goes forward, in whatever order it is told; marked unread
// in between, it begins anew.
func TestALowerReadDoesNotReplaceAHigher(t *testing.T) {
	b, c := newBench(t), conv()
	move := func(kind string, upto int64) Entry {
		args, err := json.Marshal(protocol.ReadArgs{Conversation: c, Upto: upto})
		if err != nil {
			t.Fatal(err)
		}
		return Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: kind, Args: args, CreatedAt: b.now.Wall}
	}
	high, low, higher := move(protocol.ConversationRead, 60), move(protocol.ConversationRead, 57), move(protocol.ConversationRead, 61)
	unread, again := move(protocol.ConversationUnread, 0), move(protocol.ConversationRead, 58)
	for _, step := range []struct{ add, goes, stays Entry }{{low, low, high}, {higher, high, higher}, {unread, higher, unread}, {again, unread, again}} {
		if step.add.ID == low.ID {
			b.q.Add(b.now, high)
		}
		if gone := b.q.Add(b.now, step.add); len(gone) != 1 || gone[0] != step.goes.ID {
			t.Fatalf("up to %d: superfluous %v", step.add.upto(), gone)
		}
		if left := b.q.Entries(); len(left) != 1 || left[0].ID != step.stays.ID {
			t.Fatalf("up to %d: %+v waits", step.add.upto(), left)
		}
	}
	b.ready(again)
}

// What a text reads is not told before the text has gone out, and does not
// replace what was read by hand.
func TestATextReadsWhenItHasGoneOut(t *testing.T) {
	b, c := newBench(t), conv()
	args, err := json.Marshal(protocol.ReadArgs{Conversation: c, Upto: 5})
	if err != nil {
		t.Fatal(err)
	}
	byHand := Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: protocol.ConversationUnread, CreatedAt: b.now.Wall}
	b.q.Add(b.now, byHand)
	text := b.add(c, protocol.MessageSend)
	text.Message = chat.NewID[chat.Message]()
	b.q.Replace(b.now, text.ID, text)
	by := Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: protocol.ConversationRead, Args: args, Reply: text.Message, CreatedAt: b.now.Wall}
	if gone := b.q.Add(b.now, by); len(gone) > 0 {
		t.Errorf("superseded %v by what a text reads", gone)
	}
	b.ready(byHand)
	b.applied(byHand)
	b.ready(text)
	b.q.Judge(b.now, text.ID, protocol.Result{ID: text.ID, Status: protocol.StatusRefused, Problem: &protocol.Problem{Code: chat.CodeBlocked}})
	b.ready()
	if left := b.q.ReadBy(text.ID); len(left) != 1 || left[0].ID != by.ID {
		t.Errorf("goes with the text: %+v", left)
	}
	b.q.Replace(b.now, text.ID, text)
	b.ready(text)
	b.applied(text)
	b.ready(by)
}

func TestUncertainOnlyIfItMayHaveArrived(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"cut in the middle": {protocol.Unreachable("post", errors.New("reset")), true},
		"nobody there":      {protocol.Unreachable("post", &net.OpError{Op: "dial", Err: errors.New("refused")}), false},
		"no such name":      {protocol.Unreachable("post", fmt.Errorf("x: %w", &net.DNSError{})), false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			e := b.add(conv(), protocol.MessageSend)
			b.ready(e)
			b.q.Fail(b.now, e.ID, test.err)
			if got, _ := b.q.Get(e.ID); got.Uncertain != test.want {
				t.Fatalf("uncertain %v, wanted %v", got.Uncertain, test.want)
			}
		})
	}
}

func TestRefuseMarksTextsAndDropsTheRest(t *testing.T) {
	b, mine, other := newBench(t), conv(), conv()
	text, change := b.add(mine, protocol.MessageSend), b.add(mine, protocol.ConversationResolve)
	stays := b.add(other, protocol.MessageSend)
	refused, dropped := b.q.Refuse(func(e Entry) bool { return e.Conversation == mine }, &protocol.Problem{Code: chat.CodeForbidden})
	if len(refused) != 1 || refused[0].ID != text.ID || len(dropped) != 1 || dropped[0].ID != change.ID {
		t.Fatalf("refused %v dropped %v", kinds(refused), kinds(dropped))
	}
	b.ready(stays)
}

// What may have arrived is not called unsent: the server says what became of it.
func TestRefuseLeavesWhatMayHaveArrived(t *testing.T) {
	b := newBench(t)
	e := b.add(conv(), protocol.MessageSend)
	b.ready(e)
	b.outcome(b.q.Fail(b.now, e.ID, protocol.Unreachable("post", errors.New("reset"))), Again)
	refused, dropped := b.q.Refuse(func(Entry) bool { return true }, &protocol.Problem{Code: chat.CodeForbidden})
	if len(refused) > 0 || len(dropped) > 0 {
		t.Fatalf("refused %v dropped %v", kinds(refused), kinds(dropped))
	}
	b.q.Wake()
	b.ready(e)
	b.outcome(b.refused(e, protocol.Problem{Code: chat.CodeForbidden}), Refused)
}

func TestEmptyLanesAreForgotten(t *testing.T) {
	b := newBench(t)
	for range 100 {
		e := b.add(conv(), protocol.MessageSend)
		b.ready(e)
		b.applied(e)
		b.pass(4 * time.Second)
	}
	b.q.Ready(b.now)
	if n := len(b.q.lanes); n != 0 {
		t.Fatalf("%d lanes are kept for nothing", n)
	}
}

func TestMessagesWaitForChangedSettings(t *testing.T) {
	b, c := newBench(t), conv()
	me := b.add(chat.ConversationID{}, protocol.MePut)
	message := b.add(c, protocol.MessageSend)
	comment := b.add(conv(), protocol.CommentAdd)
	b.ready(me, comment)
	b.ready()
	b.outcome(b.q.Fail(b.now, me.ID, errors.New("reset")), Again)
	b.ready(message) // not held up by what backs off
	b.outcome(b.applied(message), Done)
	b.pass(time.Minute)
	later := b.add(conv(), protocol.MessageSend)
	b.ready(me)
	b.outcome(b.applied(me), Done)
	b.ready(later)
}

// held adds a message that can be taken back for a while.
func (b *bench) held(c chat.ConversationID, d time.Duration) Entry {
	e := Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: protocol.MessageSend, CreatedAt: b.now.Wall, Due: b.now.Wall.Add(d)}
	b.q.Add(b.now, e)
	return e
}

func (b *bench) next(want time.Duration) {
	b.t.Helper()
	if at, ok := b.q.Next(b.now); !ok || at != want {
		b.t.Fatalf("next at %v %v, wanted %v", at, ok, want)
	}
}

func TestAMessageWaitsToBeTakenBack(t *testing.T) {
	b, c := newBench(t), conv()
	one := b.held(c, 10*time.Second)
	read := b.add(c, protocol.ConversationRead)
	resolve := b.add(c, protocol.ConversationResolve)
	two := b.add(c, protocol.MessageSend) // must not overtake
	b.ready(read)
	b.applied(read)
	b.next(10 * time.Second)
	b.pass(9999 * time.Millisecond)
	b.ready()
	b.q.Wake() // the line coming back is no reason to hurry
	b.ready()
	b.pass(time.Millisecond)
	got := b.q.Ready(b.now)
	if len(got) != 1 || got[0].ID != one.ID || got[0].Elapsed != 0 {
		t.Fatalf("%+v: wanted the message, with the time to take it back not counted as waiting", got)
	}
	b.applied(one)
	b.ready(resolve)
	b.applied(resolve)
	b.pass(3 * time.Second)
	b.ready(two)
}

func TestTakingAMessageBackLetsTheNextGo(t *testing.T) {
	b, c := newBench(t), conv()
	one := b.held(c, 10*time.Second)
	two := b.add(c, protocol.MessageSend)
	b.ready()
	if !b.q.Remove(one.ID) {
		t.Fatal("could not take it back")
	}
	b.ready(two)
}

// The pause between two messages and the time to take one back pass together.
func TestThePauseAndTheTimeToTakeBackPassTogether(t *testing.T) {
	for name, test := range map[string]struct{ hold, want time.Duration }{
		"the pause is longer": {2 * time.Second, 3 * time.Second},
		"the hold is longer":  {5 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b, c := newBench(t), conv()
			first := b.add(c, protocol.MessageSend)
			b.ready(first)
			b.applied(first)
			second := b.held(c, test.hold)
			b.next(test.want)
			b.pass(test.want)
			b.ready(second)
		})
	}
}

func TestWhatIsLeftToTakeBackAfterARestart(t *testing.T) {
	for name, test := range map[string]struct {
		off  time.Duration // by the wall clock, between pressing the key and now
		want time.Duration
	}{
		"some is left":           {4 * time.Second, 6 * time.Second},
		"the time is over":       {time.Hour, 0},
		"the clock was set back": {-24 * time.Hour, chat.MaxUndo},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			pressed := b.now.Wall
			b.now.Wall = pressed.Add(test.off)
			e := Entry{ID: chat.NewID[chat.Command](), Conversation: conv(), Kind: protocol.MessageSend, CreatedAt: pressed, Due: pressed.Add(10 * time.Second)}
			b.q.Add(b.now, e)
			if test.want > 0 {
				b.ready()
				b.next(test.want)
				b.pass(test.want)
			}
			b.ready(e)
		})
	}
}

func TestWaitingForTheMomentToSendIsNoAge(t *testing.T) {
	for name, test := range map[string]struct{ sendAt, want time.Duration }{
		"to come":  {2 * time.Hour, 0},
		"has come": {20 * time.Minute, 40 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			e := Entry{ID: chat.NewID[chat.Command](), Conversation: conv(), Kind: protocol.MessageSend, CreatedAt: b.now.Wall, SendAt: b.now.Wall.Add(test.sendAt)}
			b.q.Add(b.now, e)
			b.pass(time.Hour)
			if got := b.q.Ready(b.now); len(got) != 1 || got[0].Elapsed != test.want {
				t.Fatalf("%+v, wanted an age of %v", got, test.want)
			}
		})
	}
}

// The pause is one conversation's, counts from when the server has taken the
// message, and holds no comment.
func TestThePauseIsOfOneConversationsMessages(t *testing.T) {
	b, c := newBench(t), conv()
	one := b.add(c, protocol.MessageSend)
	b.ready(one)
	b.pass(2 * time.Second) // on its way
	b.applied(one)
	comment := b.add(c, protocol.CommentAdd)
	two := b.add(c, protocol.MessageSend)
	other := b.add(conv(), protocol.MessageSend)
	b.ready(comment, other)
	b.applied(comment)
	b.pass(2999 * time.Millisecond)
	b.ready()
	b.pass(time.Millisecond)
	b.ready(two)
}
