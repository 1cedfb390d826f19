package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/store"
)

// later makes the command that sends a text at a moment.
func later(conv chat.ConversationID, s string, at chat.Time) chat.Command {
	return cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](),
		Parts: []chat.Part{chat.TextPart(s)}, SendAt: at})
}

// messageOf is the message id in the args of a command.
func messageOf(c chat.Command) chat.MessageID {
	var args protocol.MessageArgs
	if err := protocol.DecodeAs("args", c.Args, &args); err != nil {
		panic(err)
	}
	return args.Message
}

// sendDue lets the server send what is due.
func (r *rig) sendDue() time.Duration {
	r.Helper()
	rest, err := r.srv.Inbox().SendDue(context.Background())
	if err != nil {
		r.Fatal(err)
	}
	return rest
}

// scheduled gives what a member has scheduled, as a fresh device gets it.
func (r *rig) scheduled(token string) map[chat.MessageID]chat.Scheduled {
	r.Helper()
	out := map[chat.MessageID]chat.Scheduled{}
	var page protocol.ChangesPage
	r.get("/v1/changes?after=0&limit=1000", token, &page)
	for _, c := range page.Changes {
		if c.Kind != chat.EntityScheduled {
			continue
		}
		id, err := chat.ParseID[chat.Message](c.ID)
		if err != nil {
			r.Fatal(err)
		}
		delete(out, id)
		if c.Op == chat.OpPut {
			var x chat.Scheduled
			answer{body: c.Data}.into(r, &x)
			out[id] = x
		}
	}
	return out
}

func TestAScheduledMessageGoesOutOnceWhenItIsDue(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		conv, _ := r.conversation()
		ana := r.member("Ana", chat.RoleAgent)
		c := seen(later(conv, "Good morning", r.clock.now().Add(time.Hour)), 1)
		var kept chat.Scheduled
		r.apply(r.owner.Token, c, &kept)
		if kept.ID != messageOf(c) || kept.Text() != "Good morning" || kept.SendAt != r.clock.now().Add(time.Hour) {
			t.Fatalf("scheduled %+v", kept)
		}
		if again := r.send(r.owner.Token, c)[0]; again.Status != protocol.StatusDuplicate {
			t.Fatalf("repeated: %+v", again)
		}
		if len(r.scheduled(r.owner.Token)) != 1 || len(r.scheduled(ana.Token)) != 0 {
			t.Fatal("what is scheduled is its author's, and nobody else's")
		}
		r.clock.advance(time.Hour - time.Second)
		r.sendDue()
		if n := len(r.thread(conv)); n != 1 {
			t.Fatalf("%d messages before it is due, want 1", n)
		}
		r.clock.advance(time.Second)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := r.srv.Inbox().SendDue(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		thread := r.thread(conv)
		if len(thread) != 2 || thread[1].ID != kept.ID || !thread[1].Author.IsMember(r.owner.Member.ID) {
			t.Fatalf("thread %+v", thread)
		}
		if left := r.scheduled(r.owner.Token); len(left) != 0 {
			t.Fatalf("still scheduled: %+v", left)
		}
		r.refuse(r.owner.Token, cmd(protocol.MessageUnschedule, protocol.MessageArgs{Conversation: conv, Message: kept.ID}), chat.CodeNotFound)
		c.ID = chat.NewID[chat.Command]() // put off, too late
		r.clock.advance(-time.Minute)
		r.refuse(r.owner.Token, c, chat.CodeConflict)
	})
}

func TestAScheduledMessageIsJudgedAnewWhenItIsDue(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.unpaced()
		conv, _ := r.conversation()
		ana := r.member("Ana", chat.RoleAgent)
		c := seen(later(conv, "I am on it", r.clock.now().Add(time.Hour)), 1)
		r.apply(ana.Token, c, nil)
		r.apply(r.owner.Token, seen(text(conv, "Done"), 1), nil)
		r.clock.advance(time.Hour)
		r.sendDue()
		if n := len(r.thread(conv)); n != 2 {
			t.Fatalf("%d messages, want 2: somebody has answered", n)
		}
		kept := r.scheduled(ana.Token)[messageOf(c)]
		var p protocol.Problem
		answer{body: kept.Problem}.into(t, &p)
		if p.Code != chat.CodeNewerMessages || len(p.Messages) != 1 || p.Messages[0].Text() != "Done" {
			t.Fatalf("the author does not learn why: %+v", p)
		}
		r.clock.advance(time.Hour)
		r.sendDue() // not by itself
		if n := len(r.thread(conv)); n != 2 {
			t.Fatalf("%d messages, want 2", n)
		}
		// All the same: the same message, now.
		now := seen(cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: messageOf(c), Parts: []chat.Part{chat.TextPart("I am on it")}}), 2)
		r.apply(ana.Token, now, nil)
		if n := len(r.thread(conv)); n != 3 || len(r.scheduled(ana.Token)) != 0 {
			t.Fatalf("%d messages, want 3, and nothing scheduled", n)
		}
	})
}

func TestAScheduledMessageCanBeChangedAndTakenBack(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	conv, _ := r.conversation()
	ana := r.member("Ana", chat.RoleAgent)
	at := r.clock.now().Add(time.Hour)
	c := later(conv, "Good morning", at)
	id := messageOf(c)
	r.apply(r.owner.Token, c, nil)
	of := protocol.MessageArgs{Conversation: conv, Message: id}
	r.refuse(ana.Token, cmd(protocol.MessageUnschedule, of), chat.CodeNotFound)
	stolen := c
	stolen.ID = chat.NewID[chat.Command]()
	r.refuse(ana.Token, stolen, chat.CodeIDReused)

	changed := cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: id, Parts: []chat.Part{chat.TextPart("Good evening")}, SendAt: at.Add(time.Hour)})
	r.apply(r.owner.Token, changed, nil)
	r.clock.advance(time.Hour)
	r.sendDue()
	if n := len(r.thread(conv)); n != 1 {
		t.Fatalf("%d messages: it was put off", n)
	}
	var back chat.Scheduled
	r.apply(r.owner.Token, cmd(protocol.MessageUnschedule, of), &back)
	if back.Text() != "Good evening" {
		t.Fatalf("took back %q", back.Text())
	}
	r.clock.advance(2 * time.Hour)
	r.sendDue()
	if n := len(r.thread(conv)); n != 1 {
		t.Fatalf("%d messages: it was taken back", n)
	}
}

func TestAScheduledMessageWaitsForThePause(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	r.apply(r.owner.Token, later(conv, "later", r.clock.now().Add(time.Second)), nil)
	r.apply(r.owner.Token, text(conv, "now"), nil)
	r.clock.advance(time.Second)
	if rest := r.sendDue(); rest != 2*time.Second {
		t.Fatalf("comes again in %v, want what is left of the pause", rest)
	}
	r.clock.advance(2 * time.Second)
	r.sendDue()
	if n := len(r.thread(conv)); n != 3 {
		t.Fatalf("%d messages, want 3", n)
	}
}

// TestWhatFellDueWhileTheServerWasOffGoesOut: by itself, on a clock that runs.
func TestWhatFellDueWhileTheServerWasOffGoesOut(t *testing.T) {
	c := onSQLite(t)
	c.Now = func() chat.Time { return chat.TimeOf(time.Now()) }
	r := newRig(t, c)
	conv, _ := r.conversation()
	r.apply(r.owner.Token, later(conv, "Good morning", c.Now().Add(200*time.Millisecond)), nil)
	if err := r.srv.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	token := r.owner.Token
	r = bareRig(t, c)
	r.owner.Token = token
	late := time.After(30 * time.Second)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for len(r.thread(conv)) != 2 {
		select {
		case <-late:
			t.Fatal("it never went out")
		case <-again.C:
		}
	}
}

// TestAFailedDeliveryIsSentOnceMore: the same message, and only where its
// delivery failed.
func TestAFailedDeliveryIsSentOnceMore(t *testing.T) {
	c := onSQLite(t)
	r := newRig(t, c).unpaced()
	conv, _ := r.conversation()
	sent := text(conv, "Lost")
	r.apply(r.owner.Token, sent, nil)
	if err := r.srv.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Options{Data: c.Data, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), r.created.Workspace, func(tx *store.Tx) error {
		m, err := tx.Message(messageOf(sent))
		if err != nil {
			return err
		}
		m.Delivery = &chat.Delivery{State: chat.DeliveryFailed, Error: "The number is not on this network."}
		conv, err := tx.Conversation(conv)
		if err != nil {
			return err
		}
		return errors.Join(tx.PutMessage(&m, store.Meta{}), tx.PutConversation(&conv, store.Meta{}))
	})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
	owner := r.owner
	r = bareRig(t, c)
	r.owner = owner
	var page protocol.ChangesPage
	r.get("/v1/changes?after=0&limit=1000", r.owner.Token, &page)
	var m chat.Message
	retry := func() protocol.Result {
		return r.apply(r.owner.Token, cmd(protocol.MessageRetry, protocol.MessageArgs{Conversation: conv, Message: messageOf(sent)}), &m)
	}
	first := retry()
	if m.Delivery == nil || m.Delivery.State != chat.DeliverySent || m.Delivery.Error != "" {
		t.Fatalf("delivery %+v", m.Delivery)
	}
	// Another desk of the member that is so far behind that it loads the state.
	_, rows, _ := r.streamed(fmt.Sprintf("/v1/state?after=%d&days=30", page.Head), r.owner.Token)
	if !slices.ContainsFunc(rows, func(row protocol.BootstrapLine) bool {
		return row.Kind == chat.EntityConversation && row.ID == conv.String()
	}) {
		t.Error("the state says nothing of the conversation: there the message has failed for ever")
	}
	r.followed()
	if second := retry(); second.Seq != first.Seq {
		t.Fatal("what is delivered was sent once more")
	}
	if n := len(r.thread(conv)); n != 2 {
		t.Fatalf("%d messages, want 2", n)
	}
	r.refuse(r.owner.Token, cmd(protocol.MessageRetry, protocol.MessageArgs{Conversation: conv, Message: chat.NewID[chat.Message]()}), chat.CodeNotFound)
}

// TestWhatSpeaksAgainstAMessageIsSaidWhenItIsScheduled: not only when it is due.
func TestWhatSpeaksAgainstAMessageIsSaidWhenItIsScheduled(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	ana := r.member("Ana", chat.RoleAgent)
	r.apply(r.owner.Token, seen(text(conv, "Done"), 1), nil)
	at := r.clock.now().Add(time.Hour)
	r.refuse(ana.Token, seen(later(conv, "I am on it", at), 1), chat.CodeNewerMessages)
	if n := len(r.scheduled(ana.Token)); n != 0 {
		t.Fatalf("%d are scheduled all the same", n)
	}
	r.apply(r.owner.Token, seen(later(conv, "And one more thing", at), 2), nil) // the pause is over by then
}

// TestADraftOutlivesWhatWasScheduledBeforeIt: what is typed after a message was
// scheduled is another text, whether that one falls due or is sent now.
func TestADraftOutlivesWhatWasScheduledBeforeIt(t *testing.T) {
	for name, send := range map[string]func(*rig, chat.Command){
		"due": func(r *rig, _ chat.Command) {
			r.clock.advance(time.Hour)
			r.sendDue()
		},
		"sent now": func(r *rig, c chat.Command) {
			var args protocol.MessageSendArgs
			answer{body: c.Args}.into(r, &args)
			args.SendAt = 0
			r.apply(r.owner.Token, cmd(protocol.MessageSend, args), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, onSQLite(t)).unpaced()
			conv, _ := r.conversation()
			typed := func(s string) {
				r.apply(r.owner.Token, cmd(protocol.DraftPut, protocol.DraftPutArgs{Conversation: conv, Text: s}), nil)
			}
			typed("Good morning")
			c := later(conv, "Good morning", r.clock.now().Add(time.Hour))
			r.apply(r.owner.Token, c, nil)
			typed("A long answer, half written")
			send(r, c)
			if n := len(r.thread(conv)); n != 2 {
				t.Fatalf("%d messages, want 2", n)
			}
			var page protocol.ChangesPage
			r.get("/v1/changes?after=0&limit=1000", r.owner.Token, &page)
			dropped := 0
			for _, x := range page.Changes {
				if x.Kind == chat.EntityDraft && x.Op == chat.OpDelete {
					dropped++
				}
			}
			if dropped != 1 {
				t.Fatalf("%d drafts were dropped, want only what was scheduled", dropped)
			}
		})
	}
}

// TestWhatMissedItsMomentAsksItsAuthor: also when the same command comes again,
// and when it is to take the place of what is scheduled. One that has just come
// goes out.
func TestWhatMissedItsMomentAsksItsAuthor(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	conv, _ := r.conversation()
	missed := later(conv, "Until noon only", r.clock.now().Add(-chat.ScheduleGrace-time.Second))
	p := r.refuse(r.owner.Token, missed, chat.CodeMomentPassed)
	if p.Field != "send_at" || p.Detail == "" {
		t.Fatalf("the author does not learn why: %+v", p)
	}
	if again := r.send(r.owner.Token, missed)[0]; again.Status != protocol.StatusDuplicate || again.Problem == nil || again.Problem.Code != chat.CodeMomentPassed {
		t.Fatalf("repeated: %+v", again)
	}
	kept := later(conv, "Good morning", r.clock.now().Add(time.Hour))
	r.apply(r.owner.Token, kept, nil)
	changed := cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: messageOf(kept),
		Parts: []chat.Part{chat.TextPart("Good evening")}, SendAt: r.clock.now().Add(-time.Hour)})
	r.refuse(r.owner.Token, changed, chat.CodeMomentPassed)
	if x := r.scheduled(r.owner.Token)[messageOf(kept)]; x.Text() != "Good morning" {
		t.Fatalf("scheduled is %+v", x)
	}
	r.apply(r.owner.Token, later(conv, "Now", r.clock.now().Add(-time.Second)), nil)
	if n := len(r.thread(conv)); n != 2 {
		t.Fatalf("%d messages, want 2", n)
	}
}
