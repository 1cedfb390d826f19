package bridge

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	pageQueue    = 256 // events a page may lag behind before it is cut off
	pageDeadline = 5 * time.Second
)

// hub gives events to every open page. A page that does not keep up is cut
// off; it dials again and reads everything anew.
type hub struct {
	log     *slog.Logger
	join    chan *page
	leave   chan *page
	out     chan []byte
	stop    chan struct{}
	stopped chan struct{}
	pages   sync.WaitGroup
	once    sync.Once
}

type page struct {
	conn  *websocket.Conn
	queue chan []byte
}

func newHub(log *slog.Logger) *hub {
	h := &hub{log: log, join: make(chan *page), leave: make(chan *page), out: make(chan []byte, 64),
		stop: make(chan struct{}), stopped: make(chan struct{})}
	go h.run()
	return h
}

func (h *hub) run() {
	defer close(h.stopped)
	open := map[*page]bool{}
	end := func(p *page) {
		if open[p] {
			delete(open, p)
			close(p.queue)
		}
	}
	for {
		select {
		case p := <-h.join:
			open[p] = true
		case p := <-h.leave:
			end(p)
		case b := <-h.out:
			for p := range open {
				select {
				case p.queue <- b:
				default:
					end(p)
				}
			}
		case <-h.stop:
			for p := range open {
				end(p)
			}
			return
		}
	}
}

func (h *hub) emit(name string, payload any) {
	b, err := json.Marshal(map[string]any{"name": name, "payload": payload})
	if err != nil {
		h.log.Error("encode event", "event", name, "error", err)
		return
	}
	select {
	case h.out <- b:
	case <-h.stopped:
	}
}

// serve is one page: its own goroutine reads (to notice the end), another writes.
func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{HandshakeTimeout: pageDeadline} // checks the origin itself
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	h.pages.Add(1)
	defer h.pages.Done()
	p := &page{conn, make(chan []byte, pageQueue)}
	select {
	case h.join <- p:
	case <-h.stopped:
		_ = conn.Close() // closing anyway
		return
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		p.write()
	}()
	conn.SetReadLimit(1 << 10)
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			break
		}
	}
	select {
	case h.leave <- p:
	case <-h.stopped:
	}
	<-written
}

// write ends, and ends the reader too, when the queue is closed or the page
// does not take what it is given.
func (p *page) write() {
	defer p.conn.Close()
	for b := range p.queue {
		if p.conn.SetWriteDeadline(time.Now().Add(pageDeadline)) != nil {
			return
		}
		if p.conn.WriteMessage(websocket.TextMessage, b) != nil {
			return
		}
	}
}

func (h *hub) close() {
	h.once.Do(func() { close(h.stop) })
	<-h.stopped
	h.pages.Wait()
}
