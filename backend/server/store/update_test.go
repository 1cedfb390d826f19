package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley/backend/chat"
	"parley/backend/server/store/pgtest"
)

func TestUpdateWritesRowsAndLog(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		before := w.head()
		c := w.begin(0, "Ada")
		m := w.say(c.ID, "hello")
		changes, to, head, more, err := s.Changes(t.Context(), w.ws, chat.ViewOf(w.owner), before, 100, 0)
		must(t, err)
		if to != head || more || head != before+4 || len(changes) != 4 {
			t.Fatalf("got %d changes up to %d of %d (more %v), want 4 up to %d", len(changes), to, head, more, before+4)
		}
		kinds := []chat.EntityKind{chat.EntityContact, chat.EntityConversation, chat.EntityMessage, chat.EntityConversation}
		for i, ch := range changes {
			if ch.Seq != before+int64(i)+1 || ch.Kind != kinds[i] || ch.Brand != w.brands[0].ID || ch.Op != chat.OpPut {
				t.Errorf("change %d: %+v", i, ch)
			}
		}
		if changes[0].Cause != w.meta.Cause || changes[0].Actor != w.meta.Actor {
			t.Errorf("the change has cause %s by %v, want %s by %v", changes[0].Cause, changes[0].Actor, w.meta.Cause, w.meta.Actor)
		}
		if m.Ver != changes[2].Seq || changes[2].ID != m.ID.String() || changes[2].Conversation != c.ID {
			t.Errorf("message with ver %d, change %+v", m.Ver, changes[2])
		}
		got, err := s.Conversation(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID)
		must(t, err)
		if got.Ver != changes[3].Seq || got.Unread != 1 || got.Preview != "hello" {
			t.Errorf("stored conversation %+v", got)
		}
		checked(t, s)
	})
}

func TestUpdateUndoesWhatFails(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		before := w.head()
		wrong := errors.New("no")
		for name, fn := range map[string]func(tx *Tx) error{
			"error": func(tx *Tx) error { return wrong },
			"panic": func(tx *Tx) error { panic("told to") },
			"id taken": func(tx *Tx) error {
				_ = tx.PutBrand(&chat.Brand{ID: w.brands[0].ID}, w.meta) // Ver 0 says it is new: the error is swallowed on purpose
				return nil
			},
			"message without conversation": func(tx *Tx) error {
				m := chat.Message{ID: chat.NewID[chat.Message](), Conversation: chat.NewID[chat.Conversation](), Number: 1}
				return tx.PutMessage(&m, w.meta)
			},
		} {
			err := s.Update(t.Context(), w.ws, func(tx *Tx) error {
				if _, err := appendTo(tx, c.ID, chat.SystemActor(), chat.MessageKindComment, "undone"); err != nil {
					return err
				}
				return fn(tx)
			})
			if err == nil || name == "error" && !errors.Is(err, wrong) || name == "id taken" && chat.ErrorCode(err) != chat.CodeConflict {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if got := w.head(); got != before {
			t.Errorf("head is %d, want %d", got, before)
		}
		if _, _, _, msgs, err := s.Messages(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID, 0, 0, 0, 10); err != nil || len(msgs) != 0 {
			t.Errorf("%d messages, error %v", len(msgs), err)
		}
		w.say(c.ID, "after")
		checked(t, s)
	})
}

func TestUpdateSurvivesAFunctionThatEndsItsGoroutine(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		before := w.head()
		ended := make(chan error)
		go func() {
			ended <- s.Update(context.Background(), w.ws, func(tx *Tx) error {
				if _, err := appendTo(tx, c.ID, chat.SystemActor(), chat.MessageKindComment, "undone"); err != nil {
					return err
				}
				runtime.Goexit() // as t.Fatal does
				return nil
			})
		}()
		if err := <-ended; err == nil {
			t.Error("no error")
		}
		if got := w.head(); got != before {
			t.Errorf("head is %d, want %d", got, before)
		}
		w.say(c.ID, "goes on")
	})
}

// blocked makes the writer wait inside a function until let go, so that what
// is submitted meanwhile ends up in one batch.
func blocked(t *testing.T, w *world) (release func()) {
	t.Helper()
	inside, leave, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- w.s.Update(context.Background(), w.ws, func(*Tx) error {
			close(inside)
			<-leave
			return nil
		})
	}()
	<-inside
	return func() {
		close(leave)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// waiting blocks until n jobs wait for the workspace's writer.
func waiting(t *testing.T, w *world, n int) {
	t.Helper()
	key := w.ws
	if !w.s.d.postgres {
		key = chat.WorkspaceID{}
	}
	for t.Context().Err() == nil {
		w.s.mu.Lock()
		q := w.s.queues[key]
		w.s.mu.Unlock()
		q.mu.Lock()
		got := len(q.jobs)
		q.mu.Unlock()
		if got == n {
			return
		}
	}
	t.Fatal("the jobs did not come")
}

func TestBatchKeepsOneFailureFromTheOthers(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		release := blocked(t, w)
		const jobs = 9
		results := make([]error, jobs)
		var wg sync.WaitGroup
		for i := range jobs {
			wg.Go(func() {
				results[i] = s.Update(context.Background(), w.ws, func(tx *Tx) error {
					_, err := appendTo(tx, c.ID, chat.SystemActor(), chat.MessageKindComment, fmt.Sprint("text ", i))
					switch {
					case err != nil:
						return err
					case i%3 == 1:
						return errors.New("refused")
					case i%3 == 2:
						return tx.PutBrand(&chat.Brand{ID: w.brands[0].ID}, w.meta) // violates the primary key
					}
					return nil
				})
			})
		}
		waiting(t, w, jobs)
		release()
		wg.Wait()
		for i, err := range results {
			if (err != nil) != (i%3 != 0) {
				t.Errorf("job %d: %v", i, err)
			}
		}
		_, _, last, msgs, err := s.Messages(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID, 0, 0, 0, 50)
		must(t, err)
		if len(msgs) != 3 || last != 3 {
			t.Errorf("%d messages up to number %d, want 3", len(msgs), last)
		}
		checked(t, s)
	})
}

func TestUpdateOfACancelledCaller(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		release := blocked(t, w)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			left <- s.Update(ctx, w.ws, func(*Tx) error {
				t.Error("ran although its caller had left")
				return nil
			})
		}()
		waiting(t, w, 1)
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		release()

		ctx, cancel = context.WithCancel(t.Context())
		err := s.Update(ctx, w.ws, func(tx *Tx) error {
			cancel() // too late: it runs
			_, err := appendTo(tx, c.ID, chat.SystemActor(), chat.MessageKindComment, "done")
			return err
		})
		if err != nil {
			t.Errorf("a function that had begun: %v", err)
		}
		if _, _, last, _, err := s.Messages(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID, 0, 0, 0, 50); err != nil || last != 1 {
			t.Errorf("last number %d, error %v", last, err)
		}
	})
}

func TestUpdateOfAnUnknownWorkspaceAndAfterClose(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		err := s.Update(t.Context(), chat.NewID[chat.Workspace](), func(*Tx) error { return nil })
		wantCode(t, err, chat.CodeNotFound)
		w := newWorld(t, s)
		wantCode(t, s.CreateWorkspace(t.Context(), chat.Workspace{ID: w.ws}), chat.CodeConflict)
		must(t, s.Close())
		err = s.Update(t.Context(), w.ws, func(*Tx) error { return nil })
		wantCode(t, err, chat.CodeUnavailable)
	})
}

// follower reads packets from its own position, as a desktop does.
func follower(ctx context.Context, s *Store, ws chat.WorkspaceID, view chat.View, from int64, until <-chan int64) ([]chat.Change, error) {
	var all []chat.Change
	end := int64(-1)
	for pos := from; end < 0 || pos < end; {
		select {
		case end = <-until:
		default:
		}
		changes, to, _, _, err := s.Changes(ctx, ws, view, pos, 37, 20_000)
		if err != nil {
			return nil, err
		}
		all, pos = append(all, changes...), to
	}
	return all, nil
}

func TestFiftyWritersAndReadersMissNothing(t *testing.T) {
	both(t, func(t *testing.T, s *Store, opt Options) {
		w := newWorld(t, s)
		stores := []*Store{s, opened(t, opt)} // a second process on the same database
		const writers, each, readers = 50, 12, 4
		var conversations []chat.ConversationID
		for i := range 10 {
			conversations = append(conversations, w.begin(i%2, fmt.Sprint("Contact ", i)).ID)
		}
		from := w.head()
		views := []chat.View{chat.ViewOf(w.owner), chat.ViewOf(w.members[0]), chat.ViewOf(w.members[1]), chat.ViewOf(w.owner)}
		got := make([][]chat.Change, readers)
		until := make([]chan int64, readers)
		var reading, writing sync.WaitGroup
		for i := range readers {
			until[i] = make(chan int64, 1)
			reading.Go(func() {
				var err error
				if got[i], err = follower(t.Context(), stores[i%2], w.ws, views[i], from, until[i]); err != nil {
					t.Error(err)
				}
			})
		}
		for i := range writers {
			writing.Go(func() {
				for n := range each {
					err := stores[i%2].Update(t.Context(), w.ws, func(tx *Tx) error {
						_, err := appendTo(tx, conversations[(i+n)%len(conversations)], chat.MemberActor(w.owner.ID), chat.MessageKindMessage, "text")
						if err == nil && (i+n)%7 == 0 {
							return errRefused
						}
						return err
					})
					if err != nil && !errors.Is(err, errRefused) {
						t.Error(err)
					}
				}
			})
		}
		writing.Wait()
		head := w.head()
		for _, u := range until {
			u <- head
		}
		reading.Wait()
		refused := 0
		for i := range writers {
			for n := range each {
				if (i+n)%7 == 0 {
					refused++
				}
			}
		}
		if want := from + 2*int64(writers*each-refused); head != want {
			t.Errorf("head is %d, want %d", head, want)
		}
		for i, changes := range got {
			var want []chat.Change
			for pos := from; pos < head; {
				page, err := s.LogTail(t.Context(), w.ws, pos, 1000, 0)
				must(t, err)
				for _, c := range page {
					if pos++; c.Seq != pos {
						t.Fatalf("sequence has %d where %d belongs", c.Seq, pos)
					}
					if views[i].SeesChange(c) {
						want = append(want, c)
					}
				}
			}
			if !slices.EqualFunc(changes, want, func(a, b chat.Change) bool { return a.Seq == b.Seq && a.ID == b.ID }) {
				t.Errorf("reader %d saw %d changes, want %d", i, len(changes), len(want))
			}
		}
		checked(t, s)
	})
}

var errRefused = errors.New("refused")

func TestWorkspacesDoNotMix(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		a, b := newWorld(t, s), newWorld(t, s)
		before := b.head()
		c := a.begin(0, "Ada")
		a.say(c.ID, "hello")
		if got := b.head(); got != before {
			t.Errorf("the other workspace's head moved to %d", got)
		}
		_, err := s.Conversation(t.Context(), b.ws, chat.ViewOf(b.owner), c.ID)
		wantCode(t, err, chat.CodeNotFound)
		err = s.Update(t.Context(), b.ws, func(tx *Tx) error {
			_, err := tx.Conversation(c.ID)
			return err
		})
		wantCode(t, err, chat.CodeNotFound)
	})
}

func TestFullDiskLosesNothingAcknowledged(t *testing.T) {
	opt := quiet(Options{Data: t.TempDir()})
	s := opened(t, opt)
	w := newWorld(t, s)
	c := w.begin(0, "Ada")
	var pages int
	must(t, s.conn.QueryRowContext(t.Context(), `pragma page_count`).Scan(&pages))
	_, err := s.conn.ExecContext(t.Context(), fmt.Sprint(`pragma max_page_count = `, pages+40))
	must(t, err)
	acknowledged := int64(0)
	text := strings.Repeat("long text ", 500)
	var full error
	for full == nil {
		full = s.Update(t.Context(), w.ws, func(tx *Tx) error {
			_, err := appendTo(tx, c.ID, chat.SystemActor(), chat.MessageKindMessage, text)
			return err
		})
		if full == nil {
			acknowledged++
		}
	}
	wantCode(t, full, chat.CodeUnavailable)
	if !strings.Contains(chat.ErrorMessage(full), "full") {
		t.Errorf("the sentence is %q", chat.ErrorMessage(full))
	}
	if acknowledged == 0 {
		t.Fatal("nothing fitted: the test shows nothing")
	}
	_, _, last, _, err := s.Messages(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID, 0, 0, 0, 1)
	must(t, err)
	if last != acknowledged {
		t.Errorf("%d messages are there, %d were acknowledged", last, acknowledged)
	}
	checked(t, s)
	_, err = s.conn.ExecContext(t.Context(), `pragma max_page_count = 1000000`)
	must(t, err)
	w.say(c.ID, "there is room again")
}

func TestReadOnlyDatabase(t *testing.T) {
	both(t, func(t *testing.T, s *Store, opt Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		if s.d.postgres {
			_, err := s.w.ExecContext(t.Context(), `do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$`)
			must(t, err)
			s = opened(t, opt) // the setting is for new connections
		} else {
			_, err := s.conn.ExecContext(t.Context(), `pragma query_only = 1`)
			must(t, err)
		}
		err := s.Update(t.Context(), w.ws, func(tx *Tx) error {
			_, err := appendTo(tx, c.ID, chat.SystemActor(), chat.MessageKindMessage, "text")
			return err
		})
		wantCode(t, err, chat.CodeUnavailable)
		if !strings.Contains(chat.ErrorMessage(err), "read-only") {
			t.Errorf("the sentence is %q", chat.ErrorMessage(err))
		}
		if _, err := s.Conversation(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID); err != nil {
			t.Errorf("reading: %v", err)
		}
	})
}

func TestAPostgresThatGoesAwayIsReportedAndComesBack(t *testing.T) {
	s := opened(t, quiet(Options{Database: pgtest.URL(t)}))
	w := newWorld(t, s)
	c := w.begin(0, "Ada")
	before := w.head()
	err := s.Update(t.Context(), w.ws, func(tx *Tx) error {
		if _, err := appendTo(tx, c.ID, chat.SystemActor(), chat.MessageKindComment, "lost"); err != nil {
			return err
		}
		if _, err := tx.b.conn.ExecContext(t.Context(), `select pg_terminate_backend(pg_backend_pid())`); err == nil {
			t.Error("the connection survived")
		}
		return nil
	})
	wantCode(t, err, chat.CodeUnavailable)
	w.say(c.ID, "back again")
	if got := w.head(); got != before+2 {
		t.Errorf("head %d, want %d", got, before+2)
	}
	checked(t, s)
}
