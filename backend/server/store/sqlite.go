package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mattn/go-sqlite3"

	"parley/backend/chat"
)

const (
	databaseFile = "parley.db"
	// applicationID marks a SQLite file as a Parley server's ("PrlS").
	applicationID = 0x50726c53
	// quickCheckBytes is up to which size a file is checked as a whole at each
	// start; a larger one, where that would take seconds, only in its parts
	// that every start needs. parleyd check looks at everything.
	quickCheckBytes = 32 << 20
	readers         = 4
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
	s.path = path
	version, err := inspectSQLite(ctx, path, steps)
	if err != nil {
		return err
	}
	if done, err := opt.settled(path, version, steps); done || err != nil {
		if err != nil {
			return err
		}
		return s.readSQLite(ctx, path)
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
	return s.r.PingContext(ctx)
}

// readSQLite opens the file for reading and leaves no trace. Where no log of a
// writer lies beside it, SQLite is told that there is none: it would otherwise
// want to make one.
func (s *Store) readSQLite(ctx context.Context, path string) (err error) {
	params := readerPragmas
	if _, missing := os.Lstat(path + "-wal"); errors.Is(missing, os.ErrNotExist) {
		params += "&immutable=1"
		if s.unshared, err = os.Stat(path); err != nil {
			return &chat.Error{Code: chat.CodeUnavailable, Message: "The database file cannot be read.", Cause: err}
		}
	}
	if s.r, err = sql.Open("sqlite3", sqliteDSN(path, params)); err != nil {
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

// inspectSQLite tells the schema version of the file, 0 where there is none
// yet, and refuses what is not ours, not whole or not understood. It changes
// nothing.
func inspectSQLite(ctx context.Context, path string, steps []string) (int, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, leftover(path)
	}
	if err != nil {
		return 0, &chat.Error{Code: chat.CodeUnavailable, Message: "The database file cannot be read.", Cause: err}
	}
	if !info.Mode().IsRegular() {
		return 0, errForeign(path)
	}
	pending := false // the write-ahead log holds what the file does not have yet
	if wal, err := os.Stat(path + "-wal"); err == nil {
		pending = wal.Size() > 0
	}
	if info.Size() == 0 && !pending {
		return 0, nil
	}
	version, pages, err := readHeader(path)
	switch {
	case err != nil:
		return 0, err
	case version > len(steps):
		return 0, errNewer(path, version, len(steps))
	case version < 1:
		return 0, errForeign(path)
	case !pending && pages > info.Size():
		return 0, errDamaged(path, fmt.Errorf("the file has %d bytes of %d", info.Size(), pages))
	}
	return probeSQLite(ctx, path, steps, pending, info.Size())
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

// readHeader reads a file's first page without SQLite, which would touch it.
func readHeader(path string) (version int, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, &chat.Error{Code: chat.CodeUnavailable, Message: "The database file cannot be read.", Cause: err}
	}
	header := make([]byte, 100)
	_, err = io.ReadFull(f, header)
	if err = errors.Join(err, f.Close()); err != nil || string(header[:16]) != "SQLite format 3\x00" {
		return 0, 0, errForeign(path)
	}
	if binary.BigEndian.Uint32(header[68:]) != applicationID {
		return 0, 0, errForeign(path)
	}
	page := int64(binary.BigEndian.Uint16(header[16:]))
	if page == 1 {
		page = 64 << 10
	}
	return int(int32(binary.BigEndian.Uint32(header[60:]))), page * int64(binary.BigEndian.Uint32(header[28:])), nil
}

// probeSQLite opens the file for reading only and looks whether it is whole.
func probeSQLite(ctx context.Context, path string, steps []string, pending bool, size int64) (int, error) {
	params := "mode=ro&_query_only=1&_busy_timeout=10000"
	if !pending {
		params += "&immutable=1" // leaves no files beside the database
	}
	db, err := sql.Open("sqlite3", sqliteDSN(path, params))
	if err != nil {
		return 0, err
	}
	version, err := probe(context.WithoutCancel(ctx), db, steps, size)
	if err = errors.Join(err, db.Close()); err != nil {
		if code, _ := classify(err); code == chat.CodeUnavailable && !damage(err) {
			return 0, err
		}
		return 0, errDamaged(path, err)
	}
	if version > len(steps) {
		return 0, errNewer(path, version, len(steps))
	}
	return version, nil
}

func damage(err error) bool {
	var lite sqlite3.Error
	return errors.As(err, &lite) && (lite.Code == sqlite3.ErrCorrupt || lite.Code == sqlite3.ErrNotADB)
}

func probe(ctx context.Context, db *sql.DB, steps []string, size int64) (version int, err error) {
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
	if size > quickCheckBytes {
		return version, nil
	}
	var verdict string
	if err := db.QueryRowContext(ctx, `pragma quick_check(1)`).Scan(&verdict); err != nil {
		return 0, err
	}
	if verdict != "ok" {
		return 0, errors.New(verdict)
	}
	return version, nil
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
