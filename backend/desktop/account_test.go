package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/secrets"
	"parley/backend/protocol"
)

func TestAnEmptyCacheHasEmptyLists(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	join(t, e, nowhere)
	var st map[string]json.RawMessage
	if err := json.Unmarshal(encode(t, stateOf(t, e)), &st); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"accounts", "brands", "channels", "members", "warnings", "share_links"} {
		if raw := st[name]; len(raw) == 0 || raw[0] != '[' {
			t.Errorf("%s is %s: the window needs a list", name, raw)
		}
	}
	if string(st["loaded"]) != "false" || string(st["cached"]) != `{"conversations":0,"readable":0}` {
		t.Errorf("loaded %s, cached %s", st["loaded"], st["cached"])
	}
	if unsent, err := e.Unsent(); err != nil || unsent == nil {
		t.Errorf("unsent %v %v", unsent, err)
	}
}

func TestWritesStayInTheirAccount(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	first := join(t, e, nowhere)
	second := join(t, e, nowhere)
	conv := chat.NewID[chat.Conversation]()
	write := func(account string) []error {
		_, send := e.Send(conv.String(), NewMessage{Text: "hello", Account: account})
		_, comment := e.Comment(conv.String(), NewComment{Text: "hello", Account: account})
		return []error{send, comment, e.SaveDraft(conv.String(), Draft{Text: "hello", Account: account})}
	}
	for i, err := range write(first.ID) {
		if chat.ErrorCode(err) != chat.CodeConflict {
			t.Errorf("write %d crossed accounts: %v", i, err)
		}
	}
	s := current(t, e)
	if _, ok := s.drafts.local(conv); ok || len(s.outbox.Snapshot().Of(conv)) != 0 {
		t.Fatal("the text of one account is in the other")
	}
	for _, account := range []string{second.ID, ""} {
		if err := errors.Join(write(account)...); err != nil {
			t.Errorf("in account %q: %v", account, err)
		}
	}
}

func TestALockedKeychainSignsNobodyOut(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	account := join(t, e, nowhere)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	ring.lock(true)
	e = openWith(t, dir, ring)
	until(t, "the problem to be said", func() bool { return stateOf(t, e).Connection.Problem != nil })
	if st := stateOf(t, e); st.Connection.Status != "error" || st.Accounts[0].SignedOut {
		t.Fatalf("%+v %+v", st.Connection, st.Accounts)
	}
	ring.lock(false)
	if err := e.Retry(); err != nil {
		t.Fatal(err)
	}
	until(t, "the session to go on", func() bool { return current(t, e).net.Load() != nil })
	if ring.kept[secretOf(account.ID)] != "T" {
		t.Fatal("the token is gone")
	}
}

func TestSigningOutWithALockedKeychainIsFinishedLater(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	account := join(t, e, nowhere)
	kept := func() bool {
		ring.mu.Lock()
		defer ring.mu.Unlock()
		_, ok := ring.kept[secretOf(account.ID)]
		return ok
	}
	warned := func() bool {
		return slices.ContainsFunc(stateOf(t, e).Warnings, func(w Warning) bool { return w.Code == "token_left" })
	}
	ring.lock(true)
	if err := e.SignOut(); err != nil {
		t.Fatalf("signing out failed, because the keychain is locked: %v", err)
	}
	if st := stateOf(t, e); st.Account != nil || !st.Accounts[0].SignedOut || !warned() || !kept() {
		t.Fatalf("after signing out, with the token kept %v: %+v", kept(), st)
	}
	for _, locked := range []bool{true, false} {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		ring.lock(locked)
		e = openWith(t, dir, ring)
		if locked && !warned() {
			t.Fatal("the next start has forgotten the token")
		}
	}
	until(t, "the token to be gone", func() bool { return !kept() && !warned() })
}

// moody is a backend that does not start the first times.
type moody struct {
	brokenBackend
	fails int
	me    chat.Member
}

func (m *moody) Start(context.Context) (string, error) {
	if m.fails--; m.fails >= 0 {
		return "", m.err
	}
	return nowhere, nil
}

func (m *moody) Session(context.Context, string) (protocol.SignedIn, error) {
	return protocol.SignedIn{Token: "T", Member: m.me, Workspace: chat.Workspace{Name: "Shop"}}, nil
}

func TestAFailedFirstStartIsTriedAgain(t *testing.T) {
	b := &moody{brokenBackend{chat.Errorf(chat.CodeUnavailable, "The disk is full.")}, 1, chat.Member{ID: chat.NewID[chat.Member]()}}
	e := open(t, Options{Data: t.TempDir(), Embedded: b})
	until(t, "the account", func() bool { return stateOf(t, e).Account != nil })
}

func TestAnAccountThatCannotBeOpenedIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	account := join(t, e, nowhere)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	local := filepath.Join(e.folder(account.ID), "local.db")
	if err := os.Rename(local, local+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(local, []byte("somebody's diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays the account to open, also for the start after a failed one
		e = open(t, Options{Data: dir, DefaultServer: "x"})
		if st := stateOf(t, e); st.Connection.Problem == nil || st.Account != nil {
			t.Fatalf("opened: %+v", st.Connection)
		}
		if err := e.Retry(); err == nil {
			t.Fatal("tried again and said nothing")
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	e = open(t, Options{Data: dir, DefaultServer: "x"})
	if err := os.Rename(local+".away", local); err != nil {
		t.Fatal(err)
	}
	until(t, "the account to open by itself", func() bool { return stateOf(t, e).Account != nil })
	if st := stateOf(t, e); st.Connection.Problem != nil && st.Connection.Status == "error" {
		t.Fatalf("the problem stays: %+v", st.Connection)
	}
}

// spoil makes an account's local.db somebody else's file, and gives a check
// that it was left as it is.
func spoil(t *testing.T, e *Engine, account string) (untouched func()) {
	t.Helper()
	path := filepath.Join(e.folder(account), "local.db")
	foreign := []byte("somebody's diary")
	if err := os.WriteFile(path, foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if after, err := os.ReadFile(path); err != nil || string(after) != string(foreign) {
			t.Fatalf("the file was touched: %q %v", after, err)
		}
	}
}

func TestAnAccountThatCannotBeOpenedLocksOutNoOther(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	bad := join(t, e, nowhere)
	good := join(t, e, nowhere)
	untouched := spoil(t, e, bad.ID)
	if err := e.SwitchAccount(bad.ID); err == nil || !strings.Contains(chat.ErrorMessage(err), "belongs to another program") {
		t.Fatalf("switched to an account that cannot be opened: %v", err)
	}
	if st := stateOf(t, e); st.Account == nil || *st.Account != good.ID || len(st.Accounts) != 2 {
		t.Fatalf("after a switch that failed: %+v", st)
	}
	if again := current(t, e); again.ctx.Err() != nil {
		t.Fatal("the account that was open is closed")
	}
	restart := func(opens string) {
		t.Helper()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = open(t, Options{Data: dir, DefaultServer: "x"})
		if st := stateOf(t, e); opens != "" && (st.Account == nil || *st.Account != opens) {
			t.Fatalf("the next start opens %v, wanted %s", st.Account, opens)
		}
	}
	restart(good.ID)

	for name, leave := range map[string]func() string{
		"by switching": func() string {
			if err := e.SwitchAccount(good.ID); err != nil {
				t.Fatal(err)
			}
			return good.ID
		},
		"by signing in elsewhere": func() string { return join(t, e, nowhere).ID },
	} {
		t.Run(name, func(t *testing.T) {
			// It was open last, and is spoiled before the next start.
			if err := e.device.PutSetting(t.Context(), settingActive, encode(t, bad.ID)); err != nil {
				t.Fatal(err)
			}
			restart("")
			st := stateOf(t, e)
			if st.Account != nil || st.Connection.Status != "error" || st.Connection.Problem == nil || len(st.Accounts) < 2 {
				t.Fatalf("in front of an account that cannot be opened: %+v", st)
			}
			restart(leave())
		})
	}
	untouched()
}

func TestLeavingAnAccountOpensOneThatCanBeOpened(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	bad := join(t, e, nowhere)
	good := join(t, e, nowhere)
	join(t, e, nowhere)
	spoil(t, e, bad.ID)
	if err := e.SignOut(); err != nil {
		t.Fatal(err)
	}
	if st := stateOf(t, e); st.Account == nil || *st.Account != good.ID {
		t.Fatalf("open is %v, %+v", st.Account, st.Connection)
	}
}

func TestABackendThatDoesNotStartKeepsNobodyFromSigningIn(t *testing.T) {
	b := slow{brokenBackend{chat.Errorf(chat.CodeUnavailable, "The disk is full.")}, make(chan struct{})}
	e := open(t, Options{Data: t.TempDir(), Embedded: b})
	b.fail <- struct{}{}
	until(t, "the sentence", func() bool { return stateOf(t, e).Connection.Problem != nil })
	until(t, "another try", func() bool { return e.view.Load().starting })
	if c := stateOf(t, e).Connection; c.Status != "error" || c.Problem == nil {
		t.Fatalf("in the middle of another try: %+v", c) // a form would vanish from under the person
	}
	account := join(t, e, nowhere)
	b.fail <- struct{}{}
	until(t, "the try to end", func() bool { return !e.view.Load().starting })
	if st := stateOf(t, e); st.Account == nil || *st.Account != account.ID || st.Connection.Status == "error" {
		t.Fatalf("after signing in elsewhere: %+v", st)
	}
}

// slow is a backend that fails when it is told to.
type slow struct {
	brokenBackend
	fail chan struct{}
}

func (s slow) Start(ctx context.Context) (string, error) {
	select {
	case <-s.fail:
	case <-ctx.Done():
	}
	return "", s.err
}

func TestARevokedDeviceForgetsAllButUnsentText(t *testing.T) {
	dir, me := t.TempDir(), chat.Member{ID: chat.NewID[chat.Member](), Name: "Ana"}
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	account := joinAs(t, e, nowhere, me)
	s := current(t, e)
	conv := cached(t, s, chat.NewID[chat.Brand]())
	if err := e.SaveDraft(conv.String(), Draft{Text: "half a sen"}); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(s.filesFolder(), "ab", "abc")
	if err := errors.Join(os.MkdirAll(filepath.Dir(kept), 0o700), os.WriteFile(kept, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s.ended(true)
	until(t, "the account to be wiped", func() bool { v := e.view.Load(); return len(v.accounts) == 1 && v.accounts[0].Wiped })
	if st := stateOf(t, e); len(st.Accounts) != 0 {
		t.Fatalf("still listed: %+v", st.Accounts)
	}
	for _, gone := range []string{filepath.Join(e.folder(account.ID), "cache.db"), kept, filepath.Join(dir, "secrets", secretOf(account.ID))} {
		if _, err := os.Stat(gone); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	if info, err := os.Stat(filepath.Join(e.folder(account.ID), "local.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("unsent text: %v %v", info, err)
	}
	if err := e.SwitchAccount(account.ID); err == nil {
		t.Fatal("a revoked account opens")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, Options{Data: dir, DefaultServer: "x"})
	warned := func(w Warning) bool { return w.Code == "revoked" }
	if st := stateOf(t, e); !slices.ContainsFunc(st.Warnings, warned) || len(st.Accounts) != 0 || st.Account != nil {
		t.Fatalf("after a restart: %+v", st)
	}
	if again := joinAs(t, e, nowhere, me); again.ID != account.ID {
		t.Fatal("the same member got another account")
	}
	if x, ok := current(t, e).drafts.local(conv); !ok || x.Text != "half a sen" {
		t.Fatalf("the draft did not come back: %+v", x)
	}
	if slices.ContainsFunc(stateOf(t, e).Warnings, warned) {
		t.Fatal("still warned after signing in")
	}
}

func TestAWipeThatWasCutShortIsFinished(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	account := join(t, e, nowhere)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	account.SignedOut, account.Revoked = true, true // as kept before anything is deleted
	if err := keepRecords(t, dir, account); err != nil {
		t.Fatal(err)
	}
	e = open(t, Options{Data: dir, DefaultServer: "x"})
	if _, err := os.Stat(filepath.Join(e.folder(account.ID), "cache.db")); !os.IsNotExist(err) {
		t.Fatalf("the cache of a revoked account: %v", err)
	}
	if _, err := e.secrets.Get(secretOf(account.ID)); err == nil {
		t.Fatal("the token of a revoked account is kept")
	}
}

func keepRecords(t *testing.T, dir string, records ...record) error {
	t.Helper()
	e, err := Open(t.Context(), Options{Data: dir, DefaultServer: "x", Window: &ear{}, Secrets: secrets.OpenRing(noRing{}, filepath.Join(dir, "secrets"))})
	if err != nil {
		return err
	}
	err = e.device.PutSetting(t.Context(), settingAccounts, encode(t, records))
	return errors.Join(err, e.Close())
}

func TestADamagedCacheIsBuiltAnewWhileRunning(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	account := join(t, e, nowhere)
	for range 400 {
		cached(t, current(t, e), chat.NewID[chat.Brand]())
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, Options{Data: dir, DefaultServer: "x"})
	before := current(t, e)
	path := filepath.Join(e.folder(account.ID), "cache.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	garbage := make([]byte, len(content)-8192)
	for i := range garbage {
		garbage[i] = 0xa5
	}
	_, err = f.WriteAt(garbage, 8192)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	_, _ = e.List(ListQuery{Limit: 200}) // meets the damage
	until(t, "a new cache", func() bool { v := e.view.Load(); return v.session != nil && v.session != before })
	if page, err := e.List(ListQuery{Limit: 200}); err != nil || len(page.Rows) != 0 {
		t.Fatalf("the new cache: %d rows, %v", len(page.Rows), err)
	}
}

func TestCountsOfTheCacheAreTold(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	join(t, e, nowhere)
	if st := stateOf(t, e); st.Cached.Conversations != 0 {
		t.Fatalf("counted %+v", st.Cached)
	}
	cached(t, current(t, e), chat.NewID[chat.Brand]())
	until(t, "the count", func() bool { return stateOf(t, e).Cached.Conversations == 1 })
	until(t, "the window to be told", func() bool { return told(e, EventState) > 0 })
}

func TestCountsOfTheCacheAreKept(t *testing.T) {
	data := t.TempDir()
	e := open(t, Options{Data: data, DefaultServer: "x"})
	join(t, e, nowhere)
	c := current(t, e).cache
	cached(t, current(t, e), chat.NewID[chat.Brand]())
	until(t, "the count to be kept", func() bool { return c.KeptStats().Conversations == 1 })
	old := cache.Stats{Conversations: 7, Readable: 6}
	if err := c.KeepStats(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, Options{Data: data, DefaultServer: "x"})
	if st := stateOf(t, e); st.Cached != cachedOf(old) {
		t.Fatalf("the first answer is %+v", st.Cached)
	}
	until(t, "the count", func() bool { return stateOf(t, e).Cached.Conversations == 1 })
}

func TestAnAddressThatLinksDoNotPointToIsSaid(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x", Embedded: movedBackend{}})
	if w := stateOf(t, e).Warnings; !slices.ContainsFunc(w, func(w Warning) bool { return w.Code == "address_changed" && w.Message != "" }) {
		t.Fatalf("warnings %+v", w)
	}
}

type movedBackend struct{ brokenBackend }

func (movedBackend) Moved() bool { return true }
