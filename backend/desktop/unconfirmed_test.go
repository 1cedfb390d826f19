package desktop

import (
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// TestWhatWaitsForLongIsToldOnceAndListed: its author may think that the
// customer has it.
func TestWhatWaitsForLongIsToldOnceAndListed(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	j := newJudge(t)
	j.leave(true)
	join(t, e, j.URL)
	f := newFailing(t, e)
	send := func(text string) {
		t.Helper()
		if _, err := e.Send(f.conv.String(), NewMessage{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	look := func() {
		for range unconfirmedLooks {
			f.s.lookAtWaiting()
		}
	}
	counts := func(what string, want OutboxCounts) {
		t.Helper()
		if got := stateOf(t, e).Outbox; got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	send("Your parcel left today.")
	f.s.lookAtWaiting()
	f.told("just sent", 0, 0)
	counts("just sent", OutboxCounts{Queued: 1})

	look()
	f.told("after ten minutes", 1, 1)
	counts("after ten minutes", OutboxCounts{Queued: 1, Unconfirmed: 1})
	all, err := e.Unsent()
	if err != nil || !all[0].Unconfirmed || all[0].Problem != nil || all[0].Text != "Your parcel left today." {
		t.Fatalf("%+v %v", all, err)
	}
	send("It should be with you tomorrow.")
	look()
	look()
	f.told("another", 1, 2)

	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openWith(t, dir, ring)
	f.e, f.s = e, current(t, e)
	f.told("a new start has tried for no time yet", 0, 0)
	look()
	f.told("after ten minutes more", 0, 2)

	// That it is refused after all is another matter.
	j.refuse(&protocol.Problem{Code: chat.CodeNotFound, Detail: "There is no such conversation."})
	j.leave(false)
	until(t, "the line", func() bool { return f.s.net.Load() != nil })
	f.s.tryNow()
	until(t, "the refusal", func() bool { return stateOf(t, e).Outbox.Refused == 1 })
	look()
	f.told("the first is refused, the other waits for what becomes of it", 1, 1)
	counts("refused", OutboxCounts{Queued: 1, Refused: 1})
	told, err := f.s.local.Told(t.Context())
	if err != nil || len(told) != 1 {
		t.Errorf("told of %v, %v", told, err)
	}
}

// TestATryAgainThatWaitsIsCountedAndNotMadeTwice: without a line it would look
// as if nothing were wrong, and as if nothing had been done.
func TestATryAgainThatWaitsIsCountedAndNotMadeTwice(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	j := newJudge(t)
	j.leave(true)
	join(t, e, j.URL)
	f := newFailing(t, e)
	m := f.message(chat.DeliveryFailed, 0)
	f.log(m)
	f.told("failed", 1, 1)
	var ids []string
	for range 2 {
		entry, err := e.Resend(undeliveredPrefix+m.ID.String(), Resend{})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, entry.ID)
	}
	if ids[0] != ids[1] {
		t.Errorf("tried again twice: %v", ids)
	}
	if got, want := stateOf(t, e).Outbox, (OutboxCounts{Queued: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	f.told("tried again", 0, 0)
	for range unconfirmedLooks {
		f.s.lookAtWaiting()
	}
	f.told("after ten minutes", 1, 1)
	if got, want := stateOf(t, e).Outbox, (OutboxCounts{Queued: 1, Unconfirmed: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestWhatIsToGoOutLaterDoesNotWaitYet: nor does what can be taken back.
func TestWhatIsToGoOutLaterDoesNotWaitYet(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	f := newFailing(t, e)
	if _, err := e.Send(f.conv.String(), NewMessage{Text: "Good morning!", SendAt: e.now().Add(24 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for range unconfirmedLooks {
		f.s.lookAtWaiting()
	}
	f.told("scheduled for tomorrow", 0, 0)
}
