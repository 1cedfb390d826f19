package web

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

const (
	maxFrameIn   = 16 << 10         // bytes of a frame from a visitor
	writeTimeout = 10 * time.Second // for one frame; a slower reader is dropped
	maxOddFrames = 50               // of one socket, that nobody understands
	// lingering is how long a socket that was told to end is still listened to.
	lingering   = time.Second
	typingEvery = time.Second // how often a visitor's typing is passed on
)

// live is a visitor's socket. The visitor says hello with its token and the
// last number it has; from there on it is told everything it may see, in
// order, each frame saying which number it follows. A browser that finds
// another number there pulls.
func (c *Channel) live(w http.ResponseWriter, r *http.Request) error {
	origin := r.Header.Get("Origin")
	foreign := len(r.Header.Values("Origin")) > 0 && !c.own(r, origin)
	if foreign {
		ok, err := c.somebodyLists(r, origin)
		if err != nil {
			return err
		}
		if !ok {
			return chat.Errorf(chat.CodeForbidden, "This page is not on the list of allowed origins.")
		}
	}
	if !websocket.IsWebSocketUpgrade(r) {
		return chat.Invalid("Upgrade", "This address speaks WebSocket.")
	}
	s := &socket{channel: c, log: c.log, end: make(chan closing, 1),
		changed: make(chan struct{}, 1), typing: make(chan inbox.VisitorHint, 1)}
	if !c.sockets.add(s) {
		return &chat.Error{Code: chat.CodeUnavailable, RetryAfter: 5 * time.Second,
			Message: "The server cannot take more live connections at the moment."}
	}
	defer c.sockets.remove(s)
	up := websocket.Upgrader{HandshakeTimeout: c.hello, ReadBufferSize: 1024, WriteBufferSize: 4096,
		WriteBufferPool: c.sockets.buffers, CheckOrigin: func(*http.Request) bool { return true }} // checked above
	conn, err := up.Upgrade(w, r, http.Header{protocol.VersionHeader: {protocol.Version}})
	if err != nil {
		return nil // Upgrade has answered
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(c.hello)) // fails only on a dead connection
	if !c.sockets.attach(s, conn) {
		s.refuse(restarting())
		return nil
	}
	if otherProtocol(r) {
		s.refuse(closing{protocol.CloseTooOld, "this server speaks protocol " + protocol.Version})
		return nil
	}
	allowed := func(ch chat.Channel) bool { return !foreign || listed(ch, origin) }
	s.run(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Visitor "), allowed)
	return nil
}

// closing is why a socket ends.
type closing struct {
	code   int
	reason string
}

// restarting spreads the browsers' return over a second, as members' is.
func restarting() closing {
	return closing{protocol.CloseRestarting, fmt.Sprintf(`{"retry_after":%.1f}`, 0.5+rand.Float64())}
}

// socket is one open socket. Its handler's goroutine reads, one more writes.
type socket struct {
	channel *Channel
	log     *slog.Logger
	conn    *websocket.Conn
	visitor inbox.Visitor
	token   string
	greeted bool // said hello; guarded by the lock of sockets, as is setting conn

	changed chan struct{}          // something may be new; one pending is enough
	typing  chan inbox.VisitorHint // newest wins
	end     chan closing           // why to end, from outside

	read   int64 // position in the store
	told   int64 // the number the visitor knows of
	seen   int64 // what the company has read, as the visitor knows it
	status chat.Status
}

// run is the socket's life, after the upgrade.
func (s *socket) run(ctx context.Context, token string, allowed func(chat.Channel) bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.conn.SetReadLimit(maxFrameIn)
	_, data, err := s.conn.ReadMessage()
	if err != nil {
		return
	}
	hello, err := decodeFrame(data)
	if err != nil || hello.Type != protocol.FrameHello {
		s.refuse(closing{websocket.ClosePolicyViolation, "a hello is wanted first"})
		return
	}
	if hello.Token != "" {
		token = hello.Token
	}
	if s.visitor, err = s.channel.inbox.Visitor(ctx, token); err != nil {
		if chat.ErrorCode(err) == chat.CodeUnauthorized {
			s.refuse(closing{protocol.CloseSignedOut, "unknown visitor token"})
			return
		}
		s.log.Error("visitor socket", "error", err)
		s.refuse(closing{websocket.CloseTryAgainLater, "try again"})
		return
	}
	if !allowed(s.visitor.Channel) {
		s.refuse(closing{websocket.ClosePolicyViolation, "origin not allowed"})
		return
	}
	key := string(s.visitor.TokenHash)
	if !s.channel.sockets.claim(s, key) {
		s.refuse(closing{websocket.CloseTryAgainLater, "too many connections"})
		return
	}
	defer s.channel.sockets.release(key)
	s.token, s.read, s.told = token, hello.After, hello.After

	unsubscribe := s.channel.inbox.SubscribeVisitor(s.visitor, s.notify)
	defer unsubscribe()
	var writer sync.WaitGroup
	writer.Go(func() {
		defer s.conn.Close() // ends the reading, too
		s.write(ctx)
	})
	s.readFrames(ctx)
	cancel()
	writer.Wait()
}

// refuse closes a socket that has not begun.
func (s *socket) refuse(c closing) {
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(c.code, c.reason),
		time.Now().Add(writeTimeout)) // the other side may be gone already
}

// notify takes a hint. It never blocks: a second hint of a kind replaces the first.
func (s *socket) notify(h inbox.VisitorHint) {
	if h.Kind == inbox.HintTyping {
		for {
			select {
			case s.typing <- h:
				return
			default:
			}
			select {
			case <-s.typing:
			default:
			}
		}
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// frameIn is what a visitor may send.
type frameIn struct {
	Type  protocol.FrameType `json:"type"`
	Token string             `json:"token"`
	After int64              `json:"after"`
	Upto  int64              `json:"upto"`
}

func decodeFrame(data []byte) (frameIn, error) {
	var f frameIn
	if err := decode(data, &f); err != nil {
		return f, err
	}
	if err := checkLine("token", f.Token, maxToken); err != nil {
		return f, err
	}
	if f.After < 0 || f.After >= 1<<53 {
		return f, chat.Invalid("after", "The number of a message is wanted.")
	}
	if f.Upto < 0 || f.Upto >= 1<<53 {
		return f, chat.Invalid("upto", "The number of a message is wanted.")
	}
	return f, nil
}

// readFrames takes what the visitor sends until the connection ends. What is
// not understood is ignored; who sends much of it, or much at all, is cut.
func (s *socket) readFrames(ctx context.Context) {
	alive := func() { _ = s.conn.SetReadDeadline(time.Now().Add(3 * s.channel.beat)) }
	alive()
	s.conn.SetPongHandler(func(string) error { alive(); return nil })
	frames := rate.NewLimiter(rate.Limit(s.channel.limits.frames.PerSecond), s.channel.limits.frames.Burst)
	typing := rate.NewLimiter(rate.Every(typingEvery), 1)
	seen, odd := int64(0), 0
	for {
		_, data, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		alive()
		if !frames.Allow() {
			s.stop(closing{websocket.ClosePolicyViolation, "too many frames"})
			s.takeIn()
			return
		}
		f, err := decodeFrame(data)
		if err != nil {
			if odd++; odd > maxOddFrames {
				s.stop(closing{websocket.ClosePolicyViolation, "too many frames that say nothing"})
				s.takeIn()
				return
			}
			continue
		}
		switch f.Type {
		case protocol.FrameTyping:
			if typing.Allow() {
				s.channel.inbox.VisitorTyping(ctx, s.visitorNow(ctx))
			}
		case protocol.FrameRead:
			if f.Upto <= seen {
				continue
			}
			seen = f.Upto
			if err := s.channel.inbox.VisitorRead(ctx, s.visitorNow(ctx), f.Upto); err != nil && ctx.Err() == nil {
				s.log.Error("visitor read", "error", err)
			}
		}
	}
}

// takeIn reads what is still under way after the socket was told to end, for a
// moment: a connection closed with unread bytes would be reset, and the reset
// overtakes the closing code.
func (s *socket) takeIn() {
	s.conn.SetPongHandler(nil)
	_ = s.conn.SetReadDeadline(time.Now().Add(lingering)) // fails only on a closed connection
	for {
		if _, _, err := s.conn.ReadMessage(); err != nil {
			return
		}
	}
}

// visitorNow is the visitor with the conversation it has by now: a socket may
// be older than the first message.
func (s *socket) visitorNow(ctx context.Context) inbox.Visitor {
	if v, err := s.channel.inbox.Visitor(ctx, s.token); err == nil {
		return v
	}
	return s.visitor
}

// stop asks the writer to close the socket.
func (s *socket) stop(c closing) {
	select {
	case s.end <- c:
	default: // it is ending already
	}
}

// write sends until the connection ends or the context does. What is new is
// read from the store each time, so nothing waits here in memory.
func (s *socket) write(ctx context.Context) {
	beat := time.NewTicker(s.channel.beat)
	defer beat.Stop()
	if s.send(protocol.VisitorFrame{Type: protocol.FrameWelcome, Beat: max(1, int(s.channel.beat/time.Second))}) != nil {
		return
	}
	err := s.catchUp(ctx)
	for err == nil {
		select {
		case <-ctx.Done():
			return
		case c := <-s.end:
			s.refuse(c)
			return
		case <-s.changed:
			err = s.catchUp(ctx)
		case h := <-s.typing:
			err = s.send(protocol.VisitorFrame{Type: protocol.FrameTyping, Name: h.Name, TTL: h.TTL})
		case <-beat.C:
			// A hint may have been lost: the beat repairs that.
			if err = s.catchUp(ctx); err == nil {
				err = s.send(protocol.VisitorFrame{Type: protocol.FrameBeat, At: chat.TimeOf(s.channel.now())})
			}
			if err == nil {
				err = s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout))
			}
		}
	}
}

// catchUp sends everything the visitor may see and has not been told. A store
// that cannot answer now will at the next hint or beat; only an error of the
// connection is returned.
func (s *socket) catchUp(ctx context.Context) error {
	v := s.visitorNow(ctx)
	for {
		page, err := s.channel.page(ctx, v, s.read)
		if err != nil {
			s.complain(ctx, err)
			return nil
		}
		if page.To < page.From { // they have more than there is: the server was restored from an older backup
			err := s.send(protocol.VisitorMessageFrame{Type: protocol.FrameMessage, From: page.From, To: page.To})
			if err != nil {
				return err
			}
			s.read, s.told = page.To, page.To
			break
		}
		for i := range page.Messages {
			m := &page.Messages[i]
			if err := s.send(protocol.VisitorMessageFrame{Type: protocol.FrameMessage, From: s.told, To: m.Number, Message: m}); err != nil {
				return err
			}
			s.told = m.Number
		}
		if page.To <= s.read || len(page.Messages) == 0 {
			s.read = max(s.read, page.To)
			break
		}
		s.read = page.To
	}
	now, err := s.channel.inbox.Standing(ctx, v)
	if err != nil {
		s.complain(ctx, err)
		return nil
	}
	if now.Read > s.seen { // never back: that a member keeps it for later is not the customer's concern
		s.seen = now.Read
		if err := s.send(protocol.VisitorFrame{Type: protocol.FrameRead, Upto: now.Read}); err != nil {
			return err
		}
	}
	if now.Status == s.status || now.Status == "" {
		return nil
	}
	s.status = now.Status
	return s.send(protocol.VisitorFrame{Type: protocol.FrameState, Status: now.Status})
}

func (s *socket) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.log.Error("visitor socket", "error", err)
	}
}

func (s *socket) send(frame any) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return s.conn.WriteJSON(frame)
}
