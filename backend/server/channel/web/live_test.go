package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/channel/web"
	"parley/backend/server/fanout"
	"parley/backend/server/inbox"
	"parley/backend/server/store"
)

func TestTheSocketTellsEverythingOnceAndInOrder(t *testing.T) {
	h := build(t, nil)
	h.quick()
	g := h.guest(nil)
	s := g.live(0) // older than the conversation
	g.say("one")
	first := s.until(protocol.FrameMessage)
	if first.From != 0 || first.To != 1 || first.Message.Number != 1 || first.Message.Author.Kind != chat.ActorCustomer {
		t.Errorf("%+v", first)
	}
	conv := h.conversation().ID
	h.do(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: "SECRET"})
	h.answer(conv, "two")
	at := first.To
	f := s.until(protocol.FrameMessage)
	if f.From != at || f.Message.Parts[0].Text != "two" || f.Message.Author.Name != "Ana" || f.Message.Number <= 2 {
		t.Errorf("after a hidden number: %+v %+v", f, f.Message)
	}
	at = f.To
	h.do(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: conv})
	if f := s.until(protocol.FrameState); f.Status != chat.StatusResolved {
		t.Errorf("%+v", f)
	}
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 10 {
				g.say("many")
			}
		})
	}
	for range 40 {
		f := s.until(protocol.FrameMessage)
		if f.From != at || f.To != f.Message.Number || f.To <= at {
			t.Fatalf("at %d: %+v", at, f)
		}
		at = f.To
	}
	writers.Wait()

	late := g.live(first.To)
	if f := late.until(protocol.FrameMessage); f.From != first.To || f.Message.Parts[0].Text != "two" {
		t.Errorf("resumed: %+v", f)
	}
}

func TestTypingAndReading(t *testing.T) {
	h := build(t, func(_ *chat.ChannelSettings, o *web.Options) { o.Beat = 50 * time.Millisecond })
	g := h.guest(nil)
	g.say("one")
	conv := h.conversation().ID
	h.answer(conv, "two")
	s := g.live(0)
	s.send(protocol.VisitorFrame{Type: protocol.FrameTyping})
	s.send(map[string]any{"type": "something newer", "x": 1})
	s.send(protocol.VisitorFrame{Type: protocol.FrameRead, Upto: 1 << 50})
	eventually(t, "the answer is marked as read", func() bool {
		c := h.conversation()
		return c.SeenByCustomer == c.LastNumber
	})
	h.inbox.Publish(fanout.Hint{Workspace: h.ws, Conversation: conv, Contact: h.conversation().Contact, Name: "Ana", TTL: 6})
	if f := s.until(protocol.FrameTyping); f.Name != "Ana" || f.TTL != 6 {
		t.Errorf("%+v", f)
	}
	if f := s.until(protocol.FrameBeat); f.At.IsZero() {
		t.Errorf("%+v", f)
	}
}

// TestAChannelMayKeepReceiptsToItself: with the setting off, no read frame
// comes, neither on hello nor when a member reads; the state still does.
func TestAChannelMayKeepReceiptsToItself(t *testing.T) {
	for setting, want := range map[string]bool{"": true, "on": true, "off": false} {
		t.Run("receipts "+setting, func(t *testing.T) {
			h := build(t, func(s *chat.ChannelSettings, _ *web.Options) { s.Receipts = setting })
			h.quick()
			g := h.guest(nil)
			g.say("one")
			conv := h.conversation().ID
			h.do(protocol.ConversationRead, protocol.ReadArgs{Conversation: conv, Upto: 1})
			s := g.live(1)
			g.say("two")
			h.do(protocol.ConversationRead, protocol.ReadArgs{Conversation: conv, Upto: 2})
			h.do(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: conv})
			came := false
			for {
				f := s.next()
				came = came || f.Type == protocol.FrameRead
				if f.Type == protocol.FrameState && f.Status == chat.StatusResolved {
					break
				}
			}
			if came != want {
				t.Errorf("a receipt came: %v, want %v", came, want)
			}
		})
	}
}

func TestSocketsThatAreRefused(t *testing.T) {
	h := build(t, func(_ *chat.ChannelSettings, o *web.Options) {
		o.Hello = 300 * time.Millisecond
		o.Limits.SocketsPerVisitor = 2
		o.Limits.Frames = web.Rate{Burst: 3, PerSecond: 0.1}
	})
	g := h.guest(nil)
	for origin, status := range map[string]int{"https://evil.example": 403, "null": 403, shop: 101, h.server.URL: 101} {
		conn, w, err := h.dial(http.Header{"Origin": {origin}})
		if w == nil || w.StatusCode != status {
			t.Errorf("from %s: %v %v", origin, w, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
	for name, c := range map[string]struct {
		say  string
		code int
	}{
		"no JSON":       {"hello", websocket.ClosePolicyViolation},
		"another first": {`{"type":"typing"}`, websocket.ClosePolicyViolation},
		"wrong type":    {`{"type":"hello","token":7}`, websocket.ClosePolicyViolation},
		"before zero":   {`{"type":"hello","token":"` + g.token + `","after":-1}`, websocket.ClosePolicyViolation},
		"unknown token": {`{"type":"hello","token":"x"}`, protocol.CloseSignedOut},
		"no token":      {`{"type":"hello"}`, protocol.CloseSignedOut},
	} {
		conn, _, err := h.dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.WriteMessage(websocket.TextMessage, []byte(c.say)); err != nil {
			t.Fatal(err)
		}
		if code := closed(t, conn); code != c.code {
			t.Errorf("%s: closed with %d, want %d", name, code, c.code)
		}
	}
	silent, _, err := h.dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = silent.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, _, err := silent.ReadMessage(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a socket without hello stays: %v", err)
	}

	one, two := g.live(0), g.live(0)
	third, _, err := h.dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = third.WriteJSON(protocol.VisitorFrame{Type: protocol.FrameHello, Token: g.token})
	if code := closed(t, third); code != websocket.CloseTryAgainLater {
		t.Errorf("a third socket: %d", code)
	}
	for range 4 {
		_ = one.conn.WriteJSON(protocol.VisitorFrame{Type: protocol.FrameTyping})
	}
	if code := closed(t, one.conn); code != websocket.ClosePolicyViolation {
		t.Errorf("too many frames: %d", code)
	}
	_ = two.conn.WriteMessage(websocket.TextMessage, []byte(strings.Repeat("x", 64<<10)))
	if code := closed(t, two.conn); code != websocket.CloseMessageTooBig {
		t.Errorf("too large a frame: %d", code)
	}
}

func TestWhatIsNotUnderstoodIsIgnoredUnlessItIsMuch(t *testing.T) {
	h := build(t, nil)
	g := h.guest(nil)
	s := g.live(0)
	for _, odd := range []string{"hello", "[]", `{"type":7}`, `{"type":"read","upto":-1}`, `{"type":"\ud800"}`} {
		if err := s.conn.WriteMessage(websocket.TextMessage, []byte(odd)); err != nil {
			t.Fatal(err)
		}
	}
	g.say("still here")
	if f := s.until(protocol.FrameMessage); f.To != 1 {
		t.Errorf("%+v", f)
	}
	for range 60 {
		_ = s.conn.WriteMessage(websocket.TextMessage, []byte("?")) // it may be closed by now
	}
	if code := closed(t, s.conn); code != websocket.ClosePolicyViolation {
		t.Errorf("much of it: %d", code)
	}
}

func TestAPageCannotUseAnotherChannelsSocket(t *testing.T) {
	h := build(t, nil)
	other := inbox.NewWebChannel(chat.Brand{ID: h.channel.Brand, Name: "Other"}, "Other")
	other.Settings.Origins = []string{"https://other.example"}
	err := h.store.Update(t.Context(), h.ws, func(tx *store.Tx) error {
		return tx.PutChannel(&other, store.Meta{Actor: chat.SystemActor()})
	})
	if err != nil {
		t.Fatal(err)
	}
	g := h.guest(nil)
	for origin, want := range map[string]string{shop: "welcome", "https://other.example": "closed"} {
		conn, _, err := h.dial(http.Header{"Origin": {origin}, "Authorization": {"Visitor " + g.token}})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.WriteJSON(protocol.VisitorFrame{Type: protocol.FrameHello}); err != nil {
			t.Fatal(err)
		}
		if want == "welcome" {
			if f := (socket{t, conn}).next(); f.Type != protocol.FrameWelcome {
				t.Errorf("%s: %+v", origin, f)
			}
		} else if code := closed(t, conn); code != websocket.ClosePolicyViolation {
			t.Errorf("%s: closed with %d", origin, code)
		}
		_ = conn.Close()
	}
}

func TestClosingEndsEverySocket(t *testing.T) {
	h := build(t, nil)
	g := h.guest(nil)
	s := g.live(0)
	mute, _, err := h.dial(nil) // never says hello
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		h.web.Close()
		close(done)
	}()
	_ = s.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	var end *websocket.CloseError
	for err == nil {
		_, _, err = s.conn.ReadMessage()
	}
	var back struct {
		RetryAfter float64 `json:"retry_after"`
	}
	if !errors.As(err, &end) || end.Code != protocol.CloseRestarting || json.Unmarshal([]byte(end.Text), &back) != nil ||
		back.RetryAfter < 0.5 || back.RetryAfter > 1.5 {
		t.Errorf("closed with %v", err)
	}
	select {
	case <-done:
	case <-time.After(8 * time.Second): // less than the wait for a hello
		t.Fatal("Close waits for a socket that never spoke")
	}
	_ = mute.Close()
	if _, w, err := h.dial(nil); err == nil || w == nil || w.StatusCode != 503 {
		t.Errorf("a closed channel takes sockets: %v %v", w, err)
	}
}
