package main

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/backend/chat"
)

func TestFlags(t *testing.T) {
	t.Setenv("PARLEY_DATA", "/from/environment")
	o, err := parse([]string{"--server", "https://x", "--bridge", "127.0.0.1:0"}, &bytes.Buffer{})
	if err != nil || o.data != filepath.FromSlash("/from/environment") || o.server != "https://x" || o.bridge != "127.0.0.1:0" {
		t.Fatalf("%+v %v", o, err)
	}
	o, err = parse([]string{"--data", "here"}, &bytes.Buffer{})
	if err != nil || !filepath.IsAbs(o.data) || filepath.Base(o.data) != "here" {
		t.Fatalf("%+v %v", o, err)
	}
	t.Setenv("PARLEY_DATA", "")
	t.Setenv("XDG_DATA_HOME", "/home/data")
	if o, err = parse(nil, &bytes.Buffer{}); err != nil || o.data != "/home/data/parley" {
		t.Fatalf("%+v %v", o, err)
	}
	for _, args := range [][]string{{"--nonsense"}, {"extra"}} {
		if code := run(args, &bytes.Buffer{}, &bytes.Buffer{}); code != 2 {
			t.Fatalf("%v ends with %d", args, code)
		}
	}
	var out bytes.Buffer
	if code := run([]string{"--version"}, &out, &bytes.Buffer{}); code != 0 || out.String() != "parley "+version+"\n" {
		t.Fatalf("%d %q", code, out.String())
	}
}

func TestOnlyHarmlessLinksOpen(t *testing.T) {
	a := &App{shell: pageShell{}}
	for link, ok := range map[string]bool{
		"https://example.com/a?b": true, "http://example.com": true, "mailto:a@example.com": true,
		"file:///etc/passwd": false, "javascript:alert(1)": false, "parley://x": false, "smb://x": false, "": false, "C:\\x.exe": false, "%": false,
	} {
		if err := a.OpenLink(link); (err == nil) != ok {
			t.Errorf("%q: %v", link, err)
		}
	}
	if err := a.SaveFile("x", "y"); chat.ErrorCode(err) != chat.CodeUnsupported {
		t.Fatalf("save in a page: %v", err)
	}
}

func TestPagesAreStrict(t *testing.T) {
	h := strict(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/index.html", nil))
	csp := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "object-src 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy lacks %q: %s", want, csp)
		}
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/files/x", nil))
	if w.Header().Get("Content-Security-Policy") != "" {
		t.Fatal("files have a policy of their own, which this one overwrites")
	}
}

func TestLinksKeepTheirAddress(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	home, data := busy.Addr().String(), t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "listen"), []byte(home), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() (url string, moved bool) {
		e := &embedded{data: data, log: slog.New(slog.DiscardHandler)}
		url, err := e.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		moved = e.Moved()
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return url, moved
	}
	if url, moved := start(); url == "http://"+home || !moved {
		t.Fatalf("with the address taken: %s, moved %v", url, moved)
	}
	if err := busy.Close(); err != nil {
		t.Fatal(err)
	}
	if url, moved := start(); url != "http://"+home || moved {
		t.Fatalf("with the address free again: %s, moved %v, wanted %s", url, moved, home)
	}
}

func TestErrorsHaveCodeAndSentence(t *testing.T) {
	got, ok := formatError(chat.Errorf(chat.CodeClosed, "It has ended.")).(map[string]string)
	if !ok || got["code"] != "closed" || got["message"] != "It has ended." {
		t.Fatalf("%v", got)
	}
}
