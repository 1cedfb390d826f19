package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"
)

func TestDemoIsChecked(t *testing.T) {
	data := t.TempDir()
	code, out, errs := run(t, "", "demo", "--data", data, "--conversations", "60", "--messages", "900", "--seed", "7")
	if code != 0 || !strings.Contains(out, "60 conversations with 900 messages") {
		t.Fatalf("demo: %d %s %s", code, out, errs)
	}
	if code, out, errs := run(t, "", "check", "--data", data); code != 0 {
		t.Errorf("check of the demo: %d %s %s", code, out, errs)
	}
}

// rows is a hash over what the demonstration put into a database.
func rows(t *testing.T, data string) string {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(data, "parley.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	h := sha256.New()
	for _, table := range []string{"brand", "channel", "member", "contact", "conversation", "message"} {
		list, err := db.QueryContext(t.Context(), `select id, ver, data from `+table+` order by id`)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for ; list.Next(); n++ {
			var id, data []byte
			var ver int64
			if err := list.Scan(&id, &ver, &data); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(h, table, id, ver, string(data))
		}
		if err := list.Close(); err != nil || n == 0 {
			t.Fatalf("%d rows of %s, %v", n, table, err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestTheSameSeedAndTimeMakeTheSameRows(t *testing.T) {
	made := func(seed, now string) string {
		t.Helper()
		data := t.TempDir()
		if code, _, errs := run(t, "", "demo", "--data", data, "--conversations", "20", "--messages", "200", "--seed", seed, "--now", now); code != 0 {
			t.Fatalf("demo: %s", errs)
		}
		return rows(t, data)
	}
	one := made("5", "2026-01-31T12:00:00Z")
	if again := made("5", "2026-01-31T13:00:00+01:00"); again != one {
		t.Error("the same moment and seed make other rows")
	}
	if made("6", "2026-01-31T12:00:00Z") == one || made("5", "2026-02-01T12:00:00Z") == one {
		t.Error("another moment or seed makes the same rows")
	}
}

// ending is a context that ends when it was asked so many times.
type ending struct {
	context.Context
	left *int
}

func (e ending) Err() error {
	if *e.left--; *e.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestADemoThatWasCutOffIsFinished(t *testing.T) {
	for _, asked := range []int{3, 30, 100, 1000} {
		t.Run(fmt.Sprint(asked), func(t *testing.T) {
			data := t.TempDir()
			demo := []string{"demo", "--data", data, "--conversations", "60", "--messages", "900"}
			if code, _, errs := runIn(ending{context.Background(), &asked}, "", demo...); code != 1 || !strings.Contains(errs, "cut off") {
				t.Fatalf("cut off: %d %s", code, errs)
			}
			if code, out, errs := run(t, "", "check", "--data", data); code != 0 {
				t.Errorf("check of what there is: %d %s %s", code, out, errs)
			}
			if code, out, errs := run(t, "", demo...); code != 0 || !strings.Contains(out, "60 conversations with 900 messages") {
				t.Errorf("once more: %d %s %s", code, out, errs)
			}
			if code, out, errs := run(t, "", "check", "--data", data); code != 0 {
				t.Errorf("check of the whole: %d %s %s", code, out, errs)
			}
			if code, _, errs := run(t, "", demo...); code != 1 || !strings.Contains(errs, "already") {
				t.Errorf("a third time: %d %s", code, errs)
			}
			if left, err := filepath.Glob(filepath.Join(data, "*unfinished*")); err != nil || len(left) != 0 {
				t.Errorf("there is still %v, %v", left, err)
			}
		})
	}
}

// Begun with one set of numbers, it is finished with them.
func TestADemoGoesOnAsItWasBegun(t *testing.T) {
	data, asked := t.TempDir(), 1000
	numbers := []string{"--conversations", "60", "--messages", "900", "--seed", "3", "--now", "2026-01-31T12:00:00Z"}
	if code, _, errs := runIn(ending{context.Background(), &asked}, "", append([]string{"demo", "--data", data}, numbers...)...); code != 1 {
		t.Fatalf("exit %d, said %s", code, errs)
	}
	if code, out, errs := run(t, "", "demo", "--data", data); code != 0 || !strings.Contains(out, "Going on") || !strings.Contains(out, "60 conversations") {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	whole := t.TempDir()
	if code, _, errs := run(t, "", append([]string{"demo", "--data", whole}, numbers...)...); code != 0 {
		t.Fatal(errs)
	}
	if rows(t, data) != rows(t, whole) {
		t.Error("it is not what a run in one go makes")
	}
}

func TestAnUnreadableMarkIsTold(t *testing.T) {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, unfinished), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, "", "demo", "--data", data); code != 1 || !strings.Contains(errs, unfinished) {
		t.Errorf("exit %d, said %s", code, errs)
	}
}
