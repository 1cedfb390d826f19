package desktop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// inside is a backend inside the program that judges commands and lets in
// whoever has the token it gave last.
type inside struct {
	judge
	server *httptest.Server

	lock   sync.Mutex
	me     chat.Member
	token  string
	gave   int  // sessions
	barred bool // no token is taken
}

func newInside(t *testing.T) *inside {
	t.Helper()
	b := &inside{me: chat.Member{ID: chat.NewID[chat.Member](), Name: "Ana"}}
	b.server = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.server.Close)
	return b
}

func (b *inside) serve(w http.ResponseWriter, r *http.Request) {
	b.lock.Lock()
	known := !b.barred && b.token != "" && r.Header.Get("Authorization") == "Bearer "+b.token
	b.lock.Unlock()
	if known {
		b.ServeHTTP(w, r)
		return
	}
	w.Header().Set(protocol.VersionHeader, protocol.Version)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusUnauthorized)
	// An error is that the client has gone: nobody to tell.
	_ = json.NewEncoder(w).Encode(protocol.Problem{Status: http.StatusUnauthorized, Code: chat.CodeUnauthorized, Detail: "Sign in first."})
}

// replace puts another folder in the place of its data, of this owner.
func (b *inside) replace(owner chat.Member) {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.me, b.token = owner, ""
}

func (b *inside) given() int {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.gave
}

func (b *inside) last() (token string) {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.token
}

func (b *inside) Start(context.Context) (string, error) { return b.server.URL, nil }

func (b *inside) Session(context.Context, string) (protocol.SignedIn, error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.gave++
	b.token = fmt.Sprintf("T%d", b.gave)
	return protocol.SignedIn{Token: b.token, Member: b.me, Workspace: chat.Workspace{Name: "Shop"}}, nil
}

func (b *inside) Moved() bool { return false }

func (b *inside) Close(context.Context) error { return nil }

// opened waits for the account of the backend inside and its line.
func (b *inside) opened(t *testing.T, e *Engine) *session {
	t.Helper()
	until(t, "the line", func() bool { s := e.view.Load().session; return s != nil && s.net.Load() != nil })
	return current(t, e)
}

// A backend inside that was put back from a backup knows no saved session. Its
// owner knows no password either, and needs none.
func TestAStaleTokenLocksNobodyOutOfTheirOwnWorkspace(t *testing.T) {
	for what, meet := range map[string]func(t *testing.T, b *inside, e *Engine, data string) *Engine{
		"while running": func(t *testing.T, b *inside, e *Engine, _ string) *Engine {
			b.replace(b.me)
			if err := e.Retry(); err != nil {
				t.Fatal(err)
			}
			return e
		},
		"at the next start": func(t *testing.T, b *inside, e *Engine, data string) *Engine {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			b.replace(b.me)
			return open(t, Options{Data: data, Embedded: b})
		},
		"signed out by an earlier version": func(t *testing.T, b *inside, e *Engine, data string) *Engine {
			account := e.view.Load().accounts[0]
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			b.replace(b.me)
			account.SignedOut, account.TokenLeft = true, true
			if err := keepRecords(t, data, account); err != nil {
				t.Fatal(err)
			}
			return open(t, Options{Data: data, Embedded: b})
		},
	} {
		t.Run(what, func(t *testing.T) {
			b, data := newInside(t), t.TempDir()
			e := open(t, Options{Data: data, Embedded: b})
			b.opened(t, e)
			account := *stateOf(t, e).Account
			e = meet(t, b, e, data)
			until(t, "a new session", func() bool { return b.given() > 1 })
			s := b.opened(t, e)
			if _, err := e.Send(cached(t, s, chat.NewID[chat.Brand]()).String(), NewMessage{Text: "hello", Seen: 1}); err != nil {
				t.Fatal(err)
			}
			until(t, "a text to go out", func() bool { return len(b.commands(protocol.MessageSend)) > 0 })
			st := stateOf(t, e)
			if *st.Account != account || len(st.Accounts) != 1 || st.Accounts[0].SignedOut || st.Connection.Status == "signed_out" {
				t.Fatalf("after it: %+v, %+v", st.Connection, st.Accounts)
			}
			if token, err := e.secrets.Get(secretOf(account)); err != nil || token != b.last() {
				t.Fatalf("kept is the token %q, %v", token, err)
			}
		})
	}
}

// A backend that does not even take a session it has just made is not asked
// for one after the other.
func TestSessionsThatAreRefusedAreNotMadeInARow(t *testing.T) {
	b := newInside(t)
	b.barred = true
	e := open(t, Options{Data: t.TempDir(), Embedded: b, Random: func() float64 { return 1 }})
	until(t, "the sentence", func() bool { return stateOf(t, e).Connection.Status == "error" })
	if n := b.given(); n != 2 { // the first one, and one in its place
		t.Errorf("%d sessions were made", n)
	}
	if p := stateOf(t, e).Connection.Problem; p == nil || *p != chat.ErrorMessage(errTurnedAway) {
		t.Errorf("it says %v", p)
	}
	until(t, "another try after a while", func() bool { return b.given() == 3 })
}

// Where the folder of the backend inside was replaced by that of another
// workspace, that one opens, and what was not sent in the first stays.
func TestAnotherWorkspaceInTheFolderIsAnAccountOfItsOwn(t *testing.T) {
	b, data := newInside(t), t.TempDir()
	b.refuse(&protocol.Problem{Code: chat.CodeUnavailable, Detail: "Not now."})
	e := open(t, Options{Data: data, Embedded: b})
	s := b.opened(t, e)
	if _, err := e.Send(cached(t, s, chat.NewID[chat.Brand]()).String(), NewMessage{Text: "hello", Seen: 1}); err != nil {
		t.Fatal(err)
	}
	first := s.account.ID
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	tried := len(b.commands(protocol.MessageSend))
	b.refuse(nil)
	b.replace(chat.Member{ID: chat.NewID[chat.Member](), Name: "Ben"})
	e = open(t, Options{Data: data, Embedded: b})
	until(t, "the other workspace", func() bool { st := stateOf(t, e); return st.Account != nil && *st.Account != first })
	second := b.opened(t, e).account.ID
	until(t, "the person to be told", func() bool { return told(e, EventProblem) > 0 })
	if a := besides(t, e, first); a.SignedOut || a.Outbox.Queued != 1 {
		t.Fatalf("the first account: %+v", a)
	}
	if err := e.SwitchAccount(first); err != nil {
		t.Fatal(err)
	}
	until(t, "the sentence", func() bool {
		c := stateOf(t, e).Connection
		return c.Status == "error" && strings.Contains(*c.Problem, "belongs to another account")
	})
	if st := stateOf(t, e); *st.Account != first || st.Outbox.Queued != 1 || len(st.Accounts) != 2 {
		t.Fatalf("back in the first account: %+v", st)
	}
	if err := e.StartEmbedded(); err != nil || *stateOf(t, e).Account != second {
		t.Fatalf("starting the backend inside opened %s, %v", *stateOf(t, e).Account, err)
	}
	if len(b.commands(protocol.MessageSend)) > tried {
		t.Fatal("a text of one workspace went to another")
	}
}
