package store

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/server/store/pgtest"
)

// What SQLite left beside a database that is gone would be applied to a new
// one in its place.
func TestLeftoversOfAnotherDatabaseAreRefused(t *testing.T) {
	from := opened(t, quiet(Options{Data: t.TempDir()}))
	newWorld(t, from)
	file := filepath.Join(t.TempDir(), "backup.db")
	must(t, from.Backup(t.Context(), file))
	for _, end := range companions {
		opt := quiet(Options{Data: t.TempDir()})
		must(t, os.WriteFile(databasePath(opt)+end, []byte("of another database"), 0o600))
		before := contents(t, opt.Data)
		for name, err := range map[string]error{"restore": Restore(t.Context(), file, opt), "open": openError(t, opt),
			"backup": from.Backup(t.Context(), databasePath(opt))} {
			if chat.ErrorCode(err) != chat.CodeConflict || !strings.Contains(err.Error(), end) {
				t.Errorf("%s beside %s: %v", name, end, err)
			}
		}
		after := contents(t, opt.Data)
		if len(after) != 1 || after[databaseFile+end] != before[databaseFile+end] {
			t.Errorf("%s: afterwards there is %v", end, after)
		}
	}
}

// The write-ahead log of another database, applied for real.
func TestRestoreDoesNotTakeOverAnOldLog(t *testing.T) {
	opt := quiet(Options{Data: t.TempDir()})
	s := opened(t, opt)
	newWorld(t, s)
	file := filepath.Join(t.TempDir(), "backup.db")
	must(t, s.Backup(t.Context(), file))
	log, err := os.ReadFile(databasePath(opt) + "-wal")
	must(t, err)
	if len(log) == 0 {
		t.Fatal("there is no log to leave behind")
	}
	place := quiet(Options{Data: t.TempDir()})
	must(t, os.WriteFile(databasePath(place)+"-wal", log, 0o600))
	wantCode(t, Restore(t.Context(), file, place), chat.CodeConflict)

	// A restore that was cut off leaves its own, which is nobody's.
	place = quiet(Options{Data: t.TempDir()})
	must(t, os.WriteFile(databasePath(place)+".part", []byte("half"), 0o600))
	must(t, os.WriteFile(databasePath(place)+".part-wal", log, 0o600))
	must(t, os.WriteFile(databasePath(place)+".part-journal", log, 0o600))
	must(t, Restore(t.Context(), file, place))
	if left := contents(t, place.Data); len(left) != 1 {
		t.Errorf("%d files after the restore", len(left))
	}
	checked(t, opened(t, place))
}

func openError(t *testing.T, opt Options) error {
	t.Helper()
	s, err := Open(t.Context(), opt)
	if err == nil {
		must(t, s.Close())
	}
	return err
}

func TestMustExist(t *testing.T) {
	opt := quiet(Options{Data: filepath.Join(t.TempDir(), "mistyped"), MustExist: true})
	wantCode(t, openError(t, opt), chat.CodeNotFound)
	if _, err := os.Lstat(opt.Data); err == nil {
		t.Error("the folder was made")
	}
	postgres := quiet(Options{Database: pgtest.URL(t), MustExist: true})
	wantCode(t, openError(t, postgres), chat.CodeNotFound)
	postgres.MustExist = false
	must(t, openError(t, postgres))
	postgres.MustExist = true
	must(t, openError(t, postgres))
	postgres.ReadOnly = true
	must(t, openError(t, postgres))
	there := filled(t)
	there.MustExist = true
	must(t, openError(t, there))
}

func TestReadOnlyWritesNothing(t *testing.T) {
	opt := filled(t)
	opt.ReadOnly = true
	before := contents(t, opt.Data)
	s := opened(t, opt)
	checked(t, s)
	if during := contents(t, opt.Data); len(during) != len(before) || during[databaseFile] != before[databaseFile] {
		t.Errorf("while it is open there is %v", during)
	}
	list, err := s.Workspaces(t.Context())
	must(t, err)
	wantCode(t, s.Update(t.Context(), list[0].ID, func(*Tx) error { return nil }), chat.CodeUnavailable)

	// Beside a running server it sees what the server has written.
	opt.ReadOnly = false
	server := opened(t, opt)
	_, err = s.Check(t.Context())
	wantCode(t, err, chat.CodeConflict) // what it read may not fit together
	more := newWorld(t, server)
	more.begin(0, "Grace")
	opt.ReadOnly = true
	s = opened(t, opt)
	checked(t, s)
	if list, err = s.Workspaces(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("sees %d workspaces, %v", len(list), err)
	}
}

func TestReadOnlyDoesNotMigrate(t *testing.T) {
	opt := filled(t)
	opt.ReadOnly = true
	steps, err := migrations()
	must(t, err)
	_, err = open(t.Context(), opt, append(steps, `create table later (workspace_id blob not null) strict;`))
	wantCode(t, err, chat.CodeConflict)
	db, err := sql.Open("sqlite3", databasePath(opt))
	must(t, err)
	var version int
	must(t, db.QueryRowContext(t.Context(), `pragma user_version`).Scan(&version))
	must(t, db.Close())
	if version != len(steps) {
		t.Errorf("the schema is now %d", version)
	}
}
