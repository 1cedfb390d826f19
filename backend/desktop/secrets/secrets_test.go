package secrets

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"parley/backend/chat"
)

// ring is a keychain in memory, broken while err is set.
type ring struct {
	kept map[string]string
	err  error
}

func (r *ring) Get(_, name string) (string, error) {
	if r.err != nil {
		return "", r.err
	}
	s, ok := r.kept[name]
	if !ok {
		return "", ErrNotFound
	}
	return s, nil
}

func (r *ring) Set(_, name, secret string) error {
	if r.err == nil {
		r.kept[name] = secret
	}
	return r.err
}

func (r *ring) Delete(_, name string) error {
	if r.err != nil {
		return r.err
	}
	if _, ok := r.kept[name]; !ok {
		return ErrNotFound
	}
	delete(r.kept, name)
	return nil
}

func newRing() *ring { return &ring{kept: map[string]string{}} }

func want(t *testing.T, s *Store, name, secret string) {
	t.Helper()
	if got, err := s.Get(name); err != nil || got != secret {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestKeychainFirst(t *testing.T) {
	dir := t.TempDir()
	s := OpenRing(newRing(), dir)
	if _, err := s.Get("a"); chat.ErrorCode(err) != chat.CodeNotFound {
		t.Fatalf("nothing kept yet: %v", err)
	}
	if err := s.Put("a", "secret"); err != nil {
		t.Fatal(err)
	}
	want(t, s, "a", "secret")
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 || s.Missing() {
		t.Fatalf("files %v, missing %v, %v", files, s.Missing(), err)
	}
	if err := errors.Join(s.Delete("a"), s.Delete("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("a"); chat.ErrorCode(err) != chat.CodeNotFound {
		t.Fatalf("after deleting: %v", err)
	}
}

func TestFileWhereThereIsNoKeychain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	s := OpenRing(&ring{err: errors.New("no bus")}, dir)
	if err := s.Put("a", "secret"); err != nil {
		t.Fatal(err)
	}
	if !s.Missing() {
		t.Fatal("the fallback is silent")
	}
	info, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("file %v %v", info, err)
	}
	want(t, s, "a", "secret")
	after := OpenRing(&ring{err: errors.New("no bus")}, dir)
	want(t, after, "a", "secret")
	if !after.Missing() {
		t.Fatal("the next start does not warn")
	}
	if err := after.Delete("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a")); !os.IsNotExist(err) {
		t.Fatalf("still there: %v", err)
	}
}

func TestFileGoesWhenTheKeychainCame(t *testing.T) {
	dir := t.TempDir()
	r := newRing()
	r.err = errors.New("locked")
	s := OpenRing(r, dir)
	if err := s.Put("a", "old"); err != nil {
		t.Fatal(err)
	}
	r.err = nil
	want(t, s, "a", "old")
	if err := s.Put("a", "new"); err != nil {
		t.Fatal(err)
	}
	want(t, s, "a", "new")
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 || s.Missing() {
		t.Fatalf("files %v, missing %v, %v", files, s.Missing(), err)
	}
}

func TestTheWarningIsOfEveryFile(t *testing.T) {
	r, dir := newRing(), filepath.Join(t.TempDir(), "secrets")
	s := OpenRing(r, dir)
	r.err = errors.New("locked")
	if err := s.Put("a", "in a file"); err != nil {
		t.Fatal(err)
	}
	r.err = nil
	if err := s.Put("b", "in the keychain"); err != nil {
		t.Fatal(err)
	}
	if !s.Missing() {
		t.Fatal("one in the keychain hides one in a file")
	}
	if after := OpenRing(r, dir); !after.Missing() {
		t.Fatal("the next start does not warn before it is asked for the secret")
	}
	if err := errors.Join(s.Delete("a"), s.Delete("b")); err != nil || s.Missing() {
		t.Fatalf("nothing is kept any more: missing %v, %v", s.Missing(), err)
	}
}

func TestALockedKeychainThatKeepsASecretIsSaid(t *testing.T) {
	r := newRing()
	s := OpenRing(r, filepath.Join(t.TempDir(), "secrets"))
	if err := s.Put("a", "secret"); err != nil {
		t.Fatal(err)
	}
	r.err = errors.New("locked")
	if err := s.Delete("a"); chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Fatalf("deleted from a locked keychain: %v", err)
	}
	if s.Missing() {
		t.Fatal("a file that does not exist is warned of")
	}
	r.err = nil
	if err := s.Delete("a"); err != nil || len(r.kept) != 0 {
		t.Fatalf("after unlocking: %v, kept %v", err, r.kept)
	}
}

func TestNamesStayInTheFolder(t *testing.T) {
	dir := t.TempDir()
	s := OpenRing(&ring{err: errors.New("none")}, filepath.Join(dir, "in"))
	if err := s.Put("../out", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); !os.IsNotExist(err) {
		t.Fatal("a name led out of the folder")
	}
}

func TestALockedKeychainIsNotAnEmptyOne(t *testing.T) {
	r := newRing()
	s := OpenRing(r, t.TempDir())
	if err := s.Put("a", "secret"); err != nil {
		t.Fatal(err)
	}
	r.err = errors.New("locked")
	if _, err := s.Get("a"); chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Fatalf("a locked keychain: %v", err)
	}
	r.err = nil
	want(t, s, "a", "secret")
}
