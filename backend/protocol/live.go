package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
)

const frameWriteTimeout = 3 * time.Second

// Live is the members' socket, client's side. One goroutine reads, one writes;
// Abandon may be called by anybody.
type Live struct{ conn *websocket.Conn }

// Closed is the error of a socket that the server closed with a code.
type Closed struct {
	Code       int
	RetryAfter time.Duration // with CloseRestarting: when to come back
	Reason     string
}

// Error gives code and reason.
func (c *Closed) Error() string { return fmt.Sprintf("socket closed: %d %s", c.Code, c.Reason) }

// Dial opens the live socket and says hello. The caller reads the welcome.
func (c *Client) Dial(ctx context.Context, after int64, epoch string) (*Live, error) {
	u := *c.base
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	u.Path = strings.TrimRight(u.Path, "/") + "/v1/live"
	d := websocket.Dialer{
		Proxy:            http.ProxyFromEnvironment,
		NetDialContext:   c.dial,
		HandshakeTimeout: dialTimeout,
		ReadBufferSize:   16 << 10,
	}
	conn, resp, err := d.DialContext(ctx, u.String(), c.header())
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	switch {
	case err != nil && errors.Is(err, websocket.ErrBadHandshake):
		return nil, answerError("dial", resp)
	case err != nil:
		return nil, failed(ctx, "dial", err)
	}
	conn.SetReadLimit(2 * MaxFrame)
	l := &Live{conn}
	if err := l.Send(Frame{Type: FrameHello, After: &after, Client: c.agent, Epoch: epoch}); err != nil {
		l.Abandon()
		return nil, Unreachable("hello", err)
	}
	return l, nil
}

// Read waits for the next frame. A frame that is not JSON is an error: the
// other side is not a Parley server, or not sane.
func (l *Live) Read() (Frame, error) {
	kind, b, err := l.conn.ReadMessage()
	if err != nil {
		return Frame{}, closedError(err)
	}
	var f Frame
	if kind != websocket.TextMessage {
		return f, Unreachable("read frame", errForeign)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, Unreachable("read frame", fmt.Errorf("decode: %w", err))
	}
	return f, nil
}

// Send writes one frame.
func (l *Live) Send(f Frame) error {
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	if err := l.conn.SetWriteDeadline(time.Now().Add(frameWriteTimeout)); err != nil {
		return fmt.Errorf("send frame: %w", err)
	}
	if err := l.conn.WriteMessage(websocket.TextMessage, b); err != nil {
		return fmt.Errorf("send frame: %w", err)
	}
	return nil
}

// Ping asks the other side for a sign of life; pong, set by OnPong, hears it.
func (l *Live) Ping() error {
	return l.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
}

// OnPong sets what is called, in the reader's goroutine, when a ping is
// answered. Call it before the first Read.
func (l *Live) OnPong(pong func()) {
	l.conn.SetPongHandler(func(string) error { pong(); return nil })
}

// Abandon drops the connection at once, without a closing handshake: a dead
// peer would hold that up for minutes.
func (l *Live) Abandon() {
	c := l.conn.NetConn()
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS would try to say goodbye
		c = t.NetConn()
	}
	_ = c.Close() // nothing to save: the peer is given up
}

func closedError(err error) error {
	var ce *websocket.CloseError
	if !errors.As(err, &ce) || ce.Code == websocket.CloseAbnormalClosure {
		return Unreachable("read frame", err)
	}
	c := &Closed{Code: ce.Code, Reason: ce.Text}
	if ce.Code == CloseRestarting {
		c.RetryAfter = retryAfter(ce.Text)
	}
	out := &chat.Error{Code: chat.CodeUnavailable, Message: "The server closed the connection.", Cause: c}
	if ce.Code == CloseSignedOut || ce.Code == CloseRevoked {
		out.Code, out.Message = chat.CodeUnauthorized, "You have been signed out."
	}
	return out
}

// retryAfter reads the seconds in the reason of a closing frame:
// {"retry_after":1.5}, or just a number.
func retryAfter(reason string) time.Duration {
	var doc struct {
		RetryAfter float64 `json:"retry_after"`
	}
	if json.Unmarshal([]byte(reason), &doc) != nil {
		s, err := strconv.ParseFloat(strings.TrimSpace(reason), 64)
		if err != nil {
			return 0
		}
		doc.RetryAfter = s
	}
	if doc.RetryAfter < 0 || doc.RetryAfter > 600 {
		return 0
	}
	return secondsToDuration(doc.RetryAfter)
}
