package desktop

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop/secrets"
)

func TestTheOpeningIsTheListAsItWasLeft(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	if o, err := e.Opening(60); err != nil || o.State.Account != nil || o.List != nil || o.Counts != nil || o.Settings == nil {
		t.Fatalf("without an account: %+v %v", o, err)
	}
	join(t, e, nowhere)
	shop, other := chat.NewID[chat.Brand](), chat.NewID[chat.Brand]()
	inShop, inOther := cached(t, current(t, e), shop), cached(t, current(t, e), other)
	rows := func(want ...chat.ConversationID) Opening {
		t.Helper()
		o, err := e.Opening(60)
		if err != nil || o.State.Account == nil || o.Counts == nil || o.List == nil || len(o.List.Rows) != len(want) {
			t.Fatalf("%+v %v", o, err)
		}
		for i, row := range o.List.Rows {
			var c chat.Conversation
			if err := json.Unmarshal(row.Conversation, &c); err != nil || c.ID != want[i] {
				t.Fatalf("row %d is %s, wanted %s (%v)", i, c.ID, want[i], err)
			}
		}
		return o
	}
	put := func(key, value string) {
		t.Helper()
		if err := e.PutSetting(key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	rows(inOther, inShop)
	put(settingOldest, "true")
	rows(inShop, inOther)
	put(settingBrand, `"`+shop.String()+`"`)
	if o := rows(inShop); string(o.Settings[settingOldest]) != "true" {
		t.Fatalf("settings %s", o.Settings)
	}
	if o, err := e.Opening(0); err != nil || len(o.List.Rows) != 1 {
		t.Fatalf("no rows asked for: %+v %v", o, err)
	}
	// Settings of another version, or of nobody: the window ignores them too.
	put(settingOldest, `"yes"`)
	put(settingBrand, "7")
	rows(inOther, inShop)
	put(settingBrand, `"no id"`)
	if o, err := e.Opening(60); err != nil || o.List != nil || o.State.Account == nil {
		t.Fatalf("a brand that is none: %+v %v", o, err)
	}
}

func TestConnectingWaitsForTheWindow(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	first := openWith(t, dir, ring)
	join(t, first, server.URL)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	asked.Store(0)
	shown := make(chan struct{})
	opt := Options{Data: dir, DefaultServer: "x", Window: &ear{}, Shown: shown, Secrets: secrets.OpenRing(ring, filepath.Join(dir, "secrets"))}
	e, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Opening(60); err != nil || asked.Load() != 0 || current(t, e).net.Load() != nil {
		t.Fatalf("before the window: %d requests, %v", asked.Load(), err)
	}
	close(shown)
	until(t, "the first request", func() bool { return asked.Load() > 0 })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	// One that is never shown can be closed.
	opt.Shown = make(chan struct{})
	if e, err = Open(t.Context(), opt); err == nil {
		err = e.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
