package desktop

import (
	"encoding/json"
	"slices"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// talk is a chat in the cache in which the customer writes.
type talk struct {
	t  *testing.T
	e  *Engine
	s  *session
	id chat.ConversationID
	c  chat.Conversation // as the server has it
}

func newTalk(t *testing.T, e *Engine) *talk {
	t.Helper()
	x := &talk{t: t, e: e, s: current(t, e)}
	x.id = cached(t, x.s, chat.NewID[chat.Brand]())
	raw, err := x.s.cache.Conversation(t.Context(), x.id)
	if err == nil {
		err = json.Unmarshal(raw, &x.c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// say brings messages of the customer, and that all is read or not.
func (x *talk) say(n int, read bool) {
	x.t.Helper()
	var rows []cache.Row
	row := func(kind chat.EntityKind, id string, v any) {
		rows = append(rows, cache.Row{Kind: kind, ID: id, Op: chat.OpPut, Brand: x.c.Brand, Conversation: x.id, Data: encode(x.t, v)})
	}
	x.c.Ver++
	for range n {
		m := chat.Message{ID: chat.NewID[chat.Message](), Ver: x.c.Ver, Kind: chat.MessageKindMessage, Author: chat.CustomerActor(x.c.Contact),
			Parts: []chat.Part{chat.TextPart("hello")}, StoredAt: x.e.now()}
		x.c.Append(&m)
		row(chat.EntityMessage, m.ID.String(), m)
	}
	if read {
		x.c.Read(x.c.LastNumber, x.c.InNumber)
	}
	row(chat.EntityConversation, x.id.String(), x.c)
	a, err := x.s.cache.PutRows(x.t.Context(), rows)
	if err != nil || a.Skipped > 0 {
		x.t.Fatalf("cache messages: %+v %v", a, err)
	}
}

// unread is what the list shows.
func (x *talk) unread() int64 {
	x.t.Helper()
	var c chat.Conversation
	page, err := x.e.List(ListQuery{Limit: 1})
	if err == nil && len(page.Rows) == 1 {
		err = json.Unmarshal(page.Rows[0].Conversation, &c)
	}
	if err != nil {
		x.t.Fatal(err)
	}
	return c.Unread
}

// TestUnreadIsWhatTheAgentSaw: what the customer has written since the key was
// pressed nobody has seen, and it stays unread.
func TestUnreadIsWhatTheAgentSaw(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	s := current(t, e)
	x := newTalk(t, e)
	x.say(3, true)
	if err := e.MarkUnread(x.id.String()); err != nil {
		t.Fatal(err)
	}
	if n := x.unread(); n != 1 {
		t.Errorf("%d unread, want the newest", n)
	}
	x.say(2, false) // before the server has heard of it
	if n := x.unread(); n != 3 {
		t.Errorf("%d unread, want the newest of then and two more", n)
	}
	waiting := s.outbox.Snapshot().Of(x.id)
	var args protocol.ReadArgs
	if len(waiting) != 1 || json.Unmarshal(waiting[0].Args, &args) != nil || args.From != 3 {
		t.Errorf("handed in: %+v", waiting)
	}
	// What is unread already stays as it is.
	if err := e.MarkUnread(x.id.String()); err != nil {
		t.Fatal(err)
	}
	if n := x.unread(); n != 3 {
		t.Errorf("%d unread after saying it again", n)
	}
}

// TestReadUpToTheFirstMessage: a position counts what is up to it, wherever it is.
func TestReadUpToTheFirstMessage(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	s := current(t, e)
	x := newTalk(t, e)
	x.say(3, false)
	for upto := int64(1); upto <= 3; upto++ {
		if err := e.MarkRead(x.id.String(), upto); err != nil {
			t.Fatal(err)
		}
		if n := x.unread(); n != 3-upto {
			t.Errorf("%d unread of 3 after reading up to %d", n, upto)
		}
	}
	if n := s.customerMessages(t.Context(), x.c, 0); n != 0 {
		t.Errorf("%d customer messages before the first", n)
	}
}

// TestARefusedReplyReadsNothing: a chat is read by answering when the answer has
// gone out. Else it stands as read for everybody, and nobody has answered.
func TestARefusedReplyReadsNothing(t *testing.T) {
	j := newJudge(t)
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	join(t, e, j.URL)
	s := current(t, e)
	until(t, "the line", func() bool { return s.net.Load() != nil })
	x := newTalk(t, e)
	x.say(2, false)
	reads := func() int { return len(j.commands(protocol.ConversationRead)) }
	j.refuse(&protocol.Problem{Code: chat.CodeBlocked, Detail: "This contact is blocked."})
	send := func(text string) OutboxEntry {
		t.Helper()
		entry, err := e.Send(x.id.String(), NewMessage{Text: text, Seen: 2})
		if err != nil {
			t.Fatal(err)
		}
		return entry
	}
	first := send("first")
	until(t, "the refusal", func() bool { return len(s.outbox.Snapshot().Refused()) == 1 })
	send("second") // waits for the first
	if n := x.unread(); n != 2 {
		t.Errorf("%d unread while the answer is refused", n)
	}
	if s.outbox.Snapshot().Of(x.id)[0].ID.String() != first.ID || reads() > 0 {
		t.Errorf("what was refused has moved the read position %d times", reads())
	}
	// The same after a restart.
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openWith(t, dir, ring)
	s = current(t, e)
	x.e, x.s = e, s
	until(t, "the line", func() bool { return s.net.Load() != nil })
	if n := x.unread(); n != 2 || reads() > 0 {
		t.Errorf("after a restart %d unread, %d commands", n, reads())
	}
	// Sent again, it has answered.
	j.refuse(nil)
	if _, err := e.Resend(first.ID, Resend{Force: true}); err != nil {
		t.Fatal(err)
	}
	until(t, "the texts and what they read", func() bool { return len(s.outbox.Snapshot().Of(x.id)) == 0 })
	if reads() != 1 {
		t.Errorf("read %d times", reads())
	}
	// Dropped, it has not.
	x.say(1, false)
	j.refuse(&protocol.Problem{Code: chat.CodeBlocked, Detail: "This contact is blocked."})
	third, err := e.Send(x.id.String(), NewMessage{Text: "third", Seen: 3})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the refusal", func() bool { return len(s.outbox.Snapshot().Refused()) == 1 })
	if s.outbox.Snapshot().Waits() {
		t.Error("something goes out by itself")
	}
	j.refuse(nil)
	if _, err := e.Drop(third.ID); err != nil {
		t.Fatal(err)
	}
	if waiting := s.outbox.Snapshot().Of(x.id); len(waiting) > 0 || reads() != 1 {
		t.Errorf("%d commands wait, %d read", len(waiting), reads())
	}
}

// TestAPageThatIsResolvedWhileOfflineIsNotTheEndOfTheList: the rows behind it
// would be out of reach until the line is back.
func TestAPageThatIsResolvedWhileOfflineIsNotTheEndOfTheList(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	s, brand := current(t, e), chat.NewID[chat.Brand]()
	var left []string
	for range 3 {
		left = append([]string{cached(t, s, brand).String()}, left...)
	}
	for range 5 {
		if err := e.Resolve(cached(t, s, brand).String()); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	q := ListQuery{Quick: string(cache.QuickUnresolved), Limit: 2}
	for {
		page, err := e.List(q)
		if err != nil || len(page.Rows) == 0 && page.Next != "" {
			t.Fatalf("%+v %v", page, err)
		}
		for _, r := range page.Rows {
			var c chat.Conversation
			if err := json.Unmarshal(r.Conversation, &c); err != nil {
				t.Fatal(err)
			}
			got = append(got, c.ID.String())
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if !slices.Equal(got, left) {
		t.Errorf("the list is %v, want %v", got, left)
	}
}

// TestAChatIsResolvedAsItIsHere: what the customer has said since is for the
// server to find.
func TestAChatIsResolvedAsItIsHere(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	j := newJudge(t)
	j.refuse(&protocol.Problem{Code: chat.CodeNewerMessages, Detail: "Somebody wrote in this chat before it was resolved."})
	join(t, e, j.URL)
	x := newTalk(t, e)
	x.say(3, true)
	if err := e.Resolve(x.id.String()); err != nil {
		t.Fatal(err)
	}
	until(t, "the refusal to be told", func() bool { return told(e, EventProblem) > 0 })
	sent := j.commands(protocol.ConversationResolve)
	if len(sent) != 1 || sent[0].Seen == nil || *sent[0].Seen != x.c.LastNumber {
		t.Fatalf("%+v, want what was in view: %d", sent, x.c.LastNumber)
	}
}
