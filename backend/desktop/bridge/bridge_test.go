package bridge

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
)

type target struct{}

func (target) Double(n int, unit struct {
	Name string `json:"name"`
}) (string, error) {
	if n < 0 {
		return "", chat.Invalid("n", "Only forwards.")
	}
	return strings.Repeat(unit.Name, 2*n), nil
}

func (target) Nothing() error { return nil }

func (target) hidden() {}

func start(t *testing.T) *Bridge {
	t.Helper()
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the page") })
	files := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a file") })
	b, err := New(Config{Listen: "127.0.0.1:0", Token: "T", Target: target{}, Assets: page, Files: files, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

func do(t *testing.T, b *Bridge, method, path, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+b.ln.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer T")
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestCalls(t *testing.T) {
	target{}.hidden() // is there, and cannot be called from outside
	b := start(t)
	for body, want := range map[string]string{
		`{"method":"Double","args":[2,{"name":"ab","more":1}]}`: `"abababab"`,
		`{"method":"Nothing","args":[]}`:                        `null`,
		`{"method":"Double","args":[-1,{}]}`:                    `{"code":"invalid","message":"Only forwards."}`,
		`{"method":"Double","args":[1]}`:                        `takes 2 arguments`,
		`{"method":"Double","args":["x",{}]}`:                   `"invalid"`,
		`{"method":"hidden","args":[]}`:                         `"not_found"`,
		`{"method":"Missing","args":[]}`:                        `"not_found"`,
		`nonsense`:                                              `"invalid"`,
	} {
		status, got := do(t, b, http.MethodPost, "/call", body, nil)
		if !strings.Contains(got, want) || (status == 200) != (want == `null` || want == `"abababab"`) {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	b := start(t)
	call := `{"method":"Nothing","args":[]}`
	for name, test := range map[string]struct {
		method, path string
		change       func(*http.Request)
		want         int
	}{
		"no token":         {"POST", "/call", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"wrong token":      {"POST", "/call", func(r *http.Request) { r.Header.Set("Authorization", "Bearer t") }, 401},
		"file, no token":   {"GET", "/files/x", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"events, no token": {"GET", "/events", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"foreign name":     {"POST", "/call", func(r *http.Request) { r.Host = "evil.example" }, 403},
		"foreign page":     {"POST", "/call", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		"form of a page":   {"POST", "/call", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 400},
		"token as query":   {"GET", "/files/x?token=T", func(r *http.Request) { r.Header.Del("Authorization") }, 200},
		"page, no token":   {"GET", "/", func(r *http.Request) { r.Header.Del("Authorization") }, 200},
		"page, other name": {"GET", "/", func(r *http.Request) { r.Host = "evil.example" }, 403},
	} {
		t.Run(name, func(t *testing.T) {
			if status, got := do(t, b, test.method, test.path, call, test.change); status != test.want {
				t.Fatalf("%d %s", status, got)
			}
		})
	}
	for _, listen := range []string{"0.0.0.0:0", "192.168.1.5:80", "nonsense"} {
		if _, err := New(Config{Listen: listen, Log: slog.New(slog.DiscardHandler)}); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("listens on %s: %v", listen, err)
		}
	}
}

func TestEventsReachEveryPage(t *testing.T) {
	b := start(t)
	b.Emit("early", nil) // nobody is there
	var pages []*websocket.Conn
	for range 2 {
		conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+b.ln.Addr().String()+"/events?token=T", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		pages = append(pages, conn)
		defer conn.Close()
	}
	// A page counts once the hub has taken it in, a moment after the handshake.
	for i, p := range pages {
		got := make(chan string)
		go func() {
			defer close(got)
			if _, m, err := p.ReadMessage(); err == nil {
				got <- string(m)
			}
		}()
		for told := ""; told == ""; {
			b.Emit("thread", map[string]string{"conversation": "c"})
			select {
			case told = <-got:
				if told != `{"name":"thread","payload":{"conversation":"c"}}` {
					t.Fatalf("page %d heard %q", i, told)
				}
			case <-t.Context().Done():
				t.Fatal("nothing heard")
			default:
			}
		}
	}
}
