package cache

import (
	"context"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"parley/backend/chat"
)

//go:embed schema.sql
var schema string

// schemaHash names the schema; a cache with another one is built anew.
func schemaHash() string {
	sum := sha256.Sum256([]byte(schema))
	return hex.EncodeToString(sum[:8])
}

// state is what the writer knows beside the rows; it is kept in the table
// meta and published to readers after each commit.
type state struct {
	Position int64
	Epoch    string
	Access   *chat.Access
	Boot     *Bootstrap // under way
	// Gains counts how often the member was let to see more, GainsLoaded up to
	// which of those everything was loaded.
	Gains       int64 `json:",omitempty"`
	GainsLoaded int64 `json:",omitempty"`
	// FilesOwed counts how often the member lost the right to see something,
	// FilesGone up to which of those the files went that may belong to it.
	FilesOwed int64 `json:",omitempty"`
	FilesGone int64 `json:",omitempty"`
	// Checked is when it was last known that nothing was missing.
	Checked chat.Time `json:",omitempty"`
	// Purging are the numbers of the brands whose rows are still to be removed.
	Purging []int64 `json:",omitempty"`
	// WordsOwed counts the brands whose rows were removed. Up to WordsMerged of
	// those the index is being merged, for the WordsRound-th time, up to
	// WordsGone their words have left it.
	WordsOwed   int64 `json:",omitempty"`
	WordsMerged int64 `json:",omitempty"`
	WordsRound  int   `json:",omitempty"`
	WordsGone   int64 `json:",omitempty"`
	// Running is set by the first write and taken back by closing: who finds it
	// does not know how the program ended.
	Running bool `json:",omitempty"`
	// Verified is when the file was last checked whole.
	Verified chat.Time `json:",omitempty"`
	// Since is from when on every conversation must be here that was active,
	// beside those that are open; 0: not known.
	Since  chat.Time `json:",omitempty"`
	Proven Proof
	// Repaired counts what was found to differ from the server.
	Repaired int64 `json:",omitempty"`
	// Counted is how much was cached when it was counted last.
	Counted Stats
	// Mark counts bootstraps; a row carries the mark of the bootstrap during
	// which it was written or named. Rows below Floor are of another era:
	// any row replaces them.
	Mark, Floor int64
	// Whole is Mark as it was when a log was last here whole.
	Whole int64 `json:",omitempty"`
}

// sees reports whether a brand is within the member's access.
func (s *state) sees(b chat.BrandID) bool {
	if s.Access == nil || b.IsZero() {
		return true
	}
	if s.Access.Revoked {
		return false
	}
	view := chat.View{}
	if len(s.Access.Brands) > 0 {
		view.Brands = s.Access.Brands
	}
	return view.Sees(b)
}

// writer owns the one connection that writes. Its goroutine takes jobs one
// after another, each a transaction.
type writer struct {
	cache *Cache
	db    *sql.DB
	conn  *sql.Conn
	jobs  chan job
	quit  chan struct{}
	done  sync.WaitGroup
	// waiting is how many wait to write: the index gives way to them.
	waiting atomic.Int32

	// Owned by the goroutine.
	behind     bool // there are messages to be indexed
	stmts      map[string]*sql.Stmt
	refs       map[[16]byte]int64 // brands, channels, members
	refIDs     map[int64][16]byte
	tombstones bool // there are some
	purgeAt    time.Time
	closing    bool
}

type job struct {
	op   string
	fn   func(*tx) error
	done chan error
}

// idle is how long nothing is written before the log is folded into the file.
const idle = 3 * time.Second

func openWriter(path string, c *Cache) (*writer, error) {
	db, err := sql.Open("sqlite3", dsn(path, "_auto_vacuum", "2", "_journal_mode", "WAL", "_synchronous", "NORMAL",
		"_busy_timeout", "5000", "_txlock", "immediate", "_cache_size", fmt.Sprint(-usualPages), "_foreign_keys", "0",
		"_secure_delete", "FAST")) // what a row said is gone with it; see also overwriting
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	w := &writer{cache: c, db: db, jobs: make(chan job), quit: make(chan struct{}), stmts: map[string]*sql.Stmt{}}
	ctx := context.Background()
	if err := w.prepare(ctx); err != nil {
		if w.conn != nil {
			err = errors.Join(err, w.conn.Close())
		}
		return nil, errors.Join(unavailable(err), db.Close())
	}
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

// prepare connects, makes the tables where there are none, and reads what the
// writer keeps in memory.
func (w *writer) prepare(ctx context.Context) (err error) {
	if w.conn, err = w.db.Conn(ctx); err != nil {
		return err
	}
	if err := needFTS5(ctx, w.conn); err != nil {
		return err
	}
	// One connection for ever, so these need not be in the DSN. The log stays
	// small: it is folded in every 4 MiB and cut back after a big transaction.
	if _, err := w.conn.ExecContext(ctx, "pragma temp_store=memory; pragma wal_autocheckpoint=2500; pragma journal_size_limit=10485760"); err != nil {
		return err
	}
	var tables int
	if err := w.conn.QueryRowContext(ctx, "select count(*) from sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if tables == 0 {
		create := fmt.Sprintf("begin immediate; pragma application_id=%d; pragma user_version=1; %s; insert into meta values ('schema', '%s'); commit",
			cacheAppID, schema, schemaHash())
		if _, err := w.conn.ExecContext(ctx, create); err != nil {
			return err
		}
	}
	return w.load(ctx)
}

// load reads the state, the refs and the directory from the file.
func (w *writer) load(ctx context.Context) error {
	s, err := w.loadState(ctx)
	if err != nil {
		return err
	}
	if err := w.loadRefs(ctx); err != nil {
		return err
	}
	if err := w.conn.QueryRowContext(ctx, "select exists (select 1 from unindexed)").Scan(&w.behind); err != nil {
		return err
	}
	if err := w.conn.QueryRowContext(ctx, "select exists (select 1 from tombstone)").Scan(&w.tombstones); err != nil {
		return err
	}
	w.cache.unclean.Store(s.Running)
	w.cache.state.Store(s)
	return w.loadNames(ctx)
}

func (w *writer) loadState(ctx context.Context) (*state, error) {
	s := &state{Mark: 1}
	var text string
	err := w.conn.QueryRowContext(ctx, "select value from meta where key = 'state'").Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, errors.Join(errDamaged, err)
	}
	if s.Running {
		s.Proven = Proof{}
	}
	return s, nil
}

func (w *writer) loadRefs(ctx context.Context) error {
	w.refs, w.refIDs = map[[16]byte]int64{}, map[int64][16]byte{}
	rows, err := w.conn.QueryContext(ctx, "select n, id from ref")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		var id chat.BrandID // any of the kinds: 16 bytes
		if err := rows.Scan(&n, &id); err != nil {
			return err
		}
		w.refs[id], w.refIDs[n] = n, id
	}
	return rows.Err()
}

// close ends the goroutine after the job it is at.
func (w *writer) close() error {
	close(w.quit)
	w.done.Wait()
	if w.closing = true; w.cache.state.Load().Running {
		if err := w.transact(context.Background(), "close", func(*tx) error { return nil }); err != nil {
			w.cache.log.Warn("note that the cache was closed", "error", err) // it is checked, and compared with the server, once more
		}
	}
	var errs []error
	for _, s := range w.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close(), w.db.Close())...)
}

// do runs fn in a transaction and returns when it is committed. A context that
// ends before fn begins stops it; once begun it is finished.
func (w *writer) do(ctx context.Context, op string, fn func(*tx) error) error {
	j := job{op: op, fn: fn, done: make(chan error, 1)}
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case <-w.quit:
		return fmt.Errorf("%s: %w", op, chat.Errorf(chat.CodeUnavailable, "The cache is closed."))
	}
	if err := <-j.done; err != nil {
		return fmt.Errorf("%s: %w", op, w.cache.noteDamage(unavailable(err)))
	}
	return nil
}

func (w *writer) run(ctx context.Context) {
	if w.cache.Purging() || w.cache.state.Load().wordsOwed() {
		w.purgeAt = time.Now().Add(purgeStart) // what is read first at a start goes before
	}
	timer, index := time.NewTimer(w.rest()), time.NewTimer(indexRest)
	defer timer.Stop()
	defer index.Stop()
	fed := time.Now()
	for {
		select {
		case <-w.quit:
			return
		case j := <-w.jobs:
			j.done <- w.transact(ctx, j.op, j.fn)
			if w.behind && time.Since(fed) > indexDue {
				index.Reset(0)
			} else {
				index.Reset(indexRest)
			}
		case <-index.C:
			if !w.behind {
				continue
			}
			w.feed(ctx)
			fed = time.Now()
			index.Reset(indexPause)
		case <-timer.C:
			if !w.spare(ctx) {
				continue // until the next write
			}
			if w.behind {
				index.Reset(indexRest)
			}
		}
		timer.Reset(w.rest())
	}
}

// rest is how long to wait for a write before the time is used otherwise.
func (w *writer) rest() time.Duration {
	if w.cache.Purging() || w.merging() {
		return time.Until(w.purgeAt) // however busy it is
	}
	return idle
}

// spare does a piece of what nobody waits for and says whether more is left.
func (w *writer) spare(ctx context.Context) (more bool) {
	step, op := w.purge, "purge"
	if !w.cache.Purging() {
		if step, op = w.merge, "merge index"; !w.merging() {
			return w.tidy(ctx)
		}
	}
	could, err := step(ctx)
	w.purgeAt = time.Now().Add(purgePause)
	if err != nil {
		w.cache.log.Warn(op, "error", w.cache.noteDamage(unavailable(err)))
	}
	if err != nil || !could {
		w.purgeAt = time.Now().Add(idle)
	}
	return true
}

// purge removes some rows of what is hidden.
func (w *writer) purge(ctx context.Context) (could bool, err error) {
	until := time.Now().Add(purgeTime)
	return true, w.overwriting(ctx, "purge", func(t *tx) error { return t.purgeStep(until) })
}

// feed indexes some of what waits. What fails is tried again after the next
// write that has something to index.
func (w *writer) feed(ctx context.Context) {
	more, err := w.indexSlice(ctx)
	if err != nil {
		w.cache.log.Warn("index messages", "error", w.cache.noteDamage(unavailable(err)))
	}
	w.behind = more && err == nil
	if !more && err == nil {
		w.cache.indexedAll()
	}
}

// tidy folds the log into the file and gives freed pages back, some at a time.
// It says whether more are left. What fails is tried again after the next write.
func (w *writer) tidy(ctx context.Context) (more bool) {
	err := func() error {
		rows, err := w.conn.QueryContext(ctx, "pragma incremental_vacuum(2000)")
		if err != nil {
			return err
		}
		if _, err := collect(rows, func(*sql.Rows) (struct{}, error) { return struct{}{}, nil }); err != nil {
			return err // each step frees one page
		}
		var left int
		if err := w.conn.QueryRowContext(ctx, "pragma freelist_count").Scan(&left); err != nil {
			return err
		}
		more = left > 0
		_, err = w.conn.ExecContext(ctx, "pragma wal_checkpoint(truncate)")
		return err
	}()
	if err != nil {
		w.cache.log.Warn("tidy cache", "error", err)
		return false
	}
	return more
}

// transact runs one job in a transaction.
func (w *writer) transact(ctx context.Context, op string, fn func(*tx) error) error {
	if _, err := w.conn.ExecContext(ctx, "begin immediate"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	t := newTx(ctx, w)
	err := fn(t)
	if err == nil {
		err = t.flush()
	}
	path := filepath.Join(w.cache.dir, cacheFile)
	if err == nil {
		err = w.cache.disk.before(path, op)
	}
	if err == nil {
		_, err = w.conn.ExecContext(ctx, "commit")
	}
	if err != nil {
		return w.undo(ctx, err)
	}
	w.cache.disk.after(path, op)
	if t.tombstoned {
		w.tombstones = true
	}
	if len(t.unindexed) > 0 {
		w.behind = true
	}
	w.cache.state.Store(&t.state)
	if t.applied.Directory || t.refsGrew {
		if err := w.loadNames(ctx); err != nil {
			return fmt.Errorf("read names: %w", err)
		}
	}
	return nil
}

// undo rolls back after err and forgets what the writer had taken over.
func (w *writer) undo(ctx context.Context, err error) error {
	// SQLite itself has rolled back after some errors; then this one says so.
	if _, rollback := w.conn.ExecContext(ctx, "rollback"); rollback != nil {
		w.cache.log.Debug("roll back", "error", rollback)
	}
	if reload := w.loadRefs(ctx); reload != nil {
		return errors.Join(err, fmt.Errorf("reload: %w", reload))
	}
	return err
}

// stmt prepares a statement once for the life of the connection.
func (w *writer) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := w.stmts[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, steady(query))
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

// noteDamage leaves a note for the next opening where err means damage, and
// tells whoever can open it.
func (c *Cache) noteDamage(err error) error {
	if !IsDamaged(err) {
		return err
	}
	note := os.WriteFile(filepath.Join(c.dir, damageFile), nil, 0o600)
	c.damage.Do(func() {
		c.log.Error("cache damaged", "error", err)
		if c.onDamage != nil {
			c.helpers.Go(func() { c.onDamage(err) })
		}
	})
	if note != nil {
		return errors.Join(err, note)
	}
	return err
}
