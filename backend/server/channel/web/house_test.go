package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/blob"
	"parley/backend/server/channel/web"
	"parley/backend/server/fanout"
	"parley/backend/server/inbox"
	"parley/backend/server/store"
)

// house is the real thing behind the channel: store on a file, fan-out, inbox,
// and a listener whose line can be cut.
type house struct {
	t       *testing.T
	store   *store.Store
	inbox   *inbox.Inbox
	web     *web.Channel
	ws      chat.WorkspaceID
	owner   chat.Member
	channel chat.Channel
	server  *httptest.Server
	line    *line
}

// line is a listener that can be down: connections are dropped and new ones
// closed at once.
type line struct {
	net.Listener
	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
}

func (l *line) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		if !l.down {
			l.conns[c] = struct{}{}
			l.mu.Unlock()
			return c, nil
		}
		l.mu.Unlock()
		_ = c.Close()
	}
}

func (l *line) set(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		for c := range l.conns {
			_ = c.Close()
		}
		clear(l.conns)
	}
}

// build makes a house with one web channel; change may alter its settings and
// the channel's options before anything is served.
func build(t *testing.T, change func(*chat.ChannelSettings, *web.Options)) *house {
	t.Helper()
	ctx := t.Context()
	dir := t.TempDir()
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, err := store.Open(ctx, store.Options{Data: dir, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	fan := fanout.NewLocal()
	in := inbox.New(inbox.Options{Store: st, Fanout: fan, Log: log, Blobs: func(ws chat.WorkspaceID) (inbox.Blobs, error) {
		return blob.Open(filepath.Join(dir, "files", ws.String()))
	}})
	t.Cleanup(in.Close)
	created, err := in.Setup(ctx, protocol.Setup{Workspace: "Northwind Coffee", Email: "ana@northwind.example", Name: "Ana Ruiz", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, store: st, inbox: in, ws: created.Workspace}
	if h.owner, err = st.Member(ctx, h.ws, created.Member); err != nil {
		t.Fatal(err)
	}
	opt := web.Options{Inbox: in, Log: log}
	err = st.Update(ctx, h.ws, func(tx *store.Tx) error {
		ch, err := tx.Channel(created.Channel.ID)
		if err != nil {
			return err
		}
		ch.Settings.Origins = []string{"https://shop.example"}
		if change != nil {
			change(&ch.Settings, &opt)
		}
		h.channel = ch
		return tx.PutChannel(&h.channel, store.Meta{Actor: chat.SystemActor()})
	})
	if err != nil {
		t.Fatal(err)
	}
	h.web = web.New(opt)
	mux := http.NewServeMux()
	for _, r := range h.web.Routes() {
		mux.Handle(r.Method+" "+r.Pattern, r.Handler)
	}
	h.server = httptest.NewUnstartedServer(mux)
	h.line = &line{Listener: h.server.Listener, conns: map[net.Conn]struct{}{}}
	h.server.Listener = h.line
	h.server.Start()
	t.Cleanup(h.server.Close)
	t.Cleanup(h.web.Close)
	return h
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// request is one request to the house; header is "Name: value" lines.
func (h *house) request(method, path string, body any, header ...string) (*http.Response, []byte) {
	h.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			h.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+path, reader)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return w, text
}

// as gives a value of an answer's body.
func as[T any](t *testing.T, body []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// guest is one visitor.
type guest struct {
	*house
	token string
	conv  chat.ConversationID
}

func (h *house) guest(change func(*protocol.VisitorSession)) guest {
	h.t.Helper()
	req := protocol.VisitorSession{Channel: h.channel.Key}
	if change != nil {
		change(&req)
	}
	w, body := h.request("POST", "/v1/visitor/session", req)
	if w.StatusCode != http.StatusOK {
		h.t.Fatalf("session: %d %s", w.StatusCode, body)
	}
	answer := as[protocol.VisitorSessionAnswer](h.t, body)
	return guest{house: h, token: answer.VisitorToken, conv: answer.Conversation}
}

func (g guest) auth() string { return "Authorization: Visitor " + g.token }

func (g guest) say(text string) protocol.VisitorMessage {
	g.t.Helper()
	return g.sayAs(chat.NewID[chat.Message](), text)
}

func (g guest) sayAs(id chat.MessageID, text string, files ...protocol.VisitorFile) protocol.VisitorMessage {
	g.t.Helper()
	w, body := g.request("POST", "/v1/visitor/messages", protocol.VisitorSend{ID: id, Text: text, Files: files}, g.auth())
	if w.StatusCode != http.StatusOK {
		g.t.Fatalf("say: %d %s", w.StatusCode, body)
	}
	return as[protocol.VisitorSent](g.t, body).Message
}

func (g guest) messages(after string) protocol.VisitorMessages {
	g.t.Helper()
	w, body := g.request("GET", "/v1/visitor/messages?after="+after, nil, g.auth())
	if w.StatusCode != http.StatusOK {
		g.t.Fatalf("messages: %d %s", w.StatusCode, body)
	}
	return as[protocol.VisitorMessages](g.t, body)
}

func (g guest) upload(content []byte, name string) string {
	g.t.Helper()
	sum := sha256.Sum256(content)
	sha := hex.EncodeToString(sum[:])
	w, body := g.request("PUT", "/v1/visitor/files/"+sha, content, g.auth(), "X-Filename: "+name)
	if w.StatusCode != http.StatusCreated {
		g.t.Fatalf("upload: %d %s", w.StatusCode, body)
	}
	return sha
}

// conversation is the newest conversation of the house.
func (h *house) conversation() chat.Conversation {
	h.t.Helper()
	list, _, _, err := h.store.Conversations(h.t.Context(), h.ws, chat.View{}, store.ConversationFilter{}, "", 1)
	if err != nil || len(list) != 1 {
		h.t.Fatalf("%d conversations, %v", len(list), err)
	}
	return list[0]
}

// do runs one command of the owner and expects it to be applied.
func (h *house) do(kind string, args any) {
	h.t.Helper()
	text, err := json.Marshal(args)
	if err != nil {
		h.t.Fatal(err)
	}
	seen := int64(1 << 40)
	results, err := h.inbox.Do(h.t.Context(), h.ws, h.owner.ID, []chat.Command{{ID: chat.NewID[chat.Command](), Kind: kind, Args: text, Seen: &seen}})
	if err != nil || len(results) != 1 {
		h.t.Fatalf("%s: %d results, %v", kind, len(results), err)
	}
	if results[0].Status != protocol.StatusApplied {
		h.t.Fatalf("%s: %v", kind, results[0].Problem)
	}
}

func (h *house) answer(conv chat.ConversationID, text string) chat.MessageID {
	h.t.Helper()
	id := chat.NewID[chat.Message]()
	h.do(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: id, Parts: []chat.Part{chat.TextPart(text)}})
	return id
}

// quick lets members answer without the pause between two messages.
func (h *house) quick() {
	h.t.Helper()
	err := h.store.Update(h.t.Context(), h.ws, func(tx *store.Tx) error {
		w, err := tx.Workspace()
		if err != nil {
			return err
		}
		w.Settings.SendIntervalSeconds = 0
		return tx.PutWorkspace(&w, store.Meta{Actor: chat.SystemActor()})
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// socket is a visitor's live socket, as a program holds it.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func (h *house) dial(header http.Header) (*websocket.Conn, *http.Response, error) {
	return websocket.DefaultDialer.DialContext(h.t.Context(), "ws"+strings.TrimPrefix(h.server.URL, "http")+"/v1/visitor/live", header)
}

func (g guest) live(after int64) socket {
	g.t.Helper()
	conn, _, err := g.dial(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	s := socket{g.t, conn}
	s.send(protocol.VisitorFrame{Type: protocol.FrameHello, Token: g.token, After: after})
	if f := s.next(); f.Type != protocol.FrameWelcome || f.Beat < 1 {
		g.t.Fatalf("first frame: %+v", f)
	}
	return s
}

func (s socket) send(v any) {
	s.t.Helper()
	if err := s.conn.WriteJSON(v); err != nil {
		s.t.Fatal(err)
	}
}

func (s socket) next() protocol.VisitorFrame {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var f protocol.VisitorFrame
	if err := s.conn.ReadJSON(&f); err != nil {
		s.t.Fatalf("next frame: %v", err)
	}
	return f
}

// until reads frames up to the next of a type.
func (s socket) until(kind protocol.FrameType) protocol.VisitorFrame {
	s.t.Helper()
	for {
		if f := s.next(); f.Type == kind {
			return f
		}
	}
}

// closed reads until the socket ends and gives its closing code.
func closed(t *testing.T, conn *websocket.Conn) int {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		_, _, err := conn.ReadMessage()
		var end *websocket.CloseError
		switch e := err.(type) {
		case nil:
			continue
		case *websocket.CloseError:
			end = e
		default:
			t.Fatalf("closed: %v", err)
		}
		return end.Code
	}
}

// eventually waits for something that happens on another goroutine.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func built(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("dist/chat.js"); err != nil {
		t.Fatal("the customer pages are not built: make frontend builds them")
	}
}
