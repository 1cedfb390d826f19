package desktop

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestADamagedLocalFileIsSetAside: the account opens again, and nothing of the
// file is deleted.
func TestADamagedLocalFileIsSetAside(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	account := join(t, e, nowhere)
	if err := e.SetAside(); err != nil {
		t.Fatalf("with nothing damaged: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "accounts", account.ID, "local.db")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(raw); i++ {
		raw[i] = 0xa5
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}

	e = openWith(t, dir, ring)
	st := stateOf(t, e)
	if st.Account != nil || st.Connection.Status != "error" || st.Connection.Remedy != RemedySetAside || !strings.Contains(*st.Connection.Problem, path) {
		t.Fatalf("%+v", st.Connection)
	}
	if err := e.SetAside(); err != nil {
		t.Fatal(err)
	}
	st = stateOf(t, e)
	said := slices.IndexFunc(st.Warnings, func(w Warning) bool { return w.Code == warningAside })
	if st.Account == nil || st.Connection.Remedy != "" || said < 0 {
		t.Fatalf("%+v", st)
	}
	_, kept, _ := strings.Cut(st.Warnings[said].Message, "kept as ")
	if old, err := os.ReadFile(strings.TrimSuffix(kept, ".")); err != nil || !bytes.Equal(old, raw) {
		t.Fatalf("kept are %d bytes of %d, %v", len(old), len(raw), err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openWith(t, dir, ring)
	warned := func() bool {
		return slices.ContainsFunc(stateOf(t, e).Warnings, func(w Warning) bool { return w.Code == warningAside })
	}
	if !warned() {
		t.Error("after a restart it is not said any more")
	}
	if err := e.DismissWarning(warningAside); err != nil || warned() {
		t.Errorf("what was seen is said again: %v", err)
	}
}
