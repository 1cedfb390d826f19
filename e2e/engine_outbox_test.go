package e2e

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/protocol"
)

// undo lets the member take messages back for so many seconds.
func (e *engine) undo(seconds int64) {
	e.t.Helper()
	if err := e.PutMe(desktop.MePut{UndoSeconds: &seconds}); err != nil {
		e.t.Fatal(err)
	}
}

// pending gives the entries of a thread that stand below its messages.
func (e *engine) pending(c chat.ConversationID, state string) (out []desktop.OutboxEntry) {
	e.t.Helper()
	for _, p := range e.thread(c, desktop.ThreadQuery{}).Pending {
		if p.State == state {
			out = append(out, p)
		}
	}
	return out
}

// draft gives the member's draft of a conversation, as the server has it.
func (p *person) draft(conv chat.ConversationID) string {
	p.t.Helper()
	all := p.drafts(conv)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// drafts gives what the draft of a conversation was, "" where it was dropped.
func (p *person) drafts(conv chat.ConversationID) (texts []string) {
	p.t.Helper()
	page, err := p.client.Changes(p.t.Context(), "", 0)
	if err != nil {
		p.t.Fatalf("read changes: %v", err)
	}
	for _, c := range page.Changes {
		if c.Kind != chat.EntityDraft || c.Conversation != conv {
			continue
		}
		var d chat.Draft
		if c.Op == chat.OpPut {
			if err := json.Unmarshal(c.Data, &d); err != nil {
				p.t.Fatalf("read draft: %v", err)
			}
		}
		texts = append(texts, d.Text)
	}
	return texts
}

func TestEngineTakesAMessageBack(t *testing.T) {
	b := newBackend(t)
	line := NewProxy(t, b.config.Listen)
	first := openEngine(t, t.TempDir())
	first.signIn(line.URL())
	b.visitor().says("hello?")
	c := first.find("hello?")
	first.undo(30)

	entry := first.send(c.ID, "too fast", c.LastNumber)
	if entry.State != "held" || entry.Due.Sub(entry.CreatedAt) != 30*time.Second {
		t.Fatalf("sent %+v, want it held for 30 s", entry)
	}
	if back, err := first.Drop(entry.ID); err != nil || back.Text != "too fast" {
		t.Fatalf("taken back %+v %v", back, err)
	}
	if n := first.find("hello?").Unread; n != 1 {
		t.Fatalf("%d messages are unread, want 1: nobody has answered", n)
	}
	// What is held when the computer is switched off goes out afterwards, once.
	first.undo(2)
	first.send(c.ID, "slowly", c.LastNumber)
	if n := len(first.pending(c.ID, "held")); n != 1 {
		t.Fatalf("%d messages are held", n)
	}
	disk := first.crash()
	line.Cut() // what it does while it is closed below a dead program does not
	first.close()
	line.Restore()
	second := openEngine(t, disk)
	owner := b.owner()
	Until(t, "the held message to go out", func() bool {
		return slices.Equal(owner.texts(c.ID), []string{"hello?", "slowly"}) && second.state().Outbox.Queued == 0
	})
	Until(t, "the chat to be read by that", func() bool { return second.find("slowly").Unread == 0 })
}

// TestEngineHandsInWhatItHolds: leaving is no undo, whichever way one leaves.
func TestEngineHandsInWhatItHolds(t *testing.T) {
	for name, leave := range map[string]func(e *engine){
		"closed":  func(e *engine) { e.close() },
		"another": func(e *engine) { e.signIn(newBackend(t).url()) },
		"switched": func(e *engine) {
			for _, a := range e.state().Accounts {
				if !a.Active {
					if err := e.SwitchAccount(a.ID); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
		"signed out": func(e *engine) {
			if err := e.SignOut(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			e := openEngine(t, t.TempDir())
			if name == "switched" {
				e.signIn(newBackend(t).url())
			}
			e.signIn(b.url())
			b.visitor().says("hello?")
			c := e.find("hello?")
			e.undo(30)
			owner := b.owner()
			e.send(c.ID, "good night", c.LastNumber)
			leave(e)
			if got := owner.texts(c.ID); !slices.Equal(got, []string{"hello?", "good night"}) {
				t.Errorf("the customer has %q", got)
			}
		})
	}
}

// TestEngineKeepsWhatItCannotHandIn: without a line closing waits for nobody, and the next start sends it.
func TestEngineKeepsWhatItCannotHandIn(t *testing.T) {
	for name, fail := range map[string]func(*Proxy){"cut": (*Proxy).Cut, "stalled": (*Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			line := NewProxy(t, b.config.Listen)
			data := t.TempDir()
			first := openEngine(t, data)
			first.signIn(line.URL())
			b.visitor().says("hello?")
			c := first.find("hello?")
			first.undo(5)
			first.send(c.ID, "good night", c.LastNumber)
			fail(line)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if left := first.HandIn(ctx); left != 1 {
				t.Errorf("%d texts are left, want 1", left)
			}
			first.close()
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("closing took %v", took)
			}
			line.Restore()
			second := openEngine(t, data)
			owner := b.owner()
			Until(t, "the message to go out", func() bool {
				return slices.Equal(owner.texts(c.ID), []string{"hello?", "good night"}) && second.state().Outbox.Queued == 0
			})
		})
	}
}

func TestEngineSendsLaterWithTheComputerOff(t *testing.T) {
	b := newBackend(t)
	first := openEngine(t, t.TempDir())
	first.signIn(b.url())
	b.visitor().says("hello?")
	c := first.find("hello?")
	at := chat.TimeOf(time.Now()).Add(4 * time.Second)
	entry, err := first.Send(c.ID.String(), desktop.NewMessage{Text: "good morning", Seen: c.LastNumber, SendAt: at})
	if err != nil {
		t.Fatal(err)
	}
	Until(t, "the server to have it", func() bool { return len(first.pending(c.ID, "scheduled")) == 1 })
	if kept := first.pending(c.ID, "scheduled")[0]; kept.Message != entry.Message || kept.SendAt != at || kept.Text != "good morning" {
		t.Fatalf("scheduled %+v", kept)
	}
	// A fresh device shows it too.
	other := openEngine(t, t.TempDir())
	other.signIn(b.url())
	Until(t, "the other device to show it", func() bool { return len(other.pending(c.ID, "scheduled")) == 1 })
	disk := first.crash()
	first.close()
	other.close()

	owner := b.owner()
	Until(t, "the message to go out", func() bool { return slices.Equal(owner.texts(c.ID), []string{"hello?", "good morning"}) })
	second := openEngine(t, disk)
	Until(t, "the thread to be right", func() bool {
		n, waiting := times(second.thread(c.ID, desktop.ThreadQuery{}), "good morning")
		return n == 1 && waiting == 0
	})
}

// TestEngineKeepsADraftTypedAfterScheduling: when what was scheduled falls due,
// and when it is sent now.
func TestEngineKeepsADraftTypedAfterScheduling(t *testing.T) {
	for name, now := range map[string]bool{"due": false, "sent now": true} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			e := openEngine(t, t.TempDir())
			e.signIn(b.url())
			b.visitor().says("hello?")
			c := e.find("hello?")
			at := chat.TimeOf(time.Now()).Add(4 * time.Second)
			if now {
				at = at.Add(time.Hour)
			}
			if _, err := e.Send(c.ID.String(), desktop.NewMessage{Text: "good morning", Seen: c.LastNumber, SendAt: at}); err != nil {
				t.Fatal(err)
			}
			Until(t, "the server to have it", func() bool { return len(e.pending(c.ID, "scheduled")) == 1 })
			const typed = "a long answer, half written"
			if err := e.SaveDraft(c.ID.String(), desktop.Draft{Text: typed}); err != nil {
				t.Fatal(err)
			}
			owner := b.owner()
			Until(t, "the server to have the draft", func() bool { return owner.draft(c.ID) == typed })
			if now {
				if _, err := e.Resend(e.pending(c.ID, "scheduled")[0].ID, desktop.Resend{Seen: c.LastNumber}); err != nil {
					t.Fatal(err)
				}
			}
			Until(t, "it to go out", func() bool { return slices.Equal(owner.texts(c.ID), []string{"hello?", "good morning"}) })
			Until(t, "the engine to know", func() bool {
				n, waiting := times(e.thread(c.ID, desktop.ThreadQuery{}), "good morning")
				return n == 1 && waiting == 0
			})
			if v, err := e.Conversation(c.ID.String()); err != nil || v.Draft == nil || v.Draft.Text != typed {
				t.Fatalf("the draft is %+v %v", v.Draft, err)
			}
			Until(t, "the server to have the draft still", func() bool { return owner.draft(c.ID) == typed })
		})
	}
}

// TestEngineSendsLaterOnAWrongClock: what is to go out in an hour goes out in an
// hour, and is shown so, on a machine whose clock is a day off.
func TestEngineSendsLaterOnAWrongClock(t *testing.T) {
	for name, off := range map[string]time.Duration{"behind": -24 * time.Hour, "ahead": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			wall := func() time.Time { return time.Now().Add(off) }
			e := openEngineAt(t, t.TempDir(), wall)
			e.signIn(b.url())
			b.visitor().says("hello?")
			c := e.find("hello?")
			at := chat.TimeOf(wall()).Add(time.Hour)
			if _, err := e.Send(c.ID.String(), desktop.NewMessage{Text: "in an hour", Seen: c.LastNumber, SendAt: at}); err != nil {
				t.Fatal(err)
			}
			Until(t, "the server to have it", func() bool { return len(e.pending(c.ID, "scheduled")) == 1 })
			if shown := e.pending(c.ID, "scheduled")[0].SendAt; shown.Sub(at).Abs() > 10*time.Second {
				t.Fatalf("shown for %v, chosen was %v", shown, at)
			}
			var kept chat.Scheduled
			page, err := b.owner().client.Changes(t.Context(), "", 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range page.Changes {
				if x.Kind == chat.EntityScheduled && x.Op == chat.OpPut {
					if err := json.Unmarshal(x.Data, &kept); err != nil {
						t.Fatal(err)
					}
				}
			}
			if wait := kept.SendAt.Sub(chat.TimeOf(time.Now())); (wait - time.Hour).Abs() > 10*time.Second {
				t.Fatalf("the server sends it in %v", wait)
			}
		})
	}
}

// TestEngineAsksAboutWhatMissedItsMoment: what was to go out at a time when
// there was no line does not go out without a word, and does when its author
// says so.
func TestEngineAsksAboutWhatMissedItsMoment(t *testing.T) {
	var passed atomic.Int64
	b := newBackendAt(t, func() chat.Time { return chat.TimeOf(time.Now()).Add(time.Duration(passed.Load())) })
	line := NewProxy(t, b.config.Listen)
	e := openEngine(t, t.TempDir())
	e.signIn(line.URL())
	b.visitor().says("hello?")
	c := e.find("hello?")
	line.Cut()
	e.status("offline")
	at := chat.TimeOf(time.Now()).Add(time.Hour)
	if _, err := e.Send(c.ID.String(), desktop.NewMessage{Text: "until noon only", Seen: c.LastNumber, SendAt: at}); err != nil {
		t.Fatal(err)
	}
	passed.Store(int64(2 * time.Hour))
	line.Restore()
	Until(t, "the refusal", func() bool { return e.state().Outbox.Refused == 1 })
	list, err := e.Unsent()
	if err != nil || len(list) != 1 || list[0].Problem.Code != chat.CodeMomentPassed {
		t.Fatalf("could not send: %+v %v", list, err)
	}
	if _, err := e.Resend(list[0].ID, desktop.Resend{}); err != nil {
		t.Fatal(err)
	}
	owner := b.owner()
	Until(t, "it to go out", func() bool { return slices.Equal(owner.texts(c.ID), []string{"hello?", "until noon only"}) })
}

func TestEngineTakesAScheduledMessageBack(t *testing.T) {
	b := newBackend(t)
	line := NewProxy(t, b.config.Listen)
	e := openEngine(t, t.TempDir())
	e.signIn(line.URL())
	b.visitor().says("hello?")
	c := e.find("hello?")
	for _, text := range []string{"one", "two"} {
		at := chat.TimeOf(time.Now()).Add(time.Hour)
		if _, err := e.Send(c.ID.String(), desktop.NewMessage{Text: text, Seen: c.LastNumber, SendAt: at}); err != nil {
			t.Fatal(err)
		}
	}
	Until(t, "the server to have both", func() bool { return len(e.pending(c.ID, "scheduled")) == 2 })
	if back, err := e.Drop(e.pending(c.ID, "scheduled")[0].ID); err != nil || back.Text != "one" {
		t.Fatalf("taken back %+v %v", back, err)
	}
	left := e.pending(c.ID, "scheduled")
	if len(left) != 1 {
		t.Fatalf("%d are scheduled, want 1", len(left))
	}
	// Without a line nobody can promise that it does not go out.
	line.Cut()
	e.status("offline")
	if _, err := e.Drop(left[0].ID); chat.ErrorCode(err) != chat.CodeUnavailable && chat.ErrorCode(err) != desktop.CodeUncertain {
		t.Fatalf("taken back without a line: %v", err)
	}
	// Sending it now needs none: it goes out when the line is back, once.
	if _, err := e.Resend(left[0].ID, desktop.Resend{}); err != nil {
		t.Fatal(err)
	}
	if n := len(e.pending(c.ID, "scheduled")); n != 0 {
		t.Fatal("it stands in the thread twice")
	}
	line.Restore()
	owner := b.owner()
	Until(t, "it to go out", func() bool { return slices.Equal(owner.texts(c.ID), []string{"hello?", "two"}) })
}

// TestEngineComparesWhatIsSentAllTheSame: "send anyway" speaks of what stood
// there. What a colleague says after it was pressed, its author has not seen.
func TestEngineComparesWhatIsSentAllTheSame(t *testing.T) {
	b := newBackend(t)
	b.hire("ana@example.com")
	ana, owner := b.person("ana@example.com", ownerPassword), b.owner()
	line := NewProxy(t, b.config.Listen)
	e := openEngine(t, t.TempDir())
	e.signIn(line.URL())
	b.visitor().says("which size?")
	c := e.find("which size?")
	ana.says(c.ID, "medium")
	e.send(c.ID, "large", c.LastNumber)
	anyway := func(refusals int, meanwhile func()) {
		t.Helper()
		Until(t, "the refusal", func() bool { return e.state().Outbox.Refused == 1 })
		line.Cut()
		e.status("offline")
		list, err := e.Unsent()
		if err != nil || len(list) != 1 {
			t.Fatalf("refusal %d: %+v %v", refusals, list, err)
		}
		if _, err := e.Resend(list[0].ID, desktop.Resend{Force: true}); err != nil {
			t.Fatal(err)
		}
		meanwhile()
		line.Restore()
		Until(t, "a verdict", func() bool { return e.state().Outbox.Queued == 0 })
	}
	anyway(1, func() { ana.says(c.ID, "small, I have asked") })
	if got := owner.texts(c.ID); slices.Contains(got, "large") {
		t.Fatalf("it went out over an answer that its author never saw: %q", got)
	}
	// A hold is passed as well, but not what its holder says then.
	anyway(2, func() {
		ana.command(protocol.HandoffAccept, protocol.ConversationArgs{Conversation: c.ID, Force: true}, nil)
	})
	anyway(3, func() { ana.says(c.ID, "it is on its way") })
	if got := owner.texts(c.ID); slices.Contains(got, "large") {
		t.Fatalf("it went out over what the holder has said since: %q", got)
	}
	anyway(4, func() {})
	Until(t, "it to go out", func() bool { return slices.Contains(owner.texts(c.ID), "large") })
}

// TestEngineResolvesOnlyAfterTheAnswer: who answers and resolves without a line,
// and whose answer is refused, has not resolved it. Sending the answer does.
func TestEngineResolvesOnlyAfterTheAnswer(t *testing.T) {
	b := newBackend(t)
	b.hire("ana@example.com")
	ana, owner := b.person("ana@example.com", ownerPassword), b.owner()
	line := NewProxy(t, b.config.Listen)
	e := openEngine(t, t.TempDir())
	e.signIn(line.URL())
	v := b.visitor()
	v.says("hello?")
	c := e.find("hello?")
	line.Cut()
	e.status("offline")
	e.send(c.ID, "all done, bye", c.LastNumber)
	if err := e.Resolve(c.ID.String()); err != nil {
		t.Fatal(err)
	}
	ana.says(c.ID, "no, this is not done yet")
	v.says("I am still waiting!")
	line.Restore()
	Until(t, "the refusal", func() bool { return e.state().Outbox.Refused == 1 })
	if now := e.find("I am still waiting!"); now.Status != chat.StatusOpen {
		t.Fatalf("shown as %s over a customer who waits", now.Status)
	}
	list, err := e.Unsent()
	if err != nil || len(list) != 1 || !slices.Equal(list[0].Then, []string{protocol.ConversationResolve}) {
		t.Fatalf("could not send: %+v %v", list, err)
	}
	resolved := func() bool {
		return slices.ContainsFunc(owner.thread(c.ID), func(m chat.Message) bool { return m.Event != nil && m.Event.Name == "resolved" })
	}
	if resolved() {
		t.Fatal("resolved without the answer")
	}
	if _, err := e.Resend(list[0].ID, desktop.Resend{Force: true}); err != nil {
		t.Fatal(err)
	}
	Until(t, "the answer and what follows it", func() bool { return slices.Contains(owner.texts(c.ID), "all done, bye") && resolved() })
}

// TestEngineTellsOfWhatDidNotGoOut: in the list, in the count and as an event,
// and sends it with one call.
func TestEngineTellsOfWhatDidNotGoOut(t *testing.T) {
	b := newBackend(t)
	b.hire("ana@example.com")
	ana := b.person("ana@example.com", ownerPassword)
	e := openEngine(t, t.TempDir())
	e.signIn(b.url())
	b.visitor().says("which size?")
	c := e.find("which size?")
	entry, err := e.Send(c.ID.String(), desktop.NewMessage{Text: "large", Seen: c.LastNumber, SendAt: chat.TimeOf(time.Now()).Add(3 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	Until(t, "the server to have it", func() bool { return len(e.pending(c.ID, "scheduled")) == 1 })
	ana.says(c.ID, "medium")
	Until(t, "the refusal", func() bool { return e.state().Outbox.Failed == 1 })
	if !e.window.heard("undelivered ", entry.Message, `"code":"newer_messages"`) {
		Until(t, "the event", func() bool { return e.window.heard("undelivered ", entry.Message, `"code":"newer_messages"`) })
	}
	list, err := e.Unsent()
	if err != nil || len(list) != 1 || list[0].Text != "large" || list[0].Problem.Code != chat.CodeNewerMessages ||
		len(list[0].Problem.Messages) != 1 || !list[0].Reachable {
		t.Fatalf("could not send: %+v %v", list, err)
	}
	if _, err := e.Resend(list[0].ID, desktop.Resend{}); err != nil { // having been shown what Ana wrote
		t.Fatal(err)
	}
	owner := b.owner()
	Until(t, "it to go out", func() bool {
		return slices.Equal(owner.texts(c.ID), []string{"which size?", "medium", "large"}) && e.state().Outbox.Failed == 0
	})
	if list, err = e.Unsent(); err != nil || len(list) != 0 {
		t.Fatalf("still there: %+v %v", list, err)
	}
	for _, m := range owner.thread(c.ID) {
		if m.Text() == "large" && m.ID.String() != entry.Message {
			t.Fatal("it went out as another message")
		}
	}
	// A text refused at once is told as well.
	ana.command(protocol.HandoffAccept, protocol.ConversationArgs{Conversation: c.ID, Force: true}, nil)
	text := e.send(c.ID, "hm", 99)
	Until(t, "the event of the refused text", func() bool { return e.window.heard("undelivered ", text.ID, `"code":"held_by_other"`) })
}
