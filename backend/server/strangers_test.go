package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/channel/web"
)

// TestAStalledStrangerDoesNotHoldUpTheEnd: a request whose body never comes is
// given up when the server stops, and the connection with it.
func TestAStalledStrangerDoesNotHoldUpTheEnd(t *testing.T) {
	r := newRig(t, onSQLite(t))
	sha := strings.Repeat("ab", 32)
	var conns []net.Conn
	for _, path := range []string{"POST /v1/session", "POST /v1/setup", "POST /v1/commands", "PUT /v1/files/" + sha} {
		conn, err := net.Dial("tcp", r.srv.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// Expect makes the server say when it begins to read.
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", path, r.owner.Token)
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
			t.Fatalf("%s: %q %v", path, line, err)
		}
		conns = append(conns, conn)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	if err := r.srv.Shutdown(ctx); err != nil {
		t.Fatalf("the server could not stop in order: %v", err)
	}
	for i, conn := range conns {
		resp, err := http.ReadResponse(bufio.NewReader(&afterBlankLine{conn: conn}), nil)
		if err != nil {
			t.Fatalf("stranger %d got no answer: %v", i, err)
		}
		if resp.StatusCode != http.StatusBadRequest || !resp.Close {
			t.Errorf("stranger %d: %d, close %v", i, resp.StatusCode, resp.Close)
		}
	}
}

// TestAStalledStrangerHoldsNothingUp: whatever address a body is announced to,
// the sender is answered although it does not come, and the server can stop.
// What nobody wants to read is not waited for at all.
func TestAStalledStrangerHoldsNothingUp(t *testing.T) {
	visitor := func(token string) string { return "Authorization: Visitor " + token + "\r\n" }
	for name, c := range map[string]struct {
		patience time.Duration
		heads    func(r *rig) []string
	}{
		"not read": {time.Hour, func(r *rig) []string {
			return []string{"GET /c/" + r.created.Channel.Slug, "GET /c/none", "GET /widget.js?channel=" + r.created.Channel.Key,
				"GET /widget/" + r.created.Channel.Key, "GET /widget/asset/chat.js", "GET /widget/asset/none", "OPTIONS /v1/visitor/session",
				"OPTIONS *", "POST /nope", "POST /", "PUT /v1/commands", "POST //v1/session", "GET /healthz", "GET /metrics", "GET /openapi.json",
				"GET /v1/members", "GET /v1/live", "GET /v1/visitor/live", "POST /v1/commands"}
		}},
		"read": {100 * time.Millisecond, func(r *rig) []string {
			v := r.visit(r.created.Channel.Key)
			return []string{"POST /v1/session", "POST /v1/setup", "POST /v1/visitor/session", "POST /v1/visitor/messages\n" + visitor(strings.TrimPrefix(v.token, "Visitor ")),
				"PUT /v1/visitor/files/" + strings.Repeat("a", 64) + "\n" + visitor(strings.TrimPrefix(v.token, "Visitor ")),
				"POST /v1/visitor/messages\n" + visitor("nobody")}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			config := onSQLite(t)
			config.Patience = c.patience
			r := newRig(t, config)
			for _, what := range c.heads(r) {
				line, more, _ := strings.Cut(what, "\n")
				conn, err := net.Dial("tcp", r.srv.Addr())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				if _, err := io.WriteString(conn, line+" HTTP/1.1\r\nHost: x\r\n"+more+"Content-Length: 100\r\n\r\n{"); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Errorf("%s: %v", line, err)
				} else if !resp.Close || name == "read" && resp.StatusCode/100 != 4 {
					t.Errorf("%s: %d, close %v", line, resp.StatusCode, resp.Close)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
			defer cancel()
			if err := r.srv.Shutdown(ctx); err != nil {
				t.Errorf("the server could not stop in order: %v", err)
			}
		})
	}
}

// TestAConnectionIsKeptForWhoSendsWhatTheySay: also after an error, and between
// the pieces of an upload.
func TestAConnectionIsKeptForWhoSendsWhatTheySay(t *testing.T) {
	config := onSQLite(t)
	config.Patience = 100 * time.Millisecond
	r := newRig(t, config)
	conn, err := net.Dial("tcp", r.srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	tick := time.NewTicker(2 * config.Patience) // it is not waited for a body that has come
	defer tick.Stop()
	for _, c := range []struct {
		line, more, body string
		status           int
	}{
		{"POST /v1/session", "", `{"email":"nobody@x.example","password":"wrong"}`, 401},
		{"PUT /v1/files/" + shaOf(png), "Content-Range: bytes 0-99/" + strconv.Itoa(len(png)) + "\r\n", string(png[:100]), 308},
		{"GET /c/none", "", "", 404},
		{"POST /nope", "", "", 404},
		{"GET /v1/members", "", "", 200},
	} {
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n%s\r\n%s", c.line, r.owner.Token, len(c.body), c.more, c.body)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.line, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != c.status || resp.Close {
			t.Errorf("%s: %d, want %d, close %v", c.line, resp.StatusCode, c.status, resp.Close)
		}
		<-tick.C
	}
}

// afterBlankLine passes over the end of an interim answer.
type afterBlankLine struct {
	conn net.Conn
	past bool
}

func (a *afterBlankLine) Read(p []byte) (int, error) {
	n, err := a.conn.Read(p)
	if !a.past && n >= 2 && string(p[:2]) == "\r\n" {
		n = copy(p, p[2:n])
	}
	a.past = a.past || n > 0
	return n, err
}

// TestAbandonedUploadsAreRemoved: at the start and from time to time, those of
// strangers too, who come back under another name as often as they like.
func TestAbandonedUploadsAreRemoved(t *testing.T) {
	c := onSQLite(t)
	c.Sweep = 10 * time.Millisecond
	r := newRig(t, c)
	folder := filepath.Join(c.Data, "files", "part")
	begin := func(v *visitor, content string) string { // the first of ten bytes; which part it is
		sha := shaOf([]byte(content))
		if a := r.do(http.MethodPut, "/v1/visitor/files/"+sha, v.token, content[:1], "Content-Range", "bytes 0-0/10"); a.status != http.StatusPermanentRedirect {
			t.Fatalf("a piece: %d %s", a.status, a.body)
		}
		found, err := filepath.Glob(filepath.Join(folder, sha+"*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("parts %v %v", found, err)
		}
		return found[0]
	}
	gone := func(part string) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for end := time.After(20 * time.Second); ; {
			if _, err := os.Stat(part); os.IsNotExist(err) {
				return
			}
			select {
			case <-tick.C:
			case <-end:
				t.Fatalf("%s is still there", part)
			}
		}
	}
	old := time.Now().Add(-25 * time.Hour)
	v := r.visit(r.created.Channel.Key)
	fresh, stale := begin(v, "0123456789"), begin(v, "abcdefghij")
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	gone(stale)
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("one that may go on was removed: %v", err)
	}

	if err := os.Chtimes(fresh, old, old); err != nil {
		t.Fatal(err)
	}
	r.restart(c) // it sweeps every hour
	gone(fresh)
}

// TestAnAddressUploadsNoMoreForManyNames: a visitor's token costs nothing.
func TestAnAddressUploadsNoMoreForManyNames(t *testing.T) {
	c := onSQLite(t)
	c.TrustedProxy = []string{"127.0.0.0/8"}
	c.VisitorLimits = plenty()
	c.VisitorLimits.AddressBytes = web.Rate{Burst: 1000, PerSecond: 0.001}
	r := newRig(t, c)
	bring := func(address string) answer {
		t.Helper()
		content := make([]byte, 400)
		copy(content, address)
		return r.do(http.MethodPut, "/v1/visitor/files/"+shaOf(content), r.visit(r.created.Channel.Key).token, content, "X-Forwarded-For", address)
	}
	for range 2 {
		if a := bring("203.0.113.9"); a.status != http.StatusCreated {
			t.Fatalf("within the limit: %d %s", a.status, a.body)
		}
	}
	if p := bring("203.0.113.9").problem(t); p.Code != chat.CodeTooMany || p.RetryAfter <= 0 {
		t.Errorf("over the limit: %+v", p)
	}
	if a := bring("203.0.113.10"); a.status != http.StatusCreated {
		t.Errorf("somebody else: %d %s", a.status, a.body)
	}
}

// TestAnOperatorLearnsWhatTheyHaveToMend: also what clients are only told to
// wait for, but not each time.
func TestAnOperatorLearnsWhatTheyHaveToMend(t *testing.T) {
	log := &lines{}
	c := onSQLite(t)
	c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	r := newRig(t, c)
	v := r.visit(r.created.Channel.Key)
	parts := filepath.Join(c.Data, "files", "part")
	if err := errors.Join(os.RemoveAll(parts), os.WriteFile(parts, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, token := range map[string]string{"/v1/files/": r.owner.Token, "/v1/visitor/files/": v.token} {
		before := log.String()
		for range 100 {
			if p := r.do(http.MethodPut, path+shaOf(png), token, png).problem(t); p.Code != chat.CodeUnavailable {
				t.Fatalf("%s: %+v", path, p)
			}
		}
		said := strings.TrimPrefix(log.String(), before)
		if n := strings.Count(said, "not a directory"); n < 1 || n > 20 {
			t.Errorf("%s: %d lines tell the cause\n%s", path, n, clip([]byte(said)))
		}
	}
}

// from makes a sign-in that comes from an address.
func (r *rig) signInFrom(address, email, pw string) int {
	r.Helper()
	return r.do(http.MethodPost, "/v1/session", "", protocol.SignIn{Email: email, Password: pw}, "X-Forwarded-For", address).status
}

func TestGuessersDoNotLockTheOwnerOut(t *testing.T) {
	c := onSQLite(t)
	c.TrustedProxy = []string{"127.0.0.0/8"}
	r := newRig(t, c)
	const owner = "olga@northwind.example"
	for range 60 {
		r.signInFrom("203.0.113.9", owner, "wrong password")
	}
	if got := r.signInFrom("203.0.113.9", owner, password); got != http.StatusTooManyRequests {
		t.Errorf("the guesser goes on guessing: %d", got)
	}
	if got := r.signInFrom("198.51.100.1", owner, password); got != http.StatusCreated {
		t.Fatalf("the owner, from elsewhere: %d", got)
	}
	// Many addresses together are braked, the owner's own is known by now.
	for i := range 110 {
		r.signInFrom(fmt.Sprintf("192.0.2.%d", i), owner, "wrong password")
	}
	if got := r.signInFrom("192.0.2.200", owner, "wrong password"); got != http.StatusTooManyRequests {
		t.Errorf("a guess after a hundred from as many addresses: %d", got)
	}
	if got := r.signInFrom("198.51.100.1", owner, password); got != http.StatusCreated {
		t.Errorf("the owner, where they have been before: %d", got)
	}
}

func TestForwardedAddressesOfAnybodyAreNotBelieved(t *testing.T) {
	r := newRig(t, onSQLite(t))
	for i := range 10 {
		r.signInFrom(fmt.Sprintf("203.0.113.%d", i), "olga@northwind.example", "wrong password")
	}
	if got := r.signInFrom("203.0.113.99", "olga@northwind.example", password); got != http.StatusTooManyRequests {
		t.Errorf("an address that anybody can write got around the limit: %d", got)
	}
}

func TestGuessesAtTheSameTimeCount(t *testing.T) {
	r := newRig(t, onSQLite(t))
	var judged atomic.Int32
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if _, err := r.srv.Inbox().SignIn(context.Background(), protocol.SignIn{Email: "olga@northwind.example", Password: "wrong password"}, "192.0.2.1:1"); chat.ErrorCode(err) == chat.CodeBadCredentials {
				judged.Add(1)
			}
		})
	}
	all.Wait()
	if n := judged.Load(); n != 10 {
		t.Errorf("%d guesses were judged at once, want 10", n)
	}
}

// TestTextThatNoDatabaseHolds: what one database would take and the other
// would break on is refused by us, the same way on both.
func TestTextThatNoDatabaseHolds(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		for _, bad := range []string{"a\x00b", "\xff", strings.Repeat("x", 5000)} {
			if _, err := r.srv.Inbox().SignIn(context.Background(), protocol.SignIn{Email: "o@x.example" + bad, Password: password}, "pipe"); chat.ErrorCode(err) != chat.CodeBadCredentials {
				t.Errorf("e-mail %.10q: %v", bad, err)
			}
			for name, find := range map[string]func(context.Context, string) (chat.WorkspaceID, chat.Channel, error){
				"key": r.srv.Inbox().ChannelByKey, "slug": r.srv.Inbox().ChannelBySlug} {
				if _, _, err := find(context.Background(), bad); chat.ErrorCode(err) != chat.CodeNotFound {
					t.Errorf("%s %.10q: %v", name, bad, err)
				}
			}
		}
		for path, want := range map[string]int{"/c/a%00b": 404, "/c/%ff": 404, "/widget/%00": 404, "/widget.js?channel=%00": 200,
			"/v1/files/%00": 400, "/v1/files/%ff": 400, "/v1/contacts?q=%00": 400, "/v1/changes?after=0&epoch=%00": 400} {
			if a := r.do(http.MethodGet, path, r.owner.Token, nil); a.status >= 500 || a.status != want && path != "/widget.js?channel=%00" {
				t.Errorf("GET %s: %d, want %d", path, a.status, want)
			}
		}
		if a := r.do(http.MethodPost, "/v1/session", "", `{"email":"a\u0000@b.example","password":"`+password+`"}`); a.status != http.StatusUnauthorized {
			t.Errorf("sign in: %d %s", a.status, a.body)
		}
	})
}

// TestAFileWhoseContentIsLostCanBeBroughtAgain: the row alone is not the file.
func TestAFileWhoseContentIsLostCanBeBroughtAgain(t *testing.T) {
	c := onSQLite(t)
	r := newRig(t, c)
	_, v := r.conversation()
	sha := shaOf(png)
	for path, token := range map[string]string{"/v1/files/" + sha: r.owner.Token, "/v1/visitor/files/" + sha: v.token} {
		if a := r.do(http.MethodPut, path, token, png); a.status != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
	}
	for path, token := range map[string]string{"/v1/files/" + sha: r.owner.Token, "/v1/visitor/files/" + sha: v.token} {
		if err := os.Remove(filepath.Join(c.Data, "files", sha[:2], sha)); err != nil {
			t.Fatal(err)
		}
		if a := r.do(http.MethodHead, path, token, nil); a.status != http.StatusNotFound {
			t.Errorf("HEAD %s without content: %d", path, a.status)
		}
		if a := r.do(http.MethodPut, path, token, png); a.status != http.StatusCreated {
			t.Errorf("PUT %s again: %d %s", path, a.status, a.body)
		}
		if a := r.do(http.MethodGet, "/v1/files/"+sha, r.owner.Token, nil); a.status != http.StatusOK || string(a.body) != string(png) {
			t.Errorf("GET after healing by %s: %d", path, a.status)
		}
	}
}
