package simulation

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// line is the network between one desktop and the server. Connections that are
// open when it is cut or goes silent never come back: that is how TCP ends.
type line struct {
	server *listener
	closed func() bool // the server takes no connections
	// delays gives, for connection number n, how long each piece is on its way.
	delays func(n int) func() time.Duration

	mu    sync.Mutex
	up    bool
	made  int                // connections
	conns map[*conn]struct{} // the desktop's ends
}

var errCut = errors.New("connection reset by peer")

// dial opens a connection, if the line is up.
func (l *line) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	l.mu.Lock()
	l.made++
	delay := l.delays(l.made)
	l.mu.Unlock()
	timer := time.NewTimer(delay())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up || l.closed() || !l.server.open() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("network is unreachable")}
	}
	out, in := newPipe(delay), newPipe(delay)
	near, far := &conn{read: in, write: out}, &conn{read: out, write: in}
	near.closed = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, near)
	}
	if !l.server.offer(far) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	l.conns[near] = struct{}{}
	return near, nil
}

// set lets connections be made, or not.
func (l *line) set(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = up
}

func (l *line) each(do func(*conn)) {
	l.mu.Lock()
	var all []*conn
	for c := range l.conns {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		do(c)
	}
}

// cut ends every connection, and both ends notice.
func (l *line) cut() {
	l.each(func(c *conn) {
		c.read.fail(errCut)
		c.write.fail(errCut)
	})
}

// hush makes every connection half-open: what is written is swallowed, in one
// direction or in both, and nobody is told.
func (l *line) hush(up, down bool) {
	l.each(func(c *conn) {
		if up {
			c.write.swallow()
		}
		if down {
			c.read.swallow()
		}
	})
}

// listener is where the server takes connections.
type listener struct {
	conns chan net.Conn
	mu    sync.Mutex
	gone  chan struct{}
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn, 64), gone: make(chan struct{})}
}

func (l *listener) open() bool {
	select {
	case <-l.gone:
		return false
	default:
		return true
	}
}

func (l *listener) offer(c net.Conn) bool {
	select {
	case l.conns <- c:
		return true
	default:
		return false
	}
}

// Accept gives the next connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.gone:
		return nil, net.ErrClosed
	}
}

// Close stops listening.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open() {
		close(l.gone)
	}
	return nil
}

// Addr names the listener.
func (l *listener) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "tcp" }
func (address) String() string  { return "127.0.0.1:1" }

// conn is one end of a connection.
type conn struct {
	read, write *pipe
	closed      func()
}

func (c *conn) Read(b []byte) (int, error)  { return c.read.take(b) }
func (c *conn) Write(b []byte) (int, error) { return c.write.put(b) }

// Close ends both directions: the other end reads to the end, then io.EOF.
func (c *conn) Close() error {
	c.read.leave()
	c.write.end()
	if c.closed != nil {
		c.closed()
	}
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return address{} }
func (c *conn) RemoteAddr() net.Addr { return address{} }

func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *conn) SetReadDeadline(t time.Time) error {
	c.read.setDeadline(t)
	return nil
}

func (c *conn) SetWriteDeadline(time.Time) error { return nil } // a write never waits

// pipe is one direction of a connection: pieces arrive in order, each after its
// own delay.
type pipe struct {
	delay func() time.Duration

	mu        sync.Mutex
	pieces    []piece
	last      time.Time // when the newest piece arrives
	err       error     // of reading and writing, at once
	left      bool      // nobody reads any more
	ended     bool      // no more pieces come
	swallowed bool
	deadline  time.Time
	changed   chan struct{} // closed and made anew with each change
}

type piece struct {
	at   time.Time
	data []byte
}

func newPipe(delay func() time.Duration) *pipe {
	return &pipe{delay: delay, changed: make(chan struct{})}
}

func (p *pipe) nudge() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pipe) put(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.err != nil:
		return 0, p.err
	case p.ended:
		return 0, net.ErrClosed
	case p.swallowed:
		return len(b), nil
	case p.left:
		return 0, errCut
	}
	at := time.Now().Add(p.delay())
	if at.Before(p.last) {
		at = p.last
	}
	p.last = at
	p.pieces = append(p.pieces, piece{at, append([]byte(nil), b...)})
	p.nudge()
	return len(b), nil
}

func (p *pipe) take(b []byte) (int, error) {
	for {
		p.mu.Lock()
		now := time.Now()
		var next time.Time
		switch {
		case p.err != nil:
			defer p.mu.Unlock()
			return 0, p.err
		case p.left:
			defer p.mu.Unlock()
			return 0, net.ErrClosed
		case len(p.pieces) > 0 && !p.pieces[0].at.After(now):
			defer p.mu.Unlock()
			n := copy(b, p.pieces[0].data)
			if p.pieces[0].data = p.pieces[0].data[n:]; len(p.pieces[0].data) == 0 {
				p.pieces = p.pieces[1:]
			}
			return n, nil
		case len(p.pieces) == 0 && p.ended:
			defer p.mu.Unlock()
			return 0, io.EOF
		case !p.deadline.IsZero() && !p.deadline.After(now):
			defer p.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(p.pieces) > 0:
			next = p.pieces[0].at
		}
		if !p.deadline.IsZero() && (next.IsZero() || p.deadline.Before(next)) {
			next = p.deadline
		}
		changed := p.changed
		p.mu.Unlock()
		if next.IsZero() {
			<-changed
			continue
		}
		timer := time.NewTimer(next.Sub(now))
		select {
		case <-timer.C:
		case <-changed:
		}
		timer.Stop()
	}
}

// end lets the reader have what is on its way, and then the end.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = !p.swallowed // of a silent line not even the end is heard
	p.nudge()
}

// leave ends the reading; who writes hears of it, unless the line is silent.
func (p *pipe) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = true
	p.nudge()
}

// fail ends the pipe for both sides.
func (p *pipe) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.nudge()
}

func (p *pipe) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallowed, p.pieces = true, nil
	p.nudge()
}

func (p *pipe) setDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	p.nudge()
}
