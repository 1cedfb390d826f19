package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"parley/backend/protocol"
)

// run does one call of parleyd and gives its exit code and what it printed.
func run(t *testing.T, stdin string, args ...string) (int, string, string) {
	t.Helper()
	return runIn(context.Background(), stdin, args...)
}

// runIn is run with a context: an ended one is for what must be refused, and
// would else go on for ever.
func runIn(ctx context.Context, stdin string, args ...string) (int, string, string) {
	var out, errs bytes.Buffer
	p := program{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	code := p.run(ctx, args)
	return code, out.String(), errs.String()
}

func ended() context.Context {
	ctx, end := context.WithCancel(context.Background())
	end()
	return ctx
}

func TestInitMemberBackupRestoreCheck(t *testing.T) {
	data, restored := t.TempDir(), t.TempDir()
	code, out, errs := run(t, "correct horse battery\n", "init", "--data", data, "--workspace", "Northwind", "--email", "owner@example.com", "--password-stdin", "--json")
	if code != 0 {
		t.Fatalf("init: %d %s", code, errs)
	}
	var created protocol.Created
	if err := json.Unmarshal([]byte(out), &created); err != nil || created.Channel.Slug == "" || created.Channel.Key == "" || created.Workspace.IsZero() {
		t.Fatalf("init printed %q (%v)", out, err)
	}
	if code, _, errs := run(t, "correct horse battery", "init", "--data", data, "--workspace", "Again", "--email", "o@example.com", "--password-stdin"); code == 0 || !strings.Contains(errs, "already") {
		t.Errorf("a second init: %d %s", code, errs)
	}
	code, out, errs = run(t, "another long password", "member", "add", "--data", data, "--email", "ana@example.com", "--name", "Ana",
		"--role", "agent", "--brand", created.Brand.String(), "--password-stdin", "--json")
	if code != 0 || !strings.Contains(out, created.Brand.String()) || strings.Contains(out, "password") {
		t.Fatalf("member add: %d %s %s", code, out, errs)
	}
	if code, _, errs := run(t, "x", "member", "add", "--data", data, "--email", "b@example.com", "--name", "B", "--role", "king", "--password-stdin"); code != 2 {
		t.Errorf("unknown role: %d %s", code, errs)
	}
	if code, out, errs := run(t, "", "check", "--data", data); code != 0 {
		t.Errorf("check: %d %s %s", code, out, errs)
	}
	file := filepath.Join(t.TempDir(), "backup.db")
	if code, _, errs := run(t, "", "backup", file, "--data", data); code != 0 {
		t.Fatalf("backup: %d %s", code, errs)
	}
	if code, _, errs := run(t, "", "restore", file, "--data", restored); code != 0 {
		t.Fatalf("restore: %d %s", code, errs)
	}
	if code, _, _ := run(t, "", "restore", file, "--data", data); code == 0 {
		t.Error("restore over a database that is in use")
	}
	if code, out, errs := run(t, "", "check", "--data", restored); code != 0 {
		t.Errorf("check of the restored: %d %s %s", code, out, errs)
	}
}

// TestServeSaysThatItStopsBeforeItRefuses: a balancer that asks a stopping
// server hears that it is not ready; connections are refused only later.
func TestServeSaysThatItStopsBeforeItRefuses(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	log, lines := io.Pipe()
	p := program{stdin: strings.NewReader(""), stdout: io.Discard, stderr: lines, getenv: func(string) string { return "" }}
	code := make(chan int, 1)
	go func() {
		code <- p.run(ctx, []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0"})
		_ = lines.Close()
	}()
	said := json.NewDecoder(log)
	var line struct{ Address string }
	for line.Address == "" {
		if err := said.Decode(&line); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, log) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ready := func() (int, error) {
		resp, err := client.Get("http://" + line.Address + "/readyz")
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	if status, err := ready(); status != http.StatusOK || err != nil {
		t.Fatalf("ready: %d %v", status, err)
	}
	stop()
	status, err := http.StatusOK, error(nil)
	for status == http.StatusOK && err == nil {
		status, err = ready()
	}
	if status != http.StatusServiceUnavailable {
		t.Errorf("a stopping server: %d %v, want 503", status, err)
	}
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}

func TestUsage(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing": {nil, 0, "parleyd serve"}, "help": {[]string{"serve", "--help"}, 0, "-listen"},
		"unknown subcommand": {[]string{"sevre"}, 2, "sevre"}, "no data folder": {[]string{"check"}, 2, "--data"},
		"serve with an argument": {[]string{"serve", "--data", "x", "extra"}, 2, `no argument "extra"`},
		"demo with an argument":  {[]string{"demo", "--data", "x", "500"}, 2, `no argument "500"`},
		"init with an argument":  {[]string{"init", "Acme", "--data", "x", "--password-stdin"}, 2, `no argument "Acme"`},
		"check with an argument": {[]string{"check", "--data", "x", "y"}, 2, `no argument "y"`},
		"add with an argument":   {[]string{"member", "add", "ana@example.com", "--data", "x", "--password-stdin"}, 2, "no argument"},
		"a time of no demo":      {[]string{"demo", "--data", "x", "--now", "yesterday"}, 2, "yesterday"},
		"no password":            {[]string{"init", "--data", "x"}, 2, "--password-stdin"}, "backup without a file": {[]string{"backup", "--data", "x"}, 2, "FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := runIn(ended(), "", tt.args...)
			if code != tt.code || !strings.Contains(out+errs, tt.says) {
				t.Errorf("exit %d, said %s%s", code, out, errs)
			}
		})
	}
}
