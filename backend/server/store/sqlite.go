package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"parley/backend/chat"
)

const (
	databaseFile = "parley.db"
	// applicationID marks a SQLite file as a Parley server's ("PrlS").
	applicationID = 0x50726c53
	readers       = 4
)

// SQLite reads pragmas from the DSN, so that each connection of a pool has
// them. FULL: what was acknowledged survives a power cut.
const (
	writerPragmas = "_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate&_foreign_keys=1&_cache_size=-65536&_stmt_cache_size=256"
	readerPragmas = "mode=ro&_query_only=1&_busy_timeout=10000&_cache_size=-16384&_stmt_cache_size=128"
	// A file is made with a rollback journal: its header is then in the file
	// itself, and not only in a write-ahead log, from the first commit on.
	createPragmas = "_journal_mode=DELETE&_synchronous=FULL&_busy_timeout=10000&_txlock=exclusive"
)

func sqliteDSN(path, params string) string {
	path = filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" {
		path = "/" + path // file:/C:/folder/parley.db
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: params}).String()
}

func (s *Store) openSQLite(ctx context.Context, opt Options, steps []string) error {
	if err := requireFTS5(ctx); err != nil {
		return err
	}
	path := filepath.Join(opt.Data, databaseFile)
	c := candidate{path: path, name: path, whole: opt.wholeBytes, quiet: opt.ReadOnly}
	if err := s.copyAside(&c, opt); err != nil {
		return err
	}
	s.path = c.path
	version, size, err := c.inspect(ctx, steps)
	if err != nil {
		return err
	}
	if done, err := opt.settled(path, version, steps); done || err != nil {
		if err != nil {
			return err
		}
		s.steps = steps[:version]
		return s.readSQLite(ctx, c)
	}
	if err := os.MkdirAll(opt.Data, 0o700); err != nil {
		return &chat.Error{Code: chat.CodeUnavailable, Message: "The data folder cannot be made or entered.", Cause: err}
	}
	if err := migrateSQLite(ctx, path, version, steps); err != nil {
		return err
	}
	if s.w, err = sql.Open("sqlite3", sqliteDSN(path, writerPragmas)); err != nil {
		return err
	}
	s.w.SetMaxOpenConns(1)
	if s.conn, err = s.w.Conn(ctx); err != nil { // before any reader: it switches the file to a write-ahead log
		return err
	}
	for _, pragma := range []string{"wal_autocheckpoint=4000", "journal_size_limit=67108864", "temp_store=memory"} {
		if _, err := s.conn.ExecContext(context.WithoutCancel(ctx), "pragma "+pragma); err != nil {
			return err
		}
	}
	if s.r, err = sql.Open("sqlite3", sqliteDSN(path, readerPragmas)); err != nil {
		return err
	}
	s.r.SetMaxOpenConns(readers)
	s.r.SetMaxIdleConns(readers)
	if err := s.r.PingContext(ctx); err != nil {
		return err
	}
	if version == len(steps) && size > c.whole {
		return s.startAudit()
	}
	return nil
}

// copyAside lets a log be read that lies beside its database without the index
// that SQLite reads it by: SQLite would have to make one beside them.
func (s *Store) copyAside(c *candidate, opt Options) (err error) {
	_, noLog := os.Lstat(c.path + "-wal")
	_, noIndex := os.Lstat(c.path + "-shm")
	if !opt.ReadOnly || noLog != nil || noIndex == nil {
		return nil
	}
	if s.scratch, err = os.MkdirTemp(opt.Scratch, "parley-reading-"); err != nil {
		return wrapFile("read log", err)
	}
	to := filepath.Join(s.scratch, databaseFile)
	for _, end := range []string{"", "-wal"} {
		if err := copyFile(c.path+end, to+end); err != nil {
			return wrapFile("read log", err)
		}
	}
	c.path, c.quiet = to, false
	return nil
}

// readSQLite opens the file for reading and leaves no trace.
func (s *Store) readSQLite(ctx context.Context, c candidate) (err error) {
	s.params = c.params()
	if s.params == unlogged {
		if s.unshared, err = os.Stat(c.path); err != nil {
			return &chat.Error{Code: chat.CodeUnavailable, Message: "The database file cannot be read.", Cause: err}
		}
	}
	if s.r, err = sql.Open("sqlite3", sqliteDSN(c.path, readerPragmas+s.params)); err != nil {
		return err
	}
	s.r.SetMaxOpenConns(readers)
	return s.r.PingContext(ctx)
}

// disturbed reports whether somebody began to write to a file that was opened
// as if nobody would.
func (s *Store) disturbed() bool {
	if s.unshared == nil {
		return false
	}
	now, err := os.Stat(s.path)
	_, log := os.Lstat(s.path + "-wal")
	return err != nil || log == nil || now.Size() != s.unshared.Size() || !now.ModTime().Equal(s.unshared.ModTime())
}

// requireFTS5 refuses a program that was built without full-text search.
func requireFTS5(ctx context.Context) error {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return err
	}
	var used bool
	err = db.QueryRowContext(ctx, `select sqlite_compileoption_used('ENABLE_FTS5')`).Scan(&used)
	return errors.Join(err, db.Close(), checkFTS5(used || err != nil))
}

func checkFTS5(used bool) error {
	if used {
		return nil
	}
	return chat.Errorf(chat.CodeUnavailable, "This program was built without full-text search. Build it with the tag sqlite_fts5, as the Makefile does.")
}

// candidate is a file that may be our database.
type candidate struct {
	path  string
	name  string // what people are told: of a copy, the original's path
	whole int64  // up to which size it is checked as a whole; 0 means wholeBytes
	quiet bool   // nothing may be written beside it
}

// unlogged tells SQLite that nobody writes to the file and that there is no
// log: it would otherwise make files beside it.
const unlogged = "&immutable=1"

// params are what SQLite is to be told to read the file as it is.
func (c candidate) params() string {
	if _, err := os.Lstat(c.path + "-wal"); errors.Is(err, os.ErrNotExist) {
		return unlogged
	}
	if c.quiet {
		return "&readonly_shm=1" // where no server keeps the log's index up to date, SQLite makes one in memory
	}
	return ""
}

// inspect tells the file's size and schema version, 0 where there is none yet,
// and refuses what is not ours, not whole or not understood. It changes nothing.
func (c *candidate) inspect(ctx context.Context, steps []string) (version int, size int64, err error) {
	if c.whole == 0 {
		c.whole = wholeBytes
	}
	info, err := os.Stat(c.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0, leftover(c.path)
	}
	if err != nil {
		return 0, 0, &chat.Error{Code: chat.CodeUnavailable, Message: "The database file cannot be read.", Cause: err}
	}
	if !info.Mode().IsRegular() {
		return 0, 0, errForeign(c.name)
	}
	pending := false // the write-ahead log holds what the file does not have yet
	if wal, err := os.Stat(c.path + "-wal"); err == nil {
		pending = wal.Size() > 0
	}
	size = info.Size()
	if size == 0 && !pending {
		return 0, 0, nil
	}
	f, err := os.Open(c.path)
	if err != nil {
		return 0, 0, &chat.Error{Code: chat.CodeUnavailable, Message: "The database file cannot be read.", Cause: err}
	}
	defer f.Close()
	h, ours := readHeader(f)
	switch {
	case !ours || h.version < 1:
		return 0, 0, errForeign(c.name)
	case h.version > len(steps):
		return 0, 0, errNewer(c.name, h.version, len(steps))
	case !pending && h.pages*h.pageSize > size:
		return 0, 0, errDamaged(c.name, fmt.Errorf("the file has %d bytes of %d", size, h.pages*h.pageSize))
	}
	version, err = c.probe(context.WithoutCancel(ctx), f, h, size, steps)
	switch {
	case notWhole(err):
		return 0, 0, errDamaged(c.name, err)
	case err == nil && version > len(steps):
		err = errNewer(c.name, version, len(steps))
	}
	return version, size, err
}

// companions are the ends of the names of what SQLite keeps beside a database.
var companions = [...]string{"-wal", "-shm", "-journal"}

// leftover refuses a place for a new database where such a file of an earlier
// one lies: SQLite would take it for the new one's and apply it.
func leftover(path string) error {
	for _, end := range companions {
		if _, err := os.Lstat(path + end); err == nil {
			return chat.Errorf(chat.CodeConflict, "%s lies there without its database. "+
				"It may hold the newest data: put the database back beside it, or move it away.", path+end)
		}
	}
	return nil
}

// header is what the first bytes of a SQLite file say.
type header struct {
	version         int
	pageSize, pages int64
}

// readHeader reads it without SQLite, which would touch the file.
func readHeader(f *os.File) (h header, ours bool) {
	b := make([]byte, 100)
	if _, err := f.ReadAt(b, 0); err != nil || string(b[:16]) != "SQLite format 3\x00" {
		return header{}, false
	}
	h = header{version: int(int32(binary.BigEndian.Uint32(b[60:]))), pageSize: int64(binary.BigEndian.Uint16(b[16:])),
		pages: int64(binary.BigEndian.Uint32(b[28:]))}
	if h.pageSize == 1 {
		h.pageSize = 64 << 10
	}
	return h, binary.BigEndian.Uint32(b[68:]) == applicationID
}

// probe opens the file for reading only and looks whether it is whole, as far
// as there is time for that.
func (c candidate) probe(ctx context.Context, f *os.File, h header, size int64, steps []string) (version int, err error) {
	db, err := sql.Open("sqlite3", sqliteDSN(c.path, "mode=ro&_query_only=1&_busy_timeout=10000"+c.params()))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, `pragma user_version`).Scan(&version); err != nil {
		return 0, err
	}
	if version > len(steps) {
		return version, nil // refused anyway, and not ours to look into
	}
	for _, table := range tablesOf(steps[:max(version, 0)]) {
		var n int
		if err := db.QueryRowContext(ctx, `select count(*) from (select workspace_id from `+table+` limit 1)`).Scan(&n); err != nil {
			return 0, err
		}
	}
	if size > c.whole && version == len(steps) { // a migration touches everything, and has to know
		return version, sample(f, h)
	}
	if err := readThrough(ctx, f); err != nil {
		return 0, err
	}
	return version, quickCheck(ctx, db)
}

// migrateSQLite brings the file from version to the newest, each step in a
// transaction with its number.
func migrateSQLite(ctx context.Context, path string, version int, steps []string) (err error) {
	if version == len(steps) {
		return nil
	}
	params := writerPragmas
	if version == 0 {
		params = createPragmas
		if err := createPrivate(path); err != nil {
			return &chat.Error{Code: chat.CodeUnavailable, Message: sayReadOnly, Cause: err}
		}
	}
	db, err := sql.Open("sqlite3", sqliteDSN(path, params))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	d := &dialect{}
	for {
		done, err := sqliteStep(context.WithoutCancel(ctx), db, d, steps)
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		if done {
			break
		}
	}
	if version > 0 {
		// The version belongs into the file itself: an older program looks there.
		_, err = db.ExecContext(context.WithoutCancel(ctx), `pragma wal_checkpoint(truncate)`)
	}
	return err
}

// sqliteStep takes one step from whatever version is there now: another
// process may have been first.
func sqliteStep(ctx context.Context, db *sql.DB, d *dialect, steps []string) (done bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil || done {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	var version int
	if err := tx.QueryRowContext(ctx, `pragma user_version`).Scan(&version); err != nil {
		return false, err
	}
	if version >= len(steps) {
		return true, nil
	}
	text := d.translate(steps[version]) + "\npragma application_id = " + strconv.Itoa(applicationID) +
		";\npragma user_version = " + strconv.Itoa(version+1) + ";"
	if _, err := tx.ExecContext(ctx, text); err != nil {
		return false, err
	}
	return false, tx.Commit()
}

// createPrivate makes an empty file that only its owner may read.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// quoted is a text as an SQL literal, for statements that take no arguments.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
