package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// names puts words in the place of what differs from run to run.
type names struct{ known map[string]string }

var (
	anyID     = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anySecret = regexp.MustCompile(`"(token|visitor_token|epoch|key|slug|cursor|hash)":( ?)"[^"]+"`)
	inQuery   = regexp.MustCompile(`\b(cursor|epoch)=[^&"]+`)
	anyTime   = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"`)
	anyPause  = regexp.MustCompile(`\\"retry_after\\":[0-9.]+`) // in the reason of a closing frame, drawn at random
	anyBucket = regexp.MustCompile(`"bucket":( ?)\d+`)          // it follows from an id
	anyBuild  = regexp.MustCompile(`\?v=[0-9a-f]{16}`)
)

func newNames() *names { return &names{known: map[string]string{}} }

func (n *names) replace(b []byte) []byte {
	b = anyID.ReplaceAllFunc(b, func(id []byte) []byte {
		if n.known[string(id)] == "" {
			n.known[string(id)] = fmt.Sprintf("00000000-0000-7000-8000-%012d", len(n.known)+1)
		}
		return []byte(n.known[string(id)])
	})
	b = anyTime.ReplaceAllFunc(b, func(at []byte) []byte {
		if string(at) == `"`+rigTime.String()+`"` {
			return at
		}
		return []byte(`"2000-01-01T00:00:00.000000Z"`) // the machine's clock
	})
	b = anySecret.ReplaceAll(b, []byte(`"$1":$2"…"`))
	b = anyBucket.ReplaceAll(b, []byte(`"bucket":${1}7`))
	b = inQuery.ReplaceAll(b, []byte(`$1=…`))
	b = anyPause.ReplaceAll(b, []byte(`\"retry_after\":1.0`))
	return anyBuild.ReplaceAll(b, []byte(`?v=…`))
}

// golden compares with a committed file, or writes it with -update.
func golden(t testing.TB, file string, got []byte) {
	t.Helper()
	if *update {
		write(t, file, got)
		return
	}
	same(t, file, got)
}

func write(t testing.TB, file string, got []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, got, 0o644); err != nil {
		t.Fatal(err)
	}
}

func same(t testing.TB, file string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%v (make it with -update)", err)
		return
	}
	if bytes.Equal(want, got) {
		return
	}
	is, was := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	line := 0
	for line < min(len(is), len(was)) && is[line] == was[line] {
		line++
	}
	at := func(lines []string) string {
		return strings.TrimSpace(strings.Join(lines[min(line, len(lines)):min(line+1, len(lines))], ""))
	}
	t.Errorf("%s is not what the program makes; look at the difference, then run with -update. Line %d is now\n%s\nand was\n%s",
		file, line+1, clip([]byte(at(is))), clip([]byte(at(was))))
}

// exchanges reads every file that was kept.
func exchanges(t *testing.T) map[string]exchange {
	t.Helper()
	all := map[string]exchange{}
	err := filepath.WalkDir(wireDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var x exchange
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&x); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		name, err := filepath.Rel(wireDir, strings.TrimSuffix(path, ".json"))
		all[filepath.ToSlash(name)] = x
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
