package web_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/channel/web"
)

const shop = "https://shop.example"

func TestAVisitorTalksAndSeesOnlyTheirOwnConversation(t *testing.T) {
	h := build(t, nil)
	h.quick()
	g := h.guest(nil)
	if page := g.messages("0"); page.To != 0 || page.Messages == nil || len(page.Messages) != 0 {
		t.Errorf("before the first message: %+v", page)
	}
	id := chat.NewID[chat.Message]()
	first := g.sayAs(id, "Where is my order? \u202e<b>")
	if first.Number != 1 || first.Author.Kind != chat.ActorCustomer || first.Author.Name != "" || first.Parts[0].Text != "Where is my order? \u202e<b>" {
		t.Errorf("%+v", first)
	}
	if again := g.sayAs(id, "Where is my order? \u202e<b>"); again.Number != 1 {
		t.Errorf("a repeat became message %d", again.Number)
	}
	conv := h.conversation().ID
	h.do(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: "SECRET: a difficult one"})
	h.answer(conv, "On its way!")
	h.do(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: conv})
	h.do(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: "SECRET: done"})

	w, body := h.request("GET", "/v1/visitor/messages?after=1", nil, g.auth())
	page := as[protocol.VisitorMessages](t, body)
	if w.StatusCode != 200 || page.From != 1 || len(page.Messages) != 1 || page.To < 4 {
		t.Fatalf("%d %s", w.StatusCode, body)
	}
	if m := page.Messages[0]; m.Author.Name != "Ana" || m.Author.Kind != chat.ActorMember || m.Parts[0].Text != "On its way!" {
		t.Errorf("%+v", m)
	}
	for _, secret := range []string{"SECRET", "Ruiz", "northwind.example", h.owner.ID.String(), "resolved"} {
		if strings.Contains(string(body), secret) {
			t.Errorf("the visitor sees %q", secret)
		}
	}
	if page := g.messages(strconv.FormatInt(page.To, 10)); len(page.Messages) != 0 || page.From != page.To {
		t.Errorf("nothing is left, but: %+v", page)
	}
	other := h.guest(nil)
	if page := other.messages("0"); len(page.Messages) != 0 {
		t.Errorf("another visitor sees %+v", page)
	}
	w, body = h.request("POST", "/v1/visitor/messages", protocol.VisitorSend{ID: id, Text: "mine"}, other.auth())
	if p := as[protocol.Problem](t, body); w.StatusCode != http.StatusUnprocessableEntity || p.Code != chat.CodeIDReused {
		t.Errorf("%d %s", w.StatusCode, body)
	}
}

func TestATokenComesBackAndAnUnknownOneIsNoError(t *testing.T) {
	h := build(t, nil)
	g := h.guest(nil)
	g.say("hello")
	same := h.guest(func(s *protocol.VisitorSession) { s.VisitorToken = g.token })
	if same.token != g.token || same.conv != h.conversation().ID {
		t.Errorf("token kept: %v, conversation %v", same.token == g.token, same.conv)
	}
	fresh := h.guest(func(s *protocol.VisitorSession) { s.VisitorToken = "unknown" })
	if fresh.token == "unknown" || fresh.token == g.token || !fresh.conv.IsZero() || len(fresh.token) < 43 {
		t.Errorf("unknown token: %+v", fresh)
	}
	for name, auth := range map[string]string{"none": "X: y", "wrong": "Authorization: Visitor nonsense", "member's": "Authorization: Bearer " + g.token,
		"long": "Authorization: Visitor " + strings.Repeat("x", 5000)} {
		w, body := h.request("GET", "/v1/visitor/messages", nil, auth)
		if p := as[protocol.Problem](t, body); w.StatusCode != 401 || p.Code != chat.CodeUnauthorized ||
			w.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, w.StatusCode, body)
		}
	}
}

func TestProvenVisitorsAreFoundOnEveryDevice(t *testing.T) {
	h := build(t, nil)
	mac := hmac.New(sha256.New, []byte(h.channel.Secret))
	mac.Write([]byte("user 7"))
	proof := hex.EncodeToString(mac.Sum(nil))
	proven := func(s *protocol.VisitorSession) {
		s.Profile = &protocol.VisitorProfile{UserID: "user 7", UserHash: proof, Name: "Lucía", Email: "l@shop.example"}
	}
	phone := h.guest(proven)
	phone.say("from the phone")
	desk := h.guest(proven)
	if desk.token == phone.token {
		t.Error("two devices share a token")
	}
	if page := desk.messages("0"); len(page.Messages) != 1 || page.Messages[0].Parts[0].Text != "from the phone" {
		t.Errorf("%+v", page)
	}
	claim := h.guest(func(s *protocol.VisitorSession) { s.Profile = &protocol.VisitorProfile{UserID: "user 7"} })
	if page := claim.messages("0"); len(page.Messages) != 0 {
		t.Errorf("a mere claim shows %+v", page)
	}
	w, body := h.request("POST", "/v1/visitor/session", protocol.VisitorSession{Channel: h.channel.Key,
		Profile: &protocol.VisitorProfile{UserID: "user 8", UserHash: proof}})
	if p := as[protocol.Problem](t, body); w.StatusCode != 403 || p.Code != chat.CodeForbidden || p.Field != "profile.user_hash" {
		t.Errorf("%d %s", w.StatusCode, body)
	}
}

func TestOnlyListedPagesMayAsk(t *testing.T) {
	h := build(t, nil)
	g := h.guest(nil)
	session := protocol.VisitorSession{Channel: h.channel.Key}
	for _, c := range []struct {
		origin string
		status int
		cors   string
	}{
		{"", 200, ""}, {h.server.URL, 200, ""}, {shop, 200, shop},
		{"https://evil.example", 403, ""}, {"http://shop.example", 403, ""}, {"https://shop.example:444", 403, ""},
		{"https://shop.example.evil.example", 403, ""}, {"null", 403, ""}, {"https://SHOP.example", 403, ""},
	} {
		header := []string{g.auth()}
		if c.origin != "" {
			header = append(header, "Origin: "+c.origin)
		}
		for path, body := range map[string]any{"POST /v1/visitor/session": session, "GET /v1/visitor/messages": nil,
			"POST /v1/visitor/messages": protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: "hi"}} {
			method, path, _ := strings.Cut(path, " ")
			w, text := h.request(method, path, body, header...)
			if w.StatusCode != c.status || w.Header.Get("Access-Control-Allow-Origin") != c.cors {
				t.Errorf("%s %s from %q: %d, CORS %q: %.200s", method, path, c.origin, w.StatusCode, w.Header.Get("Access-Control-Allow-Origin"), text)
			}
		}
		status := map[int]int{200: 204, 403: 403}[c.status]
		w, _ := h.request("OPTIONS", "/v1/visitor/messages", nil, append(header, "Access-Control-Request-Method: POST")...)
		if w.StatusCode != status || w.Header.Get("Access-Control-Allow-Origin") != c.cors {
			t.Errorf("preflight from %q: %d, CORS %q", c.origin, w.StatusCode, w.Header.Get("Access-Control-Allow-Origin"))
		}
	}
	w, _ := h.request("OPTIONS", "/v1/visitor/session", nil, "Origin: "+shop)
	if !strings.Contains(w.Header.Get("Access-Control-Allow-Headers"), "Authorization") || !strings.Contains(w.Header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("%v", w.Header)
	}
}

func TestBadRequestsAreProblemsWithAField(t *testing.T) {
	h := build(t, nil)
	g := h.guest(nil)
	id := chat.NewID[chat.Message]().String()
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		field                    string
	}{
		{"NUL", "POST", "/v1/visitor/messages", `{"id":"` + id + `","text":"a\u0000"}`, 400, "text"},
		{"no UTF-8", "POST", "/v1/visitor/messages", `{"id":"` + id + `","text":"` + "\xff" + `"}`, 400, "body"},
		{"half a pair", "POST", "/v1/visitor/messages", `{"id":"` + id + `","text":"\ud800"}`, 400, "body"},
		{"10,001 characters", "POST", "/v1/visitor/messages", `{"id":"` + id + `","text":"` + strings.Repeat("x", 10_001) + `"}`, 413, "text"},
		{"no such asset", "GET", "/widget/asset/none.js", ``, 404, ""},
		{"type", "POST", "/v1/visitor/messages", `{"id":"` + id + `","text":[1]}`, 400, "text"},
		{"no JSON", "POST", "/v1/visitor/messages", `hello`, 400, "body"},
		{"64 kB", "POST", "/v1/visitor/messages", `{"id":"` + id + `","text":"` + strings.Repeat("x", 64<<10+1) + `"}`, 413, "text"},
		{"2 MB", "POST", "/v1/visitor/messages", strings.Repeat(" ", 2<<20), 413, ""},
		{"unknown file", "POST", "/v1/visitor/messages", `{"id":"` + id + `","text":"","files":[{"sha256":"` + strings.Repeat("0", 64) + `","name":"x"}]}`, 400, "files.0.sha256"},
		{"after", "GET", "/v1/visitor/messages?after=-1", ``, 400, "after"},
		{"no channel", "POST", "/v1/visitor/session", `{"channel":""}`, 400, "channel"},
		{"unknown channel", "POST", "/v1/visitor/session", `{"channel":"nope"}`, 404, ""},
		{"hash", "GET", "/v1/visitor/files/xyz", ``, 400, "sha256"},
		{"no socket", "GET", "/v1/visitor/live", ``, 400, "Upgrade"},
	} {
		w, body := h.request(c.method, c.path, c.body, g.auth())
		p := as[protocol.Problem](t, body)
		if w.StatusCode != c.status || p.Status != c.status || p.Field != c.field || p.Detail == "" {
			t.Errorf("%s: %d %s", c.name, w.StatusCode, body)
		}
	}
	if page := g.messages("0"); len(page.Messages) != 0 {
		t.Errorf("stored all the same: %+v", page)
	}
	if m := g.say(strings.Repeat("é", 10_000)); len(m.Parts[0].Text) != 20_000 {
		t.Error("a long message does not fit")
	}
}

func TestAbuseIsSlowedDown(t *testing.T) {
	h := build(t, func(_ *chat.ChannelSettings, o *web.Options) {
		o.Limits = web.Limits{Messages: web.Rate{Burst: 2, PerSecond: 0.1}, Sessions: web.Rate{Burst: 2, PerSecond: 0.1}}
	})
	g, other := h.guest(nil), h.guest(nil)
	g.say("one")
	g.say("two")
	w, body := h.request("POST", "/v1/visitor/messages", protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: "three"}, g.auth())
	p := as[protocol.Problem](t, body)
	if w.StatusCode != 429 || p.Code != chat.CodeTooMany || p.RetryAfter <= 0 || p.RetryAfter > 10 || w.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", w.StatusCode, w.Header, body)
	}
	other.say("not my fault")
	if w, body := h.request("POST", "/v1/visitor/session", protocol.VisitorSession{Channel: h.channel.Key}); w.StatusCode != 429 {
		t.Errorf("a third session: %d %s", w.StatusCode, body)
	}
}

func TestFiles(t *testing.T) {
	h := build(t, nil)
	g := h.guest(nil)
	png := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), make([]byte, 64)...)
	page := []byte("<!doctype html><script>alert(1)</script>")
	picture, html := g.upload(png, "caf%C3%A9.png"), g.upload(page, "page.png")
	if w, _ := h.request("HEAD", "/v1/visitor/files/"+picture, nil, g.auth()); w.StatusCode != 200 {
		t.Errorf("HEAD: %d", w.StatusCode)
	}
	if w, _ := h.request("HEAD", "/v1/visitor/files/"+strings.Repeat("0", 64), nil, g.auth()); w.StatusCode != 404 {
		t.Errorf("HEAD of nothing: %d", w.StatusCode)
	}
	if w, _ := h.request("GET", "/v1/visitor/files/"+picture, nil, g.auth()); w.StatusCode != 404 {
		t.Errorf("a file of no message: %d", w.StatusCode)
	}
	m := g.sayAs(chat.NewID[chat.Message](), "", protocol.VisitorFile{SHA256: picture, Name: `C:\fakepath\café.png`}, protocol.VisitorFile{SHA256: html, Name: "page.png"})
	if m.Parts[0].Kind != chat.PartImage || m.Parts[0].Name != "café.png" || m.Parts[0].Type != "image/png" || m.Parts[0].Size != int64(len(png)) {
		t.Errorf("%+v", m.Parts[0])
	}
	if m.Parts[1].Kind != chat.PartFile || strings.HasPrefix(m.Parts[1].Type, "image/") {
		t.Errorf("the name was believed: %+v", m.Parts[1])
	}
	w, body := h.request("GET", "/v1/visitor/files/"+picture, nil, g.auth())
	if w.StatusCode != 200 || string(body) != string(png) || w.Header.Get("Content-Type") != "image/png" {
		t.Errorf("GET: %d %v", w.StatusCode, w.Header)
	}
	w, _ = h.request("GET", "/v1/visitor/files/"+html, nil, g.auth())
	if w.Header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(w.Header.Get("Content-Disposition"), "attachment") ||
		w.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("a page of a stranger: %v", w.Header)
	}
	other := h.guest(nil)
	other.say("hi")
	if w, _ := h.request("GET", "/v1/visitor/files/"+picture, nil, other.auth()); w.StatusCode != 404 {
		t.Errorf("another visitor's file: %d", w.StatusCode)
	}
	if w, body := h.request("PUT", "/v1/visitor/files/"+strings.Repeat("1", 64), png, g.auth()); w.StatusCode != 422 {
		t.Errorf("a wrong name: %d %s", w.StatusCode, body)
	}
	if w, body := h.request("PUT", "/v1/visitor/files/"+strings.Repeat("1", 64), make([]byte, 10<<20+1), g.auth()); w.StatusCode != 413 {
		t.Errorf("too large: %d %s", w.StatusCode, body)
	}
}

func TestFilesArriveInPieces(t *testing.T) {
	h := build(t, nil)
	g := h.guest(nil)
	content := []byte(strings.Repeat("parley ", 1000))
	sum := sha256.Sum256(content)
	path := "/v1/visitor/files/" + hex.EncodeToString(sum[:])
	w, body := h.request("PUT", path, content[:3000], g.auth(), "Content-Range: bytes 0-2999/7000")
	if w.StatusCode != 308 || w.Header.Get("Range") != "bytes=0-2999" {
		t.Fatalf("first piece: %d %v %s", w.StatusCode, w.Header, body)
	}
	for who, want := range map[guest]string{g: "bytes=0-2999", h.guest(nil): ""} {
		w, body := h.request("PUT", path, nil, who.auth(), "Content-Range: bytes */7000")
		if w.StatusCode != 308 || w.Header.Get("Range") != want {
			t.Errorf("asked for the progress: %d %v %s, want %q", w.StatusCode, w.Header, body, want)
		}
	}
	if w, body := h.request("PUT", path, content[3000:], g.auth(), "Content-Range: bytes 3000-6999/7000"); w.StatusCode != 201 {
		t.Fatalf("last piece: %d %s", w.StatusCode, body)
	}
	if w, body := h.request("PUT", path, nil, g.auth(), "Content-Range: bytes */7000"); w.StatusCode != 201 {
		t.Errorf("asked whether all is there: %d %s", w.StatusCode, body)
	}
	if w, _ := h.request("PUT", path, content[:10], g.auth(), "Content-Range: bytes 0-99/7000"); w.StatusCode != 400 {
		t.Errorf("a piece that is not what it says: %d", w.StatusCode)
	}
}

func TestPagesKeepToThemselves(t *testing.T) {
	files := fstest.MapFS{"widget.js": {Data: []byte("run(PARLEY_CONFIG)")}, "chat.js": {Data: []byte("1")}, "chat.css": {Data: []byte("a{}")}}
	h := build(t, func(s *chat.ChannelSettings, o *web.Options) {
		o.Assets = files
		s.Title, s.Greeting = `</script><script>alert(1)</script>"`, "\u2028<!--"
		s.Origins = append(s.Origins, "https://x.example; script-src *", "*")
		s.Color, s.Theme, s.Language = "red;}", `dark" onload="x`, `en"><b>`
	})
	w, body := h.request("GET", "/c/"+h.channel.Slug, nil)
	csp := w.Header.Get("Content-Security-Policy")
	if w.StatusCode != 200 || !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "script-src 'self';") || strings.Contains(csp, "unsafe") {
		t.Errorf("%d %s", w.StatusCode, csp)
	}
	for _, bad := range []string{"<script>alert", "onload=\"", "<b>", "\u2028", "<!--"} {
		if strings.Contains(string(body), bad) {
			t.Errorf("the page holds %q:\n%s", bad, body)
		}
	}
	w, _ = h.request("GET", "/widget/"+h.channel.Key, nil)
	csp = w.Header.Get("Content-Security-Policy")
	if !strings.HasSuffix(csp, "frame-ancestors 'self' https://shop.example") {
		t.Errorf("%s", csp)
	}
	w, body = h.request("GET", "/widget.js?channel="+h.channel.Key, nil)
	if w.StatusCode != 200 || !strings.HasPrefix(string(body), `run({"channel":"`+h.channel.Key+`","origins":["https://shop.example"]`) ||
		strings.Contains(string(body), "</script>") || strings.Contains(string(body), "red;") {
		t.Errorf("%d %s", w.StatusCode, body)
	}
	if w, _ := h.request("GET", "/widget.js?channel="+h.channel.Key, nil, "If-None-Match: "+w.Header.Get("ETag")); w.StatusCode != 304 {
		t.Errorf("asked again: %d", w.StatusCode)
	}
	for path, status := range map[string]int{"/c/nope": 404, "/widget/nope": 404, "/widget.js?channel=nope": 404, "/widget.js": 404,
		"/widget/asset/chat.js": 200, "/widget/asset/widget.js": 404, "/widget/asset/.gitkeep": 404, "/c/a%00b": 404} {
		if w, body := h.request("GET", path, nil); w.StatusCode != status {
			t.Errorf("%s: %d %s", path, w.StatusCode, body)
		}
	}
}

func TestWithoutTheBuiltPagesTheServerSaysSo(t *testing.T) {
	h := build(t, func(_ *chat.ChannelSettings, o *web.Options) { o.Assets = fstest.MapFS{} })
	for _, path := range []string{"/c/" + h.channel.Slug, "/widget/" + h.channel.Key, "/widget.js?channel=" + h.channel.Key} {
		if w, body := h.request("GET", path, nil); w.StatusCode != 503 || !strings.Contains(string(body), "not built") {
			t.Errorf("%s: %d %s", path, w.StatusCode, body)
		}
	}
	h.guest(nil).say("the API works all the same")
}

func TestAnotherProtocolIsRefused(t *testing.T) {
	h := build(t, nil)
	g := h.guest(nil)
	w, body := h.request("GET", "/v1/visitor/messages", nil, g.auth(), "Parley-Protocol: 2")
	if p := as[protocol.Problem](t, body); w.StatusCode != 400 || p.Code != chat.CodeInvalid || p.Field != protocol.VersionHeader {
		t.Errorf("%d %s", w.StatusCode, body)
	}
	if w, body := h.request("GET", "/v1/visitor/messages", nil, g.auth(), "Parley-Protocol: 1"); w.StatusCode != 200 {
		t.Errorf("%d %s", w.StatusCode, body)
	}
	conn, _, err := h.dial(http.Header{"Parley-Protocol": {"2"}})
	if err != nil {
		t.Fatal(err)
	}
	if code := closed(t, conn); code != protocol.CloseTooOld {
		t.Errorf("a socket: %d", code)
	}
}

func TestAfterARestoreTheThreadIsShorter(t *testing.T) {
	h := build(t, nil)
	g := h.guest(nil)
	if page := g.messages("7"); page.From != 7 || page.To != 0 || page.Messages == nil {
		t.Errorf("a thread that is gone: %+v", page)
	}
	g.say("one")
	g.say("two")
	if page := g.messages("7"); page.From != 7 || page.To != 2 || len(page.Messages) != 0 {
		t.Errorf("%+v", page)
	}
	s := g.live(7)
	if f := s.until(protocol.FrameMessage); f.From != 7 || f.To != 2 || f.Message != nil {
		t.Errorf("%+v", f)
	}
	g.say("three")
	if f := s.until(protocol.FrameMessage); f.From != 2 || f.To != 3 || f.Message == nil {
		t.Errorf("%+v", f)
	}
}
