package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/blob"
	"parley/backend/server/store"
)

func shaOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// png is the smallest picture a sniffer takes for one.
var png = append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 600)...)

func TestFilesWholeAndInPieces(t *testing.T) {
	r := newRig(t, onSQLite(t))
	tok := r.owner.Token
	path := "/v1/files/" + shaOf(png)
	if a := r.do(http.MethodHead, path, tok, nil); a.status != http.StatusNotFound {
		t.Fatalf("HEAD before: %d", a.status)
	}
	total := len(png)
	piece := func(from, to int) answer {
		return r.do(http.MethodPut, path, tok, png[from:to], "Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, total), "X-Filename", "caf%C3%A9.png")
	}
	if a := piece(0, 100); a.status != 308 || a.header.Get("Range") != "bytes=0-99" {
		t.Fatalf("first piece: %d %q", a.status, a.header.Get("Range"))
	}
	if a := piece(300, total); a.status != 308 || a.header.Get("Range") != "bytes=0-99" {
		t.Fatalf("a piece that leaves a hole: %d %q", a.status, a.header.Get("Range"))
	}
	if a := r.do(http.MethodPut, path, tok, nil, "Content-Range", fmt.Sprintf("bytes */%d", total)); a.status != 308 || a.header.Get("Range") != "bytes=0-99" {
		t.Fatalf("asking how far: %d %q", a.status, a.header.Get("Range"))
	}
	a := piece(100, total)
	var f chat.File
	if a.into(t, &f); a.status != http.StatusCreated || f.Type != "image/png" || f.Name != "café.png" || f.Size != int64(total) {
		t.Fatalf("last piece: %d %s", a.status, a.body)
	}
	if a := r.do(http.MethodPut, path, tok, png); a.status != http.StatusCreated {
		t.Errorf("the same file again: %d", a.status)
	}
	if a := r.do(http.MethodHead, path, tok, nil); a.status != http.StatusOK || a.header.Get("Content-Length") != fmt.Sprint(total) {
		t.Errorf("HEAD after: %d %s", a.status, a.header.Get("Content-Length"))
	}
	a = r.do(http.MethodGet, path, tok, nil)
	if a.status != http.StatusOK || !bytes.Equal(a.body, png) || !strings.HasPrefix(a.header.Get("Content-Disposition"), "inline") ||
		!strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("GET: %d %v", a.status, a.header)
	}
	if a := r.do(http.MethodGet, path, tok, nil, "Range", "bytes=2-4"); a.status != http.StatusPartialContent || string(a.body) != "NG\r" {
		t.Errorf("a range: %d %q", a.status, a.body)
	}

	// A page is never shown in place, whatever it calls itself.
	page := []byte("<html><script>alert(1)</script>")
	r.do(http.MethodPut, "/v1/files/"+shaOf(page), tok, page, "Content-Type", "image/png", "X-Filename", `..\..\evil".png`)
	a = r.do(http.MethodGet, "/v1/files/"+shaOf(page), tok, nil)
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("a page: %v", a.header)
	}
	// A message names the file; type and size are the server's.
	conv, v := r.conversation()
	var m chat.Message
	r.apply(tok, cmd(protocol.MessageSend, map[string]any{"conversation": conv, "message": chat.NewID[chat.Message](),
		"parts": []map[string]any{{"kind": "image", "sha256": shaOf(png), "type": "text/evil", "size": 1}}}), &m)
	if m.Parts[0].Type != "image/png" || m.Parts[0].Size != int64(total) || m.Parts[0].Name != "café.png" {
		t.Errorf("part %+v", m.Parts[0])
	}
	// The visitor may open what is in their conversation and nothing else.
	if a := r.do(http.MethodGet, "/v1/visitor/files/"+shaOf(png), v.token, nil); a.status != http.StatusOK || !bytes.Equal(a.body, png) {
		t.Errorf("the visitor's GET: %d", a.status)
	}
	if a := r.do(http.MethodGet, "/v1/visitor/files/"+shaOf(page), v.token, nil); a.status != http.StatusNotFound {
		t.Errorf("a file of somebody else's: %d", a.status)
	}
}

func TestBadUploads(t *testing.T) {
	r := newRig(t, onSQLite(t))
	tok, body := r.owner.Token, []byte("some content")
	right := "/v1/files/" + shaOf(body)
	if p := r.do(http.MethodPut, "/v1/files/"+strings.Repeat("ab", 32), tok, body).problem(t); p.Status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong hash: %+v", p)
	}
	if a := r.do(http.MethodPut, right, tok, body); a.status != http.StatusCreated {
		t.Errorf("the right one afterwards: %d %s", a.status, a.body)
	}
	for name, bad := range map[string]answer{
		"a name that is no hash": r.do(http.MethodPut, "/v1/files/nonsense", tok, body),
		"an empty file":          r.do(http.MethodPut, "/v1/files/"+shaOf(nil), tok, []byte{}),
		"a garbled range":        r.do(http.MethodPut, right, tok, body, "Content-Range", "bytes x-y/z"),
		"a range that lies":      r.do(http.MethodPut, right, tok, body, "Content-Range", "bytes 0-99/100"),
	} {
		if p := bad.problem(t); p.Status != http.StatusBadRequest {
			t.Errorf("%s: %+v", name, p)
		}
	}
	r.apply(tok, cmd(protocol.SettingsPut, map[string]any{"max_file_bytes": 2048}), nil)
	big := make([]byte, 4096)
	if p := r.do(http.MethodPut, "/v1/files/"+shaOf(big), tok, big).problem(t); p.Status != http.StatusRequestEntityTooLarge || p.Code != chat.CodeTooLarge {
		t.Errorf("over the limit: %+v", p)
	}
	if p := r.do(http.MethodPut, "/v1/files/"+shaOf(big), tok, big[:100], "Content-Range", "bytes 0-99/4096").problem(t); p.Code != chat.CodeTooLarge {
		t.Errorf("over the limit in pieces: %+v", p)
	}
}

// streamed reads an NDJSON answer: head, rows, end.
func (r *rig) streamed(path, token string) (protocol.BootstrapHead, []protocol.BootstrapLine, protocol.BootstrapEnd) {
	r.Helper()
	a := r.do(http.MethodGet, path, token, nil)
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/x-ndjson" {
		r.Fatalf("GET %s: %d %s", path, a.status, clip(a.body))
	}
	var head protocol.BootstrapHead
	var rows []protocol.BootstrapLine
	var end protocol.BootstrapEnd
	in := bufio.NewScanner(bytes.NewReader(a.body))
	in.Buffer(nil, 1<<20)
	for n := 0; in.Scan(); n++ {
		switch {
		case n == 0:
			if err := json.Unmarshal(in.Bytes(), &head); err != nil {
				r.Fatal(err)
			}
		case bytes.HasPrefix(in.Bytes(), []byte(`{"end":true`)):
			if err := json.Unmarshal(in.Bytes(), &end); err != nil {
				r.Fatal(err)
			}
		default:
			var row protocol.BootstrapLine
			if err := json.Unmarshal(in.Bytes(), &row); err != nil {
				r.Fatal(err)
			}
			rows = append(rows, row)
		}
	}
	counts := map[string]int{}
	for _, row := range rows {
		counts[string(row.Kind)]++
	}
	if !end.End || fmt.Sprint(counts) != fmt.Sprint(end.Counts) {
		r.Fatalf("the last line is %+v, counted %v", end, counts)
	}
	return head, rows, end
}

func TestBootstrapIsEverythingAnEmptyClientNeeds(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		second := r.addBrand("Second")
		ana := r.member("Ana", chat.RoleAgent, r.created.Brand)
		for range 3 {
			r.conversation()
		}
		other := r.visit(second.Key)
		other.say("for the other brand")
		head, rows, end := r.streamed("/v1/bootstrap?days=30", ana.Token)
		if head.Head != r.head() || head.Epoch == "" || head.Access == nil || len(head.Access.Brands) != 1 || end.More {
			t.Fatalf("head %+v, end %+v", head, end)
		}
		if end.Counts["workspace"] != 1 || end.Counts["brand"] != 1 || end.Counts["channel"] != 1 || end.Counts["member"] != 2 ||
			end.Counts["contact"] != 3 || end.Counts["conversation"] != 3 || end.Counts["message"] != 3 {
			t.Fatalf("counts %v", end.Counts)
		}
		known := map[string]bool{}
		for _, row := range rows {
			if row.Op != chat.OpPut || len(row.Data) == 0 || row.Ver == 0 && row.Kind != chat.EntityWorkspace || row.Ver > head.Head {
				t.Errorf("row %+v", row)
			}
			if row.Kind == chat.EntityConversation {
				var c chat.Conversation
				if json.Unmarshal(row.Data, &c) != nil || !known[c.Contact.String()] {
					t.Error("a conversation came before its contact")
				}
			}
			known[row.ID] = true
			if strings.Contains(string(row.Data), "argon2") || strings.Contains(string(row.Data), "secret") {
				t.Errorf("a secret leaves the house: %s", row.Kind)
			}
		}
		// Cut off, it goes on from a cursor and names nothing twice.
		_, firstRows, cut := r.streamed("/v1/bootstrap?limit=6", ana.Token)
		if !cut.More || cut.Cursor == "" {
			t.Fatalf("end %+v", cut)
		}
		seenIDs := map[string]bool{}
		for _, row := range firstRows {
			seenIDs[string(row.Kind)+row.ID] = true
		}
		resumed, rest, _ := r.streamed("/v1/bootstrap?cursor="+cut.Cursor, ana.Token)
		for _, row := range rest {
			if seenIDs[string(row.Kind)+row.ID] && row.Kind != chat.EntityContact {
				t.Errorf("%s %s came twice", row.Kind, row.ID)
			}
			seenIDs[string(row.Kind)+row.ID] = true
		}
		if resumed.Head != head.Head || len(seenIDs) != len(rows) {
			t.Errorf("%d rows in two parts, %d in one", len(seenIDs), len(rows))
		}
	})
}

// demoServer is a server whose workspace was filled by an import.
func demoServer(t *testing.T, dir string, set *demo.Set) *store.Store {
	t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Data: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	files, err := blob.Open(filepath.Join(dir, "files"))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.ImportDemo(ctx, st, files, set); err != nil {
		t.Fatal(err)
	}
	if err := server.ImportDemo(ctx, st, files, set); chat.ErrorCode(err) != chat.CodeConflict {
		t.Fatalf("the same set twice: %v", err)
	}
	return st
}

func TestFarBehindGoesByState(t *testing.T) {
	c := onSQLite(t)
	r := newRig(t, c)
	position := r.head()
	set := demo.Generate(demo.Options{Conversations: 30, Messages: 300, Seed: 7, Now: r.clock.now()})
	st := demoServer(t, c.Data, set) // the import trims the log up to itself
	found, err := st.Check(context.Background())
	if err != nil || len(found) > 0 {
		t.Fatalf("after the import: %v %v", found, err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	p := r.do(http.MethodGet, fmt.Sprintf("/v1/changes?after=%d", position), r.owner.Token, nil).problem(t)
	if p.Status != http.StatusGone || p.Code != chat.CodeFarBehind {
		t.Fatalf("problem %+v", p)
	}
	head, _, end := r.streamed(fmt.Sprintf("/v1/state?after=%d&days=36500", position), r.owner.Token)
	if head.Head != r.headOf(head.Head) || end.Counts["conversation"] != 30 || head.Access == nil {
		t.Fatalf("head %+v, end %+v", head, end)
	}
	l := r.dial(r.owner.Token)
	l.put(map[string]any{"type": "hello", "after": position})
	for {
		f := l.next()
		if f.Type == protocol.FrameBehind {
			break
		}
		if f.Type == protocol.FrameChanges {
			t.Fatalf("packets from below the trimmed floor: %+v", f)
		}
	}
	// A demo member signs in and writes.
	m := set.Members[0]
	a := r.do(http.MethodPost, "/v1/session", "", protocol.SignIn{Email: m.Email, Password: demo.Password})
	if a.status != http.StatusCreated {
		t.Fatalf("%s cannot sign in: %d %s", m.Email, a.status, a.body)
	}
}

// TestAPositionAboveTheHeadIsOfAnotherLog: whoever has it starts anew, whichever
// way they go on.
func TestAPositionAboveTheHeadIsOfAnotherLog(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		head := r.head()
		for _, path := range []string{"/v1/changes", "/v1/state"} {
			if p := r.do(http.MethodGet, fmt.Sprintf("%s?after=%d", path, head+1), r.owner.Token, nil).problem(t); p.Status != http.StatusGone || p.Code != chat.CodeReset {
				t.Errorf("%s above the head: %+v", path, p)
			}
			if a := r.do(http.MethodGet, fmt.Sprintf("%s?after=%d", path, head), r.owner.Token, nil); a.status != http.StatusOK {
				t.Errorf("%s at the head: %d %s", path, a.status, a.body)
			}
		}
	})
}

// headOf gives the head as the changes page from there says it.
func (r *rig) headOf(after int64) int64 {
	r.Helper()
	var page protocol.ChangesPage
	r.get(fmt.Sprintf("/v1/changes?after=%d", after), r.owner.Token, &page)
	return page.Head
}

func TestPagesOfAThread(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, v := r.conversation()
	for i := 2; i <= 10; i++ {
		v.say(fmt.Sprint(i))
	}
	for q, want := range map[string]string{
		"limit=3":          "[8 10]",
		"before=4&limit=2": "[2 3]",
		"before=1":         "[0 0]",
		"after=8":          "[9 10]",
		"after=0&limit=2":  "[1 2]",
		"after=10":         "[0 0]",
		"around=5&limit=3": "[4 6]",
	} {
		var page protocol.MessagesPage
		r.get("/v1/conversations/"+conv.String()+"/messages?"+q, r.owner.Token, &page)
		if fmt.Sprint(page.Range) != want || page.Head != 10 || page.Messages == nil {
			t.Errorf("%s: range %v head %d, want %s", q, page.Range, page.Head, want)
		}
	}
}

func TestAVisitorIsKnownAgain(t *testing.T) {
	r := newRig(t, onSQLite(t))
	open := func(s protocol.VisitorSession) protocol.VisitorSessionAnswer {
		t.Helper()
		s.Channel = r.created.Channel.Key
		a := r.do(http.MethodPost, "/v1/visitor/session", "", s)
		if a.status >= 300 {
			t.Fatalf("visitor session: %d %s", a.status, a.body)
		}
		var out protocol.VisitorSessionAnswer
		a.into(t, &out)
		return out
	}
	first := open(protocol.VisitorSession{Profile: &protocol.VisitorProfile{Name: "Zoë", Email: "zoe@example.org"},
		Page: "https://shop.example/boots", UTM: map[string]string{"utm_source": "news"}, Language: "de", Timezone: "Europe/Berlin"})
	v := &visitor{r: r, token: "Visitor " + first.VisitorToken}
	v.say("Hi")
	again := open(protocol.VisitorSession{VisitorToken: first.VisitorToken})
	if again.VisitorToken != first.VisitorToken && again.VisitorToken != "" || again.Conversation != v.conv {
		t.Fatalf("the token again: %+v", again)
	}
	var c chat.Conversation
	r.get("/v1/conversations/"+v.conv.String(), r.owner.Token, &c)
	var contact chat.Contact
	r.get("/v1/contacts/"+c.Contact.String(), r.owner.Token, &contact)
	if contact.Name != "Zoë" || contact.Email != "zoe@example.org" || contact.Language != "de" || contact.Verified || c.Origin == nil ||
		c.Origin.Page != "https://shop.example/boots" || c.Origin.UTM["utm_source"] != "news" {
		t.Fatalf("contact %+v, origin %+v", contact, c.Origin)
	}
	// A proven user is the same person on every device; a wrong proof is refused.
	_, ch, err := r.srv.Inbox().ChannelByKey(context.Background(), r.created.Channel.Key)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(ch.Secret))
	mac.Write([]byte("user-1"))
	proven := &protocol.VisitorProfile{UserID: "user-1", UserHash: hex.EncodeToString(mac.Sum(nil)), Name: "Uma"}
	laptop, phone := open(protocol.VisitorSession{Profile: proven}), open(protocol.VisitorSession{Profile: proven})
	lv := &visitor{r: r, token: "Visitor " + laptop.VisitorToken}
	lv.say("from the laptop")
	pv := &visitor{r: r, token: "Visitor " + phone.VisitorToken}
	var page protocol.VisitorMessages
	r.get("/v1/visitor/messages?after=0", pv.token, &page)
	if len(page.Messages) != 1 {
		t.Fatalf("the phone sees %+v", page)
	}
	pv.saying("from the phone")
	if n := len(r.thread(lv.conv)); n != 2 {
		t.Fatalf("%d messages in the conversation of both devices, want 2", n)
	}
	if known := open(protocol.VisitorSession{Profile: proven}); known.Conversation != lv.conv {
		t.Fatalf("a third device: %+v", known)
	}
}

func TestAVisitorsMessageExistsOncePerID(t *testing.T) {
	r := newRig(t, onSQLite(t))
	_, v := r.conversation()
	send := protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: "once"}
	var first, second protocol.VisitorSent
	r.do(http.MethodPost, "/v1/visitor/messages", v.token, send).into(t, &first)
	r.do(http.MethodPost, "/v1/visitor/messages", v.token, send).into(t, &second)
	if first.Message.Number != 2 || second.Message.Number != 2 || len(r.thread(v.conv)) != 2 {
		t.Fatalf("first %+v, second %+v", first, second)
	}
	other := r.visit(r.created.Channel.Key)
	if a := r.do(http.MethodPost, "/v1/visitor/messages", other.token, send); a.status != http.StatusUnprocessableEntity {
		t.Fatalf("another visitor with the same id: %d %s", a.status, a.body)
	}
}
