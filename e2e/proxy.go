package e2e

import (
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is the network between a window and a server: bytes go through it both ways until the test cuts or stalls it,
// or makes it lose, delay or shorten what passes.
type Proxy struct {
	t      testing.TB
	target string
	addr   string

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	links    map[*link]struct{}
	flowing  *sync.Cond // signalled when stalled or a link changes
	stalled  bool
	lost     Way         // what is thrown away, of new connections too
	cut      map[Way]int // bytes until a connection is cut in the middle of them
	delay    time.Duration
	rate     int // bytes a second each way; 0: as many as there are
	workers  sync.WaitGroup
}

// Way is a direction of bytes, or both.
type Way int

// The ways.
const (
	ToServer Way = 1 << iota
	ToClient
	BothWays = ToServer | ToClient
)

// link is one connection through the proxy.
type link struct {
	near, far net.Conn
	lost      Way // what is thrown away from now on
}

func (l *link) close() {
	l.near.Close()
	l.far.Close()
}

// NewProxy listens on a free port and forwards to target, which need not listen yet.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, links: map[*link]struct{}{}, cut: map[Way]int{}}
	p.flowing = sync.NewCond(&p.mu)
	p.listen("127.0.0.1:0")
	t.Cleanup(func() {
		p.Cut()
		p.workers.Wait()
	})
	return p
}

// URL is the address of the server as seen through the proxy.
func (p *Proxy) URL() string { return "http://" + p.addr }

// Cut breaks every connection and refuses new ones.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	for l := range p.links {
		l.close()
	}
	p.stalled = false
	p.flowing.Broadcast()
}

// Stall keeps connections open, accepts new ones, and moves no byte: a network that has died without saying so.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = true
}

// Restore lets everything through again. Connections that were cut, or that have lost bytes, stay so; stalled ones go
// on.
func (p *Proxy) Restore() {
	p.t.Helper()
	p.mu.Lock()
	p.stalled, p.lost, p.delay, p.rate = false, 0, 0, 0
	clear(p.cut)
	p.flowing.Broadcast()
	cut := p.listener == nil
	p.mu.Unlock()
	if cut {
		p.listen(p.addr)
	}
}

// Forget makes the connections there are half-open: they stay, and what goes that way is lost without a word, as where
// a router has forgotten them. New connections work.
func (p *Proxy) Forget(way Way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.lost |= way
	}
}

// Lose throws away what goes that way, also of new connections, until Restore. A connection that has lost bytes is of
// no use afterwards.
func (p *Proxy) Lose(way Way) {
	p.Forget(way)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = way
}

// CutAfter cuts the connection that carries the nth byte from now on that way, in the middle of what it carries.
func (p *Proxy) CutAfter(way Way, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut[way] = n
}

// Slow makes every piece of bytes come later by delay, and no more than rate bytes a second pass each connection each
// way; 0 is no limit.
func (p *Proxy) Slow(delay time.Duration, rate int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.rate = delay, rate
}

func (p *Proxy) listen(addr string) {
	p.t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		p.t.Fatalf("listen for the proxy: %v", err)
	}
	p.mu.Lock()
	p.listener, p.addr = listener, listener.Addr().String()
	p.mu.Unlock()
	p.workers.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // closed by Cut
			}
			p.workers.Go(func() { p.serve(near) })
		}
	})
}

// serve moves bytes both ways until either side closes.
func (p *Proxy) serve(near net.Conn) {
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		near.Close()
		return
	}
	l := &link{near: near, far: far}
	p.mu.Lock()
	if p.listener == nil { // cut meanwhile
		p.mu.Unlock()
		l.close()
		return
	}
	l.lost = p.lost
	p.links[l] = struct{}{}
	p.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() { p.pump(l, ToServer, far, near) })
	both.Go(func() { p.pump(l, ToClient, near, far) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pump moves bytes one way; at the end it closes both ends, as a broken network does. Where bytes are lost the end is
// lost too: the other side hears nothing of it.
func (p *Proxy) pump(l *link, way Way, to, from net.Conn) {
	defer func() {
		from.Close()
		p.mu.Lock()
		lost := l.lost&way != 0
		p.mu.Unlock()
		if !lost {
			to.Close()
		}
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		keep, cut, wait := p.pass(l, way, n)
		if wait > 0 {
			<-time.After(wait)
		}
		if keep > 0 {
			if _, err := to.Write(buffer[:keep]); err != nil {
				return
			}
		}
		if err != nil || cut {
			return
		}
	}
}

// pass says how many of n bytes go on, whether the connection is cut after them, and how much later they come.
func (p *Proxy) pass(l *link, way Way, n int) (keep int, cut bool, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stalled {
		p.flowing.Wait()
	}
	if l.lost&way != 0 {
		return 0, false, 0
	}
	wait = p.delay
	if p.rate > 0 {
		wait += time.Duration(n) * time.Second / time.Duration(p.rate)
	}
	if left, ok := p.cut[way]; ok {
		if n >= left {
			delete(p.cut, way)
			return left, true, wait
		}
		p.cut[way] = left - n
	}
	return n, false, wait
}
