package desktop

import (
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// TestWhatWasScheduledOutlivesARestoredServer: it is its author's own text, as a
// draft is, and perhaps promised to a customer.
func TestWhatWasScheduledOutlivesARestoredServer(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	s, brand := current(t, e), chat.NewID[chat.Brand]()
	conv := cached(t, s, brand)
	if err := s.cache.SetPosition(t.Context(), 9, "before"); err != nil {
		t.Fatal(err)
	}
	scheduled := func(of chat.MemberID, text string) chat.Scheduled {
		x := chat.Scheduled{ID: chat.NewID[chat.Message](), Ver: 8, Conversation: conv, Member: of, Parts: []chat.Part{chat.TextPart(text)},
			CreatedAt: e.now(), SendAt: e.now().Add(48 * time.Hour)}
		applied, err := s.cache.PutRows(t.Context(), []cache.Row{{Kind: chat.EntityScheduled, ID: x.ID.String(), Op: chat.OpPut, Brand: brand, Conversation: conv, Data: encode(t, x)}})
		if err != nil || applied.Skipped > 0 {
			t.Fatalf("%+v %v", applied, err)
		}
		s.changed(applied)
		return x
	}
	mine := scheduled(s.me, "see you in spring")
	scheduled(chat.NewID[chat.Member](), "of somebody who used this account before")

	if err := s.cache.BeginBootstrap(t.Context(), cache.Bootstrap{Head: 5, Epoch: "after", Sweep: true}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time as after a crash
		if err := s.beforeSweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if applied, err := s.cache.FinishBootstrap(t.Context()); err != nil {
		t.Fatal(err)
	} else {
		s.changed(applied)
	}
	all, err := e.Unsent()
	if err != nil || len(all) != 1 || all[0].Text != "see you in spring" || all[0].Message != mine.ID.String() || all[0].Problem.Code != chat.CodeReset {
		t.Fatalf("could not send: %+v %v", all, err)
	}
	until(t, "a word about it", func() bool { return warns(t, e, warningRestored) })
	again, err := e.Resend(all[0].ID, Resend{})
	if err != nil || again.SendAt != mine.SendAt || again.Kind != protocol.MessageSend {
		t.Fatalf("sent again: %+v %v", again, err)
	}
}

// TestWhatWasSentAgainAtAnotherDeskHoldsNothingBack: each desk of a member keeps
// what a restored server has lost. Sent from one of them, it is in the thread of
// all, and no longer waits for anybody.
func TestWhatWasSentAgainAtAnotherDeskHoldsNothingBack(t *testing.T) {
	j := newJudge(t)
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, j.URL)
	s, brand := current(t, e), chat.NewID[chat.Brand]()
	until(t, "the line", func() bool { return s.net.Load() != nil })
	conv := cached(t, s, brand)
	lost := func(number int64) chat.Message {
		m := chat.Message{ID: chat.NewID[chat.Message](), Ver: number, Conversation: conv, Number: number, Kind: chat.MessageKindMessage,
			Author: chat.MemberActor(s.me), Parts: []chat.Part{chat.TextPart("lost and found")}, SentAt: e.now(), StoredAt: e.now()}
		if err := s.keepVanished(m, s.outbox.Snapshot()); err != nil {
			t.Fatal(err)
		}
		return m
	}
	arrives := func(m chat.Message) {
		m.Ver += 20
		a, err := s.cache.PutRows(t.Context(), []cache.Row{{Kind: chat.EntityMessage, ID: m.ID.String(), Op: chat.OpPut, Brand: brand, Conversation: conv, Data: encode(t, m)}})
		if err != nil || a.Skipped > 0 {
			t.Fatalf("%+v %v", a, err)
		}
		s.changed(a)
	}
	found := lost(3)
	arrives(found)
	until(t, "the text that arrived to be forgotten", func() bool { return stateOf(t, e).Outbox.Refused == 0 })
	if _, err := e.Send(conv.String(), NewMessage{Text: "and now this", Seen: 3}); err != nil {
		t.Fatal(err)
	}
	until(t, "the next text to go out", func() bool { return len(j.commands(protocol.MessageSend)) > 0 })

	// One that its author has changed here says more than what arrived.
	changed := lost(4)
	j.refuse(&protocol.Problem{Code: chat.CodeIDReused, Detail: "This message is there already."})
	words := "lost, found and changed"
	if _, err := e.Resend(s.outbox.Snapshot().Refused()[0].ID.String(), Resend{Text: &words}); err != nil {
		t.Fatal(err)
	}
	until(t, "the refusal", func() bool { return stateOf(t, e).Outbox.Refused == 1 })
	arrives(changed)
	s.online()
	page, err := e.Thread(conv.String(), ThreadQuery{Limit: 10})
	if err != nil || len(page.Pending) != 1 || page.Pending[0].Text != words || stateOf(t, e).Outbox.Refused != 1 {
		t.Fatalf("a changed text: %+v %+v %v", page.Pending, stateOf(t, e).Outbox, err)
	}
}
