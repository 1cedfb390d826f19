package desktop

import (
	"encoding/json"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// A name or a number that was typed offline and then refused is not lost with
// the refusal.
func TestARefusedChangeOfAContactIsKept(t *testing.T) {
	j := newJudge(t)
	data := t.TempDir()
	e := open(t, Options{Data: data, DefaultServer: "x"})
	join(t, e, j.URL)
	s := current(t, e)
	until(t, "the line", func() bool { return s.net.Load() != nil })
	conv := cached(t, s, chat.NewID[chat.Brand]())
	raw, err := s.cache.Conversation(t.Context(), conv)
	if err != nil {
		t.Fatal(err)
	}
	var c chat.Conversation
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	contact := c.Contact
	j.refuse(&protocol.Problem{Code: chat.CodeForbidden, Detail: "You may not change this contact."})
	name, phone := "Zoë Fischer-Lang", "+49 30 123456"
	if err := e.UpdateContact(contact.String(), ContactFields{Name: &name, Phone: &phone}); err != nil {
		t.Fatal(err)
	}
	until(t, "the refusal", func() bool { return stateOf(t, e).Outbox.Refused == 1 })
	until(t, "the window to hear of it", func() bool { return told(e, EventProblem) == 1 })
	if row, err := s.cache.Row(t.Context(), conv); err != nil || row.Label == name {
		t.Errorf("the contact is called %q, %v", row.Label, err)
	}
	raw, err = s.cache.Contact(t.Context(), contact)
	var shown chat.Contact
	if err != nil || json.Unmarshal(overlayContact(raw, s.outbox.Snapshot().OfContact(contact)), &shown) != nil || shown.Name == name || shown.Phone == phone {
		t.Errorf("what was refused is shown as if it held: %+v, %v", shown, err)
	}
	unsent := func(e *Engine) UnsentEntry {
		t.Helper()
		all, err := e.Unsent()
		if err != nil || len(all) != 1 {
			t.Fatalf("not sent are %+v, %v", all, err)
		}
		return all[0]
	}
	got := unsent(e)
	if got.Kind != protocol.ContactUpdate || got.Text != name+"\n"+phone || got.Label != "Zoë Fischer" || !got.Reachable ||
		got.Conversation != conv.String() || got.State != string(cache.StateRefused) || got.Problem == nil {
		t.Fatalf("kept is %+v", got)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, Options{Data: data, DefaultServer: "x"})
	again := unsent(e)
	if again.Text != got.Text || again.Problem == nil || again.Problem.Code != chat.CodeForbidden {
		t.Fatalf("after a restart kept is %+v", again)
	}
	before := len(j.commands(protocol.ContactUpdate))
	if _, err := e.Resend(again.ID, Resend{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it to be tried again and refused", func() bool {
		return len(j.commands(protocol.ContactUpdate)) == before+1 && stateOf(t, e).Outbox.Refused == 1
	})
	if id := unsent(e).ID; id == again.ID {
		t.Error("it was tried again under the id that was judged already")
	}
	if back, err := e.Drop(unsent(e).ID); err != nil || back.Text != got.Text {
		t.Fatalf("given up %+v, %v", back, err)
	}
	if all, err := e.Unsent(); err != nil || len(all) != 0 || stateOf(t, e).Outbox.Refused != 0 {
		t.Fatalf("not sent are %+v, %v", all, err)
	}
}
