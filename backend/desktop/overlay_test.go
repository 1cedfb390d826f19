package desktop

import (
	"encoding/json"
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
