package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/protocol"
)

const (
	fanoutRounds = 60
	frameBytes   = 1500 // about what one comment makes: the message and its conversation
)

// BenchmarkSockets measures what many live sockets cost: memory of each while nothing happens, and how long one change
// takes, from the request that makes it until the last socket has it, with the processor time that the server spends on
// it for each socket: that stands also on a busy machine. Beside it stands a server that does nothing but hold as many
// sockets of the same library and write the same bytes to them.
func BenchmarkSockets(b *testing.B) {
	for _, n := range []int{1000, 5000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				ours := openSockets(b, n, newParleySockets(b))
				ours.report(b, "parley")
				ours.close()
				raw := openSockets(b, n, newRawSockets(b))
				raw.report(b, "raw")
				raw.close()
				b.ReportMetric(ours.bytesEach/raw.bytesEach, "memory-ratio")
				b.ReportMetric(float64(middle(ours.last))/float64(middle(raw.last)), "last-p50-ratio")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkIdleBeat measures the server's processor time for one beat of a socket on which nothing happens, in an empty
// workspace and in one with many conversations.
func BenchmarkIdleBeat(b *testing.B) {
	const sockets = 2000
	for b.Loop() {
		for name, kind := range map[string]socketServer{"empty": newParleySockets(b), "20000-conversations": newDemoSockets(b)} {
			s := openSockets(b, sockets, kind)
			before := kind.server().CPU()
			<-time.After(2 * protocol.BeatSeconds * time.Second) // two beats of each
			b.ReportMetric(float64((kind.server().CPU()-before).Microseconds())/(2*sockets), name+"-cpu-us/beat")
			s.close()
		}
	}
	b.ReportMetric(0, "ns/op")
}

// socketServer is a process that holds sockets.
type socketServer interface {
	dial() (*websocket.Conn, error)
	// change makes one change that every socket hears of in one frame.
	change()
	server() *Server
	end()
}

// parleySockets is parleyd.
type parleySockets struct {
	b     *testing.B
	srv   *Server
	owner *person
	conv  chat.ConversationID
	head  int64
	epoch string
}

func newParleySockets(b *testing.B) *parleySockets {
	b.Helper()
	srv := NewServer(b)
	p := &parleySockets{b: b, srv: srv, owner: personAt(b, srv.URL(), ownerEmail)}
	if err := newBuyer(b, srv.URL(), srv.Created.Channel.Key).says(b.Context(), "hello"); err != nil {
		b.Fatal(err)
	}
	page, err := p.owner.client.Changes(b.Context(), "", 0)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range page.Changes {
		if !c.Conversation.IsZero() {
			p.conv = c.Conversation
		}
	}
	p.head, p.epoch = page.Head, page.Epoch
	return p
}

// newDemoSockets is parleyd with the demonstration's data.
func newDemoSockets(b *testing.B) *parleySockets {
	b.Helper()
	srv := &Server{t: b, addr: freePort(b), Data: b.TempDir()}
	var owner *person
	for _, m := range importDemo(b, srv.Data, 20_000, 60_000).Members {
		if m.Role == chat.RoleOwner {
			srv.Start()
			owner = personWith(b, srv.URL(), m.Email, demo.Password)
		}
	}
	p := &parleySockets{b: b, srv: srv, owner: owner}
	_, err := owner.client.Bootstrap(b.Context(), 1, "", protocol.Rows{
		Head: func(h protocol.BootstrapHead) error { p.head, p.epoch = h.Head, h.Epoch; return nil },
		Line: func(l protocol.BootstrapLine) (err error) {
			if l.Kind == chat.EntityConversation && p.conv.IsZero() {
				p.conv, err = chat.ParseID[chat.Conversation](l.ID)
			}
			return err
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func (p *parleySockets) server() *Server { return p.srv }
func (p *parleySockets) end()            { p.srv.Kill() }

func (p *parleySockets) dial() (*websocket.Conn, error) {
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(p.srv.URL(), "http")+"/v1/live",
		http.Header{"Authorization": {"Bearer " + p.owner.who.Token}, protocol.VersionHeader: {protocol.Version}})
	if err != nil {
		return nil, err
	}
	return conn, conn.WriteJSON(protocol.Frame{Type: protocol.FrameHello, After: &p.head, Epoch: p.epoch, Client: "bench"})
}

func (p *parleySockets) change() {
	p.owner.command(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: p.conv, Message: chat.NewID[chat.Message](),
		Text: "Does anybody know this customer?"}, nil)
}

// rawSockets is this test's own program as a server that only holds sockets.
type rawSockets struct {
	b   *testing.B
	srv *Server
	n   int64
}

func newRawSockets(b *testing.B) *rawSockets {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	r := &rawSockets{b: b, srv: &Server{t: b, addr: freePort(b)}}
	r.srv.proc = start(b, "raw sockets", exec.Command(self, "-sockets.raw="+r.srv.addr))
	Until(b, "the raw server", func() bool {
		conn, err := net.Dial("tcp", r.srv.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return r
}

func (r *rawSockets) server() *Server { return r.srv }
func (r *rawSockets) end()            { r.srv.Kill() }

func (r *rawSockets) dial() (*websocket.Conn, error) {
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+r.srv.addr+"/live", nil)
	return conn, err
}

func (r *rawSockets) change() {
	r.n++
	resp, err := http.Post(fmt.Sprintf("http://%s/%d", r.srv.addr, r.n), "text/plain", nil)
	if err != nil {
		r.b.Fatal(err)
	}
	resp.Body.Close()
}

// serveRawSockets is the raw server: for each socket a goroutine that reads and one that writes.
func serveRawSockets(addr string) int {
	var mu sync.Mutex
	all := map[chan []byte]struct{}{}
	upgrader := websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 16 << 10, WriteBufferPool: &sync.Pool{}}
	err := http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/live" {
			frame := append([]byte(`{"type":"changes","from":0,"to":`+strings.TrimPrefix(r.URL.Path, "/")+`,"changes":["`), bytes.Repeat([]byte("x"), frameBytes)...)
			frame = append(frame, `"]}`...)
			mu.Lock()
			for out := range all {
				out <- frame
			}
			mu.Unlock()
			return
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		out := make(chan []byte, 4)
		mu.Lock()
		all[out] = struct{}{}
		mu.Unlock()
		go func() {
			for frame := range out {
				if conn.WriteMessage(websocket.TextMessage, frame) != nil {
					return
				}
			}
		}()
		_, _, _ = conn.ReadMessage() // ends with the client, and with this process
	}))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// sockets are the clients of a server: they read frames and look only for the position that each reaches.
type sockets struct {
	b         *testing.B
	kind      socketServer
	conns     []*websocket.Conn
	reading   sync.WaitGroup
	rounds    atomic.Int64
	left      atomic.Int64
	bytesEach float64
	last      []time.Duration
}

func openSockets(b *testing.B, n int, kind socketServer) *sockets {
	b.Helper()
	s := &sockets{b: b, kind: kind, conns: make([]*websocket.Conn, n)}
	before := kind.server().memory()
	var dialing sync.WaitGroup
	places := make(chan struct{}, 50)
	failed := make(chan error, n)
	for i := range s.conns {
		dialing.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			var err error
			if s.conns[i], err = kind.dial(); err != nil {
				failed <- err
			}
		})
	}
	dialing.Wait()
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
	for _, conn := range s.conns {
		s.reading.Go(func() { s.read(conn) })
	}
	s.round() // everybody is there, and has heard a first change
	s.bytesEach = float64(kind.server().memory()-before) / float64(n)
	return s
}

// read takes frames until the connection ends.
func (s *sockets) read(conn *websocket.Conn) {
	var buffer bytes.Buffer
	var heard, counted int64
	for {
		_, r, err := conn.NextReader()
		if err != nil {
			return
		}
		buffer.Reset()
		if _, err := io.Copy(&buffer, r); err != nil {
			return
		}
		frame := buffer.Bytes()[:min(buffer.Len(), 120)]
		if !bytes.HasPrefix(frame, []byte(`{"type":"changes"`)) {
			continue
		}
		_, rest, _ := bytes.Cut(frame, []byte(`"to":`))
		digits, _, _ := bytes.Cut(rest, []byte(","))
		to, err := strconv.ParseInt(string(digits), 10, 64)
		if err != nil {
			return
		}
		if round := s.rounds.Load(); to > heard && counted < round { // the first news of this round
			heard, counted = to, round
			s.left.Add(-1)
		}
		heard = max(heard, to)
	}
}

// round makes one change and waits until every socket has it.
func (s *sockets) round() time.Duration {
	s.b.Helper()
	s.left.Store(int64(len(s.conns)))
	s.rounds.Add(1)
	began := time.Now()
	s.kind.change()
	end := time.NewTimer(longPatience)
	defer end.Stop()
	for look := time.NewTicker(200 * time.Microsecond); ; {
		select {
		case <-look.C:
			if s.left.Load() <= 0 {
				look.Stop()
				return time.Since(began)
			}
		case <-end.C:
			s.b.Fatalf("%d of %d sockets did not hear of a change", s.left.Load(), len(s.conns))
		}
	}
}

func (s *sockets) report(b *testing.B, name string) {
	b.Helper()
	before := s.kind.server().CPU()
	for range fanoutRounds {
		s.last = append(s.last, s.round())
	}
	spent := s.kind.server().CPU() - before
	slices.Sort(s.last)
	b.ReportMetric(float64(spent.Microseconds())/float64(fanoutRounds*len(s.conns)), name+"-server-cpu-us/socket")
	b.ReportMetric(s.bytesEach/1024, name+"-KiB/socket")
	b.ReportMetric(float64(middle(s.last).Microseconds())/1000, name+"-last-p50-ms")
	b.ReportMetric(float64(s.last[len(s.last)*9/10].Microseconds())/1000, name+"-last-p90-ms")
}

func (s *sockets) close() {
	for _, conn := range s.conns {
		conn.Close()
	}
	s.reading.Wait()
	s.kind.end()
}

// memory is what of the process is in memory, in bytes.
func (s *Server) memory() int64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.proc.cmd.Process.Pid))
	if err != nil {
		s.t.Fatalf("read the memory of %s: %v", s.proc.name, err)
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n << 10
		}
	}
	s.t.Fatal(errors.New("the system does not say how much memory a process has"))
	return 0
}
