package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop/secrets"
	"parley/backend/protocol"
)

// brokenBackend is a backend inside the program that cannot start.
type brokenBackend struct{ err error }

func (b brokenBackend) Start(context.Context) (string, error) { return "", b.err }

func (b brokenBackend) Session(context.Context, string) (protocol.SignedIn, error) {
	return protocol.SignedIn{}, b.err
}

func (b brokenBackend) Moved() bool { return false }

func (b brokenBackend) Close(context.Context) error { return nil }

func open(t *testing.T, opt Options) *Engine {
	t.Helper()
	opt.Window = &ear{}
	opt.Secrets = secrets.OpenRing(noRing{}, filepath.Join(opt.Data, "secrets"))
	e, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

type noRing struct{}

func (noRing) Get(string, string) (string, error) { return "", errors.New("no keychain") }
func (noRing) Set(string, string, string) error   { return errors.New("no keychain") }
func (noRing) Delete(string, string) error        { return errors.New("no keychain") }

func TestWithoutAnAccount(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "https://chat.example.com"})
	s, err := e.State()
	if err != nil || s.Account != nil || s.Connection.Status != "signed_out" {
		t.Fatalf("state %+v %v", s, err)
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var lists map[string]json.RawMessage
	if err := json.Unmarshal(b, &lists); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"accounts", "brands", "channels", "members", "warnings", "share_links"} {
		if string(lists[name]) != "[]" {
			t.Errorf("%s is %s: the window needs a list", name, lists[name])
		}
	}
	if _, err := e.List(ListQuery{Limit: 10}); chat.ErrorCode(err) != chat.CodeUnauthorized {
		t.Fatalf("list: %v", err)
	}
	if v, err := e.GetSetting(SettingDefaultServer); err != nil || string(v) != `"https://chat.example.com"` {
		t.Fatalf("default server %s %v", v, err)
	}
	for server, field := range map[string]string{"http://chat.example.com": "server", "ftp://x": "server", "": "server", "https://a@b": "server"} {
		err := e.SignIn(SignIn{Server: server})
		var ce *chat.Error
		if !errors.As(err, &ce) || ce.Code != chat.CodeInvalid || ce.Field != field {
			t.Errorf("sign in to %q: %v", server, err)
		}
	}
}

func TestSettingsSurvive(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	if v, err := e.GetSetting("theme"); err != nil || string(v) != "null" {
		t.Fatalf("unset: %s %v", v, err)
	}
	if err := e.PutSetting("theme", json.RawMessage(`"dark"`)); err != nil {
		t.Fatal(err)
	}
	if err := e.PutSetting("theme", json.RawMessage(`{`)); chat.ErrorCode(err) != chat.CodeInvalid {
		t.Fatalf("bad value: %v", err)
	}
	if err := e.PutSetting(settingAccounts, json.RawMessage(`"mine"`)); err != nil {
		t.Fatal(err) // a key of the window's own, whatever its name
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, Options{Data: dir, DefaultServer: "x"})
	if v, err := again.GetSetting("theme"); err != nil || string(v) != `"dark"` {
		t.Fatalf("after reopening: %s %v", v, err)
	}
}

func TestABackendThatDoesNotStartIsSaid(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), Embedded: brokenBackend{chat.Errorf(chat.CodeUnavailable, "The disk is full.")}})
	until(t, "the sentence", func() bool {
		s := stateOf(t, e)
		return s.Connection.Status == "error" && s.Connection.Problem != nil && *s.Connection.Problem == "The disk is full."
	})
	if err := e.StartEmbedded(); chat.ErrorMessage(err) != "The disk is full." {
		t.Fatalf("another try: %v", err)
	}
}

func TestAFolderThatCannotBeUsedIsLeftAloneAndSaid(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "local.db")
	foreign := []byte("this is somebody's diary, not a database")
	if err := os.WriteFile(path, foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Data: dir, Window: &ear{}})
	if err == nil {
		t.Fatal("opened a foreign file")
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(foreign) {
		t.Fatalf("the file was touched: %q %v", after, err)
	}
	e := Unusable(err, Options{Data: dir, Window: &ear{}})
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	s, stateErr := e.State()
	if stateErr != nil || s.Connection.Status != "error" || s.Connection.Problem == nil || *s.Connection.Problem != chat.ErrorMessage(err) {
		t.Fatalf("state %+v %v", s.Connection, stateErr)
	}
	for what, got := range map[string]error{"switch": e.SwitchAccount("x"), "retry": e.Retry(), "start": e.StartEmbedded(),
		"sign in": e.SignIn(SignIn{Server: "https://x"}), "setting": e.PutSetting("theme", json.RawMessage("1"))} {
		if chat.ErrorMessage(got) != chat.ErrorMessage(err) {
			t.Errorf("%s says %v, not why the folder cannot be used", what, got)
		}
	}
	if v, err := e.GetSetting("theme"); err != nil || string(v) != "null" {
		t.Fatalf("setting %s %v", v, err)
	}
}

func TestOneEngineForAFolder(t *testing.T) {
	dir := t.TempDir()
	if InUse(dir) || InUse(filepath.Join(dir, "missing")) {
		t.Fatal("a folder that nobody has opened is in use")
	}
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	if _, err := Open(t.Context(), Options{Data: dir, Window: &ear{}}); chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Fatalf("a second engine: %v", err)
	}
	if !InUse(dir) {
		t.Fatal("a folder that is open is not in use")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if InUse(dir) {
		t.Fatal("a folder that was closed is in use")
	}
	open(t, Options{Data: dir, DefaultServer: "x"}) // asking has kept no lock
}
