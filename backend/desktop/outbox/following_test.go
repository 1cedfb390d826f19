package outbox

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

func TestWhatEndsTheChatWaitsForTheRefusedText(t *testing.T) {
	for _, kind := range []string{protocol.ConversationResolve, protocol.HandoffRelease} {
		t.Run(kind, func(t *testing.T) {
			b, c := newBench(t), conv()
			answer, end, assign := b.add(c, protocol.MessageSend), b.add(c, kind), b.add(c, protocol.ConversationAssign)
			b.ready(answer)
			b.outcome(b.refused(answer, protocol.Problem{Code: chat.CodeNewerMessages}), Refused)
			b.ready(assign) // says nothing of the answer
			b.applied(assign)
			b.pass(time.Hour)
			b.ready()
			if _, ok := b.q.Next(b.now); ok {
				t.Fatal("time alone must not release it")
			}
			if f := b.q.Following(answer.ID); len(f) != 1 || f[0].ID != end.ID || f[0].Problem == nil {
				t.Fatalf("waits: %+v", f)
			}
			// The author sends it all the same.
			again := Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: protocol.MessageSend, CreatedAt: b.now.Wall}
			b.q.Replace(b.now, answer.ID, again)
			b.q.ReleaseFollowing(end.ID, nil)
			b.ready(again)
			b.applied(again)
			b.ready(end)
		})
	}
}

func TestWhatEndsTheChatWaitsForEveryRefusedTextBeforeIt(t *testing.T) {
	b, c := newBench(t), conv()
	one, two, resolve := b.add(c, protocol.MessageSend), b.add(c, protocol.CommentAdd), b.add(c, protocol.ConversationResolve)
	b.q.Refuse(func(e Entry) bool { return e.ID == two.ID }, &protocol.Problem{Code: chat.CodeForbidden})
	b.ready(one)
	b.outcome(b.refused(one, protocol.Problem{Code: chat.CodeNewerMessages}), Refused)
	if f := b.q.Following(one.ID); len(f) != 0 {
		t.Fatalf("decided with the first of two: %v", kinds(f))
	}
	b.q.Remove(one.ID)
	if f := b.q.Following(two.ID); len(f) != 1 || f[0].ID != resolve.ID {
		t.Fatalf("waits for the second: %v", kinds(f))
	}
}

// TestWhatFollowsATextSharesItsFate: also when the program ends in between.
func TestWhatFollowsATextSharesItsFate(t *testing.T) {
	for name, test := range map[string]struct {
		decide  func(*Outbox, *disk, Entry) error
		applied int
	}{
		"sent again": {func(o *Outbox, _ *disk, e Entry) error {
			_, err := o.Resend(e.ID, seenNow)
			return err
		}, 2},
		"dropped": {func(o *Outbox, _ *disk, e Entry) error {
			_, err := o.Drop(e.ID)
			return err
		}, 0},
		"sent from elsewhere": {func(o *Outbox, _ *disk, e Entry) error {
			o.Confirmed([]chat.CommandID{e.ID})
			return nil
		}, 1},
		"left": {func(*Outbox, *disk, Entry) error { return nil }, 0},
		"sent again, and killed in between": {func(_ *Outbox, d *disk, e Entry) error {
			next, _ := seenNow(e)
			return d.Replace(context.Background(), e.ID, next)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s := &disk{}, &server{}
				o := startWith(t, d, s, func(c *Config) {
					c.Judge = func(_ context.Context, e Entry) *protocol.Problem {
						if e.Seen != nil {
							return nil
						}
						return &protocol.Problem{Code: chat.CodeNewerMessages}
					}
				})
				c := conv()
				answer, resolve := text(c), Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: protocol.ConversationResolve}
				o.Pause(true) // without a line
				for _, e := range []Entry{answer, resolve} {
					if err := o.Add(e, false); err != nil {
						t.Error(err)
					}
				}
				o.Pause(false)
				time.Sleep(time.Second)
				synctest.Wait()
				if len(s.applied) != 0 || !slices.ContainsFunc(d.rows, func(e Entry) bool { return e.ID == resolve.ID && e.Problem != nil }) {
					t.Fatalf("applied %v, on disk %+v", s.applied, d.rows)
				}
				if err := test.decide(o, d, d.rows[0]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				o.Close()
				second := start(t, d, s)
				defer second.Close()
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(s.applied) != test.applied || test.applied > 0 && s.applied[test.applied-1] != resolve.ID {
					t.Fatalf("applied %v, want %d", s.applied, test.applied)
				}
			})
		})
	}
}

// seenNow is a text sent again, by an author who has seen what spoke against it.
func seenNow(old Entry) (Entry, error) {
	seen := int64(1)
	old.ID, old.Problem, old.Seen = chat.NewID[chat.Command](), nil, &seen
	return old, nil
}

// TestWhatFollowsATextIsJudgedByWhatItsAuthorHasReadMeanwhile: who sends over
// what the customer said has read it, and resolves with it in view.
func TestWhatFollowsATextIsJudgedByWhatItsAuthorHasReadMeanwhile(t *testing.T) {
	b, c := newBench(t), conv()
	answer, old, read := b.add(c, protocol.MessageSend), int64(4), int64(6)
	resolve := Entry{ID: chat.NewID[chat.Command](), Conversation: c, Kind: protocol.ConversationResolve, Seen: &old}
	b.q.Add(b.now, resolve)
	b.ready(answer)
	b.outcome(b.refused(answer, protocol.Problem{Code: chat.CodeNewerMessages}), Refused)
	if e, ok := b.q.ReleaseFollowing(resolve.ID, &read); !ok || *e.Seen != read || old != 4 {
		t.Fatalf("released with %v", *e.Seen)
	}
}

// TestTakingTheAnswerBackTakesBackWhatEndedTheChatWithIt: nobody resolves a
// chat whose answer they have just taken back.
func TestTakingTheAnswerBackTakesBackWhatEndedTheChatWithIt(t *testing.T) {
	for name, test := range map[string]struct {
		of      func(*Entry)
		kind    string
		applied int
	}{
		"resolved behind an answer":             {func(*Entry) {}, protocol.ConversationResolve, 0},
		"released behind an answer":             {func(*Entry) {}, protocol.HandoffRelease, 0},
		"assigned behind an answer":             {func(*Entry) {}, protocol.ConversationAssign, 1},
		"resolved behind a comment":             {func(e *Entry) { e.Kind = protocol.CommentAdd }, protocol.ConversationResolve, 1},
		"resolved with an answer for next week": {func(e *Entry) { e.SendAt = e.CreatedAt.Add(7 * 24 * time.Hour) }, protocol.ConversationResolve, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, s := &disk{}, &server{}
				o := start(t, d, s)
				defer o.Close()
				answer := text(conv())
				answer.CreatedAt = chat.TimeOf(time.Now())
				answer.Due = answer.CreatedAt.Add(20 * time.Second)
				test.of(&answer)
				if err := o.Add(answer, true); err != nil {
					t.Fatal(err)
				}
				if err := o.Add(Entry{ID: chat.NewID[chat.Command](), Conversation: answer.Conversation, Kind: test.kind, CreatedAt: answer.CreatedAt}, false); err != nil {
					t.Fatal(err)
				}
				if _, err := o.Drop(answer.ID); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(s.applied) != test.applied || len(d.rows) != 0 {
					t.Fatalf("applied %d, want %d; left %v", len(s.applied), test.applied, d.rows)
				}
			})
		})
	}
}
