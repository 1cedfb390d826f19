package main

import (
	"bytes"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyWhatIsToMakeADatabaseDoes(t *testing.T) {
	for name, args := range map[string][]string{
		"check": {"check"}, "backup": {"backup", filepath.Join(t.TempDir(), "x.db")}, "migrate": {"migrate"},
		"member add":  {"member", "add", "--email", "a@example.com", "--name", "A", "--password-stdin"},
		"channel set": {"channel", "set", "--title", "Hello"},
	} {
		t.Run(name, func(t *testing.T) {
			mistyped := filepath.Join(t.TempDir(), "mistyped")
			code, _, errs := run(t, "a long enough password", append(args, "--data", mistyped)...)
			if code != 1 || !strings.Contains(errs, "no data of a Parley server") {
				t.Errorf("exit %d, said %s", code, errs)
			}
			if _, err := os.Lstat(mistyped); err == nil {
				t.Error("the folder was made")
			}
		})
	}
}

func TestCheckFindsMissingFiles(t *testing.T) {
	data := t.TempDir()
	if code, _, errs := run(t, "", "demo", "--data", data, "--conversations", "60", "--messages", "900"); code != 0 {
		t.Fatalf("demo: %s", errs)
	}
	var files []string
	folder := filepath.Join(data, "files")
	if err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil || len(files) < 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(files[1], 1); err != nil {
		t.Fatal(err)
	}
	code, out, _ := run(t, "", "check", "--data", data)
	if code != 1 || strings.Count(out, "\n") != 2 || !strings.Contains(out, filepath.Base(files[0])+": content is missing") ||
		!strings.Contains(out, filepath.Base(files[1])+": content is 1 bytes") {
		t.Errorf("exit %d, said %s", code, out)
	}
	if err := os.Rename(folder, folder+"-away"); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := run(t, "", "check", "--data", data); code != 1 || strings.Count(out, "missing") != len(files) {
		t.Errorf("without the folder: exit %d, said %s", code, out)
	}
	if _, err := os.Lstat(folder); err == nil {
		t.Error("a check made the folder")
	}
}

// A backup and a check of what a killed server left write nothing beside it, so
// that both work where the disk is full.
func TestBackupAndCheckLeaveTheDataAlone(t *testing.T) {
	live, data := t.TempDir(), t.TempDir()
	if code, _, errs := run(t, "correct horse battery", "init", "--data", live, "--workspace", "Acme", "--email", "o@example.com", "--password-stdin"); code != 0 {
		t.Fatal(errs)
	}
	db, err := sql.Open("sqlite3", filepath.Join(live, "parley.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `update counter set head = head`); err != nil {
		t.Fatal(err)
	}
	files := []string{"parley.db", "parley.db-wal", "parley.db-shm"}
	before := map[string][]byte{}
	for _, name := range files {
		if before[name], err = os.ReadFile(filepath.Join(live, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, name), before[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, restored := filepath.Join(t.TempDir(), "backup.db"), t.TempDir()
	for _, args := range [][]string{{"backup", file, "--data", data}, {"check", "--data", data},
		{"restore", file, "--data", restored}, {"check", "--data", restored}} {
		if code, out, errs := run(t, "", args...); code != 0 {
			t.Errorf("%v: exit %d, said %s%s", args, code, out, errs)
		}
	}
	entries, err := os.ReadDir(data)
	if err != nil || len(entries) != len(files) {
		t.Errorf("there is %v, %v", entries, err)
	}
	for _, name := range files {
		if after, err := os.ReadFile(filepath.Join(data, name)); err != nil || !bytes.Equal(before[name], after) {
			t.Errorf("%s was changed, %v", name, err)
		}
	}
}

func TestServeRefusesWhatItCannotDo(t *testing.T) {
	for _, flag := range []string{"--files", "--nats"} {
		data := filepath.Join(t.TempDir(), "data")
		code, _, errs := run(t, "", "serve", "--data", data, flag, "x")
		if code != 2 || !strings.Contains(errs, flag+" is not available in this version") || strings.Contains(errs, "flags of") {
			t.Errorf("%s: exit %d, said %s", flag, code, errs)
		}
		if _, err := os.Lstat(data); err == nil {
			t.Errorf("%s: the data folder was made", flag)
		}
	}
}
