package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/desktop/secrets"
	"parley/backend/protocol"
	"parley/backend/server"
)

// backend is parleyd's server package inside the test, so that a test can look at both ends of the line.
type backend struct {
	t       testing.TB
	srv     *server.Server
	config  server.Config
	created protocol.Created
}

// newBackend makes a workspace with an owner, a brand and a web channel. Its beats are quick, so that a silent socket
// is noticed within the patience of a test.
func newBackend(t testing.TB) *backend {
	t.Helper()
	return newBackendAt(t, nil)
}

// newBackendAt is newBackend with another clock.
func newBackendAt(t testing.TB, now func() chat.Time) *backend {
	t.Helper()
	b := &backend{t: t, config: server.Config{Listen: freePort(t), Data: t.TempDir(), Version: "test", Beat: 300 * time.Millisecond, Now: now}}
	b.start()
	var err error
	b.created, err = b.srv.Setup(t.Context(), protocol.Setup{Workspace: "Lindqvist & Co", Email: ownerEmail, Name: "Maja Lindqvist", Password: ownerPassword})
	if err != nil {
		t.Fatalf("set up: %v", err)
	}
	b.owner().command(protocol.SettingsPut, map[string]any{"send_interval_seconds": 0}, nil)
	t.Cleanup(b.stop)
	return b
}

func (b *backend) start() {
	b.t.Helper()
	srv, err := server.New(b.t.Context(), b.config)
	if err != nil {
		b.t.Fatalf("make server: %v", err)
	}
	if err := srv.Start(); err != nil {
		b.t.Fatalf("start server: %v", err)
	}
	b.srv = srv
}

func (b *backend) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.srv.Shutdown(ctx); err != nil {
		b.t.Errorf("stop server: %v", err)
	}
}

func (b *backend) url() string { return "http://" + b.config.Listen }

// person is a member at another desk, who uses the protocol directly.
type person struct {
	t      testing.TB
	client *protocol.Client
	who    protocol.SignedIn
}

func (b *backend) owner() *person { return b.person(ownerEmail, ownerPassword) }

func (b *backend) person(email, password string) *person {
	b.t.Helper()
	c, err := protocol.NewClient(b.url(), "", "test")
	if err != nil {
		b.t.Fatalf("make client: %v", err)
	}
	who, err := c.SignIn(b.t.Context(), protocol.SignIn{Email: email, Password: password, Device: "another desk"})
	if err != nil {
		b.t.Fatalf("sign in as %s: %v", email, err)
	}
	return &person{b.t, c.WithToken(who.Token), who}
}

// hire adds a member who sees these brands, or all.
func (b *backend) hire(email string, brands ...chat.BrandID) chat.Member {
	b.t.Helper()
	m, err := b.srv.AddMember(b.t.Context(), protocol.MemberAdd{Name: "Ana Sousa", Email: email, Role: chat.RoleAgent, Brands: brands, Password: ownerPassword})
	if err != nil {
		b.t.Fatalf("add member: %v", err)
	}
	return m
}

// judge hands one command in and gives the verdict.
func (p *person) judge(cmd chat.Command) protocol.Result {
	p.t.Helper()
	res, err := p.client.Commands(p.t.Context(), "", []chat.Command{cmd})
	if err != nil {
		p.t.Fatalf("%s: %v", cmd.Kind, err)
	}
	return res[0]
}

func (p *person) command(kind string, args any, seen *int64) protocol.Result {
	p.t.Helper()
	res := p.judge(chat.Command{ID: chat.NewID[chat.Command](), Kind: kind, Args: asJSON(p.t, args), Seen: seen})
	if res.Problem != nil {
		p.t.Fatalf("%s was refused: %v", kind, res.Problem)
	}
	return res
}

// says answers in a conversation, whatever others have written.
func (p *person) says(conv chat.ConversationID, text string) {
	p.t.Helper()
	p.command(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](),
		Parts: []chat.Part{chat.TextPart(text)}, Force: true}, nil)
}

// thread gives everything said in a conversation, as the server has it.
func (p *person) thread(conv chat.ConversationID) []chat.Message {
	p.t.Helper()
	page, err := p.client.Messages(p.t.Context(), conv, protocol.MessagesQuery{Limit: 200})
	if err != nil {
		p.t.Fatalf("read thread: %v", err)
	}
	out := make([]chat.Message, len(page.Messages))
	for i, raw := range page.Messages {
		if err := json.Unmarshal(raw, &out[i]); err != nil {
			p.t.Fatalf("read message: %v", err)
		}
	}
	return out
}

// texts gives what was said, without comments and events.
func (p *person) texts(conv chat.ConversationID) (out []string) {
	p.t.Helper()
	for _, m := range p.thread(conv) {
		if m.Kind == chat.MessageKindMessage {
			out = append(out, m.Text())
		}
	}
	return out
}

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return b
}

// visitor is a customer who writes through the protocol's own routes.
type visitor struct {
	b     *backend
	token string
}

func (b *backend) visitor() *visitor {
	b.t.Helper()
	v := &visitor{b: b}
	var s protocol.VisitorSessionAnswer
	v.post("/v1/visitor/session", protocol.VisitorSession{Channel: b.created.Channel.Key}, &s)
	v.token = s.VisitorToken
	return v
}

// says writes and gives the conversation it landed in.
func (v *visitor) says(text string) {
	v.b.t.Helper()
	v.post("/v1/visitor/messages", protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: text}, nil)
}

func (v *visitor) post(path string, in, out any) {
	v.b.t.Helper()
	req, err := http.NewRequestWithContext(v.b.t.Context(), http.MethodPost, v.b.url()+path, bytes.NewReader(asJSON(v.b.t, in)))
	if err != nil {
		v.b.t.Fatalf("make request: %v", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if v.token != "" {
		req.Header.Set("Authorization", "Visitor "+v.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		v.b.t.Fatalf("%s: %v", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode > 299 {
		v.b.t.Fatalf("%s: %d %s %v", path, resp.StatusCode, body, err)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			v.b.t.Fatalf("%s: %v", path, err)
		}
	}
}

// engine is the desktop's engine with a window that only listens.
type engine struct {
	*desktop.Engine
	t      testing.TB
	data   string
	window *listener
	closed bool
}

// listener notes every event.
type listener struct {
	mu     sync.Mutex
	events []string
}

func (l *listener) Emit(name string, payload any) {
	b, err := json.Marshal(payload)
	if err != nil {
		panic(fmt.Sprintf("an event that cannot be encoded: %v", err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, name+" "+string(b))
}

// heard reports whether an event was told whose name and payload contain the words.
func (l *listener) heard(words ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		all := true
		for _, w := range words {
			all = all && bytes.Contains([]byte(e), []byte(w))
		}
		if all {
			return true
		}
	}
	return false
}

// openEngine opens the engine on a folder, as a start of the program does.
func openEngine(t testing.TB, data string) *engine {
	t.Helper()
	return openEngineAt(t, data, nil)
}

// openEngineAt opens the engine with another wall clock.
func openEngineAt(t testing.TB, data string, wall func() time.Time) *engine {
	t.Helper()
	w := &listener{}
	e, err := desktop.Open(t.Context(), desktop.Options{Data: data, Version: "test", Window: w, DefaultServer: "none",
		Secrets: secrets.OpenRing(noRing{}, filepath.Join(data, "secrets")), Wall: wall})
	if err != nil {
		t.Fatalf("open engine: %v", err)
	}
	out := &engine{Engine: e, t: t, data: data, window: w}
	t.Cleanup(out.close)
	return out
}

func (e *engine) close() {
	if e.closed {
		return
	}
	e.closed = true
	if err := e.Close(); err != nil {
		e.t.Errorf("close engine: %v", err)
	}
}

// noRing is a system without a keychain.
type noRing struct{}

func (noRing) Get(string, string) (string, error) { return "", fmt.Errorf("no keychain here") }
func (noRing) Set(string, string, string) error   { return fmt.Errorf("no keychain here") }
func (noRing) Delete(string, string) error        { return fmt.Errorf("no keychain here") }

// signIn signs the owner in and waits until the engine is up to date.
func (e *engine) signIn(address string) {
	e.t.Helper()
	e.signInAs(address, ownerEmail, ownerPassword)
}

func (e *engine) signInAs(address, email, password string) {
	e.t.Helper()
	if err := e.SignIn(desktop.SignIn{Server: address, Email: email, Password: password}); err != nil {
		e.t.Fatalf("sign in: %v", err)
	}
	e.status("live")
}

func (e *engine) state() desktop.AppState {
	e.t.Helper()
	s, err := e.State()
	if err != nil {
		e.t.Fatalf("state: %v", err)
	}
	return s
}

// status waits for a status of the connection.
func (e *engine) status(want string) desktop.AppState {
	e.t.Helper()
	var s desktop.AppState
	Until(e.t, "status "+want, func() bool {
		s = e.state()
		return s.Connection.Status == want
	})
	return s
}

// row is what a test wants to know of a row of the list.
type row struct {
	shown desktop.ListRow
	chat.Conversation
}

func (e *engine) list(quick string) []row {
	e.t.Helper()
	page, err := e.List(desktop.ListQuery{Quick: quick, Limit: 200})
	if err != nil {
		e.t.Fatalf("list: %v", err)
	}
	out := make([]row, len(page.Rows))
	for i, r := range page.Rows {
		out[i].shown = r
		if err := json.Unmarshal(r.Conversation, &out[i].Conversation); err != nil {
			e.t.Fatalf("list: %v", err)
		}
	}
	return out
}

// find waits for the conversation whose newest message is the text.
func (e *engine) find(text string) chat.Conversation {
	e.t.Helper()
	var found chat.Conversation
	Until(e.t, "the chat with "+text, func() bool {
		for _, r := range e.list("all") {
			if r.Preview == text {
				found = r.Conversation
				return true
			}
		}
		return false
	})
	return found
}

func (e *engine) thread(conv chat.ConversationID, q desktop.ThreadQuery) desktop.ThreadPage {
	e.t.Helper()
	if q.Limit == 0 {
		q.Limit = 50
	}
	page, err := e.Thread(conv.String(), q)
	if err != nil {
		e.t.Fatalf("thread: %v", err)
	}
	return page
}

// times is how often a text stands in a thread, confirmed or on its way.
func times(page desktop.ThreadPage, text string) (confirmed, waiting int) {
	for _, raw := range page.Messages {
		var m chat.Message
		if json.Unmarshal(raw, &m) == nil && m.Text() == text {
			confirmed++
		}
	}
	for _, p := range page.Pending {
		if p.Text == text {
			waiting++
		}
	}
	return confirmed, waiting
}

func (e *engine) send(conv chat.ConversationID, text string, seen int64) desktop.OutboxEntry {
	e.t.Helper()
	entry, err := e.Send(conv.String(), desktop.NewMessage{Text: text, Seen: seen})
	if err != nil {
		e.t.Fatalf("send: %v", err)
	}
	return entry
}

// crash gives a copy of the data folder as it lies on disk while the engine runs: what a kill at this moment leaves.
func (e *engine) crash() string {
	e.t.Helper()
	to := e.t.TempDir()
	if err := os.CopyFS(to, os.DirFS(e.data)); err != nil {
		e.t.Fatalf("copy data folder: %v", err)
	}
	return to
}

// gate is a line to the server on which a test can answer in the server's place.
type gate struct {
	*httptest.Server
	through http.Handler
	instead atomic.Pointer[http.HandlerFunc] // nil: everything goes through
}

func newGate(t testing.TB, target string) *gate {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatalf("read address: %v", err)
	}
	through := httputil.NewSingleHostReverseProxy(to)
	through.FlushInterval = -1
	through.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) }
	g := &gate{through: through}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := g.instead.Load(); h != nil {
			(*h)(w, r)
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		g.CloseClientConnections()
		g.Close()
	})
	return g
}

// answer lets h answer until it is nil again.
func (g *gate) answer(h http.HandlerFunc) {
	if h == nil {
		g.instead.Store(nil)
		return
	}
	g.instead.Store(&h)
}

func jsonBody(t testing.TB, v any) io.Reader { t.Helper(); return bytes.NewReader(asJSON(t, v)) }
