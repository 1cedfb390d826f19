package store

import (
	"database/sql"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"parley/backend/chat"
)

// Statements that begin without knowing the workspace: they look it up. Each
// gives workspace_id, and goes by a value that is secret or unique.
var directory = []string{
	`select data from workspace order by created_at, workspace_id`,
	`select workspace_id from counter order by workspace_id`,
	`select workspace_id from counter`,
	`select count(*) from counter`,
	`select workspace_id, data, secret from channel where key = ? and key <> ''`,
	`select workspace_id, data, secret from channel where slug = ? and slug <> ''`,
	`select workspace_id, data, password_hash from member where email = ? order by disabled, workspace_id limit 1`,
	`select s.workspace_id, s.id, s.member_id, s.device, s.created_at, s.seen_at, s.revoked_at, s.wipe, m.data from session s ` +
		`join member m on m.workspace_id = s.workspace_id and m.id = s.member_id where s.token_hash = ?`,
	`select workspace_id, channel_id, contact_id, conversation_id, created_at, arrival from visitor where token_hash = ?`,
	`select count(*) from message_doc where doc = ?`, // SQLite's index of words has one room for all
}

var (
	verb   = regexp.MustCompile(`^\s*(select|insert into|update|delete from|with)\b`)
	spaces = regexp.MustCompile(`\s+`)
)

// literals gives every text of the package that is put together at one place:
// single literals, and sums with what they are added to.
func literals(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, file, nil, 0)
		must(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				must(t, err)
				found[set.Position(lit.Pos()).String()] = text
			}
			return true
		})
	}
	return found
}

func TestEveryStatementNamesTheWorkspace(t *testing.T) {
	steps, err := migrations()
	must(t, err)
	entity := regexp.MustCompile(`\b(from|join|into|update)\s+(` + strings.Join(tablesOf(steps), "|") + `)\b`)
	checked := 0
	for at, text := range literals(t) {
		if !verb.MatchString(text) {
			continue
		}
		statement := strings.TrimSpace(spaces.ReplaceAllString(text, " "))
		tables := entity.FindAllString(statement, -1)
		if len(tables) == 0 {
			continue // pragma, catalogue, or the tables' names are put in: the check and copy of whole databases
		}
		checked++
		known := false
		for _, d := range directory {
			known = known || d == statement
		}
		if known {
			continue
		}
		// A list's beginning ends before its conditions, which window, filter and
		// pairs add; those begin with the workspace and are texts of their own.
		open := !strings.Contains(statement, " where ") && strings.HasPrefix(statement, "select")
		if open && (strings.Contains(statement, "from conversation c") || strings.Contains(statement, " e join change h")) {
			continue
		}
		if !strings.Contains(statement, "workspace_id") {
			t.Errorf("%s: a statement without workspace_id: %s", at, statement)
		}
		if !strings.HasPrefix(statement, "insert") && !strings.Contains(statement, "workspace_id = ?") {
			t.Errorf("%s: a statement that is not limited to one workspace: %s", at, statement)
		}
		if joins := strings.Count(statement, " join "); strings.Count(statement, ".workspace_id = ") < joins {
			t.Errorf("%s: a join that does not go by workspace: %s", at, statement)
		}
	}
	if checked < 60 {
		t.Errorf("only %d statements were found: the test looks in the wrong place", checked)
	}
}

func TestListsBeginWithTheWorkspace(t *testing.T) {
	begins := 0
	for _, text := range literals(t) {
		if strings.HasPrefix(text, " where c.") {
			begins++
			if !strings.HasPrefix(text, " where c.workspace_id = ? and ") {
				t.Errorf("conditions that do not begin with the workspace: %s", text)
			}
		}
	}
	if begins < 2 {
		t.Errorf("only %d beginnings were found: the test looks in the wrong place", begins)
	}
}

func TestQuestionMarksAreOnlyPlaceholders(t *testing.T) {
	quotedMark := regexp.MustCompile(`'[^']*\?[^']*'`)
	for at, text := range literals(t) {
		if verb.MatchString(text) && quotedMark.MatchString(text) {
			t.Errorf("%s: a question mark inside a literal cannot be told from a placeholder: %s", at, text)
		}
	}
	if got := rebind(`select ? where a = ?`); got != `select $1 where a = $2` {
		t.Errorf("got %q", got)
	}
}

func TestEveryPrimaryKeyBeginsWithTheWorkspace(t *testing.T) {
	steps, err := migrations()
	must(t, err)
	keys := 0
	for _, step := range steps {
		for _, m := range regexp.MustCompile(`primary key \(([^)]*)\)`).FindAllStringSubmatch(step, -1) {
			keys++
			if !strings.HasPrefix(m[1], "workspace_id") {
				t.Errorf("primary key (%s)", m[1])
			}
		}
	}
	if keys != len(tablesOf(steps)) {
		t.Errorf("%d primary keys for %d tables", keys, len(tablesOf(steps)))
	}
}

func TestTranslationLeavesNothingOfTheOtherDatabase(t *testing.T) {
	text, err := os.ReadFile("migrations/0001.sql")
	must(t, err)
	postgres, sqlite := (&dialect{postgres: true}).translate(string(text)), (&dialect{}).translate(string(text))
	for _, word := range []string{"strict", "blob", "integer", "without rowid", "--"} {
		if strings.Contains(postgres, word) {
			t.Errorf("%q is in the PostgreSQL schema", word)
		}
	}
	for _, word := range []string{"bytea", "bigint", "collate", "--"} {
		if strings.Contains(sqlite, word) {
			t.Errorf("%q is in the SQLite schema", word)
		}
	}
	if n, m := strings.Count(sqlite, "create table"), strings.Count(sqlite, "strict"); n != m {
		t.Errorf("%d tables, %d of them strict", n, m)
	}
}

// Lists are read from an index in its order: no page sorts or scans a table.
func TestPagesFollowAnIndex(t *testing.T) {
	s := opened(t, quiet(Options{Data: t.TempDir()}))
	w := newWorld(t, s)
	importSome(t, w, 400, 5) // with statistics, as after every import
	r, err := s.read(t.Context(), w.ws)
	must(t, err)
	a := &stream{r: r, s: s, view: chat.ViewOf(w.members[0]), Stream: Stream{Days: 30}}
	window := &query{}
	window.add(selectPairs)
	a.window(window, top())
	window.args = append(window.args, int64(pageRows))
	for name, x := range map[string]*query{
		"window": window,
		"log": page(`select seq from change where workspace_id = ? and seq > ? and seq <= ? order by seq limit ?`,
			r.ws, int64(0), int64(9), int64(9)),
		"thread": page(`select data from message where workspace_id = ? and conversation_id = ? order by number desc limit ?`,
			r.ws, r.ws, int64(3)),
		"changed": page(selectPairs+` where c.workspace_id = ? and c.ver > ? and c.ver <= ? order by c.ver limit ?`,
			r.ws, int64(0), int64(9), int64(9)),
		"last sent": page(`select stored_at from message where workspace_id = ? and conversation_id = ? and author_id = ?
				and kind = 'message' and author_kind = 'member' order by number desc limit 1`,
			r.ws, r.ws, "x"),
		"term": page(`select k.id, k.data from contact_term t join contact k on k.workspace_id = t.workspace_id and k.id = t.contact_id
				where t.workspace_id = ? and t.term >= ? and t.term < ? limit ?`,
			r.ws, "a", "b", int64(9)),
	} {
		must(t, r.each("plan", "explain query plan "+x.text.String(), func(rows *sql.Rows) error {
			var id, parent, unused int
			var detail string
			err := rows.Scan(&id, &parent, &unused, &detail)
			if strings.Contains(detail, "SCAN") || strings.Contains(detail, "TEMP B-TREE") {
				t.Errorf("%s: %s", name, detail)
			}
			return err
		}, x.args...))
	}
}

func page(text string, args ...any) *query {
	q := &query{}
	q.add(text, args...)
	return q
}
