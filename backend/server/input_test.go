package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
)

func TestBadRequestsAreRefusedClearly(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	r.conversation()
	id := chat.NewID[chat.Command]().String()
	one := func(rest string) string { return `{"commands":[{"id":"` + id + `",` + rest + `}]}` }
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code                     chat.Code
		field                    string
	}{
		{"nothing", "POST", "/v1/commands", ``, 400, chat.CodeInvalid, "body"},
		{"not JSON", "POST", "/v1/commands", `{"commands":`, 400, chat.CodeInvalid, "body"},
		{"two documents", "POST", "/v1/commands", `{} {}`, 400, chat.CodeInvalid, "body"},
		{"a list", "POST", "/v1/commands", `[]`, 400, chat.CodeInvalid, "body"},
		{"no commands", "POST", "/v1/commands", `{"commands":[]}`, 400, chat.CodeInvalid, "commands"},
		{"commands of a wrong type", "POST", "/v1/commands", `{"commands":{"a":1}}`, 400, chat.CodeInvalid, "commands"},
		{"too many commands", "POST", "/v1/commands", `{"commands":[` + strings.Repeat(`{},`, 100) + `{}]}`, 400, chat.CodeInvalid, "commands"},
		{"no id", "POST", "/v1/commands", `{"commands":[{"kind":"me.put","args":{}}]}`, 400, chat.CodeInvalid, "commands.0.id"},
		{"an id that is none", "POST", "/v1/commands", `{"commands":[{"id":"7","kind":"me.put","args":{}}]}`, 400, chat.CodeInvalid, "commands.0.id"},
		{"seen of a wrong type", "POST", "/v1/commands", one(`"kind":"me.put","args":{},"seen":"x"`), 400, chat.CodeInvalid, "commands.0.seen"},
		{"kind of a wrong type", "POST", "/v1/commands", one(`"kind":7`), 400, chat.CodeInvalid, "commands.0.kind"},
		{"broken UTF-8", "POST", "/v1/commands", one("\"kind\":\"\xff\xfe\""), 400, chat.CodeInvalid, "body"},
		{"half a character", "POST", "/v1/commands", one(`"kind":"\ud800"`), 400, chat.CodeInvalid, "body"},
		{"huge", "POST", "/v1/commands", one(`"kind":"` + strings.Repeat("x", 1<<20) + `"`), 413, chat.CodeTooLarge, ""},
		{"after is missing", "GET", "/v1/changes", ``, 400, chat.CodeInvalid, "after"},
		{"after is negative", "GET", "/v1/changes?after=-1", ``, 400, chat.CodeInvalid, "after"},
		{"after is no number", "GET", "/v1/changes?after=x", ``, 400, chat.CodeInvalid, "after"},
		{"limit is out of range", "GET", "/v1/changes?after=0&limit=1001", ``, 400, chat.CodeInvalid, "limit"},
		{"a path without an id", "GET", "/v1/conversations/seven", ``, 400, chat.CodeInvalid, "id"},
		{"an unknown conversation", "GET", "/v1/conversations/" + chat.NewID[chat.Conversation]().String(), ``, 404, chat.CodeNotFound, ""},
		{"two directions", "GET", "/v1/conversations/" + id + "/messages?before=3&after=1", ``, 400, chat.CodeInvalid, "before"},
		{"an unknown status", "GET", "/v1/conversations?status=x", ``, 400, chat.CodeInvalid, "status"},
		{"an unknown state", "GET", "/v1/conversations?state=foo", ``, 400, chat.CodeInvalid, "state"},
		{"a garbled cursor of contacts", "GET", "/v1/contacts?cursor=x", ``, 400, chat.CodeInvalid, "cursor"},
		{"a file that is no hash", "GET", "/v1/files/x%00y", ``, 400, chat.CodeInvalid, "sha256"},
		{"a brand that is no id", "GET", "/v1/conversations?brand=x", ``, 400, chat.CodeInvalid, "brand"},
		{"a garbled cursor", "GET", "/v1/conversations?cursor=x", ``, 400, chat.CodeInvalid, "cursor"},
		{"a query with a zero byte", "GET", "/v1/search?q=%00", ``, 400, chat.CodeInvalid, "q"},
		{"an empty query", "GET", "/v1/search?q=", ``, 400, chat.CodeInvalid, "q"},
		{"a garbled bootstrap cursor", "GET", "/v1/bootstrap?cursor=x", ``, 400, chat.CodeInvalid, "cursor"},
		{"a live socket without upgrade", "GET", "/v1/live", ``, 400, chat.CodeInvalid, "Upgrade"},
		{"no such address", "GET", "/v1/nonsense", ``, 404, chat.CodeNotFound, ""},
		{"the root", "GET", "/", ``, 404, chat.CodeNotFound, ""},
		{"a method that is not answered", "PUT", "/v1/commands", `{}`, 405, chat.CodeInvalid, ""},
		{"a session of a wrong type", "POST", "/v1/session", `{"email":1}`, 400, chat.CodeInvalid, "email"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.do(c.method, c.path, r.owner.Token, c.body)
			if p := a.problem(t); p.Status != c.status || p.Code != c.code || p.Field != c.field {
				t.Errorf("%d %s field %q (%s), want %d %s field %q", p.Status, p.Code, p.Field, p.Detail, c.status, c.code, c.field)
			}
		})
	}
	if a := r.do("GET", "/v1/members", r.owner.Token, nil, protocol.VersionHeader, "2"); a.status != 400 || a.problem(t).Field != protocol.VersionHeader {
		t.Errorf("another protocol: %d", a.status)
	}
}

// TestABodyIsJSONWhateverItCallsItself: simple programs send no content type,
// or a form's. No browser sends a token by itself, so there is nothing to
// protect; the visitor's routes are for the listed origins whatever is sent.
func TestABodyIsJSONWhateverItCallsItself(t *testing.T) {
	r := newRig(t, onSQLite(t))
	v := r.visit(r.created.Channel.Key)
	for _, kind := range []string{"", "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "nonsense"} {
		id := chat.NewID[chat.Command]().String()
		for _, c := range []struct {
			path, token, body string
			status            int
		}{
			{"/v1/commands", r.owner.Token, `{"commands":[{"id":"` + id + `","kind":"me.put","args":{"name":"Olga"}}]}`, 200},
			{"/v1/session", "", `{"email":"olga@northwind.example","password":"` + password + `"}`, 201},
			{"/v1/visitor/session", "", `{"channel":"` + r.created.Channel.Key + `"}`, 200},
			{"/v1/visitor/messages", v.token, `{"id":"` + chat.NewID[chat.Message]().String() + `","text":"hi"}`, 200},
		} {
			if a := r.do(http.MethodPost, c.path, c.token, c.body, "Content-Type", kind); a.status != c.status {
				t.Errorf("%s as %q: %d %s", c.path, kind, a.status, a.body)
			}
			if a := r.do(http.MethodPost, c.path, c.token, "email=x&password=y", "Content-Type", kind); a.status != http.StatusBadRequest || a.problem(t).Field != "body" {
				t.Errorf("%s, a form as %q: %d %s", c.path, kind, a.status, a.body)
			}
		}
		if a := r.do(http.MethodPost, "/v1/visitor/session", "", `{"channel":"`+r.created.Channel.Key+`"}`, "Content-Type", kind, "Origin", "https://evil.example"); a.status != http.StatusForbidden {
			t.Errorf("a foreign page as %q: %d", kind, a.status)
		}
	}
}

func TestBadArgsAreRefusedWithTheField(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	conv, _ := r.conversation()
	m := func(rest string) string {
		return `{"conversation":"` + conv.String() + `","message":"` + chat.NewID[chat.Message]().String() + `"` + rest + `}`
	}
	part := func(s string) string { return m(`,"parts":[{"kind":"text","text":"` + s + `"}]`) }
	for _, c := range []struct {
		name, kind, args string
		code             chat.Code
		field            string
	}{
		{"an unknown kind", "message.sing", `{}`, chat.CodeInvalid, "kind"},
		{"no kind", "", `{}`, chat.CodeInvalid, "kind"},
		{"no args", "message.send", `null`, chat.CodeInvalid, "args"},
		{"args of a wrong type", "message.send", `[1]`, chat.CodeInvalid, "args"},
		{"no parts", "message.send", m(``), chat.CodeInvalid, "parts"},
		{"parts of a wrong type", "message.send", m(`,"parts":"hello"`), chat.CodeInvalid, "parts"},
		{"a part of a wrong type", "message.send", m(`,"parts":[{"kind":"text","text":7}]`), chat.CodeInvalid, "parts.0.text"},
		{"an unknown part", "message.send", m(`,"parts":[{"kind":"hologram"}]`), chat.CodeUnsupported, "parts.0.kind"},
		{"an empty text", "message.send", part(" "), chat.CodeInvalid, "parts.0.text"},
		{"a zero byte", "message.send", part(`a\u0000b`), chat.CodeInvalid, "parts.0.text"},
		{"too long for the channel", "message.send", part(strings.Repeat("x", 10_001)), chat.CodeTooLarge, "parts"},
		{"too long for any", "message.send", part(strings.Repeat("x", 70<<10)), chat.CodeTooLarge, "parts.0.text"},
		{"no conversation", "message.send", `{"message":"` + chat.NewID[chat.Message]().String() + `","parts":[{"kind":"text","text":"x"}]}`, chat.CodeInvalid, "conversation"},
		{"a conversation that is no id", "message.send", `{"conversation":"x","message":"y"}`, chat.CodeInvalid, "conversation"},
		{"no message id", "message.send", `{"conversation":"` + conv.String() + `","parts":[{"kind":"text","text":"x"}]}`, chat.CodeInvalid, "message"},
		{"a reply to nothing", "message.send", m(`,"parts":[{"kind":"text","text":"x"}],"reply_to":"` + chat.NewID[chat.Message]().String() + `"`), chat.CodeInvalid, "reply_to"},
		{"a file the server lacks", "message.send", m(`,"parts":[{"kind":"file","sha256":"` + strings.Repeat("0", 64) + `"}]`), chat.CodeInvalid, "parts.0.sha256"},
		{"an assignment to nobody said", "conversation.assign", `{"conversation":"` + conv.String() + `"}`, chat.CodeInvalid, "member"},
		{"a moment years from now", "message.send", m(`,"parts":[{"kind":"text","text":"x"}],"send_at":"2999-01-01T00:00:00Z"`), chat.CodeInvalid, "send_at"},
		{"more time to take back than there is", "me.put", `{"undo_seconds":31}`, chat.CodeInvalid, "undo_seconds"},
		{"a link that runs", "message.send", m(`,"parts":[{"kind":"link","url":"javascript:alert(1)"}]`), chat.CodeInvalid, "parts.0.url"},
		{"what the channel cannot carry", "message.send", m(`,"parts":[{"kind":"text","text":"x"},{"kind":"template"}]`), chat.CodeUnsupported, "parts.1.kind"},
		{"what the channel cannot sell", "message.send", m(`,"parts":[{"kind":"paid","price":100,"currency":"EUR"}]`), chat.CodeUnsupported, "parts.0.kind"},
		{"no channel", "channel.put", `{}`, chat.CodeInvalid, "channel"},
		{"an unknown conversation", "conversation.resolve", `{"conversation":"` + chat.NewID[chat.Conversation]().String() + `"}`, chat.CodeNotFound, ""},
		{"an empty comment", "comment.add", m(`,"text":""`), chat.CodeInvalid, "text"},
		{"a draft with a zero byte", "draft.put", m(`,"text":"\u0000"`), chat.CodeInvalid, "text"},
		{"an unknown contact", "contact.update", `{"contact":"` + chat.NewID[chat.Contact]().String() + `"}`, chat.CodeNotFound, ""},
		{"a wrong choice", "me.put", `{"read_mode":"sometimes"}`, chat.CodeInvalid, "read_mode"},
		{"a name of spaces", "me.put", `{"name":"  "}`, chat.CodeInvalid, "name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := r.send(r.owner.Token, chat.Command{ID: chat.NewID[chat.Command](), Kind: c.kind, Args: json.RawMessage(c.args)})[0]
			if p := res.Problem; res.Status != protocol.StatusRefused || p == nil || p.Code != c.code || p.Field != c.field || p.Detail == "" {
				t.Errorf("%s %+v, want %s field %q", res.Status, p, c.code, c.field)
			}
		})
	}
	if n := len(r.thread(conv)); n != 1 {
		t.Errorf("%d messages after nothing but refusals", n)
	}
}

// TestAnOversizedBodyIsNotRead: the answer comes although the body never does.
func TestAnOversizedBodyIsNotRead(t *testing.T) {
	r := newRig(t, onSQLite(t))
	for _, path := range []string{"POST /v1/commands", "PUT /v1/files/" + strings.Repeat("ab", 32)} {
		conn, err := net.Dial("tcp", r.srv.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000000000\r\n\r\n", path, r.owner.Token)
		head := make([]byte, 64)
		n, err := conn.Read(head)
		if err != nil || !strings.Contains(string(head[:n]), " 413 ") {
			t.Errorf("%s: %q %v", path, head[:n], err)
		}
		conn.Close()
	}
}

func TestWrongPasswordsAreBraked(t *testing.T) {
	r := newRig(t, onSQLite(t))
	try := func(email, pw string) (answer, protocol.Problem) {
		a := r.do(http.MethodPost, "/v1/session", "", protocol.SignIn{Email: email, Password: pw})
		if a.status == http.StatusCreated {
			return a, protocol.Problem{}
		}
		return a, a.problem(t)
	}
	known, unknown := "olga@northwind.example", "nobody@northwind.example"
	_, p1 := try(known, "wrong password")
	_, p2 := try(unknown, "wrong password")
	if p1.Code != chat.CodeBadCredentials || p1.Status != 401 || p1.Detail != p2.Detail || p1.Code != p2.Code {
		t.Fatalf("a stranger is told apart: %+v / %+v", p1, p2)
	}
	for range 9 {
		try(known, "wrong password")
	}
	a, p := try(known, password)
	if p.Code != chat.CodeTooMany || p.Status != 429 || p.RetryAfter <= 0 || a.header.Get("Retry-After") == "" {
		t.Fatalf("after ten wrong passwords: %+v", p)
	}
	if _, p := try(unknown, "wrong password"); p.Code != chat.CodeBadCredentials {
		t.Fatalf("another e-mail is braked too: %+v", p)
	}
	r.clock.advance(time.Duration(p.RetryAfter*float64(time.Second)) + time.Second)
	if a, p := try(" OLGA@northwind.example ", password); a.status != http.StatusCreated {
		t.Fatalf("after waiting: %+v", p)
	}
}

// setupToken finds the one-time token in the log of an empty backend.
func setupToken(log *lines) string {
	for _, line := range strings.Split(log.String(), "\n") {
		var entry struct {
			Token string `json:"setup_token"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Token != "" {
			return entry.Token
		}
	}
	return ""
}

func TestSetupWorksOnceWithTheToken(t *testing.T) {
	log := &lines{}
	srv, err := server.New(context.Background(), server.Config{Listen: "127.0.0.1:0", Data: t.TempDir(), Log: slog.New(slog.NewJSONHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, srv: srv, base: "http://" + srv.Addr()}
	token := setupToken(log)
	req := protocol.Setup{Token: "guessed", Workspace: "Acme", Email: "o@acme.example", Password: password}
	if p := r.do(http.MethodPost, "/v1/setup", "", req).problem(t); p.Code != chat.CodeForbidden {
		t.Fatalf("a guessed token: %+v", p)
	}
	req.Token, req.Password = token, "short"
	if p := r.do(http.MethodPost, "/v1/setup", "", req).problem(t); p.Field != "password" {
		t.Fatalf("a short password: %+v", p)
	}
	req.Password = password
	a := r.do(http.MethodPost, "/v1/setup", "", req)
	var created protocol.Created
	a.into(t, &created)
	if a.status != http.StatusCreated || created.Channel.Slug == "" || created.Channel.Key == "" || created.Brand.IsZero() {
		t.Fatalf("setup: %d %s", a.status, a.body)
	}
	if p := r.do(http.MethodPost, "/v1/setup", "", req).problem(t); p.Code != chat.CodeConflict {
		t.Fatalf("a second time: %+v", p)
	}
	r.signIn("o@acme.example", "x")
	if a := r.do(http.MethodGet, "/c/"+created.Channel.Slug, "", nil); a.status != http.StatusOK {
		t.Errorf("the share-link page: %d", a.status)
	}
}

func TestAForeignDatabaseIsRefusedAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "parley.db")
	if err := os.WriteFile(file, []byte("this is not a database at all, but it is somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := server.New(context.Background(), server.Config{Data: dir, Log: slog.New(slog.DiscardHandler)})
	if err == nil || chat.ErrorMessage(err) == "" {
		t.Fatalf("opened: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "this is not a database at all, but it is somebody's" {
		t.Error("the file was touched")
	}
}

func TestReadinessAndMetrics(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	r.apply(r.owner.Token, text(conv, "secret words"), nil)
	r.send(r.owner.Token, cmd("an.unknown.kind.from.outside", map[string]any{}))
	if a := r.do(http.MethodGet, "/readyz", "", nil); a.status != http.StatusOK {
		t.Errorf("readyz: %d", a.status)
	}
	body := string(r.do(http.MethodGet, "/metrics", "", nil).body)
	for _, want := range []string{`parley_commands_total{kind="message.send",verdict="applied"} 1`, `kind="unknown",verdict="refused_invalid"`, `route="POST /v1/commands"`} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, secret := range []string{"secret words", conv.String(), r.owner.Token, r.owner.Member.ID.String(), "an.unknown"} {
		if strings.Contains(body, secret) {
			t.Errorf("metrics contain %q", secret)
		}
	}
}

// FuzzCommands: whatever stands in a request, the server judges it or refuses
// it; it never breaks, and never writes what it would not accept.
func FuzzCommands(f *testing.F) {
	r := newRig(f, onSQLite(f)).unpaced()
	conv, _ := r.conversation()
	id, msg := chat.NewID[chat.Command]().String(), chat.NewID[chat.Message]().String()
	f.Add(`{"commands":[{"id":"` + id + `","kind":"message.send","args":{"conversation":"` + conv.String() + `","message":"` + msg + `","parts":[{"kind":"text","text":"hi"}]},"seen":1}]}`)
	f.Add(`{"commands":[{"id":"` + id + `","kind":"settings.put","args":{"send_interval_seconds":1e3}}]}`)
	f.Add(`{"commands":[{"id":"` + id + `","kind":"conversation.read","args":{"conversation":"` + conv.String() + `","upto":9223372036854775807},"seen":-9223372036854775808,"age_ms":9223372036854775807}]}`)
	f.Add(`{"commands":[{"id":"` + id + `","after":"` + id + `","kind":"me.put","args":{"name":null}}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		req := httptest.NewRequest(http.MethodPost, "/v1/commands", strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+r.owner.Token)
		rec := httptest.NewRecorder()
		r.srv.Handler().ServeHTTP(rec, req)
		if rec.Code >= 500 {
			t.Fatalf("%d for %q: %s", rec.Code, body, rec.Body)
		}
		if !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("the answer is not JSON: %s", rec.Body)
		}
	})
}
