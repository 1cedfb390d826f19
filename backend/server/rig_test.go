package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/channel/web"
	"parley/backend/server/store/pgtest"
)

const password = "correct horse battery"

// rig is a real server on a real port with a fresh workspace.
type rig struct {
	testing.TB
	srv     *server.Server
	base    string
	clock   *clock
	created protocol.Created
	owner   protocol.SignedIn
}

// rigTime is where a rig's clock stands at first.
const rigTime = chat.Time(1_780_000_000_000_000)

// clock is a clock that stands still until it is moved.
type clock struct{ t atomic.Int64 }

func (c *clock) now() chat.Time { return chat.Time(c.t.Load()) }

func (c *clock) advance(d time.Duration) { c.t.Add(d.Microseconds()) }

// plenty lets tests write as fast as they like.
func plenty() web.Limits {
	r := web.Rate{Burst: 1 << 30, PerSecond: 1 << 30}
	return web.Limits{Messages: r, Reads: r, Uploads: r, Bytes: r, AddressBytes: r, Sessions: r, Frames: r}
}

func onSQLite(t testing.TB) server.Config { return server.Config{Data: t.TempDir()} }

func onPostgres(t testing.TB) server.Config {
	return server.Config{Data: t.TempDir(), Database: pgtest.URL(t)}
}

// both runs a test on each database.
func both(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newRig(t, onSQLite(t))) })
	t.Run("postgres", func(t *testing.T) { test(t, newRig(t, onPostgres(t))) })
}

// newRig is a server with a workspace.
func newRig(t testing.TB, c server.Config) *rig {
	t.Helper()
	r := bareRig(t, c)
	var err error
	if r.created, err = r.srv.Setup(context.Background(), protocol.Setup{Workspace: "Northwind", Email: "olga@northwind.example", Name: "Olga Owner", Password: password}); err != nil {
		t.Fatal(err)
	}
	if r.owner, err = r.srv.OwnerSession(context.Background(), "test"); err != nil {
		t.Fatal(err)
	}
	return r
}

// bareRig is a server that is not set up yet.
func bareRig(t testing.TB, c server.Config) *rig {
	t.Helper()
	r := &rig{TB: t, clock: &clock{}}
	r.clock.t.Store(int64(rigTime))
	c.Listen, c.Version = "127.0.0.1:0", "test"
	if c.VisitorLimits == (web.Limits{}) {
		c.VisitorLimits = plenty()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = r.clock.now
	}
	var err error
	if r.srv, err = server.New(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.srv.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	if err := r.srv.Start(); err != nil {
		t.Fatal(err)
	}
	r.base = "http://" + r.srv.Addr()
	return r
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("answer %d is not what is wanted: %v\n%s", a.status, err, clip(a.body))
	}
}

func (a answer) problem(t testing.TB) protocol.Problem {
	t.Helper()
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Fatalf("status %d with content type %q: not a problem document\n%s", a.status, kind, clip(a.body))
	}
	var p protocol.Problem
	a.into(t, &p)
	if p.Status != a.status || p.Code == "" || p.Detail == "" || p.Title == "" {
		t.Fatalf("problem is incomplete: %s", a.body)
	}
	return p
}

func clip(b []byte) string {
	if len(b) > 600 {
		return string(b[:600]) + "…"
	}
	return string(b)
}

// do makes one request. body may be nil, a string (sent as it is), bytes or a
// value (sent as JSON).
func (r *rig) do(method, path, token string, body any, headers ...string) answer {
	r.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	case []byte:
		in = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			r.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, r.base+path, in)
	if err != nil {
		r.Fatal(err)
	}
	switch {
	case strings.HasPrefix(token, "Visitor "):
		req.Header.Set("Authorization", token)
	case token != "":
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		r.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.Header.Get(protocol.VersionHeader) != protocol.Version {
		r.Errorf("%s %s: the answer does not say which protocol it speaks", method, path)
	}
	return answer{resp.StatusCode, resp.Header, out}
}

// get reads JSON.
func (r *rig) get(path, token string, v any) {
	r.Helper()
	a := r.do(http.MethodGet, path, token, nil)
	if a.status != http.StatusOK {
		r.Fatalf("GET %s: %d %s", path, a.status, clip(a.body))
	}
	a.into(r, v)
}

// cmd makes a command with a fresh id.
func cmd(kind string, args any) chat.Command {
	raw, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	return chat.Command{ID: chat.NewID[chat.Command](), Kind: kind, Args: raw}
}

// send hands commands in and gives the verdicts.
func (r *rig) send(token string, cmds ...chat.Command) []protocol.Result {
	r.Helper()
	a := r.do(http.MethodPost, "/v1/commands", token, protocol.Commands{Commands: cmds})
	if a.status != http.StatusOK {
		r.Fatalf("commands: %d %s", a.status, clip(a.body))
	}
	var out protocol.Results
	a.into(r, &out)
	if len(out.Results) != len(cmds) {
		r.Fatalf("%d results for %d commands", len(out.Results), len(cmds))
	}
	for i := range cmds {
		if out.Results[i].ID != cmds[i].ID {
			r.Fatalf("result %d is for another command", i)
		}
	}
	return out.Results
}

// apply sends one command that must be applied, and decodes its data.
func (r *rig) apply(token string, c chat.Command, data any) protocol.Result {
	r.Helper()
	res := r.send(token, c)[0]
	if res.Status != protocol.StatusApplied {
		r.Fatalf("%s was %s: %+v", c.Kind, res.Status, res.Problem)
	}
	if data != nil {
		if err := json.Unmarshal(res.Data, data); err != nil {
			r.Fatal(err)
		}
	}
	return res
}

// refuse sends one command that must be refused with a code.
func (r *rig) refuse(token string, c chat.Command, code chat.Code) *protocol.Problem {
	r.Helper()
	res := r.send(token, c)[0]
	if res.Status != protocol.StatusRefused || res.Problem == nil || res.Problem.Code != code {
		r.Fatalf("%s: %s %+v, want refused with %s", c.Kind, res.Status, res.Problem, code)
	}
	return res.Problem
}

// visitor is a customer's browser.
type visitor struct {
	r     *rig
	token string
	conv  chat.ConversationID
}

// visit opens the widget of a channel.
func (r *rig) visit(key string) *visitor {
	r.Helper()
	a := r.do(http.MethodPost, "/v1/visitor/session", "", protocol.VisitorSession{Channel: key})
	var out protocol.VisitorSessionAnswer
	if a.status >= 300 {
		r.Fatalf("visitor session: %d %s", a.status, clip(a.body))
	}
	a.into(r, &out)
	return &visitor{r: r, token: "Visitor " + out.VisitorToken}
}

// say writes a message and finds the conversation of a first one.
func (v *visitor) say(text string) protocol.VisitorMessage {
	v.r.Helper()
	a := v.r.do(http.MethodPost, "/v1/visitor/messages", v.token, protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: text})
	if a.status >= 300 {
		v.r.Fatalf("visitor message: %d %s", a.status, clip(a.body))
	}
	var out protocol.VisitorSent
	a.into(v.r, &out)
	if v.conv.IsZero() {
		var page protocol.ConversationsPage
		v.r.get("/v1/conversations?limit=1", v.r.owner.Token, &page)
		v.conv = page.Conversations[0].ID
	}
	return out.Message
}

// conversation makes one with a message of a customer in it.
func (r *rig) conversation() (chat.ConversationID, *visitor) {
	r.Helper()
	v := r.visit(r.created.Channel.Key)
	v.say("Hello?")
	return v.conv, v
}

// member adds a member and signs them in.
func (r *rig) member(name string, role chat.Role, brands ...chat.BrandID) protocol.SignedIn {
	r.Helper()
	email := strings.ToLower(name) + "@northwind.example"
	if _, err := r.srv.AddMember(context.Background(), protocol.MemberAdd{Name: name, Email: email, Role: role, Brands: brands, Password: password}); err != nil {
		r.Fatal(err)
	}
	return r.signIn(email, "laptop")
}

func (r *rig) signIn(email, device string) protocol.SignedIn {
	r.Helper()
	a := r.do(http.MethodPost, "/v1/session", "", protocol.SignIn{Email: email, Password: password, Device: device})
	if a.status != http.StatusCreated {
		r.Fatalf("sign in: %d %s", a.status, clip(a.body))
	}
	var in protocol.SignedIn
	a.into(r, &in)
	return in
}

// text makes the command that sends a text.
func text(conv chat.ConversationID, s string) chat.Command {
	return cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Parts: []chat.Part{chat.TextPart(s)}})
}

// seen sets what the author had in view.
func seen(c chat.Command, n int64) chat.Command {
	c.Seen = &n
	return c
}

// thread reads a whole thread.
func (r *rig) thread(conv chat.ConversationID) []chat.Message {
	r.Helper()
	var page protocol.MessagesPage
	r.get(fmt.Sprintf("/v1/conversations/%s/messages?limit=200", conv), r.owner.Token, &page)
	return page.Messages
}

// unpaced switches the pause between messages off.
func (r *rig) unpaced() *rig {
	r.Helper()
	r.apply(r.owner.Token, cmd(protocol.SettingsPut, map[string]any{"send_interval_seconds": 0}), nil)
	return r
}

// channelOf is a brand with a web channel.
type channelOf struct {
	Brand chat.BrandID
	Key   string
}

// addBrand adds a brand with a web channel, as an import does.
func (r *rig) addBrand(name string) channelOf {
	r.Helper()
	b := chat.Brand{ID: chat.NewID[chat.Brand](), Name: name, Color: "#aa0000", Position: 1}
	ch, err := r.srv.Inbox().AddBrand(context.Background(), r.created.Workspace, b)
	if err != nil {
		r.Fatal(err)
	}
	return channelOf{Brand: b.ID, Key: ch.Key}
}

// lines is a log that a test may read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
