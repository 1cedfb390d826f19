package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
)

const (
	get  = http.MethodGet
	head = http.MethodHead
	post = http.MethodPost
	put  = http.MethodPut
)

// wireSetup: the first workspace, and what operators ask.
func wireSetup(w *wire, c server.Config) {
	log := &lines{}
	c.Log, c.DrainPause = slog.New(slog.NewJSONHandler(log, nil)), time.Second
	w.rig = bareRig(w.t, c)
	setup := protocol.Setup{Token: "guessed", Workspace: "Northwind", Email: "olga@northwind.example", Name: "Olga Owner", Password: password}
	w.problem("refused", chat.CodeForbidden, post, "/v1/setup", "", setup)
	setup.Token = setupToken(log)
	w.ask("created", post, "/v1/setup", "", setup).into(w, &w.created)
	w.problem("again", chat.CodeConflict, post, "/v1/setup", "", setup)

	w.ask("healthz", get, "/healthz", "", nil)
	w.ask("readyz", get, "/readyz", "", nil)
	x, _ := w.exchange(get, "/openapi.json", "", nil)
	x.Answer.Body = nil // it is docs/openapi.json
	w.keep("openapi", x)
	x, _ = w.exchange(get, "/metrics", "", nil)
	x.Answer.Text = strings.Join(ownMetric.FindAllString(x.Answer.Text, -1), "\n")
	w.keep("metrics", x)

	ended := make(chan error, 1)
	go func() { ended <- w.srv.Shutdown(context.Background()) }()
	for a := (answer{status: http.StatusOK}); a.status == http.StatusOK; {
		if x, a = w.exchange(get, "/readyz", "", nil); a.status != http.StatusOK {
			w.keep("draining", x)
		}
	}
	if err := <-ended; err != nil {
		w.Error(err)
	}
}

// ownMetric is the line that declares a figure of ours: the values differ.
var ownMetric = regexp.MustCompile(`# TYPE parley_\w+ \w+`)

// wireSessions: signing in and out.
func wireSessions(w *wire, c server.Config) {
	w.start(c)
	in := protocol.SignIn{Email: "olga@northwind.example", Password: password, Device: "phone", OTP: "123456"}
	var phone protocol.SignedIn
	w.ask("signed_in", post, "/v1/session", "", in).into(w, &phone)
	w.read("list", "/v1/sessions")
	w.ask("revoked", http.MethodDelete, "/v1/sessions/"+phone.Session.String(), w.owner.Token, nil)
	w.problem("wipe", chat.CodeUnauthorized, get, "/v1/sessions", phone.Token, nil)
	w.problem("no_token", chat.CodeUnauthorized, get, "/v1/sessions", "", nil)
	w.problem("unknown", chat.CodeNotFound, http.MethodDelete, "/v1/sessions/"+phone.Session.String(), w.owner.Token, nil)
	w.ask("signed_out", http.MethodDelete, "/v1/session", w.owner.Token, nil)
	w.problem("ended", chat.CodeUnauthorized, get, "/v1/sessions", w.owner.Token, nil)
	in.Password = "wrong password"
	w.problem("wrong", chat.CodeBadCredentials, post, "/v1/session", "", in)
	for range 9 {
		w.do(post, "/v1/session", "", in)
	}
	w.problem("too_many", chat.CodeTooMany, post, "/v1/session", "", in)
}

// wireMembers: who works here.
func wireMembers(w *wire, c server.Config) {
	w.start(c)
	add := protocol.MemberAdd{Name: "Ana Agent", Email: "ana@northwind.example", Role: chat.RoleAgent, Brands: []chat.BrandID{w.created.Brand}, Password: password}
	var ana chat.Member
	w.ask("added", post, "/v1/members", w.owner.Token, add).into(w, &ana)
	w.problem("conflict", chat.CodeConflict, post, "/v1/members", w.owner.Token, add)
	name, role, brands, no, pw := "Ana Admin", chat.RoleAdmin, []chat.BrandID{}, false, "another correct horse"
	w.ask("changed", http.MethodPatch, "/v1/members/"+ana.ID.String(), w.owner.Token,
		protocol.MemberUpdate{Name: &name, Role: &role, Brands: &brands, Disabled: &no, Password: &pw})
	w.member("Sue", chat.RoleSupervisor)
	yes := true
	w.ask("disabled", http.MethodPatch, "/v1/members/"+ana.ID.String(), w.owner.Token, protocol.MemberUpdate{Disabled: &yes})
	w.read("list", "/v1/members")
	w.problem("forbidden", chat.CodeForbidden, post, "/v1/members", w.signIn("sue@northwind.example", "laptop").Token, add)
}

// wireCommands: each kind with all its args, and its data.
func wireCommands(w *wire, c server.Config) {
	w.start(c)
	ana := w.member("Ana", chat.RoleAgent)
	own := w.created.Channel.ID
	w.done("settings_put", protocol.SettingsPut, map[string]any{"send_interval_seconds": 0, "max_file_bytes": 20 << 20})
	w.done("channel_put", protocol.ChannelPut, map[string]any{"channel": own, "origins": []string{"https://shop.example"}, "title": "Help", "greeting": "Hello!", "receipts": "on"})
	w.done("me_put", protocol.MePut, map[string]any{"name": "Olga O.", "read_mode": "manual", "send_key": "ctrl_enter", "language": "de", "undo_seconds": 10})
	conv, _ := w.conversation()
	var of chat.Conversation
	w.rig.get("/v1/conversations/"+conv.String(), w.owner.Token, &of)
	w.done("contact_update", protocol.ContactUpdate, map[string]any{"contact": of.Contact, "name": "Zoë", "email": "zoe@example.org", "phone": "+49 30 1234"})

	if a := w.do(put, "/v1/files/"+shaOf(png), w.owner.Token, png, "X-Filename", "a.png"); a.status != http.StatusCreated {
		w.Fatalf("upload: %d %s", a.status, a.body)
	}
	first, waited := text(conv, "Hi"), int64(140)
	w.command("message_send", w.owner.Token, seen(first, 1))
	full := seen(cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Parts: everyPart(),
		ReplyTo: w.thread(conv)[0].ID, Force: true, Over: w.owner.Member.ID, SendAt: w.clock.now()}), 2)
	full.AgeMS, full.After = waited, first.ID
	w.command("message_send_full", w.owner.Token, full)
	w.command("duplicate", w.owner.Token, full)
	later := seen(cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](),
		Parts: []chat.Part{chat.TextPart("Good morning")}, ReplyTo: w.thread(conv)[0].ID, Force: true, Over: w.owner.Member.ID, SendAt: w.clock.now().Add(time.Hour), Draft: new(int64)}), 3)
	w.command("message_send_later", w.owner.Token, later)
	w.done("message_unschedule", protocol.MessageUnschedule, protocol.MessageArgs{Conversation: conv, Message: messageOf(later)})
	w.done("message_retry", protocol.MessageRetry, protocol.MessageArgs{Conversation: conv, Message: messageOf(first)})
	w.done("comment_add", protocol.CommentAdd, protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: "Look at this, please.", Mentions: []chat.MemberID{ana.Member.ID}, Draft: new(int64)})
	w.done("conversation_read", protocol.ConversationRead, protocol.ReadArgs{Conversation: conv, Upto: 2})
	w.done("conversation_unread", protocol.ConversationUnread, protocol.ReadArgs{Conversation: conv, From: 1})
	w.done("conversation_assign", protocol.ConversationAssign, protocol.AssignArgs{Conversation: conv, Member: ana.Member.ID})
	w.done("conversation_unassign", protocol.ConversationAssign, protocol.AssignArgs{Conversation: conv})
	w.done("handoff_accept", protocol.HandoffAccept, protocol.ConversationArgs{Conversation: conv, Force: true})
	w.done("handoff_release", protocol.HandoffRelease, protocol.ConversationArgs{Conversation: conv})
	w.done("conversation_resolve", protocol.ConversationResolve, protocol.ConversationArgs{Conversation: conv})
	w.done("conversation_reopen", protocol.ConversationReopen, protocol.ConversationArgs{Conversation: conv})
	known := int64(20)
	put := w.done("draft_put", protocol.DraftPut, protocol.DraftPutArgs{Conversation: conv, Text: "not yet", Comment: true, Base: &known, Device: "a laptop"})
	w.refusal("draft_put_conflict", w.owner.Token, cmd(protocol.DraftPut, protocol.DraftPutArgs{Conversation: conv, Text: "typed elsewhere", Base: &known, Device: "a desk"}), chat.CodeConflict)
	w.done("draft_drop", protocol.DraftDrop, protocol.DraftDropArgs{Conversation: conv, Base: &put.Seq})
	w.done("draft_drop_none", protocol.DraftDrop, protocol.DraftDropArgs{Conversation: conv})
	w.followed()
}

// everyPart is a part of each kind that members may send to the web.
func everyPart() []chat.Part {
	file := func(p chat.Part) chat.Part {
		p.SHA256, p.Name, p.Type, p.Size = shaOf(png), "a.png", "image/png", int64(len(png))
		return p
	}
	return []chat.Part{chat.TextPart("Here:"), file(chat.Part{Kind: chat.PartImage, Width: 640, Height: 480}),
		file(chat.Part{Kind: chat.PartVideo, DurationMS: 1500}), file(chat.Part{Kind: chat.PartAudio, DurationMS: 1500}),
		file(chat.Part{Kind: chat.PartVoice, DurationMS: 1500, Peaks: bytes.Repeat([]byte{0, 128, 255, 64}, 16), Transcript: "Good morning"}),
		file(chat.Part{Kind: chat.PartFile}), {Kind: chat.PartLocation, Latitude: 52.52, Longitude: 13.405, Title: "Berlin"},
		{Kind: chat.PartLink, URL: "https://shop.example/mugs", Title: "Mugs"}}
}

// wireRefused: what speaks against a command. What needs a conversation that
// no command makes is with what was imported.
func wireRefused(w *wire, c server.Config) {
	w.start(c)
	ana := w.member("Ana", chat.RoleAgent)
	tok := w.owner.Token
	conv, _ := w.conversation()
	w.apply(ana.Token, seen(text(conv, "I am on it"), 1), nil)
	w.refusal("newer_messages", tok, seen(text(conv, "Me too"), 1), chat.CodeNewerMessages)
	first := seen(text(conv, "And I"), 2)
	w.apply(tok, first, nil)
	w.refusal("too_soon", tok, seen(text(conv, "again"), 3), chat.CodeTooSoon)
	w.apply(ana.Token, cmd(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: conv}), nil)
	waited := seen(text(conv, "At last"), 3)
	waited.AgeMS = time.Hour.Milliseconds()
	w.refusal("resolved", tok, waited, chat.CodeResolved)
	w.refusal("moment_passed", tok, later(conv, "Good morning", w.clock.now().Add(-time.Hour)), chat.CodeMomentPassed)
	other := first
	other.Args = json.RawMessage(strings.Replace(string(first.Args), "And I", "Not I", 1))
	w.refusal("id_reused", tok, other, chat.CodeIDReused)
	w.apply(ana.Token, cmd(protocol.HandoffAccept, protocol.ConversationArgs{Conversation: conv}), nil)
	held := seen(text(conv, "Me too"), 5)
	w.refusal("held_by_other", tok, held, chat.CodeHeldByOther)
	w.command("duplicate", tok, held)
	after := text(conv, "then")
	after.After = held.ID
	w.refusal("after_refused", tok, after, chat.CodeAfterRefused)
	w.refusal("invalid", tok, cmd(protocol.ConversationRead, protocol.ReadArgs{Conversation: conv}), chat.CodeInvalid)
	w.refusal("not_found", tok, cmd(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: chat.NewID[chat.Conversation]()}), chat.CodeNotFound)
	w.refusal("forbidden", ana.Token, cmd(protocol.SettingsPut, map[string]any{"send_interval_seconds": 1}), chat.CodeForbidden)
	w.refusal("unsupported_part", tok, cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](),
		Parts: []chat.Part{{Kind: chat.PartTemplate, Name: "welcome"}}}), chat.CodeUnsupported)
	w.refusal("unknown_kind", tok, cmd("message.sing", map[string]any{}), chat.CodeInvalid)
	several := protocol.Commands{Commands: []chat.Command{cmd(protocol.DraftDrop, protocol.ConversationArgs{Conversation: conv}), cmd(protocol.ConversationRead, protocol.ReadArgs{Conversation: conv})}}
	w.ask("several", post, "/v1/commands", tok, several)
}

// wireReading: what is not in the log's order.
func wireReading(w *wire, c server.Config) {
	w.start(c)
	w.read("conversations_none", "/v1/conversations")
	w.read("contacts_none", "/v1/contacts")
	w.unpaced()
	conv, v := w.conversation()
	w.apply(w.owner.Token, seen(text(conv, "Hi"), 1), nil)
	w.apply(w.owner.Token, cmd(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: "A regular"}), nil)
	w.apply(w.owner.Token, cmd(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: conv}), nil)
	v.say("One more thing")
	w.conversation()
	var of chat.Conversation
	w.rig.get("/v1/conversations/"+conv.String(), w.owner.Token, &of)
	w.apply(w.owner.Token, cmd(protocol.ContactUpdate, map[string]any{"contact": of.Contact, "name": "Zoë"}), nil)

	w.read("conversation", "/v1/conversations/"+conv.String())
	w.read("conversations", "/v1/conversations?limit=1&status=open&brand="+w.created.Brand.String())
	w.read("conversations_with", "/v1/conversations?limit=1&status=done&order=oldest&with="+conv.String())
	w.read("search", "/v1/search?q=zoe")
	w.read("search_messages", "/v1/search?q=thing+from:zoe")
	w.read("search_more", "/v1/search?q=channel:web&limit=1")
	w.read("contacts", "/v1/contacts?limit=1")
	w.read("contact", "/v1/contacts/"+of.Contact.String())
	w.read("messages", "/v1/conversations/"+conv.String()+"/messages")
	w.read("messages_none", "/v1/conversations/"+conv.String()+"/messages?before=1")
	w.problem("not_found", chat.CodeNotFound, get, "/v1/contacts/"+chat.NewID[chat.Contact]().String(), w.owner.Token, nil)
	w.problem("invalid", chat.CodeInvalid, get, "/v1/conversations?status=x", w.owner.Token, nil)
}

// wireLog: every kind of change, and the same as lines.
func wireLog(w *wire, c server.Config) {
	w.start(c)
	ana := w.member("Ana", chat.RoleAgent, w.created.Brand)
	conv, _ := w.conversation()
	draft := func(kind string, args any) { w.apply(ana.Token, cmd(kind, args), nil) }
	draft(protocol.DraftPut, protocol.DraftPutArgs{Conversation: conv, Text: "not yet"})
	draft(protocol.DraftDrop, protocol.ConversationArgs{Conversation: conv})
	draft(protocol.DraftPut, protocol.DraftPutArgs{Conversation: conv, Text: "soon"})
	role := chat.RoleSupervisor
	w.patch(ana.Member.ID, protocol.MemberUpdate{Role: &role})
	other, _ := w.conversation()
	draft(protocol.DraftPut, protocol.DraftPutArgs{Conversation: other, Text: "dropped"})
	position := w.head()
	draft(protocol.DraftDrop, protocol.ConversationArgs{Conversation: other})
	draft(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: conv})
	w.unpaced()
	later := func(s string) chat.MessageID {
		args := protocol.MessageSendArgs{Conversation: other, Message: chat.NewID[chat.Message](), Parts: []chat.Part{chat.TextPart(s)}, SendAt: w.clock.now().Add(time.Minute)}
		w.apply(ana.Token, seen(cmd(protocol.MessageSend, args), 1), nil)
		return args.Message
	}
	later("Good morning")
	draft(protocol.MessageUnschedule, protocol.MessageArgs{Conversation: other, Message: later("never")})
	w.apply(w.owner.Token, seen(text(other, "I was faster"), 1), nil)
	w.clock.advance(time.Minute)
	if _, err := w.srv.Inbox().SendDue(w.Context()); err != nil { // refused: somebody has answered
		w.Fatal(err)
	}

	of := func(name, path string) answer { return w.ask(name, get, path, ana.Token, nil) }
	of("changes", "/v1/changes?after=0")
	of("changes_page", "/v1/changes?after=0&limit=1")
	of("changes_none", fmt.Sprintf("/v1/changes?after=%d", w.head()))
	of("bootstrap", "/v1/bootstrap?days=30")
	cut := of("bootstrap_cut", "/v1/bootstrap?limit=1")
	var end protocol.BootstrapEnd
	lines := strings.Split(strings.TrimSpace(string(cut.body)), "\n")
	answer{body: []byte(lines[len(lines)-1])}.into(w, &end)
	of("bootstrap_rest", "/v1/bootstrap?cursor="+end.Cursor)
	of("state", fmt.Sprintf("/v1/state?after=%d&days=30", position))
	w.problem("reset", chat.CodeReset, get, "/v1/changes?after=0&epoch=other", ana.Token, nil)
	w.problem("state_reset", chat.CodeReset, get, fmt.Sprintf("/v1/state?after=%d", w.head()+1), ana.Token, nil)

	since := rigTime.Add(-30 * 24 * time.Hour)
	digest := func(position int64, buckets ...protocol.DigestBucket) protocol.Digest {
		return protocol.Digest{Position: position, Since: since, Buckets: append([]protocol.DigestBucket{}, buckets...)}
	}
	w.ask("digest_differs", post, "/v1/digest", ana.Token, digest(w.head()-3, protocol.DigestBucket{Bucket: chat.DigestBucket(conv), Count: 2, Hash: "00000000000000ff"}))
	w.ask("digest", post, "/v1/digest", ana.Token, digest(0))
	w.problem("digest_reset", chat.CodeReset, post, "/v1/digest", ana.Token, digest(w.head()+1))
	w.problem("digest_invalid", chat.CodeInvalid, post, "/v1/digest", ana.Token, digest(0, protocol.DigestBucket{Bucket: chat.DigestBuckets, Hash: "x"}))
	w.problem("state_buckets_invalid", chat.CodeInvalid, get, "/v1/state?after=0&buckets=64", ana.Token, nil)
	every := []string{}
	for n := range chat.DigestBuckets {
		every = append(every, strconv.Itoa(n))
	}
	of("state_buckets", fmt.Sprintf("/v1/state?after=%d&since=%s&buckets=%s", w.head(), since, strings.Join(every, ",")))

	yes := true
	w.patch(ana.Member.ID, protocol.MemberUpdate{Disabled: &yes})
	w.read("changes_of_others", fmt.Sprintf("/v1/changes?after=%d", position))
}

// wireProblems: what every address answers to what it does not take.
func wireProblems(w *wire, c server.Config) {
	w.start(c)
	tok := w.owner.Token
	w.problem("nothing_there", chat.CodeNotFound, get, "/v1/nonsense", tok, nil)
	w.problem("other_method", chat.CodeInvalid, put, "/v1/commands", tok, nil)
	w.problem("other_protocol", chat.CodeInvalid, get, "/v1/members", tok, nil, protocol.VersionHeader, "2")
	w.problem("not_json", chat.CodeInvalid, post, "/v1/commands", tok, `{"commands":`)
	w.problem("wrong_type", chat.CodeInvalid, post, "/v1/commands", tok, `{"commands":[{"id":7}]}`)
	w.problem("no_socket", chat.CodeInvalid, get, "/v1/live", tok, nil)
	w.problem("no_visitor_socket", chat.CodeInvalid, get, "/v1/visitor/live", "", nil)
	x, _ := w.exchange(post, "/v1/commands", tok, strings.Repeat(" ", protocol.MaxBody+1))
	x.Request.Text, x.Request.Bytes = "", protocol.MaxBody+1
	w.keep("too_large", x)

	// Something breaks that nobody has thought of.
	db, err := sql.Open("sqlite3", filepath.Join(c.Data, "parley.db"))
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`alter table draft rename to nonsense`); err != nil {
		w.Fatal(err)
	}
	conv, _ := w.conversation()
	w.problem("internal", chat.CodeInternal, post, "/v1/commands", tok, protocol.Commands{Commands: []chat.Command{cmd(protocol.DraftDrop, protocol.ConversationArgs{Conversation: conv})}})
}
