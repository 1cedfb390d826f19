package web

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// sockets is every open socket of the channel, and the bounds on them.
type sockets struct {
	max, maxEach int
	buffers      *sync.Pool

	mu     sync.Mutex
	open   map[*socket]struct{}
	each   map[string]int // per visitor
	closed bool
	done   sync.WaitGroup
}

func newSockets(l Limits) *sockets {
	s := &sockets{max: l.Sockets, maxEach: l.SocketsPerVisitor, buffers: &sync.Pool{},
		open: map[*socket]struct{}{}, each: map[string]int{}}
	if s.max <= 0 {
		s.max = 20_000
	}
	if s.maxEach <= 0 {
		s.maxEach = 16
	}
	return s
}

// add takes a place for a socket; false when there is none or it is closing.
func (a *sockets) add(s *socket) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || len(a.open) >= a.max {
		return false
	}
	a.open[s] = struct{}{}
	a.done.Add(1)
	return true
}

func (a *sockets) remove(s *socket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, s)
	a.done.Done()
}

// attach gives a socket its connection; false when it is closing.
func (a *sockets) attach(s *socket, conn *websocket.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.conn = conn
	return !a.closed
}

// claim takes one of a visitor's places for a socket that has said hello.
func (a *sockets) claim(s *socket, key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.each[key] >= a.maxEach {
		return false
	}
	a.each[key]++
	s.greeted = true
	return true
}

func (a *sockets) release(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.each[key]--; a.each[key] <= 0 {
		delete(a.each, key)
	}
}

// close ends every socket with "restarting" and waits for all of them.
func (a *sockets) close() {
	a.mu.Lock()
	a.closed = true
	for s := range a.open {
		s.stop(restarting())
		if s.conn != nil && !s.greeted { // nobody writes yet: end the waiting for its hello
			_ = s.conn.SetReadDeadline(time.Now())
		}
	}
	a.mu.Unlock()
	a.done.Wait()
}
