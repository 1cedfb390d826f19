package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
)

// wireSocket is the client's end of a socket.
type wireSocket struct {
	w    *wire
	path string
	conn *websocket.Conn
}

func (w *wire) socket(path, token string, headers ...string) *wireSocket {
	w.Helper()
	h := http.Header{}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(w.base, "http")+path, h)
	if err != nil {
		w.Fatalf("dial %s: %v", path, err)
	}
	w.Cleanup(func() { conn.Close() })
	return &wireSocket{w, path, conn}
}

// says sends a frame; one without a name is not kept.
func (s *wireSocket) says(name string, frame any) {
	s.w.Helper()
	raw, err := json.Marshal(frame)
	if err != nil {
		s.w.Fatal(err)
	}
	if err := s.conn.WriteMessage(websocket.TextMessage, raw); err != nil {
		s.w.Fatalf("%s: %v", name, err)
	}
	if name != "" {
		s.w.keep(name, exchange{Socket: s.path, From: "client", Frame: raw})
	}
}

// hears reads until a frame of the type; one without a name is not kept.
func (s *wireSocket) hears(name string, kind protocol.FrameType) {
	s.w.Helper()
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(time.Minute)) // fails only on a closed connection
		_, raw, err := s.conn.ReadMessage()
		if err != nil {
			s.w.Fatalf("wait for %s: %v", kind, err)
		}
		var f struct {
			Type protocol.FrameType `json:"type"`
		}
		if err := json.Unmarshal(raw, &f); err != nil {
			s.w.Fatal(err)
		}
		if f.Type != kind {
			continue
		}
		if name != "" {
			s.w.keep(name, exchange{Socket: s.path, From: "server", Frame: bytes.TrimSpace(raw)})
		}
		return
	}
}

// ends reads until the socket is closed with a code.
func (s *wireSocket) ends(name string, code int) {
	s.w.Helper()
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(time.Minute)) // fails only on a closed connection
		_, _, err := s.conn.ReadMessage()
		if err == nil {
			continue
		}
		var ce *websocket.CloseError
		if !errors.As(err, &ce) || ce.Code != code {
			s.w.Fatalf("%s: %v, want the code %d", name, err, code)
		}
		s.w.keep(name, exchange{Socket: s.path, From: "server", Close: &wireClose{ce.Code, ce.Text}})
		return
	}
}

// wireLive: the members' socket, both directions.
func wireLive(w *wire, c server.Config) {
	w.start(c)
	ana := w.member("Ana", chat.RoleAgent)
	conv, v := w.conversation()
	position := w.head()
	a, o := w.socket("/v1/live", ""), w.socket("/v1/live", w.owner.Token)
	a.says("hello_with_token", map[string]any{"type": "hello", "after": position, "client": "parley/1.2 linux", "token": ana.Token})
	a.hears("welcome", protocol.FrameWelcome)
	var page protocol.ChangesPage
	w.rig.get("/v1/changes?after=0", w.owner.Token, &page)
	o.says("hello", map[string]any{"type": "hello", "after": position - 1, "epoch": page.Epoch})
	o.hears("", protocol.FrameWelcome)
	o.hears("changes", protocol.FrameChanges)

	o.says("typing", map[string]any{"type": "typing", "conversation": conv, "ttl": 6})
	a.hears("typing_of_member", protocol.FrameTyping)
	o.says("viewing", map[string]any{"type": "viewing", "conversation": conv, "ttl": 45})
	a.hears("viewing_of_member", protocol.FrameViewing)
	o.says("presence", map[string]any{"type": "presence", "status": "away", "ttl": 60})
	a.hears("presence_of_member", protocol.FramePresence)
	browser := w.visitorSocket(v, 1)
	browser.says("", protocol.VisitorFrame{Type: protocol.FrameTyping})
	a.hears("typing_of_customer", protocol.FrameTyping)

	ahead := w.socket("/v1/live", w.owner.Token)
	ahead.says("", map[string]any{"type": "hello", "after": 1 << 40})
	ahead.hears("behind", protocol.FrameBehind)
}

// visitorSocket opens the customer's socket and reads the welcome.
func (w *wire) visitorSocket(v *visitor, after int64) *wireSocket {
	w.Helper()
	s := w.socket("/v1/visitor/live", "")
	s.says("", protocol.VisitorFrame{Type: protocol.FrameHello, Token: strings.TrimPrefix(v.token, "Visitor "), After: after})
	s.hears("", protocol.FrameWelcome)
	return s
}

// wireVisitorLive: the customers' socket, both directions.
func wireVisitorLive(w *wire, c server.Config) {
	w.start(c)
	conv, v := w.conversation()
	s := w.socket("/v1/visitor/live", "")
	s.says("hello", protocol.VisitorFrame{Type: protocol.FrameHello, Token: strings.TrimPrefix(v.token, "Visitor "), After: 1})
	s.hears("welcome", protocol.FrameWelcome)
	s.hears("state", protocol.FrameState)
	w.apply(w.owner.Token, text(conv, "Here you are"), nil)
	s.hears("message", protocol.FrameMessage)
	s.says("read_by_customer", protocol.VisitorFrame{Type: protocol.FrameRead, Upto: 2})
	w.apply(w.owner.Token, cmd(protocol.ConversationRead, protocol.ReadArgs{Conversation: conv, Upto: 1}), nil)
	s.hears("read", protocol.FrameRead)
	s.says("typing_of_customer", protocol.VisitorFrame{Type: protocol.FrameTyping})
	o := w.socket("/v1/live", w.owner.Token)
	o.says("", map[string]any{"type": "hello", "after": w.head()})
	o.says("", map[string]any{"type": "typing", "conversation": conv})
	s.hears("typing", protocol.FrameTyping)
	ahead := w.visitorSocket(v, 9)
	ahead.hears("message_shorter", protocol.FrameMessage)

	stranger := w.socket("/v1/visitor/live", "")
	stranger.says("", protocol.VisitorFrame{Type: protocol.FrameHello, Token: "nonsense"})
	stranger.ends("signed_out", protocol.CloseSignedOut)
	old := w.socket("/v1/visitor/live", "", protocol.VersionHeader, "2")
	old.ends("too_old", protocol.CloseTooOld)
	rude := w.socket("/v1/visitor/live", "")
	rude.says("", protocol.VisitorFrame{Type: protocol.FrameTyping})
	rude.ends("no_hello", websocket.ClosePolicyViolation)
	if err := w.srv.Shutdown(context.Background()); err != nil {
		w.Error(err)
	}
	s.ends("restarting", protocol.CloseRestarting)
}

// wireBeats: what comes of itself.
func wireBeats(w *wire, c server.Config) {
	c.Beat = 500 * time.Millisecond
	w.start(c)
	s := w.socket("/v1/live", w.owner.Token)
	s.says("", map[string]any{"type": "hello", "after": w.head()})
	s.hears("welcome", protocol.FrameWelcome)
	s.hears("beat", protocol.FrameBeat)
	w.visitorSocket(w.visit(w.created.Channel.Key), 0).hears("beat_of_visitor", protocol.FrameBeat)
}

// wireClosing: why the members' socket ends.
func wireClosing(w *wire, c server.Config) {
	w.start(c)
	hello := func(token string) *wireSocket {
		s := w.socket("/v1/live", token)
		s.says("", map[string]any{"type": "hello", "after": w.head()})
		return s
	}
	hello("").ends("signed_out", protocol.CloseSignedOut)
	phone := w.signIn("olga@northwind.example", "phone")
	s := hello(phone.Token)
	s.hears("", protocol.FrameWelcome)
	if a := w.do(http.MethodDelete, "/v1/sessions/"+phone.Session.String(), w.owner.Token, nil); a.status != http.StatusNoContent {
		w.Fatalf("revoke: %d", a.status)
	}
	s.ends("revoked", protocol.CloseRevoked)
	ana, yes := w.member("Ana", chat.RoleAgent), true
	s = hello(ana.Token)
	s.hears("", protocol.FrameWelcome)
	w.patch(ana.Member.ID, protocol.MemberUpdate{Disabled: &yes})
	s.hears("access_revoked", protocol.FrameChanges)
	s.ends("disabled", protocol.CloseRevoked)
	w.socket("/v1/live", w.owner.Token, protocol.VersionHeader, "2").ends("too_old", protocol.CloseTooOld)
	rude := w.socket("/v1/live", w.owner.Token)
	rude.says("", map[string]any{"type": "typing"})
	rude.ends("no_hello", websocket.ClosePolicyViolation)
	s = hello(w.owner.Token)
	s.hears("", protocol.FrameWelcome)
	if err := w.srv.Shutdown(context.Background()); err != nil {
		w.Error(err)
	}
	s.ends("restarting", protocol.CloseRestarting)
}

// wireSlow: a socket to which no frame can be written in time, here because
// there is none.
func wireSlow(w *wire, c server.Config) {
	c.Beat, c.Slow = 500*time.Millisecond, time.Nanosecond
	w.start(c)
	s := w.socket("/v1/live", w.owner.Token)
	s.says("", map[string]any{"type": "hello", "after": 0})
	s.ends("too_slow", protocol.CloseTooSlow)
}
