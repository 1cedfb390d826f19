// Package secrets keeps session tokens: in the keychain of the operating
// system, and where there is none in a file that only its owner may read.
// The fallback is never silent: Missing says so, and the window shows it.
package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zalando/go-keyring"

	"parley/backend/chat"
)

const service = "Parley"

// ringTimeout is how long a keychain may take. It may be asking its owner to
// unlock it, so it gets some time; a broken one must not stop the program.
const ringTimeout = 20 * time.Second

// Ring is a keychain. Get gives ErrNotFound for what it does not have; any
// other error means that it cannot be used.
type Ring interface {
	Get(service, name string) (string, error)
	Set(service, name, secret string) error
	Delete(service, name string) error
}

// ErrNotFound says that a keychain works and has no such secret.
var ErrNotFound = keyring.ErrNotFound

// Store keeps secrets by name. It is safe for several goroutines at once.
type Store struct {
	ring Ring
	dir  string
}

// Open makes a store that prefers the system's keychain; dir is for the files
// of the fallback.
func Open(dir string) *Store { return OpenRing(systemRing{}, dir) }

// OpenRing is Open with another keychain.
func OpenRing(ring Ring, dir string) *Store { return &Store{ring: ring, dir: dir} }

// Missing reports whether a secret is kept in a file, because the keychain
// could not be used for it: each is kept by itself, so the files say.
func (s *Store) Missing() bool {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return false // no folder: nothing was ever kept in a file
	}
	// What begins with a dot is the system's.
	return slices.ContainsFunc(files, func(f fs.DirEntry) bool { return !strings.HasPrefix(f.Name(), ".") })
}

// Get gives a secret. CodeNotFound says that there certainly is none;
// CodeUnavailable that the keychain does not answer now: what it holds may be
// read later.
func (s *Store) Get(name string) (string, error) {
	b, err := os.ReadFile(s.file(name))
	switch {
	case err == nil:
		return string(b), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read secret: %w", err)
	}
	secret, err := s.try(func() (string, error) { return s.ring.Get(service, name) })
	if err == nil {
		return secret, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return "", &chat.Error{Code: chat.CodeUnavailable, Cause: err,
			Message: "The keychain of this system cannot be read. Unlock it, and Parley will go on by itself."}
	}
	return "", &chat.Error{Code: chat.CodeNotFound, Message: "There is no saved session.", Cause: err}
}

// Put keeps a secret, replacing one of the same name.
func (s *Store) Put(name, secret string) error {
	_, err := s.try(func() (string, error) { return "", s.ring.Set(service, name, secret) })
	if err == nil {
		_, err := s.removeFile(name)
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("keep secret: %w", err)
	}
	tmp := s.file(name) + ".new"
	if err := os.WriteFile(tmp, []byte(secret), 0o600); err != nil {
		return fmt.Errorf("keep secret: %w", err)
	}
	if err := os.Rename(tmp, s.file(name)); err != nil {
		return fmt.Errorf("keep secret: %w", err)
	}
	return nil
}

// Delete forgets a secret wherever it is; having none is no error.
// CodeUnavailable says that it may still be in a keychain that does not answer
// now: whoever wants it gone tries again later.
func (s *Store) Delete(name string) error {
	_, err := s.try(func() (string, error) { return "", s.ring.Delete(service, name) })
	removed, failed := s.removeFile(name)
	switch {
	case failed != nil:
		return failed
	case err == nil || errors.Is(err, ErrNotFound) || removed: // it was in a file because no keychain took it
		return nil
	}
	return &chat.Error{Code: chat.CodeUnavailable, Cause: err,
		Message: "The keychain of this system does not let go of the saved session."}
}

// removeFile deletes the file of a secret and reports whether there was one.
func (s *Store) removeFile(name string) (removed bool, err error) {
	err = os.Remove(s.file(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("remove secret: %w", err)
	}
	return err == nil, nil
}

func (s *Store) file(name string) string { return filepath.Join(s.dir, filepath.Base(name)) }

var errSlow = errors.New("the keychain does not answer")

// try asks the keychain, but not for ever. A keychain cannot be interrupted, so
// the goroutine of one that hangs ends with the program.
func (s *Store) try(ask func() (string, error)) (string, error) {
	type answer struct {
		secret string
		err    error
	}
	got := make(chan answer, 1)
	go func() {
		secret, err := ask()
		got <- answer{secret, err}
	}()
	timer := time.NewTimer(ringTimeout)
	defer timer.Stop()
	select {
	case a := <-got:
		return a.secret, a.err
	case <-timer.C:
		return "", errSlow
	}
}

type systemRing struct{}

func (systemRing) Get(service, name string) (string, error) { return keyring.Get(service, name) }
func (systemRing) Set(service, name, secret string) error   { return keyring.Set(service, name, secret) }
func (systemRing) Delete(service, name string) error        { return keyring.Delete(service, name) }
