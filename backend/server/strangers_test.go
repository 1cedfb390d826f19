package server_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
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
