package auth_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/server/auth"
)

func TestPasswordRoundTrip(t *testing.T) {
	p, ctx := auth.NewPasswords(), context.Background()
	hash, err := p.Hash(ctx, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %q is not Argon2id with the recommended cost", hash)
	}
	for _, c := range []struct {
		name, hash, password string
		want                 bool
	}{
		{"right", hash, "correct horse", true},
		{"wrong", hash, "correct horsf", false},
		{"empty", hash, "", false},
		{"unknown e-mail", "", "correct horse", false},
		{"overlong", hash, strings.Repeat("x", auth.MaxPassword+1), false},
	} {
		if got, err := p.Verify(ctx, c.hash, c.password); err != nil || got != c.want {
			t.Errorf("%s: got %v, %v; want %v", c.name, got, err, c.want)
		}
	}
	if again, _ := p.Hash(ctx, "correct horse"); again == hash {
		t.Error("two hashes of one password are equal: the salt is missing")
	}
}

func TestBadPasswordsAndHashesAreRefused(t *testing.T) {
	p, ctx := auth.NewPasswords(), context.Background()
	for _, bad := range []string{"", "short", "with\x00zero byte", "broken \xff utf-8", strings.Repeat("x", auth.MaxPassword+1)} {
		if _, err := p.Hash(ctx, bad); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("password of %d bytes: %v, want invalid", len(bad), err)
		}
	}
	for _, bad := range []string{"x", "$argon2i$v=19$m=1,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=4294967295,t=1,p=1$AAAA$AAAA",
		"$argon2id$v=19$m=19456,t=2,p=1$!!$AAAA", "$argon2id$v=19$m=19456,t=2,p=1$AAAA$"} {
		if ok, err := p.Verify(ctx, bad, "correct horse"); ok || err == nil {
			t.Errorf("hash %q: got %v, %v; want an error", bad, ok, err)
		}
	}
}

func TestVerifyStopsWaitingWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := auth.NewPasswords()
	// With every slot free either branch may win; it must end and never be right.
	if ok, _ := p.Verify(ctx, "", "correct horse"); ok {
		t.Error("an unknown e-mail was let in")
	}
}

func TestTokensAreLongAndDiffer(t *testing.T) {
	a, b := auth.Token(), auth.Token()
	if a == b || len(a) != 43 {
		t.Errorf("tokens %q and %q: want two different ones of 43 characters", a, b)
	}
	if len(auth.TokenHash(a)) != 32 || string(auth.TokenHash(a)) == string(auth.TokenHash(b)) {
		t.Error("token hashes are wrong")
	}
	if len(auth.Key(8)) != 16 {
		t.Error("a key of 8 bytes has 16 hex digits")
	}
}

func TestLimiterBrakesAndForgives(t *testing.T) {
	now := chat.Time(1_000_000)
	l := auth.NewLimiter(3, 10*time.Second, 10, func() chat.Time { return now })
	for i := range 3 {
		if ok, _ := l.Take("a"); !ok {
			t.Fatalf("try %d was refused", i+1)
		}
	}
	for range 50 { // what is refused does not make the wait longer
		if ok, wait := l.Take("a"); ok || wait <= 0 || wait > 10*time.Second {
			t.Fatalf("fourth try: %v, wait %v; want refused for at most 10 s", ok, wait)
		}
	}
	if ok, _ := l.Take("b"); !ok {
		t.Error("another key is braked too")
	}
	now = now.Add(10 * time.Second)
	if ok, _ := l.Take("a"); !ok {
		t.Error("still refused after waiting as told")
	}
	l.Give("a")
	if ok, _ := l.Take("a"); !ok {
		t.Error("what was given back is not there")
	}
	l.Forget("a")
	for i := range 3 {
		if ok, _ := l.Take("a"); !ok {
			t.Errorf("try %d was refused after everything was forgiven", i+1)
		}
	}
}

func TestLimiterHoldsInParallel(t *testing.T) {
	l := auth.NewLimiter(5, time.Hour, 10, func() chat.Time { return 1_000_000 })
	var passed atomic.Int32
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if ok, _ := l.Take("a"); ok {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	if n := passed.Load(); n != 5 {
		t.Errorf("%d attempts passed at once, want 5", n)
	}
}

func TestLimiterIsBounded(t *testing.T) {
	now := chat.Time(1_000_000)
	l := auth.NewLimiter(2, time.Hour, 4, func() chat.Time { return now })
	l.Take("worst")
	l.Take("worst")
	for _, k := range []string{"a", "b", "c", "d", "e", "f"} {
		l.Take(k)
	}
	if ok, _ := l.Take("worst"); ok {
		t.Error("the fullest bucket was dropped to make room for emptier ones")
	}
}

func TestTheClientBehindAProxy(t *testing.T) {
	proxies, err := auth.ParseProxies([]string{"10.0.0.0/8", " 192.0.2.1 ", ""})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ peer, forwarded, want string }{
		{"10.1.2.3:99", "203.0.113.9", "203.0.113.9"},
		{"10.1.2.3:99", "1.1.1.1, 203.0.113.9, 192.0.2.1", "203.0.113.9"}, // what the client claims stands to the left
		{"10.1.2.3:99", "2001:db8::7", "2001:db8::7"},
		{"10.1.2.3:99", "203.0.113.9:4711", "203.0.113.9"},
		{"10.1.2.3:99", "", "10.1.2.3:99"},
		{"10.1.2.3:99", "nonsense", "10.1.2.3:99"},
		{"10.1.2.3:99", "10.9.9.9", "10.9.9.9"},
		{"198.51.100.4:99", "203.0.113.9", "198.51.100.4:99"}, // not a proxy of ours
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := proxies.Address(r); got != c.want {
			t.Errorf("from %s with %q: %q, want %q", c.peer, c.forwarded, got, c.want)
		}
	}
	if _, err := auth.ParseProxies([]string{"everything"}); chat.ErrorCode(err) != chat.CodeInvalid {
		t.Errorf("a proxy that is no address: %v", err)
	}
}

func TestAddressKey(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7:4711":           "192.0.2.7",
		"[::ffff:192.0.2.7]:4711":  "192.0.2.7",
		"[2001:db8:1:2:3::4]:4711": "2001:db8:1:2::/64",
		"pipe":                     "pipe",
	} {
		if got := auth.AddressKey(in); got != want {
			t.Errorf("AddressKey(%q) = %q, want %q", in, got, want)
		}
	}
}
