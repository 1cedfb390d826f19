package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"parley/backend/chat"
)

// Backup writes everything, as it is at one moment, into one new SQLite file,
// whatever the database is; Restore reads it into either. Files' contents are
// not in it: they lie in the blob folder, named by their hash. Writers are not
// held up.
func (s *Store) Backup(ctx context.Context, file string) (err error) {
	if _, err := os.Lstat(file); err == nil {
		return chat.Errorf(chat.CodeConflict, "%s exists already; a backup never overwrites anything.", file)
	}
	part := file + ".part"
	if err := leftover(file); err != nil {
		return err
	}
	if err := removeDatabase(part); err != nil {
		return wrapFile("backup", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeDatabase(part))
		}
	}()
	if err := createPrivate(part); err != nil {
		return wrapFile("backup", err)
	}
	if s.d.postgres {
		err = s.backupPostgres(ctx, part)
	} else {
		err = s.backupSQLite(ctx, part)
	}
	if full(err) { // what is read needs no room
		return wrapFile("backup", err)
	}
	if err != nil {
		return wrap("backup", err)
	}
	return wrapFile("backup", settle(part, file))
}

// backupSQLite copies the database through a connection of its own: one that
// may only read, but, unlike the readers', may write another file.
func (s *Store) backupSQLite(ctx context.Context, file string) error {
	db, err := sql.Open("sqlite3", sqliteDSN(s.path, "mode=ro&_busy_timeout=10000"+s.params))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `vacuum into `+quoted(file))
	if err = errors.Join(err, db.Close()); err == nil && s.disturbed() {
		return chat.Errorf(chat.CodeConflict, "The database was opened by another program during the backup. Nothing was kept of it; run it once more.")
	}
	return err
}

func wrapFile(op string, err error) error {
	if err == nil {
		return nil
	}
	message := "The file cannot be read or written."
	if full(err) {
		message = "There is no room for the file where it was to be written. Nothing was left there; make room, or choose another place."
	}
	return &chat.Error{Code: chat.CodeUnavailable, Message: message, Cause: &opError{op, err}}
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// removeDatabase removes an unfinished database with what lies beside it.
func removeDatabase(path string) error {
	errs := []error{removeIfThere(path)}
	for _, end := range companions {
		errs = append(errs, removeIfThere(path+end))
	}
	return errors.Join(errs...)
}

// settle makes a finished file durable under its final name, which must be free.
func settle(part, file string) error {
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(part, file); err != nil { // unlike a rename it never replaces
		return err
	}
	if err := os.Remove(part); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(file))
}

// syncFolder makes new names in a folder durable, where the system can.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // Windows, and some network file systems
	}
	return errors.Join(err, dir.Close())
}

func (s *Store) backupPostgres(ctx context.Context, file string) (err error) {
	if err := migrateSQLite(ctx, file, 0, s.steps); err != nil {
		return err
	}
	from, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Rollback()) }()
	db, err := sql.Open("sqlite3", sqliteDSN(file, createPragmas))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	to, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := copyTables(ctx, from, to, &dialect{}, s.steps); err != nil {
		return errors.Join(err, to.Rollback())
	}
	return to.Commit()
}

// Restore makes a database from a backup, in a place where there is none yet.
// Every log gets a new epoch, so that no reader takes it for the one it knew.
func Restore(ctx context.Context, file string, opt Options) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		return wrapFile("restore", err)
	}
	c := candidate{path: file, name: file, whole: math.MaxInt64}
	version, _, err := c.inspect(ctx, steps)
	if err != nil {
		return err
	}
	if version == 0 {
		return errForeign(file)
	}
	if opt.Database != "" {
		return restorePostgres(ctx, file, version, opt, steps)
	}
	return restoreSQLite(ctx, file, version, opt, steps)
}

func restoreSQLite(ctx context.Context, file string, version int, opt Options, steps []string) (err error) {
	target := filepath.Join(opt.Data, databaseFile)
	if _, err := os.Lstat(target); err == nil {
		return errOccupied(target)
	}
	if err := leftover(target); err != nil {
		return err
	}
	if err := os.MkdirAll(opt.Data, 0o700); err != nil {
		return wrapFile("restore", err)
	}
	part := target + ".part"
	if err := removeDatabase(part); err != nil { // of a restore that was cut off
		return wrapFile("restore", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeDatabase(part))
		}
	}()
	if err := copyFile(file, part); err != nil {
		return wrapFile("restore", err)
	}
	if err := migrateSQLite(ctx, part, version, steps); err != nil {
		return wrap("restore", err)
	}
	db, err := sql.Open("sqlite3", sqliteDSN(part, createPragmas)) // back to one file, whatever it was before
	if err != nil {
		return wrap("restore", err)
	}
	if err := errors.Join(renewEpochs(ctx, db, &dialect{}), db.Close()); err != nil {
		return wrap("restore", err)
	}
	return wrapFile("restore", settle(part, target))
}

func errOccupied(where string) error {
	return chat.Errorf(chat.CodeConflict, "%s holds data already; a backup is only restored into an empty place.", where)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, in.Close(), out.Close())
}

func renewEpochs(ctx context.Context, q querier, d *dialect) error {
	r := &reader{ctx: ctx, q: q, d: d}
	var all [][]byte
	if err := r.each("workspace", `select workspace_id from counter`, func(rows *sql.Rows) error {
		var ws []byte
		err := rows.Scan(&ws)
		all = append(all, ws)
		return err
	}); err != nil {
		return err
	}
	for _, ws := range all {
		if _, err := r.exec("renew epoch", `update counter set epoch = ? where workspace_id = ?`, newEpoch(), ws); err != nil {
			return err
		}
	}
	return nil
}

func restorePostgres(ctx context.Context, file string, version int, opt Options, steps []string) (err error) {
	if version < len(steps) { // the copy needs equal schemas: migrate a copy of the backup, never the backup
		dir, err := os.MkdirTemp("", "parley-restore-")
		if err != nil {
			return wrapFile("restore", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		copied := filepath.Join(dir, databaseFile)
		if err := copyFile(file, copied); err != nil {
			return wrapFile("restore", err)
		}
		if err := migrateSQLite(ctx, copied, version, steps); err != nil {
			return wrap("restore", err)
		}
		file = copied
	}
	s, err := open(ctx, opt, steps)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	from, err := sql.Open("sqlite3", sqliteDSN(file, "mode=ro&_query_only=1"))
	if err != nil {
		return wrap("restore", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := s.w.BeginTx(ctx, nil)
	if err != nil {
		return wrap("restore", err)
	}
	if err := s.fill(ctx, from, to, steps); err != nil {
		return errors.Join(wrap("restore", err), to.Rollback())
	}
	if err := to.Commit(); err != nil {
		return wrap("restore", err)
	}
	return s.analyze(ctx)
}

func (s *Store) fill(ctx context.Context, from *sql.DB, to *sql.Tx, steps []string) error {
	if _, err := to.ExecContext(ctx, `set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0;
		lock table counter in exclusive mode`); err != nil {
		return err
	}
	var n int
	if err := to.QueryRowContext(ctx, `select count(*) from counter`).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return errOccupied("The database")
	}
	if err := copyTables(ctx, from, to, s.d, steps); err != nil {
		return err
	}
	return renewEpochs(ctx, to, s.d)
}

// copyTables copies every table, row by row, between databases of equal schema.
func copyTables(ctx context.Context, from, to querier, d *dialect, steps []string) error {
	for _, table := range tablesOf(steps) {
		if err := copyTable(ctx, from, to, d, table); err != nil {
			return fmt.Errorf("copy %s: %w", table, err)
		}
	}
	return nil
}

func copyTable(ctx context.Context, from, to querier, d *dialect, table string) (err error) {
	rows, err := from.QueryContext(ctx, `select * from `+table)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	text := make([]bool, len(types))
	for i, t := range types {
		text[i] = strings.EqualFold(t.DatabaseTypeName(), "text")
	}
	one := `insert into ` + table + ` (` + strings.Join(columns, ", ") + `) values `
	full := d.bind(one + rowsOf(importRows, len(columns)))
	args := make([]any, 0, importRows*len(columns))
	for rows.Next() {
		values, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok && text[i] { // the driver's choice; the column's type decides
				values[i] = string(b)
			}
		}
		if args = append(args, values...); len(args) == cap(args) {
			if _, err := to.ExecContext(ctx, full, args...); err != nil {
				return err
			}
			args = args[:0]
		}
	}
	if len(args) == 0 {
		return nil
	}
	_, err = to.ExecContext(ctx, d.bind(one+rowsOf(len(args)/len(columns), len(columns))), args...)
	return err
}
