package e2e

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

// echo is a server that answers each line with the same line.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					if _, err := conn.Write([]byte(lines.Text() + "\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// TestProxy holds the proxy to its word, because other tests prove things by it: a cut breaks what is open and
// refuses what is new, a stall keeps both but delivers nothing until restored.
func TestProxy(t *testing.T) {
	proxy := NewProxy(t, echo(t))
	dial := func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(proxy.URL(), "http://")) }
	say := func(conn net.Conn, wait time.Duration) (string, error) {
		if _, err := conn.Write([]byte("hello\n")); err != nil {
			return "", err
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return "", err
		}
		return bufio.NewReader(conn).ReadString('\n')
	}

	conn, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := say(conn, patience); err != nil || got != "hello\n" {
		t.Fatalf("through an open proxy: %q, %v", got, err)
	}

	proxy.Stall()
	if got, err := say(conn, 50*time.Millisecond); err == nil {
		t.Fatalf("a stalled proxy let %q through", got)
	}
	proxy.Restore()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || got != "hello\n" {
		t.Fatalf("what was stalled did not arrive afterwards: %q, %v", got, err)
	}

	proxy.Cut()
	if got, err := say(conn, patience); err == nil {
		t.Fatalf("a cut connection answered %q", got)
	}
	if again, err := dial(); err == nil {
		again.Close()
		t.Fatal("a cut proxy accepted a connection")
	}
	proxy.Restore()
	again, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, err := say(again, patience); err != nil || got != "hello\n" {
		t.Fatalf("through a restored proxy: %q, %v", got, err)
	}
}

// TestProxyFaults holds the proxy's worse faults to their word: what is forgotten or lost one way still goes the other,
// a cut comes in the middle, and a slow line delivers everything, later.
func TestProxyFaults(t *testing.T) {
	proxy := NewProxy(t, echo(t))
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(proxy.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	say := func(conn net.Conn, text string, wait time.Duration) (string, error) {
		t.Helper()
		if _, err := conn.Write([]byte(text + "\n")); err != nil {
			return "", err
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(conn).ReadString('\n')
	}
	hears := func(conn net.Conn, text string) {
		t.Helper()
		if got, err := say(conn, text, patience); err != nil || got != text+"\n" {
			t.Fatalf("said %q, heard %q, %v", text, got, err)
		}
	}
	for _, way := range []Way{ToServer, ToClient, BothWays} {
		old := dial()
		hears(old, "before")
		proxy.Forget(way)
		if got, err := say(old, "gone", 50*time.Millisecond); err == nil {
			t.Fatalf("a forgotten connection (%d) answered %q", way, got)
		}
		hears(dial(), "anew")

		proxy.Lose(way)
		if got, err := say(dial(), "gone", 50*time.Millisecond); err == nil {
			t.Fatalf("a line that loses everything (%d) answered %q", way, got)
		}
		proxy.Restore()
		hears(dial(), "again")
	}

	proxy.CutAfter(ToClient, 3)
	if got, err := say(dial(), "hello", patience); err == nil || got != "hel" {
		t.Fatalf("cut after three bytes: %q, %v", got, err)
	}
	hears(dial(), "hello")

	proxy.Slow(60*time.Millisecond, 0)
	began := time.Now()
	hears(dial(), "hello")
	if took := time.Since(began); took < 120*time.Millisecond {
		t.Fatalf("two pieces over a slow line took %v", took)
	}
	proxy.Slow(0, 100)
	began = time.Now()
	hears(dial(), "hello hello")
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Fatalf("24 bytes at 100 a second took %v", took)
	}
}
