package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
)

// serve answers every request with h and gives a client of it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := NewClient(s.URL, "TOKEN", "test/1")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer is a handler that answers as a server of ours would, unless headers say otherwise.
func answer(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(VersionHeader, Version)
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestServerAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"chat.example.com":            "https://chat.example.com",
		" https://chat.example.com/ ": "https://chat.example.com",
		"https://example.com/parley":  "https://example.com/parley",
		"http://127.0.0.1:8787":       "http://127.0.0.1:8787",
		"http://localhost:1":          "http://localhost:1",
		"http://[::1]:1":              "http://[::1]:1",
		"http://chat.example.com":     "",
		"http://10.0.0.1":             "",
		"http://127.0.0.1.evil.com":   "",
		"ftp://x":                     "",
		"https://":                    "",
		"https://user@example.com":    "",
		"https://example.com?x=1":     "",
		"":                            "",
	} {
		u, err := ParseServer(in)
		if want == "" {
			if chat.ErrorCode(err) != chat.CodeInvalid {
				t.Errorf("%q: %v, %v", in, u, err)
			}
			continue
		}
		if err != nil || u.String() != want {
			t.Errorf("%q: %v, %v", in, u, err)
		}
	}
}

func TestRequestsSayWhoTheyAre(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer TOKEN" || r.Header.Get(VersionHeader) != Version || r.URL.Query().Get("epoch") != "e" || r.URL.Query().Get("after") != "5" {
			t.Errorf("%v %v", r.URL, r.Header)
		}
		answer(200, "application/json", `{"from":5,"to":7,"head":9,"more":true,"epoch":"e","changes":[],"unknown":1}`)(w, r)
	})
	page, err := c.Changes(t.Context(), "e", 5)
	if err != nil || page.To != 7 || page.Head != 9 || !page.More {
		t.Fatalf("%+v %v", page, err)
	}
}

func TestWhatIsNoAnswerOfOursIsUnreachable(t *testing.T) {
	foreign := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"portal page":          foreign(200, "text/html", "<h1>Hotel</h1>"),
		"foreign JSON":         foreign(200, "application/json", `{"from":5,"to":7,"head":9,"changes":[]}`),
		"page in our name":     answer(200, "text/html", "<h1>Proxy</h1>"),
		"redirect":             func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"bad gateway":          foreign(502, "text/html", "bad gateway"),
		"foreign problem":      foreign(401, "application/problem+json", `{"code":"unauthorized","wipe":true}`),
		"broken JSON":          answer(200, "application/json", `{"from":5,`),
		"another position":     answer(200, "application/json", `{"from":6,"to":7,"head":9,"changes":[]}`),
		"backwards":            answer(200, "application/json", `{"from":5,"to":4,"head":9,"changes":[]}`),
		"more, but no further": answer(200, "application/json", `{"from":5,"to":5,"head":9,"more":true,"changes":[]}`),
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(VersionHeader, Version)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"from":5`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := serve(t, h).Changes(t.Context(), "", 5); !IsUnreachable(err) || chat.ErrorCode(err) != chat.CodeUnavailable || IsWipe(err) {
				t.Fatalf("%v", err)
			}
		})
	}
	nobody := httptest.NewServer(nil)
	nobody.Close()
	c, err := NewClient(nobody.URL, "", "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Changes(t.Context(), "", 5); !IsUnreachable(err) || !NeverSent(err) {
		t.Fatalf("nobody there: %v", err)
	}
}

func TestProblemsAreErrors(t *testing.T) {
	c := serve(t, answer(429, "application/problem+json", `{"code":"too_many","detail":"Slower, please.","retry_after":2.5}`))
	_, err := c.Changes(t.Context(), "", 0)
	var e *chat.Error
	if !errors.As(err, &e) || e.Code != chat.CodeTooMany || e.Message != "Slower, please." || e.RetryAfter != 2500*time.Millisecond || IsUnreachable(err) {
		t.Fatalf("%#v", err)
	}
	c = serve(t, answer(401, "application/problem+json", `{"code":"unauthorized","detail":"Revoked.","wipe":true}`))
	if _, err := c.Changes(t.Context(), "", 0); !IsWipe(err) {
		t.Fatalf("%v", err)
	}
}

func TestCancellingIsNotUnreachable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := c.Changes(ctx, "", 0); !errors.Is(err, context.Canceled) || IsUnreachable(err) {
		t.Fatalf("%v", err)
	}
}

func TestVerdictsMustFit(t *testing.T) {
	id := chat.NewID[chat.Command]()
	for name, test := range map[string]struct {
		body string
		ok   bool
	}{
		"fits":            {`{"results":[{"id":"` + id.String() + `","status":"applied","seq":1}]}`, true},
		"none":            {`{"results":[]}`, false},
		"another command": {`{"results":[{"id":"` + chat.NewID[chat.Command]().String() + `","status":"applied"}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, answer(200, "application/json", test.body)).Commands(t.Context(), "", []chat.Command{{ID: id}})
			if (err == nil) != test.ok || (err != nil && !IsUnreachable(err)) {
				t.Fatalf("%v", err)
			}
		})
	}
}

const rows = `{"head":9,"epoch":"e"}
{"kind":"brand","id":"b","op":"put","ver":1,"data":{"name":"x"}}
{"kind":"contact","id":"c","op":"put","ver":2,"data":{},"cursor":"K","future":true}
`

func TestStreams(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		cut  bool
		more bool
	}{
		"whole":            {rows + `{"end":true,"counts":{"brand":1,"contact":1}}` + "\n", false, false},
		"with a next page": {rows + `{"end":true,"counts":{"brand":1,"contact":1},"more":true,"cursor":"N"}` + "\n", false, true},
		"no last line":     {rows, true, false},
		"half a line":      {rows + `{"end":tr`, true, false},
		"a line swallowed": {rows + `{"end":true,"counts":{"brand":2,"contact":1}}` + "\n", true, false},
		"nothing":          {"", true, false},
		"only the head":    {`{"head":9}` + "\n", true, false},
		"not JSON":         {rows + "<html>\n", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, answer(200, "application/x-ndjson", test.body))
			var got []BootstrapLine
			var head BootstrapHead
			end, err := c.Bootstrap(t.Context(), 30, "", Rows{
				Head: func(h BootstrapHead) error { head = h; return nil },
				Line: func(l BootstrapLine) error { got = append(got, l); return nil },
			})
			if test.cut {
				if !IsUnreachable(err) {
					t.Fatalf("a cut-off answer passed for whole: %+v %v", end, err)
				}
				return
			}
			if err != nil || head.Head != 9 || len(got) != 2 || got[1].Cursor != "K" || string(got[0].Data) != `{"name":"x"}` || end.More != test.more {
				t.Fatalf("%+v %+v %+v %v", head, got, end, err)
			}
		})
	}
}

// TestTheLongestFitWhereTheyAreRead: a page of history or a refusal for newer
// messages has up to a hundred, a packet, a frame and a line at least one.
func TestTheLongestFitWhereTheyAreRead(t *testing.T) {
	const envelope = 1 << 10 // what stands around one
	for name, bound := range map[string]int{"answer": maxAnswer / 100, "packet": MaxPacketBytes, "frame": MaxFrame, "line": maxLine} {
		if chat.MaxJSONBytes+envelope > bound {
			t.Errorf("%s: %d bytes of room for one of %d", name, bound, chat.MaxJSONBytes)
		}
	}
}

func TestStreamEndsWithTheReceiversError(t *testing.T) {
	full := errors.New("disk full")
	c := serve(t, answer(200, "application/x-ndjson", rows))
	_, err := c.State(t.Context(), "e", 3, 30, "", Rows{Line: func(BootstrapLine) error { return full }})
	if !errors.Is(err, full) || IsUnreachable(err) {
		t.Fatalf("%v", err)
	}
}

func TestFilesAreChecked(t *testing.T) {
	const sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of "hello"
	for body, ok := range map[string]bool{"hello": true, "hellO": false} {
		var b strings.Builder
		err := serve(t, answer(200, "text/plain", body)).File(t.Context(), sha, &b)
		if (err == nil) != ok {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestLiveSocket(t *testing.T) {
	closeWith := make(chan []byte, 1)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer TOKEN" {
			answer(401, "application/problem+json", `{"code":"unauthorized","detail":"no"}`)(w, r)
			return
		}
		up := websocket.Upgrader{}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		var hello Frame
		if err := conn.ReadJSON(&hello); err != nil || hello.Type != FrameHello || hello.After == nil || *hello.After != 7 || hello.Epoch != "e" || hello.Client != "test/1" {
			t.Errorf("hello %+v %v", hello, err)
		}
		if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"welcome","head":9,"beat":0.5,"news":[]}`)); err != nil {
			t.Error(err)
		}
		if err := conn.WriteMessage(websocket.CloseMessage, <-closeWith); err != nil {
			t.Error(err)
		}
	})
	for code, test := range map[int]struct {
		reason string
		retry  time.Duration
		want   chat.Code
	}{
		CloseSignedOut:  {"", 0, chat.CodeUnauthorized},
		CloseRevoked:    {"", 0, chat.CodeUnauthorized},
		CloseRestarting: {`{"retry_after":1.5}`, 1500 * time.Millisecond, chat.CodeUnavailable},
		CloseTooSlow:    {"too slow", 0, chat.CodeUnavailable},
	} {
		l, err := c.Dial(t.Context(), 7, "e")
		if err != nil {
			t.Fatal(err)
		}
		if f, err := l.Read(); err != nil || f.Type != FrameWelcome || f.Head != 9 || f.Beat != 0.5 {
			t.Fatalf("%+v %v", f, err)
		}
		closeWith <- websocket.FormatCloseMessage(code, test.reason)
		_, err = l.Read()
		var closed *Closed
		if !errors.As(err, &closed) || closed.Code != code || closed.RetryAfter != test.retry || chat.ErrorCode(err) != test.want {
			t.Fatalf("%d: %v", code, err)
		}
		l.Abandon()
	}
	if _, err := c.WithToken("other").Dial(t.Context(), 7, "e"); chat.ErrorCode(err) != chat.CodeUnauthorized {
		t.Fatalf("%v", err)
	}
	portal := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	if _, err := portal.Dial(t.Context(), 7, "e"); !IsUnreachable(err) {
		t.Fatalf("%v", err)
	}
}

func FuzzReadRows(f *testing.F) {
	f.Add(rows + `{"end":true,"counts":{"brand":1,"contact":1}}`)
	f.Add(rows)
	f.Add("{}\n{}\n")
	f.Add("\x00\n")
	f.Fuzz(func(t *testing.T, body string) {
		n := 0
		end, err := readRows(strings.NewReader(body), Rows{Line: func(BootstrapLine) error { n++; return nil }})
		if err == nil && !end.End {
			t.Fatal("an answer without its last line passed for whole")
		}
		sum := 0
		for _, c := range end.Counts {
			sum += c
		}
		if err == nil && sum > n {
			t.Fatalf("%d rows promised, %d came", sum, n)
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add(`{"type":"changes","from":1,"to":2,"changes":[{"seq":2,"kind":"message","op":"put","data":{}}]}`)
	f.Add(`{"type":"welcome","head":9223372036854775807,"beat":1e99}`)
	f.Fuzz(func(t *testing.T, body string) {
		var frame Frame
		if json.Unmarshal([]byte(body), &frame) != nil {
			return
		}
		if _, err := json.Marshal(frame); err != nil {
			t.Fatalf("a frame that was read cannot be written: %v", err)
		}
	})
}

func TestCertificateOfAnother(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it says that nobody trusts it
	srv.StartTLS()
	defer srv.Close()
	c, err := NewClient(srv.URL, "T", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, changes := c.Changes(t.Context(), "", 0)
	_, dial := c.Dial(t.Context(), 0, "")
	for _, err := range []error{changes, dial} {
		if !IsUnreachable(err) || !IsUntrusted(err) || !strings.Contains(chat.ErrorMessage(err), "certificate") {
			t.Errorf("a server that nobody vouches for: %v", err)
		}
	}
	srv.Close()
	if _, err := c.Changes(t.Context(), "", 0); !IsUnreachable(err) || IsUntrusted(err) {
		t.Errorf("nobody at all: %v", err)
	}
}
