package desktop

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// failing writes messages of a member into a cache, in every way in which they
// come to be there.
type failing struct {
	t     *testing.T
	e     *Engine
	s     *session
	brand chat.BrandID
	conv  chat.ConversationID
	last  int64
	heard int
}

func newFailing(t *testing.T, e *Engine) *failing {
	t.Helper()
	s, brand := current(t, e), chat.NewID[chat.Brand]()
	f := &failing{t: t, e: e, s: s, brand: brand, conv: cached(t, s, brand)}
	if err := s.cache.SetPosition(t.Context(), 1, "epoch"); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *failing) message(state chat.DeliveryState, stored time.Duration) chat.Message {
	f.last++
	return chat.Message{ID: chat.NewID[chat.Message](), Ver: f.last + 1, Conversation: f.conv, Number: f.last, Kind: chat.MessageKindMessage,
		Author: chat.MemberActor(f.s.me), Parts: []chat.Part{chat.TextPart("hello")}, StoredAt: f.e.now().Add(stored), Delivery: &chat.Delivery{State: state}}
}

// page brings messages as a page of history, log as changes, and state as what
// is newer after a long absence.
func (f *failing) page(quiet bool, messages ...chat.Message) {
	f.t.Helper()
	var rows []json.RawMessage
	for _, m := range messages {
		rows = append(rows, encode(f.t, m))
	}
	a, err := f.s.cache.PutMessages(f.t.Context(), f.conv, messages[0].Number, messages[len(messages)-1].Number, f.last, rows)
	f.took(a, err, quiet)
}

func (f *failing) log(messages ...chat.Message) {
	f.t.Helper()
	var changes []chat.Change
	position, _ := f.s.cache.Position()
	for _, m := range messages {
		changes = append(changes, chat.Change{Seq: m.Ver, Kind: chat.EntityMessage, ID: m.ID.String(), Op: chat.OpPut, Brand: f.brand, Conversation: f.conv, Data: encode(f.t, m)})
	}
	a, err := f.s.cache.Apply(f.t.Context(), position, position+1, changes)
	f.took(a, err, false)
}

func (f *failing) state(messages ...chat.Message) {
	f.t.Helper()
	var rows []cache.Row
	for _, m := range messages {
		rows = append(rows, cache.Row{Kind: chat.EntityMessage, ID: m.ID.String(), Op: chat.OpPut, Brand: f.brand, Conversation: f.conv, Data: encode(f.t, m)})
	}
	position, epoch := f.s.cache.Position()
	if err := f.s.cache.BeginBootstrap(f.t.Context(), cache.Bootstrap{Head: position, Epoch: epoch}); err != nil {
		f.t.Fatal(err)
	}
	a, err := f.s.cache.PutBootstrap(f.t.Context(), rows, "")
	f.took(a, err, false)
	a, err = f.s.cache.FinishBootstrap(f.t.Context())
	f.took(a, err, false)
}

func (f *failing) took(a cache.Applied, err error, quiet bool) {
	f.t.Helper()
	if err != nil || a.Skipped > 0 {
		f.t.Fatalf("%+v %v", a, err)
	}
	if !quiet {
		f.s.changed(a)
	}
}

// told wants so many events since it was asked last, and so many listed.
func (f *failing) told(what string, events, listed int) {
	f.t.Helper()
	f.e.tell.problem(Problem{}) // what is told is told in order
	for told := 0; told == 0; time.Sleep(time.Millisecond) {
		for _, heard := range f.e.opt.Window.(*ear).take() {
			switch name, _, _ := strings.Cut(heard, " "); name {
			case EventUndelivered:
				f.heard++
			case EventProblem:
				told++
			}
		}
	}
	if f.heard != events {
		f.t.Errorf("%s: told %d times, want %d", what, f.heard, events)
	}
	f.heard = 0
	if all, err := f.e.Unsent(); err != nil || len(all) != listed {
		f.t.Errorf("%s: %d are listed, want %d (%v)", what, len(all), listed, err)
	}
}

func TestAFailureIsToldOnceWhateverWayItCame(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	join(t, e, nowhere)
	f := newFailing(t, e)
	f.told("nothing", 0, 0)

	ahead := f.message(chat.DeliveryFailed, 0)
	f.page(false, ahead)
	f.log(ahead)
	f.told("a page that overtook the log", 1, 1)

	absent := f.message(chat.DeliveryFailed, 0)
	f.state(absent)
	f.state(absent)
	f.told("the state after a long absence", 1, 2)

	absent.Ver, absent.Delivery = absent.Ver+10, &chat.Delivery{State: chat.DeliverySent}
	f.log(absent)
	absent.Ver, absent.Delivery = absent.Ver+1, &chat.Delivery{State: chat.DeliveryFailed}
	f.log(absent)
	f.told("failed again", 1, 2)

	f.page(true, f.message(chat.DeliveryFailed, 0)) // and killed before anybody was told
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openWith(t, dir, ring)
	f.e, f.s = e, current(t, e)
	f.s.online()
	f.told("after a crash", 1, 3)

	// A vacation of forty days, on a device that told before it.
	f.s.tells = e.now().Add(-60 * 24 * time.Hour)
	long := f.message(chat.DeliveryFailed, -40*24*time.Hour)
	f.state(long)
	f.told("after a vacation", 1, 4)
	if err := f.s.local.NoteTold(t.Context(), 0, nil, []string{undeliveredPrefix + long.ID.String()}); err != nil {
		t.Fatal(err)
	}
	if err := f.s.local.NoteTold(t.Context(), e.now().Add(-8*24*time.Hour), []string{undeliveredPrefix + long.ID.String()}, nil); err != nil {
		t.Fatal(err)
	}
	f.s.readLater(t.Context())
	f.told("a week after it was told", 0, 3)
}

// TestTheFirstLoadListsWhatHasFailedAndTellsNothing: on a new device hundreds
// may have, and their author dealt with them elsewhere.
func TestTheFirstLoadListsWhatHasFailedAndTellsNothing(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	join(t, e, nowhere)
	f := newFailing(t, e)
	var old []chat.Message
	for range 300 {
		old = append(old, f.message(chat.DeliveryFailed, -20*24*time.Hour))
	}
	f.state(old...)
	f.told("the first load", 0, 300)
	f.page(false, f.message(chat.DeliveryFailed, -50*24*time.Hour))
	f.told("history", 0, 300)
	sent := f.message(chat.DeliverySent, -time.Hour)
	f.log(sent)
	sent.Ver, sent.Delivery = sent.Ver+1, &chat.Delivery{State: chat.DeliveryFailed}
	f.state(sent)
	f.told("what was seen to fail", 1, 301)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openWith(t, dir, ring)
	f.e, f.s = e, current(t, e)
	f.s.online()
	f.told("the next start", 0, 301)
}

// TestWhatIsNotListedAnyMoreCanBeTriedAgain: the thread goes on offering it.
func TestWhatIsNotListedAnyMoreCanBeTriedAgain(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	f := newFailing(t, e)
	hidden, old, sent := f.message(chat.DeliveryFailed, 0), f.message(chat.DeliveryFailed, -100*24*time.Hour), f.message(chat.DeliverySent, 0)
	f.log(hidden, old, sent)
	if _, err := e.Drop(undeliveredPrefix + hidden.ID.String()); err != nil {
		t.Fatal(err)
	}
	f.told("one is hidden, the other too old", 2, 0)
	for _, m := range []chat.Message{hidden, old} {
		if again, err := e.Resend(undeliveredPrefix+m.ID.String(), Resend{}); err != nil || again.Message != m.ID.String() {
			t.Errorf("try again: %+v %v", again, err)
		}
	}
	for _, m := range []chat.MessageID{sent.ID, chat.NewID[chat.Message]()} {
		if _, err := e.Resend(undeliveredPrefix+m.String(), Resend{}); chat.ErrorCode(err) != chat.CodeNotFound {
			t.Errorf("there is nothing to try again: %v", err)
		}
	}
}

// TestARefusedTextIsToldOnceWhateverBecomesOfTheProgram: also one that a restored
// server has lost, and one that was refused just before the program was killed.
func TestARefusedTextIsToldOnceWhateverBecomesOfTheProgram(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	join(t, e, nowhere)
	f := newFailing(t, e)
	again := func() {
		t.Helper()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = openWith(t, dir, ring)
		f.e, f.s = e, current(t, e)
	}
	if err := f.s.keepVanished(f.message(chat.DeliverySent, -40*24*time.Hour), f.s.outbox.Snapshot()); err != nil {
		t.Fatal(err)
	}
	f.s.changed(cache.Applied{Everything: true}) // as the sweep does
	f.told("lost by a restored server", 1, 1)
	f.s.online()
	f.told("a line", 0, 1)
	again()
	f.s.online()
	f.told("the next start", 0, 1)

	sent, err := e.Send(f.conv.String(), NewMessage{Text: "hello", Seen: 1})
	if err != nil {
		t.Fatal(err)
	}
	id, err := chat.ParseID[chat.Command](sent.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.s.local.MarkRefused(t.Context(), id, encode(t, protocol.Problem{Code: chat.CodeBlocked, Detail: "They are blocked."})); err != nil {
		t.Fatal(err)
	}
	again() // killed before anybody was told
	f.s.online()
	f.told("refused before a crash", 1, 2)

	for _, w := range f.s.outbox.Snapshot().Refused() {
		if _, err := e.Drop(w.ID.String()); err != nil {
			t.Fatal(err)
		}
	}
	f.s.online()
	f.told("dropped", 0, 0)
	if kept, err := f.s.local.Told(t.Context()); err != nil || len(kept) != 0 {
		t.Errorf("noted for nothing: %v %v", kept, err)
	}
}
