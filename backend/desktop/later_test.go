package desktop

import (
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// TestDroppingAScheduledTextTakesItBack: sent now and refused, a scheduled text
// is kept by the server all the same, and would go out when it is due.
func TestDroppingAScheduledTextTakesItBack(t *testing.T) {
	j := newJudge(t)
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, j.URL)
	s := current(t, e)
	until(t, "the line", func() bool { return s.net.Load() != nil })
	brand := chat.NewID[chat.Brand]()
	conv := cached(t, s, brand)
	seen := int64(1)
	x := chat.Scheduled{ID: chat.NewID[chat.Message](), Ver: 7, Conversation: conv, Member: s.me, Parts: []chat.Part{chat.TextPart("later")},
		SendAt: e.now().Add(time.Hour), CreatedAt: e.now(), Seen: &seen}
	a, err := s.cache.PutRows(t.Context(), []cache.Row{{Kind: chat.EntityScheduled, ID: x.ID.String(), Op: chat.OpPut, Brand: brand, Conversation: conv, Data: encode(t, x)}})
	if err != nil {
		t.Fatal(err)
	}
	s.changed(a)
	j.refuse(&protocol.Problem{Code: chat.CodeHeldByOther, Detail: "A colleague is answering."})
	entry, err := e.Resend(scheduledPrefix+x.ID.String(), Resend{})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the refusal", func() bool { return len(s.outbox.Snapshot().Refused()) == 1 })
	j.refuse(nil)
	if _, err := e.Drop(entry.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(j.commands(protocol.MessageUnschedule)); n != 1 {
		t.Errorf("the text was dropped, and the server sends it when it is due: it was told %d times to drop it", n)
	}
}
