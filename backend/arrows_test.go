// Package backend_test holds the repository to its shape: who may import whom, what the domain may not touch, that
// each package says what it is, and that no file grows beyond reading. When one of these fails, the message says why
// the rule is there; if the shape itself is to change, docs/architecture.md and this table change together.
package backend_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrow says what the packages below a path may import of ours. The longest matching path decides.
type arrow struct {
	from string   // relative to the module; "" is the root package, and only that
	to   []string // packages, with all that lies below them; "self" is its own folder
	why  string
}

// arrows is the map of the house. What is not in it may import nothing of ours.
func arrows() []arrow {
	const leaf = "it is a leaf: it imports chat and nothing else of ours, so that it can be understood and tested alone"
	return []arrow{
		{"", []string{"backend/chat", "backend/protocol", "backend/desktop", "backend/server"},
			"the root package wires the desktop and the embedded backend together"},
		{"backend", nil, "this folder holds only the test of its own shape"},
		{"backend/chat", nil, "the domain knows nobody: everybody may lean on it only because it leans on nothing"},
		{"backend/protocol", []string{"backend/chat"},
			"the protocol is the contract between desktop and server, so it can know neither"},
		{"backend/search", []string{"backend/chat"}, "what looking for something means is one thing on the desktop and on the server, and knows neither"},
		{"backend/demo", []string{"backend/chat", "self"}, "the demo data is made of chat values and knows no storage"},

		{"backend/desktop", []string{"backend/chat", "backend/protocol", "backend/search", "backend/desktop"},
			"the desktop meets a server only over the protocol; only main.go and e2e know both"},
		{"backend/desktop/cache", []string{"backend/chat", "backend/protocol", "backend/search", "self"},
			"the cache is below sync, outbox and engine: they come to it"},
		{"backend/desktop/sync", []string{"backend/chat", "backend/protocol", "backend/desktop/cache", "self"},
			"sync keeps the cache true and knows neither the outbox nor the engine"},
		{"backend/desktop/outbox", []string{"backend/chat", "backend/protocol", "backend/desktop/cache", "self"},
			"the outbox keeps its commands in the cache's local store and knows neither sync nor the engine"},
		{"backend/desktop/secrets", []string{"backend/chat", "self"}, leaf},
		{"backend/desktop/voice", []string{"backend/chat", "self"}, leaf},
		{"backend/desktop/prerender", []string{"self"}, "it draws from JSON with the window's own script, and knows nothing of what is drawn"},
		{"backend/desktop/notify", []string{"backend/chat", "self"}, leaf},

		{"backend/server", []string{"backend/chat", "backend/protocol", "backend/search", "backend/server", "backend/demo"},
			"the server knows a desktop only over the protocol; only main.go and e2e know both"},
		{"backend/server/api", []string{"backend/chat", "backend/protocol", "backend/server/inbox",
			"backend/server/store", "backend/server/fanout", "backend/server/auth", "backend/server/blob", "backend/server/body", "backend/search", "self"},
			"handlers decode, authorise, call the inbox and encode; channels are mounted by server.go"},
		{"backend/server/inbox", []string{"backend/chat", "backend/protocol", "backend/search", "backend/server/store",
			"backend/server/fanout", "backend/server/auth", "backend/server/blob", "self"},
			"the inbox is the one writer: what sits above it comes to it through its interfaces"},
		{"backend/server/store", []string{"backend/chat", "backend/search", "self"},
			"it keeps what it is told to, and finds it again by the rules of search: it knows nobody above it"},
		{"backend/server/fanout", []string{"backend/chat", "self"}, leaf},
		{"backend/server/blob", []string{"backend/chat", "self"}, leaf},
		{"backend/server/body", []string{"backend/chat", "self"}, leaf},
		{"backend/server/jobs", []string{"backend/chat", "self"}, leaf},
		{"backend/server/auth", []string{"backend/chat", "self"}, leaf},
		{"backend/server/channel", []string{"backend/chat", "backend/protocol", "backend/server/inbox", "backend/server/body", "self"},
			"a connector asks the inbox through small interfaces and never sees the store, nor another connector"},
		{"backend/cmd/parleyd", []string{"backend/chat", "backend/protocol", "backend/server", "backend/demo"},
			"parleyd is the server and nothing of the desktop"},

		{"e2e", []string{"backend", "e2e"}, "end-to-end tests put everything together"},
		{"build/prerender", []string{"backend/desktop/prerender"}, "what compiles the script that draws the window is what runs it"},
		{"build/report", nil, "tools of the build know nothing of the program"},
	}
}

// testArrows is what tests may import on top: a test may stand on the layer above to drive the real thing, and tests
// and benchmarks of both sides run on the demo data.
func testArrows() []arrow {
	return []arrow{
		{"backend/desktop", []string{"backend/demo", "backend/server"},
			"the desktop's tests talk to a real server, over a real socket"},
		{"backend/server", []string{"backend/demo", "backend/server", "backend/protocol"},
			"the server's tests run the real store, inbox and handlers together"},
	}
}

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath   string
	Dir          string
	Name         string
	GoFiles      []string
	CgoFiles     []string
	Imports      []string
	TestGoFiles  []string
	XTestGoFiles []string
	TestImports  []string
	XTestImports []string
}

const module = "parley"

// local is a package's path within the module, and whether it is ours.
func local(importPath string) (string, bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// packages lists ours for one set of build tags: files hide behind tags, and imports with them.
func packages(t *testing.T, tags string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-buildvcs=false", "-json", "-tags", tags, "./...")
	cmd.Dir = ".."
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, problems.String())
	}
	var list []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read what go list printed: %v", err)
		}
		list = append(list, p)
	}
	if len(list) < 10 {
		t.Fatalf("go list found only %d packages", len(list))
	}
	return list
}

func everyTagSet() []string {
	return []string{"sqlite_fts5", "desktop,production,webkit2_41,sqlite_fts5,devtools"}
}

// rule finds the arrow that decides about a package: the longest path at or above it.
func rule(table []arrow, path string) (arrow, bool) {
	best, found := arrow{}, false
	for _, a := range table {
		at := path == a.from || a.from != "" && strings.HasPrefix(path, a.from+"/")
		if at && (!found || len(a.from) > len(best.from)) {
			best, found = a, true
		}
	}
	return best, found
}

// allows says whether the arrow lets path import target.
func (a arrow) allows(path, target string) bool {
	return slices.ContainsFunc(a.to, func(to string) bool {
		if to == "self" {
			// Connectors lie side by side below one arrow and are strangers to each other.
			to = a.from
			if a.from == "backend/server/channel" {
				name, _, _ := strings.Cut(strings.TrimPrefix(path, a.from+"/"), "/")
				to = a.from + "/" + name
			}
		}
		return target == to || strings.HasPrefix(target, to+"/")
	})
}

func TestArrows(t *testing.T) {
	table, forTests := arrows(), testArrows()
	for _, tags := range everyTagSet() {
		for _, p := range packages(t, tags) {
			path, _ := local(p.ImportPath)
			down, known := rule(table, path)
			if !known {
				t.Errorf("%s has no place in the house: add it to docs/architecture.md and to the table of this test", p.ImportPath)
				continue
			}
			for _, target := range ours(p.Imports) {
				if target != path && !down.allows(path, target) {
					t.Errorf("%s imports %s: %s", p.ImportPath, target, down.why)
				}
			}
			extra, _ := rule(forTests, path)
			for _, target := range ours(append(slices.Clone(p.TestImports), p.XTestImports...)) {
				if target != path && !down.allows(path, target) && !extra.allows(path, target) {
					t.Errorf("the tests of %s import %s: %s", p.ImportPath, target, down.why)
				}
			}
		}
	}
}

// ours keeps those imports that are of this module, as paths within it.
func ours(imports []string) []string {
	var list []string
	for _, i := range imports {
		if path, mine := local(i); mine && path != "" {
			list = append(list, path)
		}
	}
	return list
}

// TestNoArrowByDetour follows imports to their end: desktop and server must not meet through a third package either.
func TestNoArrowByDetour(t *testing.T) {
	cmd := exec.Command("go", "list", "-buildvcs=false", "-deps", "-tags", "sqlite_fts5", "./backend/desktop/...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps: %v", err)
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if strings.HasPrefix(dep, module+"/backend/server") || strings.HasPrefix(dep, module+"/backend/demo") {
			t.Errorf("the desktop depends on %s: it meets a server only over the protocol", dep)
		}
	}
}

func TestOnlyTheRootPackageKnowsWails(t *testing.T) {
	for _, tags := range everyTagSet() {
		for _, p := range packages(t, tags) {
			// The empty window that ours is measured against is a Wails program of its own.
			if p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/e2e/bench/") {
				continue
			}
			for _, i := range append(append(slices.Clone(p.Imports), p.TestImports...), p.XTestImports...) {
				if strings.HasPrefix(i, "github.com/wailsapp/") {
					t.Errorf("%s imports %s: only the root package knows what shows the window, so the engine runs without one",
						p.ImportPath, i)
				}
			}
		}
	}
}

// TestDomainIsPure keeps files, sockets, databases and logs out of the rules: what chat decides depends on its
// arguments alone. database/sql/driver is only the interface by which ids are stored.
func TestDomainIsPure(t *testing.T) {
	allowed := []string{"database/sql/driver", "github.com/google/uuid"}
	denied := []string{"bufio", "context", "database/", "embed", "io", "log", "math/rand", "net", "os", "plugin", "runtime",
		"sync", "syscall", "testing", "text/template", "html/template", "unsafe", "C"}
	for _, p := range packages(t, "sqlite_fts5") {
		if path, _ := local(p.ImportPath); path != "backend/chat" {
			continue
		}
		for _, i := range p.Imports {
			foreign := strings.Contains(strings.Split(i, "/")[0], ".")
			touches := slices.ContainsFunc(denied, func(d string) bool {
				return i == strings.TrimSuffix(d, "/") || strings.HasPrefix(i, strings.TrimSuffix(d, "/")+"/")
			})
			if (foreign || touches) && !slices.Contains(allowed, i) {
				t.Errorf("backend/chat imports %s: the domain does no input or output and holds no state", i)
			}
		}
		return
	}
	t.Error("there is no backend/chat")
}

// TestPackagesSayWhatTheyAre wants one package comment in each package, no init function, and no blank imports outside
// of main packages and tests: what runs is written where it is wired.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, p := range packages(t, "desktop,production,webkit2_41,sqlite_fts5,devtools") {
		comments := 0
		files := append(append(slices.Clone(p.GoFiles), p.CgoFiles...), p.TestGoFiles...)
		if len(files) == 0 {
			files = p.XTestGoFiles
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				comments++
			}
			for _, declaration := range file.Decls {
				if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s/%s has an init function: nothing runs because it was imported", p.ImportPath, name)
				}
			}
		}
		if comments != 1 {
			t.Errorf("%s has %d package comments, want one that teaches its subject", p.ImportPath, comments)
		}
	}
}

// maxLines is the hard end of a file; docs/develop.md asks to think at 400 already.
const maxLines = 600

func TestFilesAreShort(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case "node_modules", "dist", ".git", ".tools", "bin", "testdata":
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".ts", ".svelte", ".css", ".sql", ".sh"}, filepath.Ext(path)) {
			return nil
		}
		seen++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := 0
		for scanner := bufio.NewScanner(bytes.NewReader(data)); scanner.Scan(); {
			lines++
		}
		if lines > maxLines {
			t.Errorf("%s has %d lines: over %d a file is more than one thing", path, lines, maxLines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Fatalf("only %d source files were found", seen)
	}
}
