// Package store keeps a Parley server's data in SQL: SQLite in a folder, or
// PostgreSQL. Both have one schema and answer the same to every method here;
// nothing outside this package contains SQL.
//
// There is one way to write shared state: Update. It runs a function in a
// transaction that holds the workspace's counter row, so that writers of one
// workspace follow each other, what the function reads stays true until its
// commit, and the sequence numbers of the change log are gapless and in commit
// order, also when several processes share a PostgreSQL. Functions that wait
// at the same time share one commit, each under its own savepoint; Update
// returns after that commit is durable.
//
// Every statement is scoped by workspace. What a member reads is further
// scoped by a chat.View.
//
// Readers never wait for writers. An answer that spans many rows is read in
// pages, each with a short statement of its own, so that a slow consumer holds
// nothing in the database; rows carry their ver, which makes the parts fit.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"parley/backend/chat"
)

// Store is an open database. Its methods may be called from many goroutines.
type Store struct {
	d    *dialect
	w    *sql.DB // writers
	r    *sql.DB // readers
	path string  // of SQLite's file
	// params are what SQLite must be told to read the file of a store that is
	// only read.
	params string
	steps  []string // that led to the schema
	// unshared is how SQLite's file was when it was opened without regard to
	// others who might write to it; nil where they are regarded.
	unshared os.FileInfo
	scratch  string    // a folder with a copy of SQLite's files, to be removed; "" is none
	conn     *sql.Conn // SQLite's only writer, held from Open to Close; nil on PostgreSQL
	audit    *audit
	damaged  atomic.Bool // as the audit found
	readOnly bool
	now      func() chat.Time
	log      *slog.Logger
	digests  digests

	mu     sync.Mutex
	queues map[chat.WorkspaceID]*queue
	closed bool
	wg     sync.WaitGroup // writer goroutines
}

// Open opens the database, creates or migrates it where needed, and refuses
// one that is foreign, damaged or newer with a sentence, leaving it untouched.
func Open(ctx context.Context, opt Options) (*Store, error) {
	steps, err := migrations()
	if err != nil {
		return nil, err
	}
	return open(ctx, opt, steps)
}

func open(ctx context.Context, opt Options, steps []string) (*Store, error) {
	s := &Store{d: &dialect{postgres: opt.Database != ""}, steps: steps, readOnly: opt.ReadOnly, now: opt.Now, log: opt.Log,
		queues: map[chat.WorkspaceID]*queue{}}
	if s.now == nil {
		s.now = func() chat.Time { return chat.TimeOf(time.Now()) }
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	var err error
	if s.d.postgres {
		err = s.openPostgres(ctx, opt, steps)
	} else {
		err = s.openSQLite(ctx, opt, steps)
	}
	if err != nil {
		return nil, errors.Join(wrap("open store", err), s.closePools())
	}
	return s, nil
}

// Close waits for writes that are under way and closes the database. Later
// writes are refused; closing again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
	if again {
		return nil
	}
	s.audit.end()
	s.digests.close()
	if err := s.closePools(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

func (s *Store) closePools() error {
	var errs []error
	if s.r != nil { // first: the last to close empties SQLite's write-ahead log, and must be able to write
		errs = append(errs, s.r.Close())
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.w != nil {
		errs = append(errs, s.w.Close())
	}
	if s.audit != nil {
		errs = append(errs, s.audit.file.Close())
	}
	if s.scratch != "" {
		errs = append(errs, os.RemoveAll(s.scratch))
	}
	return errors.Join(errs...)
}

// Ping reports whether the database answers and is not known to be damaged.
func (s *Store) Ping(ctx context.Context) error {
	if s.damaged.Load() {
		return chat.Errorf(chat.CodeUnavailable, sayHalted)
	}
	var one int
	return wrap("ping store", s.r.QueryRowContext(ctx, `select 1`).Scan(&one))
}

// readContext is what readers pass on. SQLite's driver starts a goroutine for
// each statement whose context can end; statements here are short, so there
// the context is looked at between them instead. On PostgreSQL a statement may
// have to wait for the network and is cancelled.
func (s *Store) readContext(ctx context.Context) context.Context {
	if s.d.postgres {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// read gives the reader of one workspace outside of any transaction.
func (s *Store) read(ctx context.Context, ws chat.WorkspaceID) (*reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &reader{ctx: s.readContext(ctx), q: s.r, d: s.d, ws: ws.Bytes()}, nil
}

// reader runs the queries that Tx and Store share.
type reader struct {
	ctx context.Context
	q   querier
	d   *dialect
	ws  []byte
	// failed, when set, receives the first failure of a statement: the
	// transaction it belongs to must not commit.
	failed *error
}

// querier is what *sql.DB, *sql.Conn and *sql.Tx have in common.
type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row
	ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error)
}

// fail wraps an error of the database and remembers it.
func (r *reader) fail(op string, err error) error {
	if err == nil {
		return nil
	}
	if r.failed != nil && *r.failed == nil {
		*r.failed = err
	}
	return wrap(op, err)
}

// row scans one row; none is chat.CodeNotFound.
func (r *reader) row(what, q string, dest []any, args ...any) error {
	err := r.q.QueryRowContext(r.ctx, r.d.bind(q), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound(what)
	}
	return r.fail("read "+what, err)
}

// each calls scan for every row.
func (r *reader) each(what, q string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := r.q.QueryContext(r.ctx, r.d.bind(q), args...)
	if err != nil {
		return r.fail("read "+what, err)
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(r.fail("read "+what, err), rows.Close())
		}
	}
	return r.fail("read "+what, errors.Join(rows.Err(), rows.Close()))
}

// exec runs a statement and gives the number of rows it touched.
func (r *reader) exec(op, q string, args ...any) (int64, error) {
	res, err := r.q.ExecContext(r.ctx, r.d.bind(q), args...)
	if err != nil {
		return 0, r.fail(op, err)
	}
	n, err := res.RowsAffected()
	return n, r.fail(op, err)
}

func notFound(what string) *chat.Error {
	return chat.Errorf(chat.CodeNotFound, "There is no such %s, or you may not see it.", what)
}

// idArg is an id as a statement's argument: 16 bytes, or null for none.
func idArg[E any](id chat.ID[E]) any {
	if id.IsZero() {
		return nil
	}
	return id.Bytes()
}

func boolArg(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// jsonArg is JSON as a text argument, or null for none.
func jsonArg(data []byte) any {
	if data == nil {
		return nil
	}
	return string(data)
}
