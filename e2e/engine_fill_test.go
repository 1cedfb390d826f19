package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/desktop"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/blob"
	"parley/backend/server/store"
)

// statusIn reads the status of a conversation's JSON.
func statusIn(t testing.TB, raw json.RawMessage) string {
	t.Helper()
	var c chat.Conversation
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatalf("read conversation: %v", err)
	}
	return string(c.Status)
}

// call makes a request that the client has no method for.
func (p *person) call(method, path string, in, out any) {
	p.t.Helper()
	req := httptest.NewRequestWithContext(p.t.Context(), method, p.client.Server()+path, nil)
	if in != nil {
		req = httptest.NewRequestWithContext(p.t.Context(), method, p.client.Server()+path, jsonBody(p.t, in))
		req.Header.Set("Content-Type", "application/json")
	}
	req.RequestURI = ""
	req.Header.Set("Authorization", "Bearer "+p.who.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode > 299 {
		p.t.Fatalf("%s %s: %s", method, path, resp.Status)
	}
	if out != nil {
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			p.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

// setBrands changes what a member may see.
func (b *backend) setBrands(m chat.MemberID, brands ...chat.BrandID) {
	b.t.Helper()
	b.owner().call(http.MethodPatch, "/v1/members/"+m.String(), protocol.MemberUpdate{Brands: &brands}, nil)
}

// revokeOthers signs every other device of the member out.
func (p *person) revokeOthers() {
	p.t.Helper()
	var list protocol.Sessions
	p.call(http.MethodGet, "/v1/sessions", nil, &list)
	for _, s := range list.Sessions {
		if s.ID != p.who.Session {
			p.call(http.MethodDelete, "/v1/sessions/"+s.ID.String(), nil, nil)
		}
	}
}

// demoBackend serves the demonstration's data; the address of its owner is given.
func demoBackend(t testing.TB, conversations, messages int) (b *backend, email string) {
	t.Helper()
	b = &backend{t: t, config: server.Config{Listen: freePort(t), Data: t.TempDir(), Version: "test"}}
	for _, m := range importDemo(t, b.config.Data, conversations, messages).Members {
		if m.Role == chat.RoleOwner {
			email = m.Email
		}
	}
	b.start()
	t.Cleanup(b.stop)
	return b, email
}

// importDemo brings the demonstration's data into a data folder that nobody serves.
func importDemo(t testing.TB, data string, conversations, messages int) *demo.Set {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Data: data})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	files, err := blob.Open(filepath.Join(data, "files"))
	if err != nil {
		t.Fatalf("open files: %v", err)
	}
	set := demo.Generate(demo.Options{Conversations: conversations, Messages: messages, Seed: 7})
	if err := server.ImportDemo(t.Context(), st, files, set); err != nil {
		t.Fatalf("import demo: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Fatalf("close store: %v", err)
	}
	return set
}

// addBrand makes a second brand, as an administrator would.
func (b *backend) addBrand(name string) chat.BrandID {
	b.t.Helper()
	b.stop()
	st, err := store.Open(b.t.Context(), store.Options{Data: b.config.Data})
	if err != nil {
		b.t.Fatalf("open store: %v", err)
	}
	brand := chat.Brand{ID: chat.NewID[chat.Brand](), Name: name, Color: "#884400", Position: 1}
	err = st.Update(b.t.Context(), b.created.Workspace, func(tx *store.Tx) error {
		return tx.PutBrand(&brand, store.Meta{Actor: chat.SystemActor()})
	})
	if err != nil {
		b.t.Fatalf("put brand: %v", err)
	}
	if err := st.Close(); err != nil {
		b.t.Fatalf("close store: %v", err)
	}
	b.start()
	return brand.ID
}

func TestEngineGoesOnWithACutOffBootstrap(t *testing.T) {
	b, email := demoBackend(t, 400, 4000)
	line := newGate(t, b.url())
	cuts, resumed := 0, atomic.Bool{}
	line.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/bootstrap" || cuts >= 3 {
			forward(w, r, b.url(), 0)
			return
		}
		if cuts++; r.URL.Query().Get("cursor") != "" {
			resumed.Store(true)
		}
		forward(w, r, b.url(), 1500)
	})
	e := openEngine(t, t.TempDir())
	if err := e.SignIn(desktop.SignIn{Server: line.URL, Email: email, Password: demo.Password}); err != nil {
		t.Fatal(err)
	}
	Until(t, "progress to be shown", func() bool {
		c := e.state().Connection
		return c.Status == "live" || (c.Progress != nil && c.Progress.Done > 0)
	})
	Until(t, "three cuts", func() bool { return resumed.Load() })
	line.answer(nil)
	s := e.status("live")
	want := 0
	cursor := ""
	owner := b.person(email, demo.Password)
	for {
		var page protocol.ConversationsPage
		owner.call(http.MethodGet, "/v1/conversations?limit=200&cursor="+cursor, nil, &page)
		want += len(page.Conversations)
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	// The engine counts behind its work, at most once a second.
	Until(t, "the cached conversations to be counted", func() bool { return e.state().Cached.Conversations > 0 })
	if got := e.state().Cached.Conversations; got > int64(want) {
		t.Fatalf("%d conversations cached, the server has %d", got, want)
	}
	if s.Connection.Progress != nil {
		t.Fatalf("progress is still shown: %+v", s.Connection.Progress)
	}
}

// forward answers as the server does, and cuts the connection after so many lines (0: never).
func forward(w http.ResponseWriter, r *http.Request, to string, lines int) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.URL.RequestURI(), r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	in := bufio.NewReader(resp.Body)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		_, _ = w.Write(line) // the client may have gone
		if err != nil {
			return
		}
		if n == lines {
			_ = http.NewResponseController(w).Flush() // as above
			panic(http.ErrAbortHandler)
		}
	}
}

func TestEngineStartsAnewAfterARestore(t *testing.T) {
	b := newBackend(t)
	e := openEngine(t, t.TempDir())
	e.signIn(b.url())
	b.visitor().says("in the backup")
	kept := e.find("in the backup")

	b.stop()
	st, err := store.Open(t.Context(), store.Options{Data: b.config.Data})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup.db")
	if err := st.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.visitor().says("after the backup")
	e.find("after the backup")

	b.stop()
	b.config.Data = t.TempDir()
	if err := store.Restore(t.Context(), file, store.Options{Data: b.config.Data}); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.visitor().says("after the restore")
	e.find("after the restore")
	Until(t, "what the backup does not have to be swept", func() bool { return len(e.list("all")) == 2 })
	e.status("live")
	if n, _ := times(e.thread(kept.ID, desktop.ThreadQuery{}), "in the backup"); n != 1 {
		t.Fatal("what was in the backup is gone")
	}
}

func TestEngineCatchesUpWhenFarBehind(t *testing.T) {
	b := newBackend(t)
	line := NewProxy(t, b.config.Listen)
	e := openEngine(t, t.TempDir())
	e.signIn(line.URL())
	b.visitor().says("before")
	e.find("before")
	before := e.status("live")
	line.Cut()
	e.status("offline")
	b.stop()
	// What is imported is not in the log: who knew less is too far behind to read it.
	importDemo(t, b.config.Data, 60, 3000)
	b.start()
	line.Restore()
	s := e.status("live")
	if s.Connection.Position != s.Connection.Head || s.Connection.Position < before.Connection.Position+1000 {
		t.Fatalf("connection %+v", s.Connection)
	}
	Until(t, "more conversations to be cached than before", func() bool {
		return e.state().Cached.Conversations > max(before.Cached.Conversations, 1)
	})
	e.find("before")
	// Messages were not in the state: they are fetched when a chat is opened.
	var long chat.Conversation
	for _, r := range e.list("all") {
		if r.LastNumber > long.LastNumber {
			long = r.Conversation
		}
	}
	Until(t, "the newest messages", func() bool {
		page := e.thread(long.ID, desktop.ThreadQuery{Limit: 10})
		return !page.Loading && page.To == long.LastNumber && len(page.Messages) == 10
	})
}

func TestEnginePagesHistory(t *testing.T) {
	b := newBackend(t)
	v := b.visitor()
	v.says("message 1")
	owner := b.owner()
	var c chat.ConversationID
	var page protocol.ConversationsPage
	owner.call(http.MethodGet, "/v1/conversations", nil, &page)
	c = page.Conversations[0].ID
	for i := 2; i <= 120; i++ {
		owner.says(c, fmt.Sprint("message ", i))
	}
	line := NewProxy(t, b.config.Listen)
	e := openEngine(t, t.TempDir())
	e.signIn(line.URL())
	newest := e.thread(c, desktop.ThreadQuery{Limit: 20})
	if newest.Head != newest.To || len(newest.Messages) != 20 || newest.Complete {
		t.Fatalf("newest page %d–%d of %d, complete %v", newest.From, newest.To, newest.Head, newest.Complete)
	}
	// Scrolling up: what is not cached is fetched, and the window is told.
	from := newest.From
	for from > 1 {
		var got desktop.ThreadPage
		Until(t, fmt.Sprint("messages before ", from), func() bool {
			got = e.thread(c, desktop.ThreadQuery{Before: from, Limit: 20})
			return !got.Loading
		})
		if len(got.Messages) == 0 || got.To != from-1 {
			t.Fatalf("before %d came %d–%d", from, got.From, got.To)
		}
		from = got.From
		if (from == 1) != got.Complete {
			t.Fatalf("from %d, complete %v", from, got.Complete)
		}
	}
	line.Cut()
	e.status("offline")
	if got := e.thread(c, desktop.ThreadQuery{Around: 60, Limit: 20}); got.Loading || len(got.Messages) != 20 {
		t.Fatalf("offline, around 60: %d messages, loading %v", len(got.Messages), got.Loading)
	}
}
