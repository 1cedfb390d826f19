package outbox

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// disk is a store in memory that can be full.
type disk struct {
	mu   sync.Mutex
	rows []Entry
	full bool
}

var errFull = errors.New("disk full")

func (d *disk) change(f func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return errFull
	}
	f()
	return nil
}

func (d *disk) at(id chat.CommandID) int {
	return slices.IndexFunc(d.rows, func(e Entry) bool { return e.ID == id })
}

func (d *disk) Load(context.Context) ([]Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.rows), nil
}

func (d *disk) Insert(_ context.Context, e Entry, _ bool) error {
	return d.change(func() { d.rows = append(d.rows, e) })
}

func (d *disk) Replace(_ context.Context, old chat.CommandID, e Entry) error {
	return d.change(func() { d.rows[d.at(old)] = e })
}

func (d *disk) Remove(_ context.Context, id chat.CommandID) error {
	return d.change(func() { d.rows = slices.DeleteFunc(d.rows, func(e Entry) bool { return e.ID == id }) })
}

func (d *disk) Refuse(_ context.Context, id chat.CommandID, p *protocol.Problem) error {
	return d.change(func() { d.rows[d.at(id)].Problem = p })
}

func (d *disk) Attempted(_ context.Context, e Entry) error {
	return d.change(func() { d.rows[d.at(e.ID)].Attempts++ })
}

func (d *disk) NotSent(_ context.Context, id chat.CommandID) error {
	return d.change(func() { d.rows[d.at(id)].Attempts = 0 })
}

// fill fills the disk, or makes room.
func (d *disk) fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// server judges commands and notes them; a command it knows is a duplicate.
type server struct {
	mu      sync.Mutex
	applied []chat.CommandID
	tries   int
	lose    int // answers that get lost on the way back
	confirm error
}

func (s *server) submit(_ context.Context, c chat.Command) (Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	status := protocol.StatusDuplicate
	if !slices.Contains(s.applied, c.ID) {
		s.applied = append(s.applied, c.ID)
		status = protocol.StatusApplied
	}
	if s.lose > 0 {
		s.lose--
		return Answer{}, protocol.Unreachable("post", errors.New("reset"))
	}
	return Answer{Result: protocol.Result{ID: c.ID, Status: status}}, nil
}

func start(t *testing.T, d *disk, s *server) *Outbox {
	t.Helper()
	return startWith(t, d, s, func(*Config) {})
}

func startWith(t *testing.T, d *disk, s *server, change func(*Config)) *Outbox {
	t.Helper()
	began := time.Now()
	cfg := Config{Store: d, Submit: s.submit,
		Confirm: func(context.Context, Entry, Answer) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.confirm
		},
		Changed: func(chat.ConversationID) {}, Undone: func(Entry, *protocol.Problem) {}, Failed: func(error) {},
		Clock:  func() Instant { return Instant{time.Since(began), chat.TimeOf(time.Now())} },
		Random: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler)}
	change(&cfg)
	o, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	o.Pause(false)
	return o
}

func text(c chat.ConversationID) Entry {
	return Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: protocol.MessageSend, Message: chat.NewID[chat.Message]()}
}

func TestAFullDiskAcknowledgesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{full: true}, &server{}
		o := start(t, d, s)
		defer o.Close()
		c := conv()
		if err := o.Add(text(c), true); !errors.Is(err, errFull) {
			t.Fatalf("added to a full disk: %v", err)
		}
		synctest.Wait()
		if len(o.Snapshot().Of(c)) != 0 || s.tries != 0 {
			t.Fatal("what was not kept went out all the same")
		}
	})
}

func TestALostAnswerIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{}, &server{lose: 3}
		o := start(t, d, s)
		defer o.Close()
		e := text(conv())
		if err := o.Add(e, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.tries != 4 || !slices.Equal(s.applied, []chat.CommandID{e.ID}) || len(d.rows) != 0 {
			t.Fatalf("%d tries, applied %v, left %v", s.tries, s.applied, d.rows)
		}
	})
}

func TestNothingLeavesBeforeItIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{}, &server{confirm: errors.New("cache full")}
		o := start(t, d, s)
		defer o.Close()
		e := text(conv())
		if err := o.Add(e, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(d.rows) != 1 || len(o.Snapshot().Of(e.Conversation)) != 1 {
			t.Fatal("left the outbox before its row was in the cache")
		}
		s.mu.Lock()
		s.confirm = nil
		s.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(d.rows) != 0 || len(s.applied) != 1 {
			t.Fatalf("left %v, applied %v", d.rows, s.applied)
		}
	})
}

func TestAReopenedOutboxGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{}, &server{lose: 1}
		first := start(t, d, s)
		e := text(conv())
		if err := first.Add(e, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		first.Close()
		if err := first.Add(text(conv()), false); err == nil {
			t.Fatal("a closed outbox takes entries")
		}
		second := start(t, d, s)
		defer second.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(s.applied, []chat.CommandID{e.ID}) || len(d.rows) != 0 {
			t.Fatalf("applied %v, left %v", s.applied, d.rows)
		}
	})
}

func TestOnlyWhatCannotHaveArrivedIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{}, &server{lose: 1 << 30}
		o := start(t, d, s)
		defer o.Close()
		sent := text(conv())
		if err := o.Add(sent, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := o.Drop(sent.ID); chat.ErrorCode(err) != chat.CodeConflict {
			t.Fatalf("gave back what may have arrived: %v", err)
		}
		o.Pause(true)
		kept := text(conv())
		if err := o.Add(kept, true); err != nil {
			t.Fatal(err)
		}
		if back, err := o.Drop(kept.ID); err != nil || back.ID != kept.ID || len(d.rows) != 1 {
			t.Fatalf("%v, %v, on disk %d", back, err, len(d.rows))
		}
		if _, err := o.Drop(kept.ID); chat.ErrorCode(err) != chat.CodeNotFound {
			t.Fatalf("twice: %v", err)
		}
	})
}

func TestWhatIsKnownHereIsNotHandedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{}, &server{}
		told := 0
		known := &protocol.Problem{Code: chat.CodeNewerMessages}
		o := startWith(t, d, s, func(c *Config) {
			c.Judge = func(_ context.Context, e Entry) *protocol.Problem {
				if e.Attempts > 1 {
					return nil
				}
				return known
			}
			c.Refused = func() { told++ }
		})
		defer o.Close()
		e := text(conv())
		if err := o.Add(e, false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := o.Snapshot().Of(e.Conversation); len(got) != 1 || got[0].Problem != known || s.tries != 0 {
			t.Fatalf("refused %+v after %d requests", got, s.tries)
		}
		if d.rows[0].Problem != known || told != 1 {
			t.Fatalf("on disk %+v, told %d times", d.rows[0], told)
		}
	})
}

// TestWhatCannotBeNotedIsNotHandedIn: after a crash a text whose attempt was not
// noted would pass for one that never left this machine, could be taken back,
// and the customer would get it twice.
func TestWhatCannotBeNotedIsNotHandedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, s := &disk{}, &server{lose: 1}
		o := start(t, d, s)
		o.Pause(true)
		e := text(conv())
		if err := o.Add(e, true); err != nil {
			t.Fatal(err)
		}
		d.fill(true) // somebody else has
		o.Pause(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if waiting := o.Snapshot().Of(e.Conversation); s.tries != 0 || len(waiting) != 1 || waiting[0].Sending || waiting[0].Attempts != 0 {
			t.Errorf("the disk is full: handed in %d times, waiting %+v", s.tries, waiting)
		}
		d.fill(false)
		time.Sleep(maxBackoff)
		synctest.Wait()
		if s.tries != 2 || len(o.Snapshot().Of(e.Conversation)) != 0 {
			t.Errorf("there is room again: handed in %d times, waiting %+v", s.tries, o.Snapshot().Of(e.Conversation))
		}
		o.Close()
	})
}
