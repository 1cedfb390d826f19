package desktop

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/protocol"
)

// archive is a server that has some chats, by conversation, and refuses every
// command.
type archive struct {
	*judge
	broken atomic.Bool // no chat can be read
	chats  map[chat.ConversationID]chat.Contact
	asked  atomic.Int64
}

func newArchive(t *testing.T) (*archive, string) {
	t.Helper()
	a := &archive{judge: newJudge(t), chats: map[chat.ConversationID]chat.Contact{}}
	a.refuse(&protocol.Problem{Code: chat.CodeNewerMessages, Detail: "A colleague has answered."})
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	return a, srv.URL
}

func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, one := strings.CutPrefix(r.URL.Path, "/v1/conversations")
	if !one || a.broken.Load() {
		a.judge.ServeHTTP(w, r)
		return
	}
	w.Header().Set(protocol.VersionHeader, protocol.Version)
	if id != "" { // only those are asked for that were not in a list
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(protocol.ProblemOf(chat.Errorf(chat.CodeNotFound, "There is no such conversation."))) // the client has gone
		return
	}
	a.asked.Add(1)
	page := protocol.ConversationsPage{Conversations: []chat.Conversation{}, Contacts: []chat.Contact{}}
	for id, contact := range a.chats {
		if strings.Contains(r.URL.Query().Get("with"), id.String()) {
			page.Contacts = append(page.Contacts, contact)
			page.With = append(page.With, chat.Conversation{ID: id, Ver: 3, Brand: contact.Brand, Contact: contact.ID,
				Channel: chat.NewID[chat.Channel](), Status: chat.StatusResolved, State: chat.StateClosed, LastMessageAt: 1})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page) // the client has gone
}

// TestAChatThatIsNotCachedIsAskedFor: a cache that was made anew holds what was
// active of late. What waits in an older chat is for a chat that exists.
func TestAChatThatIsNotCachedIsAskedFor(t *testing.T) {
	a, url := newArchive(t)
	a.broken.Store(true)
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, url)
	s := current(t, e)
	until(t, "the line", func() bool { return s.net.Load() != nil })
	older, typed, deleted := chat.NewID[chat.Conversation](), chat.NewID[chat.Conversation](), chat.NewID[chat.Conversation]()
	brand := chat.NewID[chat.Brand]()
	for c, name := range map[chat.ConversationID]string{older: "Zoë", typed: "Max"} {
		a.chats[c] = chat.Contact{ID: chat.NewID[chat.Contact](), Ver: 2, Brand: brand, Name: name}
	}
	for _, c := range []chat.ConversationID{older, deleted} {
		for _, text := range []string{"an answer", "one more thing"} { // the second waits behind the first
			if _, err := e.Send(c.String(), NewMessage{Text: text, Seen: 4}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := e.SaveDraft(typed.String(), Draft{Text: "half a sen"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the refusals", func() bool { return stateOf(t, e).Outbox.Refused == 2 })
	if err := s.cache.SetPosition(t.Context(), 5, "epoch"); err != nil { // as a load leaves it
		t.Fatal(err)
	}
	s.changed(cache.Applied{Everything: true})
	second := func(c chat.ConversationID) *protocol.Problem {
		t.Helper()
		all := s.outbox.Snapshot().Of(c)
		i := slices.IndexFunc(all, func(x outbox.Entry) bool { return textOf(x) == "one more thing" })
		if i < 0 {
			t.Fatalf("the text has gone: %+v", all)
		}
		return all[i].Problem
	}
	for _, c := range []chat.ConversationID{older, deleted} {
		if p := second(c); p != nil {
			t.Fatalf("without an answer from anybody: %s", p.Detail)
		}
	}

	a.broken.Store(false)
	until(t, "what is deleted to be refused", func() bool { return second(deleted) != nil })
	if p := second(deleted); p.Code != chat.CodeNotFound {
		t.Errorf("refused with %+v", p)
	}
	reach := map[string]UnsentEntry{}
	all, err := e.Unsent()
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		reach[u.Conversation] = u
	}
	if u := reach[older.String()]; !u.Reachable || u.Label != "Zoë" || second(older) != nil {
		t.Errorf("the chat exists: %+v, %+v", u, second(older))
	}
	if u, listed := reach[typed.String()]; listed {
		t.Errorf("the draft stands in a chat that can be opened: %+v", u)
	}
	if u := reach[deleted.String()]; u.Reachable {
		t.Errorf("a chat that does not exist can be opened: %+v", u)
	}
	asked := a.asked.Load()
	s.changed(cache.Applied{Everything: true})
	if _, err := e.Send(deleted.String(), NewMessage{Text: "and another", Seen: 4}); err != nil {
		t.Fatal(err)
	}
	s.lookForMissing()
	until(t, "the next text to be refused", func() bool { return stateOf(t, e).Outbox.Refused == 4 })
	if n := a.asked.Load(); n != asked {
		t.Errorf("what is known was asked for %d times more", n-asked)
	}
}
