package desktop

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/secrets"
	"parley/backend/protocol"
)

// judge is a server that judges commands and does nothing else.
type judge struct {
	*httptest.Server
	mu      sync.Mutex
	seen    []chat.Command
	problem *protocol.Problem // of every command
	away    bool              // it answers nothing
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	j := &judge{}
	j.Server = httptest.NewServer(j)
	t.Cleanup(j.Close)
	return j
}

func (j *judge) refuse(p *protocol.Problem) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.problem = p
}

// leave lets it answer nothing until it comes back.
func (j *judge) leave(away bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.away = away
}

// commands gives the commands of a kind.
func (j *judge) commands(kind string) (out []chat.Command) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.seen {
		if c.Kind == kind {
			out = append(out, c)
		}
	}
	return out
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(protocol.VersionHeader, protocol.Version)
	w.Header().Set("Content-Type", "application/json")
	var in protocol.Commands
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.URL.Path != "/v1/commands" || j.away || json.NewDecoder(r.Body).Decode(&in) != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var out protocol.Results
	for _, c := range in.Commands {
		j.seen = append(j.seen, c)
		res := protocol.Result{ID: c.ID, Status: protocol.StatusApplied, Problem: j.problem}
		if j.problem != nil {
			res.Status = protocol.StatusRefused
		}
		out.Results = append(out.Results, res)
	}
	_ = json.NewEncoder(w).Encode(out) // the client has gone: nobody to tell
}

// until waits for something that other goroutines do.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-end.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// nowhere is a server that cannot be reached.
const nowhere = "http://127.0.0.1:1"

// join signs a new member in, on a cache that is empty, and gives the account.
func join(t *testing.T, e *Engine, server string) record {
	t.Helper()
	me := chat.Member{ID: chat.NewID[chat.Member](), Name: "Ana"}
	return joinAs(t, e, server, me)
}

func joinAs(t *testing.T, e *Engine, server string, me chat.Member) record {
	t.Helper()
	if err := e.welcome(server, AccountRemote, protocol.SignedIn{Token: "T", Member: me, Workspace: chat.Workspace{Name: "Shop"}}); err != nil {
		t.Fatalf("sign in: %v", err)
	}
	return current(t, e).account
}

func current(t *testing.T, e *Engine) *session {
	t.Helper()
	s, err := e.session()
	if err != nil {
		t.Fatalf("no account is open: %v", err)
	}
	return s
}

func stateOf(t testing.TB, e *Engine) AppState {
	t.Helper()
	st, err := e.State()
	if err != nil {
		t.Fatalf("state: %v", err)
	}
	return st
}

// cached brings a chat of a brand into the cache.
func cached(t *testing.T, s *session, brand chat.BrandID) chat.ConversationID {
	t.Helper()
	contact := chat.Contact{ID: chat.NewID[chat.Contact](), Ver: 1, Name: "Zoë Fischer"}
	c := chat.Conversation{ID: chat.NewID[chat.Conversation](), Ver: 1, Brand: brand, Contact: contact.ID,
		Channel: chat.NewID[chat.Channel](), Status: chat.StatusOpen, State: chat.StateEscalated, LastMessageAt: s.e.now()}
	row := func(kind chat.EntityKind, id string, v any) cache.Row {
		return cache.Row{Kind: kind, ID: id, Op: chat.OpPut, Brand: brand, Data: encode(t, v)}
	}
	contact.Brand = brand
	applied, err := s.cache.PutRows(t.Context(), []cache.Row{row(chat.EntityContact, contact.ID.String(), contact), row(chat.EntityConversation, c.ID.String(), c)})
	if err != nil || applied.Skipped > 0 {
		t.Fatalf("cache a chat: %+v %v", applied, err)
	}
	s.changed(applied)
	return c.ID
}

func encode(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// lockable is a keychain in memory that can be locked.
type lockable struct {
	mu     sync.Mutex
	kept   map[string]string
	locked bool
}

var errLocked = errors.New("locked")

func (l *lockable) lock(locked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.locked = locked
}

func (l *lockable) Get(_, name string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	secret, ok := l.kept[name]
	switch {
	case l.locked:
		return "", errLocked
	case !ok:
		return "", secrets.ErrNotFound
	}
	return secret, nil
}

func (l *lockable) Set(_, name, secret string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locked {
		return errLocked
	}
	l.kept[name] = secret
	return nil
}

func (l *lockable) Delete(_, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locked {
		return errLocked
	}
	delete(l.kept, name)
	return nil
}

// openWith is open with another keychain.
func openWith(t *testing.T, dir string, ring secrets.Ring) *Engine {
	t.Helper()
	e, err := Open(t.Context(), Options{Data: dir, DefaultServer: "x", Window: &ear{}, Secrets: secrets.OpenRing(ring, filepath.Join(dir, "secrets"))})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func told(e *Engine, name string) int {
	n := 0
	for _, heard := range e.opt.Window.(*ear).take() {
		if strings.HasPrefix(heard, name+" ") {
			n++
		}
	}
	return n
}
