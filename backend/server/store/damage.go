package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/mattn/go-sqlite3"

	"parley/backend/chat"
)

const (
	// wholeBytes is up to which size a SQLite file is checked as a whole before
	// each start: with 512 MiB that takes one second from memory and about two
	// from a disk. A larger file, where it could take minutes, is sampled before
	// the start and checked while it is served.
	wholeBytes = 512 << 20
	// samples is how many pages of a larger file are looked at.
	samples = 2000
)

// damage reports whether SQLite itself says that the file is damaged.
func damage(err error) bool {
	var lite sqlite3.Error
	return errors.As(err, &lite) && (lite.Code == sqlite3.ErrCorrupt || lite.Code == sqlite3.ErrNotADB)
}

// notWhole reports whether the error of a check speaks of the file, and not of
// what kept the check from reading it.
func notWhole(err error) bool {
	code, _ := classify(err)
	return err != nil && (code != chat.CodeUnavailable || damage(err))
}

// quickCheck lets SQLite look through its own structures.
func quickCheck(ctx context.Context, db *sql.DB) error {
	var verdict string
	err := db.QueryRowContext(ctx, `pragma quick_check(1)`).Scan(&verdict)
	if err == nil && verdict != "ok" {
		err = errors.New(verdict)
	}
	return err
}

// readThrough reads a file from front to back. SQLite's check follows its trees
// instead, which takes ten times as long where the file is not in memory yet.
func readThrough(ctx context.Context, f *os.File) error {
	part := make([]byte, 1<<20)
	for at := int64(0); ; {
		n, err := f.ReadAt(part, at)
		if errors.Is(err, io.EOF) {
			return ctx.Err()
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("read through: %w", err)
		}
		at += int64(n)
	}
}

// sample looks at pages all over a file: each begins either with the kind of
// its tree or, where it continues a long value or is free, with the number of
// another page. Foreign bytes hardly ever do.
func sample(f *os.File, h header) error {
	first := make([]byte, 1)
	last := byte(min(h.pages>>24, 255)) // the first byte of the highest page number
	for i := range min(samples, h.pages) {
		from, to := i*h.pages/min(samples, h.pages), (i+1)*h.pages/min(samples, h.pages)
		page := max(from+rand.Int64N(to-from), 1) // the first page begins with the file's header
		if page >= h.pages {
			break
		}
		if _, err := f.ReadAt(first, page*h.pageSize); err != nil {
			return fmt.Errorf("read page %d: %w", page+1, err)
		}
		// 2, 5, 10 and 13 are trees; 1 to 5 begin entries of a map that SQLite keeps in files made with auto_vacuum.
		if b := first[0]; b > max(last, 5) && b != 10 && b != 13 {
			return fmt.Errorf("page %d begins with %#x", page+1, b)
		}
	}
	return nil
}

// audit is the check of a file that is in use already.
type audit struct {
	stop context.CancelFunc
	done chan struct{}
	// file stays open as long as the database: to close any handle of a file
	// takes away the locks that SQLite has on it in this process.
	file *os.File
}

// startAudit checks the file in the background. If it is damaged the store
// says so, is not ready any more and takes no writes.
func (s *Store) startAudit() error {
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	s.audit = &audit{stop: stop, done: make(chan struct{}), file: file}
	go func() {
		defer close(s.audit.done)
		err := s.auditFile(ctx, file)
		switch {
		case err == nil || ctx.Err() != nil:
		case notWhole(err):
			s.damaged.Store(true)
			s.log.Error(sayHalted, "file", s.path, "error", err)
		default:
			s.log.Warn("the database could not be checked", "file", s.path, "error", err)
		}
	}()
	return nil
}

func (s *Store) auditFile(ctx context.Context, file *os.File) error {
	if err := readThrough(ctx, file); err != nil {
		return err
	}
	db, err := sql.Open("sqlite3", sqliteDSN(s.path, readerPragmas))
	if err != nil {
		return err
	}
	return errors.Join(quickCheck(ctx, db), db.Close())
}

// end stops the check, if it is still under way.
func (a *audit) end() {
	if a != nil {
		a.stop()
		<-a.done
	}
}
