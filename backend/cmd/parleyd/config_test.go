package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/backend/chat"
)

func TestFlagWinsOverEnvironmentOverFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "parleyd.conf")
	if err := os.WriteFile(file, []byte("# ours\nlisten: 1.1.1.1:1\npublic_url: \"https://file.example\"\ndata: /file\nunknown: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PARLEYD_CONFIG": file, "PARLEYD_LISTEN": "2.2.2.2:2", "PARLEYD_DATA": "/env"}
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	listen, public, data := fs.String("listen", "default", ""), fs.String("public-url", "", ""), fs.String("data", "", "")
	rest, err := parse(fs, []string{"one", "--data", "/flag", "two"}, func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	if *listen != "2.2.2.2:2" || *public != "https://file.example" || *data != "/flag" {
		t.Errorf("listen %q, public-url %q, data %q", *listen, *public, *data)
	}
	if strings.Join(rest, " ") != "one two" {
		t.Errorf("arguments %q", rest)
	}
}

func TestBadConfiguration(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.conf")
	if err := os.WriteFile(broken, []byte("listen 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"unknown flag": {"--lisen", "x"}, "missing file": {"--config", filepath.Join(dir, "none")},
		"line without a colon": {"--config", broken}, "not a number": {"--conversations", "many"},
	} {
		fs := flag.NewFlagSet("demo", flag.ContinueOnError)
		fs.Int("conversations", 1, "")
		if _, err := parse(fs, args, func(string) string { return "" }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.Int("conversations", 1, "")
	_, err := parse(fs, nil, func(k string) string { return map[string]string{"PARLEYD_CONVERSATIONS": "many"}[k] })
	if chat.ErrorCode(err) != chat.CodeInvalid || !strings.Contains(err.Error(), "PARLEYD_CONVERSATIONS") {
		t.Errorf("bad environment value: %v", err)
	}
}

func TestPublicURL(t *testing.T) {
	for _, good := range []string{"", "https://chat.example.com", "http://127.0.0.1:8787", "https://example.com/chat/", "HTTPS://Chat.Example"} {
		if err := checkPublicURL(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"nonsense", "ftp://x y", "ftp://x", "https://", "https://:8787", "//chat.example", "chat.example:443",
		"https://me@chat.example", "https://chat.example?x=1", "https://chat.example#top", "http://a b"} {
		if err := checkPublicURL(bad); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestServeRefusesAPublicURLThatNobodyCanOpen(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	code, _, errs := runIn(ended(), "", "serve", "--data", data, "--listen", "127.0.0.1:0", "--public-url", "nonsense")
	if code != 2 || !strings.Contains(errs, "--public-url") {
		t.Errorf("exit %d, said %s", code, errs)
	}
	if _, err := os.Lstat(data); err == nil {
		t.Error("the data folder was made")
	}
}
