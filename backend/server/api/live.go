package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/fanout"
	"parley/backend/server/inbox"
)

// The bounds of one socket.
const (
	maxIncoming  = 64 << 10         // bytes of a frame from a client
	maxWhispers  = 128              // ephemera waiting to be written
	writeTimeout = 30 * time.Second // a client that takes nothing for so long is gone, and hears no code
	// endTimeout is what a frame that is being written has left once the socket
	// is to end: a closing code can only follow a whole frame.
	endTimeout = 3 * time.Second
)

// The frames the server writes. They are their own types so that positions
// are written even when they are 0.
type (
	welcomeFrame struct {
		Type  protocol.FrameType `json:"type"`
		Head  int64              `json:"head"`
		Beat  float64            `json:"beat"`
		Epoch string             `json:"epoch"`
	}
	behindFrame struct {
		Type protocol.FrameType `json:"type"`
		Head int64              `json:"head"`
	}
	beatFrame struct {
		Type protocol.FrameType `json:"type"`
		Head int64              `json:"head"`
		At   chat.Time          `json:"at"`
	}
)

// closing is why a socket ends.
type closing struct {
	code   int
	reason string
}

// restarting spreads the clients' return over some seconds.
func restarting(spread float64) closing {
	return closing{code: protocol.CloseRestarting, reason: fmt.Sprintf(`{"retry_after":%.1f}`, 0.5+rand.Float64()*spread)}
}

// socket is one member's live socket. Two goroutines own it: read takes frames
// from the client, write alone writes. What others want of it (there is more,
// a whisper, an end) they leave behind and nudge write.
type socket struct {
	api     *API
	conn    *websocket.Conn
	who     inbox.Principal
	token   string
	hub     *hub
	counted bool
	wake    chan struct{}
	gone    chan struct{} // closed when read has ended
	frames  *rate.Limiter

	todo    atomic.Uint32
	end     atomic.Pointer[closing]
	writing atomic.Int64 // the tick after the one in which the frame on its way was begun; 0: none is on its way
	beatAt  int64        // the tick of the next beat; guarded by hub.mu

	mu       sync.Mutex
	whispers map[string]whisper
	order    []string

	// Owned by write.
	view chat.View
	sent int64 // the position the client has been told
	read int64 // how far the log has been looked at
}

// What there is to do for write, besides the log.
const (
	todoBeat = 1 << iota
	todoTell
)

// whisper is an ephemeral frame, the same for all sockets.
type whisper struct {
	key   string
	brand chat.BrandID
	frame *websocket.PreparedMessage
}

// upgrader makes sockets of requests.
func (a *API) upgrader() *websocket.Upgrader {
	return &websocket.Upgrader{
		// Most sockets are idle most of the time: what they write with they
		// borrow, and what clients send is short.
		HandshakeTimeout: 10 * time.Second, ReadBufferSize: 512, WriteBufferSize: 16 << 10, WriteBufferPool: &a.buffers,
		// The token is in a header or in the first frame, never in a cookie, so a
		// foreign page has nothing to abuse.
		CheckOrigin: func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, r *http.Request, _ int, reason error) {
			a.problem(w, r, &chat.Error{Code: chat.CodeInvalid, Field: "Upgrade", Message: "The WebSocket handshake is not right.", Cause: reason})
		},
	}
}

// getLive opens the live socket.
func (a *API) getLive(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	if !websocket.IsWebSocketUpgrade(r) {
		return chat.Invalid("Upgrade", "This address is a WebSocket.")
	}
	if !a.hubs.enter() {
		return &chat.Error{Code: chat.CodeUnavailable, RetryAfter: time.Second, Message: "The server is restarting."}
	}
	conn, err := a.upgrader().Upgrade(w, r, http.Header{protocol.VersionHeader: {protocol.Version}})
	if err != nil {
		a.hubs.leave()
		return nil // the upgrader has answered
	}
	token, _ := bearer(r)
	s := &socket{api: a, conn: conn, who: who, token: token, wake: make(chan struct{}, 1), gone: make(chan struct{}),
		frames: rate.NewLimiter(20, 60)}
	version := r.Header.Get(protocol.VersionHeader)
	// A goroutine of its own, for which wait waits: the request's would keep the
	// request and its buffers for as long as the socket lives.
	ctx := context.WithoutCancel(r.Context())
	go func() {
		defer a.hubs.leave()
		defer conn.Close()
		if version != "" && version != protocol.Version {
			s.sayGoodbye(closing{protocol.CloseTooOld, "this server speaks protocol " + protocol.Version})
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s.serve(ctx)
	}()
	return nil
}

// serve runs the socket to its end.
func (s *socket) serve(ctx context.Context) {
	s.conn.SetReadLimit(maxIncoming)
	hello, end := s.hello(ctx)
	if end != nil {
		s.sayGoodbye(*end)
		return
	}
	h, err := s.api.hubs.join(ctx, s.who.Workspace, s)
	if err != nil {
		s.api.log.WarnContext(ctx, "open live socket", "error", err)
		s.sayGoodbye(restarting(2))
		return
	}
	s.hub = h
	defer h.part(s)
	ctx, cancel := context.WithCancel(ctx)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		s.listen(ctx)
		close(s.gone)
		s.nudge()
	}()
	if end := s.write(ctx, hello); end != nil {
		s.sayGoodbye(*end)
	}
	cancel()
	s.conn.Close() // ends the reader
	<-reading
}

// hello waits for the client to say who it is and where it stands.
func (s *socket) hello(ctx context.Context) (protocol.Frame, *closing) {
	var f protocol.Frame
	_ = s.conn.SetReadDeadline(time.Now().Add(s.api.hubs.hello)) // fails only on a closed connection, which Read reports
	_, data, err := s.conn.ReadMessage()
	if err != nil {
		return f, &closing{websocket.ClosePolicyViolation, "say hello first"}
	}
	if err := protocol.Decode(data, &f); err != nil || f.Type != protocol.FrameHello {
		return f, &closing{websocket.ClosePolicyViolation, "the first frame is hello"}
	}
	if s.token == "" {
		s.token = f.Token
	}
	// Asked anew even if the header was right: what a member may see must be
	// as new as the position that is continued from.
	who, err := s.api.inbox.AuthenticateNow(ctx, s.token)
	if err != nil {
		return f, endOf(err)
	}
	if !who.Member.Role.Can(chat.ActRead) {
		return f, &closing{protocol.CloseSignedOut, "your role does not allow this"}
	}
	s.who, s.view = who, who.View()
	return f, nil
}

// endOf says how a socket ends whose session is not good.
func endOf(err error) *closing {
	switch p := protocol.ProblemOf(err); {
	case p.Wipe:
		return &closing{code: protocol.CloseRevoked}
	case p.Code == chat.CodeUnauthorized:
		return &closing{code: protocol.CloseSignedOut}
	}
	c := restarting(2)
	return &c
}

// nudge wakes the writer. It does not block.
func (s *socket) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// ask leaves something to be done.
func (s *socket) ask(todo uint32) {
	s.todo.Or(todo)
	s.nudge()
}

// close asks the writer to end the socket; the first reason counts.
func (s *socket) close(c closing) {
	s.end.CompareAndSwap(nil, &c)
	if s.writing.Load() != 0 && c.code != protocol.CloseTooSlow { // do not hold up the end for a client that does not read
		_ = s.conn.NetConn().SetWriteDeadline(time.Now().Add(endTimeout)) // fails only on a closed connection
	}
	s.nudge()
}

// whisper leaves an ephemeral frame to be written: the newest per key, and
// none beyond the bound.
func (s *socket) whisper(w whisper) {
	s.mu.Lock()
	if _, waiting := s.whispers[w.key]; !waiting {
		if len(s.order) >= maxWhispers {
			s.mu.Unlock()
			s.api.metrics.dropped.Inc()
			return
		}
		s.order = append(s.order, w.key)
	}
	if s.whispers == nil {
		s.whispers = map[string]whisper{}
	}
	s.whispers[w.key] = w
	s.mu.Unlock()
	s.ask(todoTell)
}

// listen takes frames until the connection ends.
func (s *socket) listen(ctx context.Context) {
	patience := 3 * s.api.hubs.beat
	alive := func() { _ = s.conn.SetReadDeadline(time.Now().Add(patience)) } // fails only on a closed connection
	alive()
	s.conn.SetPongHandler(func(string) error { alive(); return nil })
	for {
		_, data, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		alive()
		if !s.frames.Allow() {
			s.api.metrics.dropped.Inc()
			continue
		}
		var f protocol.Frame
		if protocol.Decode(data, &f) != nil {
			continue // what we do not understand is ignored
		}
		if err := s.take(ctx, f); err != nil && chat.ErrorCode(err) == chat.CodeInternal && ctx.Err() == nil {
			s.api.log.WarnContext(ctx, "take frame", "type", clip(string(f.Type)), "error", err)
		}
	}
}

// ttlOf is how long an ephemeral stands when its sender does not say, seconds.
var ttlOf = map[protocol.FrameType]int{protocol.FrameTyping: 6, protocol.FrameViewing: 45, protocol.FramePresence: 60}

// take passes an ephemeral frame of the client on to its colleagues.
func (s *socket) take(ctx context.Context, f protocol.Frame) error {
	ttl, known := ttlOf[f.Type]
	if !known {
		return nil
	}
	if f.TTL > 0 {
		ttl = min(f.TTL, 120)
	}
	out := protocol.Frame{Type: f.Type, Member: s.who.Member.ID, TTL: ttl}
	hint := fanout.Hint{Workspace: s.who.Workspace, From: s.who.Member.ID, Key: string(f.Type) + " " + s.who.Member.ID.String()}
	if f.Type == protocol.FramePresence {
		switch f.Status {
		case "online", "away", "offline":
			out.Status = f.Status
		default:
			return nil
		}
	} else {
		conv, err := s.api.inbox.Conversation(ctx, s.who, f.Conversation)
		if err != nil {
			return err
		}
		out.Conversation, hint.Conversation, hint.Brand = conv.ID, conv.ID, conv.Brand
		if f.Type == protocol.FrameTyping {
			hint.Contact, hint.TTL = conv.Contact, ttl
			hint.Name = s.api.inbox.MemberName(ctx, s.who.Workspace, s.who.Member.ID.String())
			hint.Key += " " + conv.ID.String()
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	hint.Ephemeral = raw
	s.api.inbox.Publish(hint)
	return nil
}

// sayGoodbye closes with a code. The client may not be there to hear it.
func (s *socket) sayGoodbye(c closing) {
	msg := websocket.FormatCloseMessage(c.code, c.reason)
	if err := s.conn.WriteControl(websocket.CloseMessage, msg, time.Now().Add(time.Second)); err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		return
	}
	// Without a moment for the frame to arrive, closing with unread input would
	// reset the connection and lose it.
	moment := 500 * time.Millisecond
	if c.code == protocol.CloseTooSlow { // much is on the way before the frame
		moment = 5 * time.Second
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(moment)) // fails only on a closed connection
	if s.hub != nil {                                  // the reader hears the answer
		select {
		case <-s.gone:
		case <-time.After(moment):
		}
		return
	}
	for {
		if _, _, err := s.conn.ReadMessage(); err != nil {
			break
		}
	}
	// What came after a frame that broke the rules is not parsed any more.
	_, _ = io.Copy(io.Discard, io.LimitReader(s.conn.NetConn(), 1<<20)) // ends with the deadline
}
