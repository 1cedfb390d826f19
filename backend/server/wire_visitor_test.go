package server_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
)

// wireVisitor: the customer's browser.
func wireVisitor(w *wire, c server.Config) {
	w.start(c)
	key := w.created.Channel.Key
	w.apply(w.owner.Token, cmd(protocol.ChannelPut, map[string]any{"channel": w.created.Channel.ID, "origins": []string{"https://shop.example"}, "greeting": "Hello!"}), nil)
	open := protocol.VisitorSession{Channel: key, Page: "https://shop.example/mugs", Referrer: "https://search.example/", UTM: map[string]string{"utm_source": "news"},
		Language: "de", Timezone: "Europe/Berlin", Profile: &protocol.VisitorProfile{UserID: "user-1", UserHash: w.proof(key, "user-1"), Name: "Zoë", Email: "zoe@example.org", Phone: "+49 30 1234"}}
	var in protocol.VisitorSessionAnswer
	w.ask("session", post, "/v1/visitor/session", "", open, "User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0").into(w, &in)
	v := &visitor{r: w.rig, token: "Visitor " + in.VisitorToken}
	w.ask("messages_none", get, "/v1/visitor/messages?after=0", v.token, nil)

	sha := shaOf(png)
	path := "/v1/visitor/files/" + sha
	w.ask("file_head_none", head, path, v.token, nil)
	w.ask("file_asked_none", put, path, v.token, nil, "Content-Range", "bytes */608")
	w.ask("file_piece", put, path, v.token, png[:100], "Content-Range", "bytes 0-99/608", "X-Filename", "caf%C3%A9.png")
	w.ask("file_stored", put, path, v.token, png[100:], "Content-Range", "bytes 100-607/608", "X-Filename", "caf%C3%A9.png")
	w.ask("file_head", head, path, v.token, nil)
	w.problem("file_wrong", chat.CodeUnsupported, put, "/v1/visitor/files/"+strings.Repeat("ab", 32), v.token, png)

	send := protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: "Hello?", Files: []protocol.VisitorFile{{SHA256: sha, Name: "café.png"}}}
	w.ask("sent", post, "/v1/visitor/messages", v.token, send)
	w.ask("file", get, path, v.token, nil)
	w.ask("file_part", get, path, v.token, nil, "Range", "bytes=2-4")
	w.problem("file_beyond", chat.CodeInvalid, get, path, v.token, nil, "Range", "bytes=608-")
	w.ask("file_unchanged", get, path, v.token, nil, "If-None-Match", `"`+sha+`"`)
	var page protocol.ConversationsPage
	w.rig.get("/v1/conversations", w.owner.Token, &page)
	w.apply(w.owner.Token, text(page.Conversations[0].ID, "Hi"), nil)
	w.ask("messages", get, "/v1/visitor/messages?after=0", v.token, nil)
	w.ask("messages_shorter", get, "/v1/visitor/messages?after=9", v.token, nil)
	open.VisitorToken = in.VisitorToken
	w.ask("session_again", post, "/v1/visitor/session", "", open)
	w.ask("session_bare", post, "/v1/visitor/session", "", protocol.VisitorSession{Channel: key})
	w.read("contact", "/v1/contacts/"+page.Contacts[0].ID.String())
	w.read("conversation", "/v1/conversations/"+page.Conversations[0].ID.String())

	w.problem("no_token", chat.CodeUnauthorized, get, "/v1/visitor/messages", "", nil)
	w.problem("foreign_page", chat.CodeForbidden, post, "/v1/visitor/session", "", open, "Origin", "https://evil.example")
	w.problem("unknown_channel", chat.CodeNotFound, post, "/v1/visitor/session", "", protocol.VisitorSession{Channel: "none"})
	open.Profile.UserHash = strings.Repeat("ab", 32)
	w.problem("wrong_proof", chat.CodeForbidden, post, "/v1/visitor/session", "", open)
	w.problem("id_reused", chat.CodeIDReused, post, "/v1/visitor/messages", w.visit(key).token, protocol.VisitorSend{ID: send.ID, Text: "Hello?"})
	w.problem("empty", chat.CodeInvalid, post, "/v1/visitor/messages", v.token, protocol.VisitorSend{ID: chat.NewID[chat.Message]()})
}

// proof is the hash under the channel's secret that proves a user's id.
func (w *wire) proof(key, user string) string {
	w.Helper()
	_, ch, err := w.srv.Inbox().ChannelByKey(context.Background(), key)
	if err != nil {
		w.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(ch.Secret))
	mac.Write([]byte(user))
	hash := hex.EncodeToString(mac.Sum(nil))
	w.hidden = append(w.hidden, hash, strings.Repeat("cd", 32))
	return hash
}

// wirePages: what browsers open. Of a script only what the server puts into it
// is kept.
func wirePages(w *wire, c server.Config) {
	w.start(c)
	w.ask("share", get, "/c/"+w.created.Channel.Slug, "", nil)
	w.ask("share_none", get, "/c/none", "", nil)
	w.ask("frame", get, "/widget/"+w.created.Channel.Key, "", nil)
	script := "/widget.js?channel=" + w.created.Channel.Key
	x, a := w.exchange(get, script, "", nil)
	x.Answer.Text = string(loaderConfig.Find(a.body))
	w.keep("script", x)
	tag := a.header.Get("ETag")
	w.hidden = append(w.hidden, strings.Trim(tag, `"`), "tag")
	w.ask("script_unchanged", get, script, "", nil, "If-None-Match", tag)
	w.problem("script_none", chat.CodeNotFound, get, "/widget.js?channel=none", "", nil)
	x, a = w.exchange(get, "/widget/asset/chat.css", "", nil)
	x.Answer.Text = "…"
	w.keep("asset", x)
	tag = a.header.Get("ETag")
	w.hidden = append(w.hidden, strings.Trim(tag, `"`), "tag")
	w.ask("asset_unchanged", get, "/widget/asset/chat.css", "", nil, "If-None-Match", tag)
	w.problem("asset_none", chat.CodeNotFound, get, "/widget/asset/none", "", nil)
}

var loaderConfig = regexp.MustCompile(`\{"channel":[^{}]*\}`)

// wireFiles: members' files.
func wireFiles(w *wire, c server.Config) {
	w.start(c)
	tok, sha := w.owner.Token, shaOf(png)
	path := "/v1/files/" + sha
	w.ask("head_none", head, path, tok, nil)
	w.ask("asked_none", put, path, tok, nil, "Content-Range", "bytes */608")
	w.ask("piece", put, path, tok, png[:100], "Content-Range", "bytes 0-99/608", "X-Filename", "caf%C3%A9.png")
	w.ask("asked", put, path, tok, nil, "Content-Range", "bytes */608")
	w.ask("stored", put, path, tok, png[100:], "Content-Range", "bytes 100-607/608", "X-Filename", "caf%C3%A9.png")
	w.ask("again", put, path, tok, png)
	w.ask("head", head, path, tok, nil)
	w.ask("content", get, path+"?name=picture.png", tok, nil)
	w.ask("content_part", get, path, tok, nil, "Range", "bytes=2-4")
	w.problem("content_beyond", chat.CodeInvalid, get, path, tok, nil, "Range", "bytes=608-")
	w.problem("content_other", chat.CodeInvalid, get, path, tok, nil, "If-Match", `"another"`)
	w.ask("content_unchanged", get, path, tok, nil, "If-None-Match", `"`+sha+`"`)
	page := []byte("<html><script>alert(1)</script>")
	w.ask("page_stored", put, "/v1/files/"+shaOf(page), tok, page, "X-Filename", "page.html")
	w.ask("page", get, "/v1/files/"+shaOf(page), tok, nil)
	w.problem("not_found", chat.CodeNotFound, get, "/v1/files/"+strings.Repeat("ab", 32), tok, nil)
	w.problem("wrong", chat.CodeUnsupported, put, "/v1/files/"+strings.Repeat("ab", 32), tok, png)
	w.problem("no_hash", chat.CodeInvalid, put, "/v1/files/nonsense", tok, png)
	w.problem("too_large", chat.CodeTooLarge, put, path, tok, png, "Content-Range", "bytes 0-607/99999999")
}
