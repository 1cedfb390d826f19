package store

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mattn/go-sqlite3"

	"parley/backend/chat"
)

// spoilLastPage overwrites a page, from one of its bytes on, that opening the
// database does not come across.
func spoilLastPage(t *testing.T, path string, from int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, int(4096-from)), size(t, path)-4096+from)
	must(t, err)
	must(t, f.Close())
}

// tooBig makes a database's size one that is not checked before the start.
func tooBig(opt Options) Options {
	opt.wholeBytes = 1
	return opt
}

func TestABigDamagedDatabaseIsRefusedUntouched(t *testing.T) {
	opt := filled(t)
	spoilLastPage(t, databasePath(opt), 0)
	before := contents(t, opt.Data)
	err := openError(t, tooBig(opt))
	wantCode(t, err, chat.CodeConflict)
	if !strings.Contains(chat.ErrorMessage(err), "left as it is") {
		t.Errorf("the sentence is %q", chat.ErrorMessage(err))
	}
	if after := contents(t, opt.Data); len(after) != len(before) || after[databaseFile] != before[databaseFile] {
		t.Errorf("afterwards there is %v", after)
	}
}

// What no sample shows is found while the database is in use.
func TestDamageIsFoundBehindTheStart(t *testing.T) {
	opt := filled(t)
	spoilLastPage(t, databasePath(opt), 1)
	wantCode(t, openError(t, opt), chat.CodeConflict) // where there is time for the whole file
	s := opened(t, tooBig(opt))
	<-s.audit.done
	list, err := s.Workspaces(t.Context())
	must(t, err)
	for what, err := range map[string]error{"ready": s.Ping(t.Context()),
		"write": s.Update(t.Context(), list[0].ID, func(*Tx) error { return nil })} {
		if chat.ErrorCode(err) != chat.CodeUnavailable || !strings.Contains(chat.ErrorMessage(err), "nothing more is written") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestABigSoundDatabaseIsServed(t *testing.T) {
	opt := filled(t)
	s := opened(t, tooBig(opt))
	<-s.audit.done
	must(t, s.Ping(t.Context()))
	newWorld(t, s)
	checked(t, s)
	s = opened(t, tooBig(opt)) // and one that is closed before its check has ended
	must(t, s.Close())
}

// A step to a newer schema touches the whole file.
func TestABigDatabaseIsCheckedWholeBeforeItIsMigrated(t *testing.T) {
	opt := filled(t)
	spoilLastPage(t, databasePath(opt), 1)
	steps, err := migrations()
	must(t, err)
	_, err = open(t.Context(), tooBig(opt), append(steps, "create table later (workspace_id blob not null) strict;\n"))
	wantCode(t, err, chat.CodeConflict)
}

func TestSamplesOfASoundFile(t *testing.T) {
	for _, vacuum := range []string{"none", "full", "incremental"} {
		t.Run(vacuum, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			db, err := sql.Open("sqlite3", sqliteDSN(path, "_auto_vacuum="+vacuum))
			must(t, err)
			db.SetMaxOpenConns(1)
			_, err = db.ExecContext(t.Context(), `create table x (id integer primary key, data blob);
				with recursive n(i) as (select 1 union all select i + 1 from n where i < 400)
				insert into x select i, randomblob(i * 100) from n; delete from x where id % 3 = 0; create index by_data on x (data)`)
			must(t, err)
			must(t, db.Close())
			f, err := os.Open(path)
			must(t, err)
			defer f.Close()
			h, _ := readHeader(f)
			if h.pages < 1000 {
				t.Fatalf("only %d pages", h.pages)
			}
			for range 20 {
				must(t, sample(f, h))
			}
		})
	}
}

func TestSentencesOfAFile(t *testing.T) {
	for name, test := range map[string]struct {
		err  sqlite3.Error
		want string
	}{
		"full":                   {sqlite3.Error{Code: sqlite3.ErrFull}, sayDiskFull},
		"no room to grow":        {sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.ENOSPC}, sayDiskFull},
		"no room for a new file": {sqlite3.Error{Code: sqlite3.ErrCantOpen, SystemErrno: syscall.ENOSPC}, sayDiskFull},
		"quota":                  {sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.EDQUOT}, sayDiskFull},
		"trouble":                {sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.EIO}, sayDiskTrouble},
		"read-only":              {sqlite3.Error{Code: sqlite3.ErrCantOpen, SystemErrno: syscall.EACCES}, sayReadOnly},
		"damaged":                {sqlite3.Error{Code: sqlite3.ErrCorrupt}, sayDamaged},
	} {
		if got := chat.ErrorMessage(wrap("test", test.err)); got != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if strings.Contains(sayDamaged+sayHalted, "left as it is") {
		t.Error("nobody can say that of a file that is open")
	}
}
