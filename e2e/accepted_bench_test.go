package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/desktop"
	"parley/backend/desktop/secrets"
	"parley/backend/protocol"
	"parley/backend/server"
)

const (
	steadyVisitors = 8 // who write in turns
	steadyMessages = 500
	steadyEvery    = 20 * time.Millisecond
	crowdVisitors  = 32 // who all write as fast as they are answered
	crowdTime      = 10 * time.Second
	rawWrites      = 300
)

// BenchmarkAcceptedToCache measures how old a customer's message is when an agent can read it: from the answer that
// accepts it (and from the request that brings it) to the first read of the engine that gives it, after the engine's
// event has said that the thread is another. The server is a process with a big workspace, the engine is the
// desktop's, signed in as the owner; only the window is missing. Beside it stands the raw limit: one small write made
// durable on the server's disk.
func BenchmarkAcceptedToCache(b *testing.B) {
	srv := bigServerCopy(b)
	desk := openReader(b)
	channels := desk.load(b, srv.URL())
	raw := durableWrites(b, srv.Data)
	report := func(b *testing.B, written, read []delivery) {
		b.ReportMetric(0, "ns/op") // the sum of all this says nothing
		reportTimes(b, "accepted-to-read", read, func(d delivery) time.Duration { return d.read.Sub(d.accepted) })
		reportTimes(b, "sent-to-read", read, func(d delivery) time.Duration { return d.read.Sub(d.sent) })
		reportTimes(b, "sent-to-accepted", written, func(d delivery) time.Duration { return d.accepted.Sub(d.sent) })
		reportTimes(b, "raw-fsync", raw, func(d time.Duration) time.Duration { return d })
	}

	// One message after the other, in turns, about 50 a second. Every thread is read.
	b.Run("steady", func(b *testing.B) {
		writers := newWriters(b, srv, channels, steadyVisitors)
		desk.follow(b, writers...)
		var written []delivery
		for b.Loop() {
			pace := time.NewTicker(steadyEvery)
			for i := range steadyMessages {
				<-pace.C
				d, err := writers[i%len(writers)].write()
				if err != nil {
					b.Fatal(err)
				}
				written = append(written, d)
			}
			pace.Stop()
			desk.await(b, written)
		}
		report(b, written, written)
	})

	// Everybody at once, without a pause. One thread is read, as by an agent who has it open.
	b.Run("crowd", func(b *testing.B) {
		writers := newWriters(b, srv, channels, crowdVisitors)
		desk.follow(b, writers[0])
		var written, read []delivery
		var writing time.Duration
		for b.Loop() {
			began := time.Now()
			each := make([][]delivery, len(writers))
			var wg sync.WaitGroup
			for i, w := range writers {
				wg.Go(func() {
					for time.Since(began) < crowdTime {
						d, err := w.write()
						if err != nil {
							b.Error(err)
							return
						}
						each[i] = append(each[i], d)
					}
				})
			}
			wg.Wait()
			writing += time.Since(began)
			if b.Failed() {
				return
			}
			written = append(written, slices.Concat(each...)...)
			read = append(read, each[0]...)
			desk.await(b, read)
		}
		b.ReportMetric(float64(len(written))/writing.Seconds(), "messages/s")
		report(b, written, read)
	})
}

// bigServerCopy serves a copy of the benchmark's workspace: what is written here must not change what others measure.
func bigServerCopy(b *testing.B) *Server {
	b.Helper()
	srv := bigServer(b)
	srv.Stop()
	kept := srv.Data
	srv.Data = b.TempDir()
	if err := os.CopyFS(srv.Data, os.DirFS(kept)); err != nil {
		b.Fatalf("copy workspace: %v", err)
	}
	syscall.Sync() // or the disk is still busy with the copy when it is measured
	srv.Start()
	return srv
}

// delivery is what became of one message, and when.
type delivery struct {
	id                   chat.MessageID
	sent, accepted, read time.Time
}

// reader is an agent's desktop as its window uses it: told that a thread is another, it reads that thread.
type reader struct {
	*desktop.Engine
	state chan struct{} // holds one: there is another state
	told  chan string   // conversations whose thread is another
	more  chan struct{} // holds one: more was read

	mu       sync.Mutex
	followed map[string]bool
	at       map[chat.MessageID]time.Time // when it was read first
	problem  error
}

// openReader opens the engine on an empty folder.
func openReader(b *testing.B) *reader {
	b.Helper()
	r := &reader{state: make(chan struct{}, 1), told: make(chan string, 1024), more: make(chan struct{}, 1)}
	data := b.TempDir()
	var err error
	r.Engine, err = desktop.Open(b.Context(), desktop.Options{Data: data, Version: "test", Window: r, DefaultServer: "none",
		Secrets: secrets.OpenRing(noRing{}, filepath.Join(data, "secrets"))})
	if err != nil {
		b.Fatalf("open engine: %v", err)
	}
	var reading sync.WaitGroup
	reading.Go(r.readThreads)
	b.Cleanup(func() {
		if err := r.Close(); err != nil { // nothing is told any more
			b.Errorf("close engine: %v", err)
		}
		close(r.told)
		reading.Wait()
	})
	return r
}

// Emit implements desktop.Window.
func (r *reader) Emit(name string, payload any) {
	if thread, ok := payload.(desktop.ThreadChanged); ok {
		r.told <- thread.Conversation
	}
	if name == desktop.EventState {
		ring(r.state)
	}
}

// ring wakes whoever waits, without waiting for them.
func ring(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// load signs the owner in, waits until all is in the cache and live, and gives the keys of the web channels.
func (r *reader) load(b *testing.B, address string) (keys []string) {
	b.Helper()
	if err := r.SignIn(desktop.SignIn{Server: address, Email: demoOwner, Password: demo.Password}); err != nil {
		b.Fatalf("sign in: %v", err)
	}
	late := time.After(figureLoading)
	for {
		s, err := r.State()
		if err != nil {
			b.Fatalf("state: %v", err)
		}
		if s.Loaded && s.Connection.Status == "live" {
			for _, raw := range s.Channels.([]json.RawMessage) {
				var c chat.Channel
				if err := json.Unmarshal(raw, &c); err != nil {
					b.Fatalf("read channel: %v", err)
				}
				if c.Kind == chat.KindWeb {
					keys = append(keys, c.Key)
				}
			}
			return keys
		}
		select {
		case <-r.state:
		case <-late:
			b.Fatalf("not loaded after %s, but %+v", figureLoading, s.Connection)
		}
	}
}

// follow reads these customers' threads from now on.
func (r *reader) follow(b *testing.B, writers ...*writer) {
	b.Helper()
	for _, w := range writers { // of a thread that nobody reads there is nothing to tell
		Until(b, "a conversation to be cached", func() bool {
			_, err := r.Thread(w.conversation, desktop.ThreadQuery{Limit: 1})
			return err == nil
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.followed, r.at = map[string]bool{}, map[chat.MessageID]time.Time{}
	for _, w := range writers {
		r.followed[w.conversation] = true
	}
}

// readThreads reads what the engine tells of, until it is closed.
func (r *reader) readThreads() {
	for conversation := range r.told {
		r.mu.Lock()
		followed := r.followed[conversation]
		r.mu.Unlock()
		if !followed {
			continue
		}
		page, err := r.Thread(conversation, desktop.ThreadQuery{Limit: 50})
		now := time.Now()
		r.mu.Lock()
		if err != nil && r.problem == nil {
			r.problem = err
		}
		for _, raw := range page.Messages {
			var m struct {
				ID chat.MessageID `json:"id"`
			}
			if err := json.Unmarshal(raw, &m); err != nil && r.problem == nil {
				r.problem = err
			}
			if r.at[m.ID].IsZero() {
				r.at[m.ID] = now
			}
		}
		r.mu.Unlock()
		ring(r.more)
	}
}

// await waits until every message was read, and notes when.
func (r *reader) await(b *testing.B, every []delivery) {
	b.Helper()
	late := time.After(patience)
	for {
		missing := 0
		r.mu.Lock()
		for i := range every {
			if every[i].read = r.at[every[i].id]; every[i].read.IsZero() {
				missing++
			}
		}
		problem := r.problem
		r.mu.Unlock()
		if problem != nil {
			b.Fatalf("read thread: %v", problem)
		}
		if missing == 0 {
			return
		}
		select {
		case <-r.more:
		case <-late:
			b.Fatalf("%d of %d messages were not read within %s", missing, len(every), patience)
		}
	}
}

// writer is a customer who has a conversation already, and a connection that is kept.
type writer struct {
	*visitor
	client       *http.Client
	conversation string
}

// newWriters makes customers, spread over the channels.
func newWriters(b *testing.B, srv *Server, channels []string, n int) []*writer {
	b.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	b.Cleanup(transport.CloseIdleConnections)
	out := make([]*writer, n)
	for i := range out {
		line := &backend{t: b, config: server.Config{Listen: srv.Addr()}}
		line.created.Channel.Key = channels[i%len(channels)]
		w := &writer{visitor: line.visitor(), client: &http.Client{Transport: transport}}
		w.says("Hello, I have a question about my order.")
		var s protocol.VisitorSessionAnswer
		w.post("/v1/visitor/session", protocol.VisitorSession{Channel: line.created.Channel.Key, VisitorToken: w.token}, &s)
		w.conversation = s.Conversation.String()
		out[i] = w
	}
	return out
}

// write sends one message and notes when it was accepted.
func (w *writer) write() (delivery, error) {
	d := delivery{id: chat.NewID[chat.Message]()}
	body, err := json.Marshal(protocol.VisitorSend{ID: d.id, Text: "Where is my parcel? It was due on Tuesday."})
	if err != nil {
		return d, err
	}
	req, err := http.NewRequest(http.MethodPost, w.b.url()+"/v1/visitor/messages", bytes.NewReader(body))
	if err != nil {
		return d, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Visitor "+w.token)
	d.sent = time.Now()
	resp, err := w.client.Do(req)
	d.accepted = time.Now()
	if err != nil {
		return d, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body) // to the end, so that the connection is kept
	if err == nil && resp.StatusCode > 299 {
		err = fmt.Errorf("a message was refused: %d %s", resp.StatusCode, answer)
	}
	return d, err
}

// durableWrites times small writes to a file in a folder, each followed by a sync: the least that accepting costs.
func durableWrites(b *testing.B, folder string) []time.Duration {
	b.Helper()
	f, err := os.CreateTemp(folder, "raw")
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	took := make([]time.Duration, rawWrites)
	block := make([]byte, 4096)
	for i := range took {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(began)
	}
	return took
}

// reportTimes reports a time's median and 99th percentile.
func reportTimes[T any](b *testing.B, name string, of []T, took func(T) time.Duration) {
	b.Helper()
	all := make([]time.Duration, len(of))
	for i, x := range of {
		all[i] = took(x)
	}
	slices.Sort(all)
	b.ReportMetric(milliseconds(all[len(all)/2]), name+"-p50-ms")
	b.ReportMetric(milliseconds(all[len(all)*99/100]), name+"-p99-ms")
}
