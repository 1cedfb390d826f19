package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop"
)

// soon is how long the desktop may take to get over a line that has died without a word, once it can notice. It is
// shorter than the time after which a request on a dead connection gives up by itself.
const soon = 12 * time.Second

// lineup is one desk on a line that can be broken, with a server whose beats are quick and a chat.
type lineup struct {
	b    *backend
	line *Proxy
	e    *engine
	talk talk
	said *ledger
}

func newLineup(t *testing.T, wall func() time.Time) *lineup {
	t.Helper()
	u := &lineup{b: newBackend(t), said: &ledger{}}
	u.line = NewProxy(t, u.b.config.Listen)
	u.e = openEngineAt(t, t.TempDir(), wall)
	u.e.signIn(u.line.URL())
	u.talk = u.begin("hello")
	return u
}

func (u *lineup) begin(text string) talk {
	u.e.t.Helper()
	c := begin(u.e, u.b.url(), u.b.created.Channel.Key, text)
	u.said.accepted(text)
	return c
}

// send hands a text to the engine.
func (u *lineup) send(c talk, text string) desktop.OutboxEntry {
	u.e.t.Helper()
	entry := u.e.send(c.id, text, u.e.thread(c.id, desktop.ThreadQuery{Limit: 1}).Head)
	u.said.accepted(text)
	return entry
}

func (u *lineup) buyerSays(c talk, text string) {
	u.e.t.Helper()
	if err := c.buyer.says(u.e.t.Context(), text); err != nil {
		u.e.t.Fatal(err)
	}
	u.said.accepted(text)
}

// shown reports whether a text stands confirmed in the thread.
func (u *lineup) shown(c talk, text string) bool {
	u.e.t.Helper()
	n, waiting := times(u.e.thread(c.id, desktop.ThreadQuery{}), text)
	return n == 1 && waiting == 0
}

// TestFaultsHalfOpen lets the connections of a desk die without a word, in one direction or both: what the customer
// writes and what the agent writes arrives all the same, once, and soon.
func TestFaultsHalfOpen(t *testing.T) {
	for name, way := range map[string]Way{"to the server": ToServer, "to the desk": ToClient, "both": BothWays} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newLineup(t, nil)
			// Two texts, so that connections lie idle that may be used again.
			u.send(u.talk, "before")
			other := u.begin("hello-2")
			u.send(other, "before-2")
			Until(t, "an empty outbox", func() bool { return u.e.state().Outbox == desktop.OutboxCounts{} })

			u.line.Forget(way)
			broken := time.Now()
			u.buyerSays(u.talk, "from the customer")
			u.send(u.talk, "from the agent")
			eventually(t, "both texts", func() bool { return u.shown(u.talk, "from the customer") && u.shown(u.talk, "from the agent") })
			if took := time.Since(broken); took > soon {
				t.Errorf("both texts took %v", took)
			} else {
				t.Logf("both texts took %v", took)
			}
			settle(t, u.b.owner(), u.said, []talk{u.talk, other}, u.e)
		})
	}
}

// TestFaultsDeadLine lets a line die in one direction for a while, for new connections too. What goes to the server and
// whose answer is lost is the worst: it has been done, and is asked for again.
func TestFaultsDeadLine(t *testing.T) {
	for name, way := range map[string]Way{"to the server": ToServer, "to the desk": ToClient} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newLineup(t, nil)
			u.line.Lose(way)
			u.buyerSays(u.talk, "from the customer")
			u.send(u.talk, "first")
			u.send(u.talk, "second")
			u.e.status("offline")
			if way == ToClient { // one has arrived, and its author does not know
				Until(t, "the first text at the server", func() bool { return slices.Contains(u.b.owner().texts(u.talk.id), "first") })
			}
			u.line.Restore()
			settle(t, u.b.owner(), u.said, []talk{u.talk}, u.e)
		})
	}
}

// TestFaultsPoorLine makes a line slow, and breaks connections in the middle of whatever they carry, again and again.
func TestFaultsPoorLine(t *testing.T) {
	t.Parallel()
	dice := chance(t)
	u := newLineup(t, nil)
	u.line.Slow(20*time.Millisecond, 64<<10)
	writes := make(chan error, 1)
	go func() { writes <- agent{u.e, "agent", []talk{u.talk}}.writes(t.Context(), often(40, 1000), u.said) }()
	for busy := true; busy; {
		u.line.CutAfter([]Way{ToServer, ToClient}[dice.IntN(2)], 1+dice.IntN(3000))
		u.line.Slow(time.Duration(dice.IntN(20))*time.Millisecond, 16<<10+dice.IntN(1<<20))
		next := time.NewTimer(time.Duration(50+dice.IntN(150)) * time.Millisecond)
		select {
		case err := <-writes:
			if busy = false; err != nil {
				t.Fatal(err)
			}
		case <-next.C:
		}
	}
	u.line.Restore()
	settle(t, u.b.owner(), u.said, []talk{u.talk}, u.e)
}

// TestFaultsSleep closes the lid for eight hours: the wall clock jumps, the other clock stands still, and every
// connection is dead although nobody has said so. After it the desk is up to date at once; a text that the customer has
// overtaken meanwhile comes back to its author, another one goes out.
func TestFaultsSleep(t *testing.T) {
	t.Parallel()
	var slept atomic.Int64
	u := newLineup(t, func() time.Time { return time.Now().Add(time.Duration(slept.Load())) })
	quiet := u.begin("quiet")
	u.send(u.talk, "before")
	u.send(quiet, "before-2")
	Until(t, "an empty outbox", func() bool { return u.e.state().Outbox == desktop.OutboxCounts{} })

	u.line.Lose(BothWays) // the lid is being closed
	overtaken := u.send(u.talk, "overtaken")
	u.send(quiet, "slept over")
	u.buyerSays(u.talk, "at night")
	u.line.Restore()
	slept.Store(int64(8 * time.Hour))
	woken := time.Now()
	eventually(t, "what was written at night", func() bool {
		return u.shown(u.talk, "at night") && u.shown(quiet, "slept over") && u.e.state().Outbox == desktop.OutboxCounts{Refused: 1}
	})
	if took := time.Since(woken); took > soon {
		t.Errorf("right only %v after waking", took)
	} else {
		t.Logf("right %v after waking", took)
	}
	unsent, err := u.e.Unsent()
	if err != nil || len(unsent) != 1 || unsent[0].ID != overtaken.ID || unsent[0].Problem.Code != chat.CodeNewerMessages || len(unsent[0].Problem.Messages) == 0 {
		t.Fatalf("what was overtaken came back as %+v, %v", unsent, err)
	}
	settle(t, u.b.owner(), u.said, []talk{u.talk, quiet}, u.e)
	if _, err := u.e.Resend(overtaken.ID, desktop.Resend{}); err != nil {
		t.Fatal(err)
	}
	settle(t, u.b.owner(), u.said, []talk{u.talk, quiet}, u.e)
	if !slices.Contains(u.b.owner().texts(u.talk.id), "overtaken") {
		t.Error("the text that was sent again is not there")
	}
}

// TestFaultsClocks sets the clock of a desk, or of the server, a day wrong, or lets it jump by a day while texts wait.
func TestFaultsClocks(t *testing.T) {
	for name, c := range map[string]struct{ server, desk, jump time.Duration }{
		"server ahead":            {server: 24 * time.Hour},
		"server behind":           {server: -24 * time.Hour},
		"desk ahead":              {desk: 24 * time.Hour},
		"desk behind":             {desk: -24 * time.Hour},
		"desk is set forward":     {jump: 24 * time.Hour},
		"desk is set back":        {jump: -24 * time.Hour},
		"desk ahead is put right": {desk: 24 * time.Hour, jump: -24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var skew atomic.Int64
			skew.Store(int64(c.desk))
			b := newBackendAt(t, func() chat.Time { return chat.TimeOf(time.Now().Add(c.server)) })
			line := NewProxy(t, b.config.Listen)
			wrong := openEngineAt(t, t.TempDir(), func() time.Time { return time.Now().Add(time.Duration(skew.Load())) })
			right := openEngine(t, t.TempDir())
			wrong.signIn(line.URL())
			right.signIn(b.url())
			u := &lineup{b: b, line: line, e: wrong, said: &ledger{}}
			u.talk = u.begin("hello")
			right.find("hello")
			draft := func(e *engine) string {
				v, err := e.Conversation(u.talk.id.String())
				if err != nil {
					t.Fatal(err)
				}
				if v.Draft == nil {
					return ""
				}
				return v.Draft.Text
			}

			// In turn, from both desks: the order is that in which the server has them.
			for i, e := range []*engine{wrong, right, wrong, right} {
				text := []string{"one", "two", "three", "four"}[i]
				e.send(u.talk.id, text, e.thread(u.talk.id, desktop.ThreadQuery{Limit: 1}).Head)
				u.said.accepted(text)
				Until(t, text+" on both desks", func() bool {
					return e.state().Outbox == desktop.OutboxCounts{} && u.shown(u.talk, text) && slices.Equal(wrong.ids(u.talk.id), right.ids(u.talk.id))
				})
			}
			// The draft that was typed last is the draft, whatever the clocks say.
			for i, e := range []*engine{wrong, right, wrong} {
				text := []string{"dear", "dear Ms", "dear Ms Lind"}[i]
				if err := e.SaveDraft(u.talk.id.String(), desktop.Draft{Text: text}); err != nil {
					t.Fatal(err)
				}
				Until(t, "the draft on both desks", func() bool { return draft(wrong) == text && draft(right) == text })
			}
			line.Cut()
			wrong.status("offline")
			u.send(u.talk, "five")
			skew.Add(int64(c.jump))
			u.send(u.talk, "six")
			line.Restore()
			settle(t, b.owner(), u.said, []talk{u.talk}, wrong, right)
			if got := b.owner().texts(u.talk.id); !slices.Equal(got, []string{"hello", "one", "two", "three", "four", "five", "six"}) {
				t.Errorf("the order is %q", got)
			}
		})
	}
}

// TestFaultsPortal sends through a network whose owner wants to be paid first: every request is answered with 200 and a
// page, some of them although the server has done what was asked.
func TestFaultsPortal(t *testing.T) {
	t.Parallel()
	u := &lineup{b: newBackend(t), said: &ledger{}}
	gate := newGate(t, u.b.url())
	u.line = NewProxy(t, gate.Listener.Addr().String())
	u.e = openEngine(t, t.TempDir())
	u.e.signIn(u.line.URL())
	u.talk = u.begin("hello")
	page := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<h1>Welcome to the hotel</h1>"))
	}

	gate.answer(func(w http.ResponseWriter, _ *http.Request) { page(w) })
	u.line.Cut()
	u.line.Restore()
	u.send(u.talk, "first")
	u.e.status("offline")
	u.buyerSays(u.talk, "meanwhile")
	done := atomic.Int32{}
	gate.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/commands" {
			gate.through.ServeHTTP(httptest.NewRecorder(), r)
			done.Add(1)
		}
		page(w)
	})
	u.send(u.talk, "second")
	Until(t, "the server to have done it twice over", func() bool { return done.Load() > 1 })
	if n, waiting := times(u.e.thread(u.talk.id, desktop.ThreadQuery{}), "first"); n+waiting != 1 {
		t.Errorf("the first text stands %d times, and waits %d times", n, waiting)
	}
	gate.answer(nil)
	settle(t, u.b.owner(), u.said, []talk{u.talk}, u.e)
	if got := u.b.owner().texts(u.talk.id); !slices.Contains(got, "second") {
		t.Errorf("the server has %q", got)
	}
}

// TestFaultsTLS lets the server's certificate expire, be somebody else's, and the line speak no TLS at all.
func TestFaultsTLS(t *testing.T) {
	authority := newAuthority(t)
	t.Setenv("SSL_CERT_FILE", authority.file)
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	u := &lineup{b: newBackend(t), said: &ledger{}}
	good := authority.issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	var shown atomic.Pointer[tls.Certificate]
	shown.Store(&good)
	u.line = NewProxy(t, tlsFront(t, u.b.config.Listen, &shown))
	u.e = openEngine(t, t.TempDir())
	u.e.signIn("https" + strings.TrimPrefix(u.line.URL(), "http"))
	u.talk = u.begin("hello")
	expired := authority.issue(t, "127.0.0.1", time.Now().Add(-time.Hour))
	stranger := authority.issue(t, "127.0.0.2", time.Now().Add(time.Hour))
	for name, broken := range map[string]*tls.Certificate{"expired": &expired, "another server's": &stranger, "none": nil} {
		shown.Store(broken)
		u.line.Cut()
		u.line.Restore()
		u.send(u.talk, "sent while the certificate is "+name)
		u.e.status("offline")
		Until(t, "the certificate to be spoken of only where it is to blame", func() bool {
			says := u.e.state().Connection.Problem
			return (broken != nil) == (says != nil && strings.Contains(*says, "certificate"))
		})
		u.buyerSays(u.talk, "said while the certificate is "+name)
		if !u.shown(u.talk, "hello") {
			t.Error("the cache suffered")
		}
		shown.Store(&good)
		if s := u.e.status("live"); s.Connection.Problem != nil {
			t.Errorf("live, and still %q", *s.Connection.Problem)
		}
	}
	settle(t, u.b.owner(), u.said, []talk{u.talk}, u.e)
}

// authority signs certificates and is trusted by this process.
type authority struct {
	file string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, file: filepath.Join(t.TempDir(), "authority.pem"), cert: &x509.Certificate{SerialNumber: big.NewInt(1),
		Subject: pkix.Name{CommonName: "Test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) issue(t *testing.T, address string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(until.Unix()), NotBefore: until.Add(-2 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.ParseIP(address)}, KeyUsage: x509.KeyUsageDigitalSignature}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsFront ends TLS in front of a server, with the certificate that is shown now; without one it speaks no TLS.
func tlsFront(t *testing.T, target string, shown *atomic.Pointer[tls.Certificate]) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				cert := shown.Load()
				if cert == nil {
					_, _ = io.WriteString(near, "HTTP/1.1 400 Bad Request\r\n\r\n")
					return
				}
				inner := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{*cert}})
				far, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer far.Close()
				go func() {
					_, _ = io.Copy(far, inner)
					far.Close()
				}()
				_, _ = io.Copy(inner, far)
			}()
		}
	}()
	return listener.Addr().String()
}
