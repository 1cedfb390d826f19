package body

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// serve answers with what it read of the body.
func serve(t *testing.T, b *Bounds, steady, read bool) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := b.Take(w, r)
		if steady {
			in.Steady()
		}
		var err error
		if read {
			_, err = io.ReadAll(r.Body)
		}
		in.End()
		if err != nil {
			w.WriteHeader(protocol.ProblemOf(err).Status)
			_, _ = io.WriteString(w, chat.ErrorMessage(err))
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// begin sends a request's head and some of its ten bytes.
func begin(t *testing.T, address, some string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"+some); err != nil {
		t.Fatal(err)
	}
	return conn
}

func answer(t *testing.T, conn net.Conn) (*http.Response, string) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return r, string(text)
}

func TestWhatStallsIsAnsweredAndCut(t *testing.T) {
	for name, read := range map[string]bool{"read": true, "not read": false} {
		for _, steady := range []bool{false, true} {
			r, text := answer(t, begin(t, serve(t, NewBounds(50*time.Millisecond), steady, read), "12345"))
			if !r.Close || read && (r.StatusCode != 400 || !strings.Contains(text, "too long")) {
				t.Errorf("%s, steady %v: %d %q, close %v", name, steady, r.StatusCode, text, r.Close)
			}
		}
	}
}

func TestWhatKeepsComingMayTakeItsTimeOnlyAsAnUpload(t *testing.T) {
	for steady, want := range map[bool]int{true: 200, false: 400} {
		conn := begin(t, serve(t, NewBounds(300*time.Millisecond), steady, true), "")
		tick := time.NewTicker(60 * time.Millisecond)
		defer tick.Stop()
		for range 10 {
			<-tick.C
			if _, err := io.WriteString(conn, "x"); err != nil {
				break // cut, as it should be
			}
		}
		if r, text := answer(t, conn); r.StatusCode != want || r.Close != (want == 400) {
			t.Errorf("steady %v: %d %s, close %v", steady, r.StatusCode, text, r.Close)
		}
	}
}

func TestAServerThatStopsDoesNotWait(t *testing.T) {
	b := NewBounds(time.Hour)
	conn := begin(t, serve(t, b, true, true), "1")
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		b.mu.Lock()
		n := len(b.open)
		b.mu.Unlock()
		if n == 1 {
			break
		}
	}
	b.Hurry()
	if r, _ := answer(t, conn); r.StatusCode != 400 || !r.Close {
		t.Errorf("%d, close %v", r.StatusCode, r.Close)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.open) != 0 {
		t.Errorf("%d bodies are still waited for", len(b.open))
	}
}
