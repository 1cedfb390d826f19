package cache

import (
	"testing"

	"parley/backend/chat"
)

func TestFailedDeliveriesAreFoundAndToldOnce(t *testing.T) {
	c := open(t, t.TempDir())
	w := world{t}
	message := func(number, ver int64, state chat.DeliveryState, text string) chat.Change {
		m := chat.Message{ID: messageID(1, number), Ver: ver, Conversation: conversationID(1), Number: number, Kind: chat.MessageKindMessage,
			Parts: []chat.Part{chat.TextPart(text)}, StoredAt: testNow + chat.Time(number), Delivery: &chat.Delivery{State: state}}
		return w.change(chat.EntityMessage, m.ID.String(), ver, brandID(1), m.Conversation, m)
	}
	found := func(since chat.Time, want int) {
		t.Helper()
		got, err := c.Undelivered(t.Context(), since)
		if err != nil || len(got) != want {
			t.Fatalf("%d undelivered since %d, want %d (%v)", len(got), since, want, err)
		}
	}
	failed := func(want int, changes ...chat.Change) {
		t.Helper()
		position, _ := c.Position()
		applied, err := c.Apply(t.Context(), position, changes[len(changes)-1].Seq, changes)
		if err != nil || len(applied.Failed) != want {
			t.Fatalf("told of %d, want %d (%v)", len(applied.Failed), want, err)
		}
	}
	failed(0, w.brand(1, 1), w.contact(1, 2, 1, "Ana"), w.conversation(1, 3, 1, nil),
		message(1, 4, chat.DeliverySent, `says "failed"`), message(2, 5, chat.DeliveryQueued, "two"))
	found(0, 0)
	failed(1, message(2, 6, chat.DeliveryFailed, "two"))
	found(0, 1)
	found(testNow+3, 0)
	failed(0, message(2, 7, chat.DeliveryFailed, "two, edited")) // known already
	found(0, 1)
	failed(0, message(2, 8, chat.DeliveryQueued, "two")) // out once more
	found(0, 0)
	failed(1, message(2, 9, chat.DeliveryFailed, "two"))
	failed(0, w.change(chat.EntityMessage, messageID(1, 2).String(), 10, brandID(1), conversationID(1), nil))
	found(0, 0)
}

func TestARefusedScheduledMessageIsTold(t *testing.T) {
	c := open(t, t.TempDir())
	w := world{t}
	refused := w.change(chat.EntityScheduled, messageID(1, 200).String(), 5, brandID(1), conversationID(1), chat.Scheduled{ID: messageID(1, 200), Ver: 5,
		Conversation: conversationID(1), Problem: []byte(`{"code":"newer_messages"}`)})
	applied, err := c.Apply(t.Context(), 0, 4, []chat.Change{w.brand(1, 1), w.contact(1, 2, 1, "Ana"), w.conversation(1, 3, 1, nil), w.scheduled(1, 200, 4, 1, "later")})
	if err != nil || len(applied.Failed) != 0 || !applied.Waiting {
		t.Fatalf("%+v %v", applied, err)
	}
	if applied, err = c.Apply(t.Context(), 4, 5, []chat.Change{refused}); err != nil || len(applied.Failed) != 1 || applied.Failed[0].Kind != chat.EntityScheduled {
		t.Fatalf("%+v %v", applied, err)
	}
	if applied, err = c.Apply(t.Context(), 5, 6, []chat.Change{w.scheduled(1, 200, 6, 1, "")}); err != nil || !applied.Waiting {
		t.Fatalf("%+v %v", applied, err)
	}
	if left, err := c.Scheduled(t.Context()); err != nil || len(left) != 0 {
		t.Fatalf("%s %v", left, err)
	}
}

// TestWhatIsHiddenHasNotFailed: also while its rows are still being removed.
func TestWhatIsHiddenHasNotFailed(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	list := []chat.Change{w.brand(1, 1), w.brand(2, 2), w.contact(1, 3, 1, "Ana"), w.contact(2, 4, 2, "Bob"), w.conversation(1, 5, 1, nil),
		w.failed(1, 1, 6, 1, "lost"), w.scheduled(1, 200, 7, 1, "later")}
	ver := int64(8)
	for n := byte(3); n < 250; n++ { // so that it takes a while
		list = append(list, w.conversation(n, ver, 2, nil))
		for i := int64(1); i < 20; i++ {
			list = append(list, w.message(n, i, ver, 2, "x"))
		}
		ver++
	}
	list = append(list, w.conversation(2, ver, 2, nil), w.failed(2, 1, ver, 2, "secret"), w.scheduled(2, 200, ver, 2, "secret later"))
	apply(t, c, list...)
	apply(t, c, w.access(ver+1, chat.Access{Brands: []chat.BrandID{brandID(1)}}))
	if got, err := c.Undelivered(t.Context(), 0); err != nil || len(got) != 1 {
		t.Errorf("undelivered: %s %v", got, err)
	}
	if got, err := c.Scheduled(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("scheduled: %s %v", got, err)
	}
}

// TestAFailureIsNotedWhateverWayItComes: ahead of the log, by the log, or by the
// state after a long absence.
func TestAFailureIsNotedWhateverWayItComes(t *testing.T) {
	noted := func(a Applied, seen ...bool) {
		t.Helper()
		if len(a.Failed) != len(seen) || !a.Waiting {
			t.Errorf("noted %+v, want %v", a, seen)
			return
		}
		for i, f := range a.Failed {
			if f.Seen != seen[i] {
				t.Errorf("%s seen to fail: %v", f.Kind, f.Seen)
			}
		}
	}
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c, w.brand(1, 1), w.contact(1, 2, 1, "Ana"), w.conversation(1, 3, 1, nil), w.message(1, 2, 4, 1, "hello"), w.scheduled(1, 200, 5, 1, "later"))
	ahead := w.failed(1, 1, 9, 1, "lost")
	a, err := c.PutMessages(t.Context(), conversationID(1), 1, 1, 2, data(ahead))
	must(t, err)
	noted(a, false) // it may have stood there for long
	if a := apply(t, c, ahead); len(a.Failed) > 0 {
		t.Errorf("noted again: %+v", a.Failed)
	}

	must(t, c.BeginBootstrap(t.Context(), Bootstrap{Head: 100}))
	refused := func(number int64) Row {
		return RowOf(w.change(chat.EntityScheduled, messageID(1, number).String(), 51, brandID(1), conversationID(1), chat.Scheduled{ID: messageID(1, number), Ver: 51,
			Conversation: conversationID(1), Problem: []byte(`{"code":"newer_messages"}`)}))
	}
	rows := []Row{RowOf(w.failed(1, 2, 50, 1, "hello")), RowOf(w.failed(1, 3, 50, 1, "never heard of")), refused(200), refused(201)}
	a, err = c.PutBootstrap(t.Context(), rows, "")
	must(t, err)
	noted(a, true, false, true, false)
	a, err = c.PutBootstrap(t.Context(), rows, "")
	must(t, err)
	if len(a.Failed) > 0 {
		t.Errorf("noted again: %+v", a.Failed)
	}
}
