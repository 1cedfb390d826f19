package store

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/server/store/pgtest"
)

// contents gives a folder's files by name with a hash of what is in them.
func contents(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		all[e.Name()] = sha256.Sum256(data)
	}
	return all
}

// filled makes a closed database with something in it, big enough to be
// damaged in the middle.
func filled(t *testing.T) Options {
	t.Helper()
	opt := quiet(Options{Data: t.TempDir()})
	s, err := Open(t.Context(), opt)
	must(t, err)
	w := newWorld(t, s)
	for range 30 {
		c := w.begin(0, "Ada Lovelace")
		w.say(c.ID, strings.Repeat("text ", 200))
	}
	must(t, s.Close())
	return opt
}

func TestOpenRefusesAndTouchesNothing(t *testing.T) {
	patch := func(at int64, with []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt(with, at)
			must(t, err)
			must(t, f.Close())
		}
	}
	for name, test := range map[string]struct {
		spoil    func(t *testing.T, path string)
		sentence string
	}{
		"text file": {func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("these are notes"), 0o600)) }, "not a database of a Parley server"},
		"another program's database": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			db, err := sql.Open("sqlite3", path)
			must(t, err)
			_, err = db.ExecContext(t.Context(), `create table notes (text text)`)
			must(t, err)
			must(t, db.Close())
		}, "not a database of a Parley server"},
		"newer":        {patch(60, binary.BigEndian.AppendUint32(nil, 99)), "newer Parley (schema 99"},
		"cut off":      {func(t *testing.T, path string) { must(t, os.Truncate(path, 20_480)) }, "damaged"},
		"a byte short": {func(t *testing.T, path string) { must(t, os.Truncate(path, size(t, path)-1)) }, "damaged"},
		"first page":   {patch(100, bytes.Repeat([]byte{0xa5}, 3996)), "damaged"},
		"middle":       {patch(10*4096, bytes.Repeat([]byte{0xa5}, 8*4096)), "damaged"},
		"table missing": {func(t *testing.T, path string) {
			db, err := sql.Open("sqlite3", path)
			must(t, err)
			_, err = db.ExecContext(t.Context(), `drop table change`)
			must(t, err)
			must(t, db.Close())
		}, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			opt := filled(t)
			test.spoil(t, databasePath(opt))
			before := contents(t, opt.Data)
			s, err := Open(t.Context(), opt)
			if err == nil {
				must(t, s.Close())
			}
			wantCode(t, err, chat.CodeConflict)
			if sentence := chat.ErrorMessage(err); !strings.Contains(sentence, test.sentence) || !strings.Contains(sentence, "left as it is") {
				t.Errorf("the sentence is %q, want %q in it", sentence, test.sentence)
			}
			after := contents(t, opt.Data)
			if len(after) != len(before) {
				t.Errorf("files before %d, after %d", len(before), len(after))
			}
			for file, sum := range before {
				if after[file] != sum {
					t.Errorf("%s was changed", file)
				}
			}
		})
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Size()
}

func TestOpenRefusesForeignPostgres(t *testing.T) {
	for name, test := range map[string]struct{ plant, sentence string }{
		"another program's database": {`create table notes (text text)`, "not a database of a Parley server"},
		"newer":                      {`update parley_meta set value = '99'`, "newer Parley (schema 99"},
		"table missing":              {`drop table change`, "damaged"},
		"version unreadable":         {`update parley_meta set value = 'x'`, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			opt := quiet(Options{Database: pgtest.URL(t)})
			if !strings.HasPrefix(test.plant, "create") {
				s, err := Open(t.Context(), opt)
				must(t, err)
				must(t, s.Close())
			}
			pgtest.Exec(t, opt.Database, test.plant)
			s, err := Open(t.Context(), opt)
			if err == nil {
				must(t, s.Close())
			}
			wantCode(t, err, chat.CodeConflict)
			if sentence := chat.ErrorMessage(err); !strings.Contains(sentence, test.sentence) {
				t.Errorf("the sentence is %q, want %q in it", sentence, test.sentence)
			}
		})
	}
}

func TestOpenWithoutADatabase(t *testing.T) {
	_, err := Open(t.Context(), quiet(Options{Database: "postgres:///nowhere?host=" + t.TempDir()}))
	wantCode(t, err, chat.CodeUnavailable)
	_, err = Open(t.Context(), quiet(Options{Database: "mysql://x"}))
	wantCode(t, err, chat.CodeInvalid)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err = Open(t.Context(), quiet(Options{Data: filepath.Join(file, "below")}))
	wantCode(t, err, chat.CodeUnavailable)
}

func TestOpenNeedsFTS5(t *testing.T) {
	must(t, checkFTS5(true))
	err := checkFTS5(false)
	wantCode(t, err, chat.CodeUnavailable)
	if !strings.Contains(err.Error(), "sqlite_fts5") {
		t.Errorf("the sentence is %q", err)
	}
	must(t, requireFTS5(t.Context()))
}

// A process that was killed leaves a write-ahead log; what was acknowledged is in it.
func TestOpenAfterAKill(t *testing.T) {
	opt := quiet(Options{Data: t.TempDir()})
	s := opened(t, opt)
	w := newWorld(t, s)
	c := w.begin(0, "Ada")
	m := w.say(c.ID, "acknowledged")
	killed := Options{Data: t.TempDir(), Log: opt.Log} // the files as a kill leaves them
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(databasePath(opt) + suffix)
		must(t, err)
		must(t, os.WriteFile(databasePath(killed)+suffix, data, 0o600))
	}
	again := opened(t, killed)
	_, _, _, msgs, err := again.Messages(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID, 0, 0, 0, 10)
	must(t, err)
	if len(msgs) != 1 || msgs[0].ID != m.ID {
		t.Errorf("got %d messages", len(msgs))
	}
	checked(t, again)
}

func TestReopenKeepsEverything(t *testing.T) {
	both(t, func(t *testing.T, s *Store, opt Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		w.say(c.ID, "hello")
		head, epoch, _, err := s.Head(t.Context(), w.ws)
		must(t, err)
		must(t, s.Close())
		s = opened(t, opt)
		head2, epoch2, _, err := s.Head(t.Context(), w.ws)
		must(t, err)
		if head2 != head || epoch2 != epoch {
			t.Errorf("head %d epoch %s, want %d %s", head2, epoch2, head, epoch)
		}
		must(t, s.Ping(t.Context()))
		checked(t, s)
	})
}

// Released migrations are frozen: a database made by an old release has the
// schema of the files in testdata, not of whatever an edit made of them.
func TestMigrationsAreFrozen(t *testing.T) {
	steps, err := migrations()
	must(t, err)
	frozen, err := filepath.Glob("testdata/migrations/*.sql")
	must(t, err)
	if len(frozen) == 0 || len(frozen) > len(steps) {
		t.Fatalf("%d frozen migrations, %d in all", len(frozen), len(steps))
	}
	for i, file := range frozen {
		text, err := os.ReadFile(file)
		must(t, err)
		if string(text) != steps[i] {
			t.Errorf("migration %d differs from its frozen copy %s: add a migration instead of changing one", i+1, file)
		}
	}
}

// From every version that ever was, and to one that is still to come, data survive.
func TestMigrateFromEachVersion(t *testing.T) {
	steps, err := migrations()
	must(t, err)
	coming := append(steps[:len(steps):len(steps)], "create table migrated (\n  workspace_id blob not null,\n  note text not null,\n  primary key (workspace_id)\n) strict;\n")
	for version := 1; version <= len(steps); version++ {
		both(t, func(t *testing.T, s *Store, opt Options) {
			must(t, s.Close())
			if opt.Database != "" {
				opt.Database = pgtest.URL(t)
			} else {
				opt.Data = t.TempDir()
			}
			old, err := open(t.Context(), opt, steps[:version])
			must(t, err)
			ws := chat.NewID[chat.Workspace]()
			must(t, old.CreateWorkspace(t.Context(), chat.Workspace{ID: ws, Name: "Acme"}))
			must(t, old.Close())
			for _, target := range [][]string{steps, coming, coming} {
				s, err := open(t.Context(), opt, target)
				must(t, err)
				got, err := s.Workspace(t.Context(), ws)
				must(t, err)
				if got.Name != "Acme" {
					t.Errorf("workspace %+v", got)
				}
				must(t, s.Close())
			}
			_, err = open(t.Context(), opt, steps)
			wantCode(t, err, chat.CodeConflict) // the older program meets the newer database
		})
	}
}
