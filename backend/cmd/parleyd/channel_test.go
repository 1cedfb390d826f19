package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestChannelSet(t *testing.T) {
	data := t.TempDir()
	if code, _, errs := run(t, "correct horse battery\n", "init", "--data", data, "--workspace", "Northwind", "--email", "owner@example.com", "--password-stdin"); code != 0 {
		t.Fatalf("init: %d %s", code, errs)
	}
	set := func(args ...string) (c struct {
		Key, Slug, Secret string
		Settings          struct {
			Origins []string
			Title   string
		}
	}) {
		t.Helper()
		code, out, errs := run(t, "", append([]string{"channel", "set", "--data", data, "--json"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
		if err := json.Unmarshal([]byte(out), &c); err != nil {
			t.Fatalf("%v printed %q: %v", args, out, err)
		}
		return c
	}
	c := set("--origin", "HTTPS://Shop.Example:443", "--origin", "http://localhost:3000", "--title", "Ask us")
	if !slices.Equal(c.Settings.Origins, []string{"https://shop.example", "http://localhost:3000"}) || c.Settings.Title != "Ask us" || c.Secret != "" {
		t.Fatalf("set %+v", c)
	}
	for _, name := range []string{c.Key, c.Slug} { // what is not given stays
		if c = set("--channel", name, "--show-secret"); len(c.Settings.Origins) != 2 || c.Settings.Title != "Ask us" || len(c.Secret) < 32 {
			t.Fatalf("shows %+v of %s", c, name)
		}
	}
	for name, args := range map[string][]string{"a path": {"--origin", "https://shop.example/cart"}, "no web page": {"--origin", "ftp://shop.example"},
		"everybody": {"--origin", "*"}, "an argument": {"https://shop.example"}} {
		if code, _, errs := run(t, "", append([]string{"channel", "set", "--data", data}, args...)...); code != 2 {
			t.Errorf("%s: %d %s", name, code, errs)
		}
	}
	if code, _, errs := run(t, "", "channel", "set", "--data", data, "--channel", "nobody"); code != 1 {
		t.Errorf("an unknown channel: %d %s", code, errs)
	}
	code, out, _ := run(t, "", "channel", "set", "--data", data)
	if code != 0 || !strings.Contains(out, "https://shop.example, http://localhost:3000") || strings.Contains(out, c.Secret) {
		t.Errorf("for people: %d %s", code, out)
	}
	if _, out, _ = run(t, "", "channel", "set", "--data", data, "--show-secret"); !strings.Contains(out, c.Secret) {
		t.Errorf("the secret is not in %q", out)
	}
	if c = set("--origin", "", "--title", ""); len(c.Settings.Origins) != 0 || c.Settings.Title != "" {
		t.Errorf("emptied: %+v", c)
	}
}
