package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/protocol"
)

func TestEngineMessageComesIn(t *testing.T) {
	b := newBackend(t)
	e := openEngine(t, t.TempDir())
	e.signIn(b.url())
	visitor := b.visitor()
	visitor.says("is my parcel on its way?")
	c := e.find("is my parcel on its way?")
	if c.Unread != 1 || c.LastNumber < 1 {
		t.Fatalf("conversation %+v", c)
	}
	Until(t, "the window to be told of the list", func() bool {
		list := e.window.heard("list", c.ID.String()) || e.window.heard(`list {"conversations":null}`) // this one, or all
		return list && e.window.heard("counts")
	})
	if e.window.heard("thread", c.ID.String()) {
		t.Error("the window is told of a thread that it has not read")
	}
	if n, _ := times(e.thread(c.ID, desktop.ThreadQuery{}), "is my parcel on its way?"); n != 1 {
		t.Fatalf("the message stands %d times in the thread", n)
	}
	visitor.says("are you there?")
	Until(t, "the window to be told of the thread it has read", func() bool { return e.window.heard("thread", c.ID.String()) })
	if n, _ := times(e.thread(c.ID, desktop.ThreadQuery{}), "are you there?"); n != 1 {
		t.Fatalf("the second message stands %d times in the thread", n)
	}
	counts, err := e.Counts("")
	if err != nil || counts.Quick["unread"] != 1 || counts.Brands[c.Brand.String()] != 1 {
		t.Fatalf("counts %+v %v", counts, err)
	}
	if s := e.state(); len(s.ShareLinks) != 1 || s.ShareLinks[0].URL != b.url()+"/c/"+b.created.Channel.Slug {
		t.Fatalf("share links %+v", s.ShareLinks)
	}
}

func TestEngineSendsOfflineTextOnceAfterACrash(t *testing.T) {
	b := newBackend(t)
	line := NewProxy(t, b.config.Listen)
	first := openEngine(t, t.TempDir())
	first.signIn(line.URL())
	b.visitor().says("hello?")
	c := first.find("hello?")

	line.Cut()
	trouble := time.Now()
	s := first.status("offline")
	if late := time.Since(trouble); late > 3*time.Second {
		t.Fatalf("said offline only after %v", late)
	}
	if s.Connection.Since.IsZero() || s.Connection.CheckedAt.IsZero() {
		t.Fatalf("offline without since or checked_at: %+v", s.Connection)
	}
	if err := first.SaveDraft(c.ID.String(), desktop.Draft{Text: "it leaves tod"}); err != nil {
		t.Fatal(err)
	}
	entry := first.send(c.ID, "it leaves today", c.LastNumber)
	if _, n := times(first.thread(c.ID, desktop.ThreadQuery{}), "it leaves today"); n != 1 {
		t.Fatal("the text is not in the thread")
	}
	if view, err := first.Conversation(c.ID.String()); err != nil || view.Draft != nil {
		t.Fatalf("the draft outlives sending: %+v %v", view.Draft, err)
	}

	disk := first.crash()
	first.close()
	second := openEngine(t, disk)
	if n, waiting := times(second.thread(c.ID, desktop.ThreadQuery{}), "it leaves today"); n != 0 || waiting != 1 {
		t.Fatalf("after the crash: %d confirmed, %d waiting", n, waiting)
	}
	line.Restore()
	Until(t, "the text to be delivered", func() bool {
		n, waiting := times(second.thread(c.ID, desktop.ThreadQuery{}), "it leaves today")
		return n == 1 && waiting == 0 && second.state().Outbox.Queued == 0
	})
	owner := b.owner()
	if texts := owner.texts(c.ID); !slices.Equal(texts, []string{"hello?", "it leaves today"}) {
		t.Fatalf("the server has %q", texts)
	}
	// The command is known: its id stands for that one message for ever.
	id, err := chat.ParseID[chat.Command](entry.ID)
	if err != nil {
		t.Fatal(err)
	}
	message, err := chat.ParseID[chat.Message](entry.Message)
	if err != nil {
		t.Fatal(err)
	}
	res := owner.judge(chat.Command{ID: id, Kind: protocol.MessageSend, Seen: &c.LastNumber, Args: asJSON(t, protocol.MessageSendArgs{
		Conversation: c.ID, Message: message, Parts: []chat.Part{chat.TextPart("something else")}})})
	if res.Problem == nil || res.Problem.Code != chat.CodeIDReused {
		t.Fatalf("the server does not know the command: %+v", res)
	}
}

func TestEngineKeepsTextThatWasOvertaken(t *testing.T) {
	b := newBackend(t)
	b.hire("ana@example.com")
	e := openEngine(t, t.TempDir())
	e.signIn(b.url())
	b.visitor().says("which size?")
	c := e.find("which size?")
	b.person("ana@example.com", ownerPassword).says(c.ID, "medium")

	first := e.send(c.ID, "large", c.LastNumber)
	second := e.send(c.ID, "it is in stock", c.LastNumber)
	var refused desktop.OutboxEntry
	Until(t, "the refusal", func() bool {
		for _, p := range e.thread(c.ID, desktop.ThreadQuery{}).Pending {
			if p.ID == first.ID && p.State == "refused" {
				refused = p
				return true
			}
		}
		return false
	})
	if refused.Problem.Code != chat.CodeNewerMessages || len(refused.Problem.Messages) == 0 || refused.Text != "large" {
		t.Fatalf("the refusal does not say what came first: %+v", refused)
	}
	// A change goes through; the later text waits for the author's decision.
	if err := e.Resolve(c.ID.String()); err != nil {
		t.Fatal(err)
	}
	Until(t, "the conversation to be resolved on the server", func() bool {
		raw, err := b.owner().client.Conversation(t.Context(), c.ID)
		return err == nil && slices.Contains([]string{"resolved"}, statusIn(t, raw))
	})
	if got := b.owner().texts(c.ID); !slices.Equal(got, []string{"which size?", "medium"}) {
		t.Fatalf("a held text went out: %q", got)
	}
	again, err := e.Resend(refused.ID, desktop.Resend{})
	if err != nil {
		t.Fatal(err)
	}
	if again.ID == first.ID || again.Message != first.Message {
		t.Fatalf("resent as %+v, first was %+v", again, first)
	}
	// Now it is the second text that has not seen what Ana wrote.
	Until(t, "the second refusal", func() bool {
		p := e.thread(c.ID, desktop.ThreadQuery{}).Pending
		return len(p) == 1 && p[0].ID == second.ID && p[0].State == "refused"
	})
	if _, err := e.Resend(second.ID, desktop.Resend{Force: true}); err != nil {
		t.Fatal(err)
	}
	Until(t, "both texts, in order", func() bool {
		return slices.Equal(b.owner().texts(c.ID), []string{"which size?", "medium", "large", "it is in stock"})
	})
	Until(t, "an empty outbox", func() bool { return e.state().Outbox == desktop.OutboxCounts{} })
}

func TestEngineGivesARefusedTextBack(t *testing.T) {
	b := newBackend(t)
	b.hire("ana@example.com")
	e := openEngine(t, t.TempDir())
	e.signIn(b.url())
	b.visitor().says("who is there?")
	c := e.find("who is there?")
	b.person("ana@example.com", ownerPassword).command(protocol.HandoffAccept, protocol.ConversationArgs{Conversation: c.ID}, nil)
	entry := e.send(c.ID, "me", c.LastNumber)
	Until(t, "the refusal", func() bool { return e.state().Outbox.Refused == 1 })
	back, err := e.Drop(entry.ID)
	if err != nil || back.Text != "me" {
		t.Fatalf("dropped %+v %v", back, err)
	}
	if p := e.thread(c.ID, desktop.ThreadQuery{}).Pending; len(p) != 0 {
		t.Fatalf("still waiting: %+v", p)
	}
}

func TestEngineShowsChangesAtOnceAndTakesThemBack(t *testing.T) {
	b := newBackend(t)
	b.hire("ana@example.com")
	line := NewProxy(t, b.config.Listen)
	e := openEngine(t, t.TempDir())
	e.signIn(line.URL())
	b.visitor().says("please look at this")
	c := e.find("please look at this")
	line.Cut()
	for _, do := range []func() error{
		func() error { return e.MarkRead(c.ID.String(), c.LastNumber) },
		func() error { return e.Resolve(c.ID.String()) },
		func() error { return e.Assign(c.ID.String(), b.created.Member.String()) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	if len(e.list("unread")) != 0 || len(e.list("resolved")) != 1 || len(e.list("mine")) != 1 || len(e.list("unassigned")) != 0 {
		t.Fatal("the lists do not show what was done offline")
	}
	counts, err := e.Counts("")
	if err != nil || counts.Quick["unread"] != 0 || counts.Quick["all"] != 0 || counts.Quick["unassigned"] != 0 || counts.Brands[c.Brand.String()] != 0 {
		t.Fatalf("counts %+v %v", counts, err)
	}
	if r := e.list("all")[0]; r.Unread != 0 || r.Status != chat.StatusResolved || r.shown.AssigneeName != "Maja Lindqvist" {
		t.Fatalf("row %+v", r)
	}
	line.Restore()
	Until(t, "the changes on the server", func() bool {
		raw, err := b.owner().client.Conversation(t.Context(), c.ID)
		return err == nil && statusIn(t, raw) == "resolved"
	})

	ana := b.person("ana@example.com", ownerPassword)
	ana.command(protocol.HandoffAccept, protocol.ConversationArgs{Conversation: c.ID}, nil)
	if err := e.Accept(c.ID.String()); err != nil {
		t.Fatal(err)
	}
	Until(t, "the refusal to be told", func() bool { return e.window.heard("problem", "held_by_other", c.ID.String()) })
	Until(t, "Ana to be shown as holder", func() bool {
		r := e.list("all")[0]
		return r.Holder != nil && r.Holder.ID == ana.who.Member.ID.String()
	})
}

func TestEngineFindsAHalfOpenSocket(t *testing.T) {
	b := newBackend(t)
	line := NewProxy(t, b.config.Listen)
	e := openEngine(t, t.TempDir())
	e.signIn(line.URL())
	line.Stall()
	e.status("offline")
	b.visitor().says("written meanwhile")
	line.Restore()
	c := e.find("written meanwhile")
	e.status("live")
	if n, _ := times(e.thread(c.ID, desktop.ThreadQuery{}), "written meanwhile"); n != 1 {
		t.Fatal("the message of the silent time is missing")
	}
}

func TestEngineTakesAPortalForOffline(t *testing.T) {
	b := newBackend(t)
	gate := newGate(t, b.url())
	line := NewProxy(t, gate.Listener.Addr().String())
	e := openEngine(t, t.TempDir())
	e.signIn(line.URL())
	b.visitor().says("before the portal")
	c := e.find("before the portal")
	for name, portal := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<h1>Welcome to the hotel</h1>"))
		},
		"foreign JSON": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"from":0,"to":99,"head":99,"changes":[],"results":[]}`))
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://portal.invalid/", http.StatusFound)
		},
		"a foreign 401": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":"unauthorized","wipe":true}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			gate.answer(portal)
			line.Cut()
			line.Restore()
			e.status("offline")
			if n, _ := times(e.thread(c.ID, desktop.ThreadQuery{}), "before the portal"); n != 1 {
				t.Fatal("the cache suffered")
			}
			gate.answer(nil)
			e.status("live")
		})
	}
}

func TestEngineForgetsWhatItMayNoLongerSee(t *testing.T) {
	b := newBackend(t)
	other := b.addBrand("Another shop")
	ana := b.hire("ana@example.com", b.created.Brand)
	e := openEngine(t, t.TempDir())
	e.signInAs(b.url(), "ana@example.com", ownerPassword)
	b.visitor().says("a secret")
	c := e.find("a secret")

	e.close()
	b.setBrands(ana.ID, other)
	again := openEngine(t, e.data)
	Until(t, "the conversation to be gone", func() bool { return len(again.list("all")) == 0 })
	if _, err := again.Thread(c.ID.String(), desktop.ThreadQuery{Limit: 10}); chat.ErrorCode(err) != chat.CodeNotFound {
		t.Fatalf("the thread can still be read: %v", err)
	}
	b.setBrands(ana.ID, b.created.Brand)
	got := again.find("a secret")
	Until(t, "the thread to be loaded again", func() bool {
		n, _ := times(again.thread(got.ID, desktop.ThreadQuery{}), "a secret")
		return n == 1
	})
}

func TestEngineMovesTextsItMayNotSend(t *testing.T) {
	b := newBackend(t)
	other := b.addBrand("Another shop")
	ana := b.hire("ana@example.com", b.created.Brand)
	line := NewProxy(t, b.config.Listen)
	e := openEngine(t, t.TempDir())
	e.signInAs(line.URL(), "ana@example.com", ownerPassword)
	b.visitor().says("are you open?")
	c := e.find("are you open?")
	line.Cut()
	e.status("offline")
	e.send(c.ID, "until six", c.LastNumber)
	b.setBrands(ana.ID, other)
	line.Restore()
	Until(t, "the text to be marked", func() bool { return e.state().Outbox == desktop.OutboxCounts{Refused: 1} })
	if got := b.owner().texts(c.ID); !slices.Equal(got, []string{"are you open?"}) {
		t.Fatalf("the server has %q", got)
	}
}

func TestEngineWipesARevokedDevice(t *testing.T) {
	b := newBackend(t)
	e := openEngine(t, t.TempDir())
	e.signIn(b.url())
	b.visitor().says("private")
	e.find("private")
	owner := b.owner()
	owner.revokeOthers()
	Until(t, "the account to be gone", func() bool {
		s := e.state()
		return len(s.Accounts) == 0 && s.Account == nil && len(s.Warnings) > 0 && s.Warnings[0].Code == "revoked"
	})
	var left []string
	Until(t, "the wipe", func() bool { // of all but what was typed here
		left = nil
		for _, pattern := range []string{"accounts/*/cache.*db*", "accounts/*/files", "secrets/*"} {
			found, err := filepath.Glob(filepath.Join(e.data, filepath.FromSlash(pattern)))
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, found...)
		}
		return len(left) == 0
	})
	e.close()
	again := openEngine(t, e.data)
	if s := again.state(); len(s.Accounts) != 0 || len(s.Warnings) == 0 || s.Warnings[0].Code != "revoked" {
		t.Fatalf("after a restart: %+v", s)
	}
	again.signIn(b.url())
	if s := again.state(); len(s.Accounts) != 1 || s.Warnings[0].Code == "revoked" {
		t.Fatalf("after signing in again: %+v", s)
	}
}

func TestEngineSwitchesAccounts(t *testing.T) {
	one, two := newBackend(t), newBackend(t)
	e := openEngine(t, t.TempDir())
	e.signIn(one.url())
	one.visitor().says("to the first")
	e.find("to the first")
	firstID := *e.state().Account
	e.signIn(two.url())
	if rows := e.list("all"); len(rows) != 0 {
		t.Fatalf("the second account shows the first one's chats: %v", rows)
	}
	two.visitor().says("to the second")
	e.find("to the second")
	one.visitor().says("while away")
	if err := e.SwitchAccount(firstID); err != nil {
		t.Fatal(err)
	}
	if rows := e.list("all"); !slices.ContainsFunc(rows, func(r row) bool { return r.Preview == "to the first" }) {
		t.Fatalf("%d rows, and none from the cache", len(rows))
	}
	e.find("while away")
	if err := e.SignOut(); err != nil {
		t.Fatal(err)
	}
	s := e.state()
	if len(s.Accounts) != 2 || *s.Account == firstID {
		t.Fatalf("after signing out: %+v", s.Accounts)
	}
	if _, err := os.Stat(filepath.Join(e.data, "accounts", firstID, "cache.db")); !os.IsNotExist(err) {
		t.Fatalf("the cache of the left account is still there: %v", err)
	}
}

func TestEngineCarriesDraftsBetweenDevices(t *testing.T) {
	b := newBackend(t)
	first, second := openEngine(t, t.TempDir()), openEngine(t, t.TempDir())
	first.signIn(b.url())
	second.signIn(b.url())
	b.visitor().says("could you help?")
	c := first.find("could you help?")
	second.find("could you help?")
	draft := func(e *engine) string {
		t.Helper()
		v, err := e.Conversation(c.ID.String())
		if err != nil {
			t.Fatal(err)
		}
		if v.Draft == nil {
			return ""
		}
		return v.Draft.Text
	}
	save := func(e *engine, text string) {
		t.Helper()
		if err := e.SaveDraft(c.ID.String(), desktop.Draft{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	save(first, "of co")
	save(first, "of course")
	if draft(first) != "of course" {
		t.Fatalf("draft %q", draft(first))
	}
	copied := openEngine(t, first.crash())
	if draft(copied) != "of course" {
		t.Fatalf("after a crash the draft is %q", draft(copied))
	}
	copied.close()
	Until(t, "the draft on the other device", func() bool { return draft(second) == "of course" })
	Until(t, "the draft's mark in the other list", func() bool { return second.list("all")[0].shown.Draft == "of course" })
	save(second, "of course, gladly")
	if draft(second) != "of course, gladly" {
		t.Fatal("the other device does not show its own text")
	}
	Until(t, "the newer text on the first", func() bool { return draft(first) == "of course, gladly" })
	first.send(c.ID, "of course, gladly", c.LastNumber)
	if draft(first) != "" {
		t.Fatalf("draft after sending: %q", draft(first))
	}
	Until(t, "the draft to go everywhere", func() bool { return draft(second) == "" && draft(first) == "" })
}
