package e2e

import (
	"net"
	"sync"
	"testing"
)

// Proxy is the network between a window and a server: bytes go through it both ways until the test cuts or stalls it.
type Proxy struct {
	t      testing.TB
	target string
	addr   string

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	links    map[*link]struct{}
	flowing  *sync.Cond // signalled when stalled or a link changes
	stalled  bool
	workers  sync.WaitGroup
}

// link is one connection through the proxy.
type link struct{ near, far net.Conn }

func (l *link) close() {
	l.near.Close()
	l.far.Close()
}

// NewProxy listens on a free port and forwards to target, which need not listen yet.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, target: target, links: map[*link]struct{}{}}
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

// Restore lets everything through again. Connections that were cut stay so; stalled ones go on.
func (p *Proxy) Restore() {
	p.t.Helper()
	p.mu.Lock()
	p.stalled = false
	p.flowing.Broadcast()
	cut := p.listener == nil
	p.mu.Unlock()
	if cut {
		p.listen(p.addr)
	}
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
	p.links[l] = struct{}{}
	p.mu.Unlock()

	var both sync.WaitGroup
	both.Go(func() { p.pump(far, near) })
	both.Go(func() { p.pump(near, far) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pump moves bytes one way; at the end it closes both ends, as a broken network does.
func (p *Proxy) pump(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for p.stalled {
			p.flowing.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
