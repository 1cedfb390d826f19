package server_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
)

func TestAMomentThatHasComeIsNow(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	conv, _ := r.conversation()
	for _, at := range []chat.Time{r.clock.now(), r.clock.now().Add(-chat.ScheduleGrace)} {
		r.apply(r.owner.Token, cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](),
			Parts: []chat.Part{chat.TextPart("due")}, SendAt: at}), nil)
	}
	if n := len(r.thread(conv)); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

// TestWhoWaitsForAnotherCommandIsToldHowLong: as long as the one before, or a
// moment where that one has not come.
func TestWhoWaitsForAnotherCommandIsToldHowLong(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	r.apply(r.owner.Token, text(conv, "one"), nil)
	r.clock.advance(2500 * time.Millisecond)
	two, three, lost := text(conv, "two"), text(conv, "three"), text(conv, "lost")
	three.After, lost.After = two.ID, chat.NewID[chat.Command]()
	for i, want := range []float64{0.5, 0.5, 2} {
		res := r.send(r.owner.Token, two, three, lost)[i]
		if p := res.Problem; p == nil || p.Code != chat.CodeTooSoon || p.RetryAfter != want {
			t.Errorf("command %d: %+v, want too_soon with %v s", i, p, want)
		}
	}
}

func TestNullUnassigns(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	var c chat.Conversation
	r.apply(r.owner.Token, cmd(protocol.ConversationAssign, map[string]any{"conversation": conv, "member": r.owner.Member.ID}), &c)
	r.refuse(r.owner.Token, cmd(protocol.ConversationAssign, map[string]any{"conversation": conv}), chat.CodeInvalid)
	r.get("/v1/conversations/"+conv.String(), r.owner.Token, &c)
	if c.Assignee != r.owner.Member.ID {
		t.Fatal("a command without a member took the assignee away")
	}
	r.apply(r.owner.Token, cmd(protocol.ConversationAssign, map[string]any{"conversation": conv, "member": nil}), &c)
	if !c.Assignee.IsZero() {
		t.Errorf("still assigned to %v", c.Assignee)
	}
}

func TestAChannelIsChanged(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		second := r.addBrand("Second")
		own := r.created.Channel
		put := func(fields map[string]any) chat.Command {
			fields["channel"] = own.ID
			return cmd(protocol.ChannelPut, fields)
		}
		_, before, err := r.srv.Inbox().ChannelByKey(context.Background(), own.Key)
		if err != nil {
			t.Fatal(err)
		}
		var ch chat.Channel
		r.apply(r.owner.Token, put(map[string]any{"origins": []string{"HTTPS://Shop.Example", "https://shop.example:443", "http://localhost:3000"}, "greeting": " Hello ", "receipts": "off"}), &ch)
		if want := []string{"https://shop.example", "http://localhost:3000"}; !slices.Equal(ch.Settings.Origins, want) ||
			ch.Settings.Greeting != "Hello" || ch.Settings.Title != before.Settings.Title || ch.Settings.ShowsReceipts() {
			t.Errorf("settings %+v", ch.Settings)
		}
		if a := r.do(http.MethodPost, "/v1/visitor/session", "", protocol.VisitorSession{Channel: own.Key}, "Origin", "https://shop.example"); a.status != http.StatusOK {
			t.Errorf("a page that was just listed: %d %s", a.status, a.body)
		}
		_, after, err := r.srv.Inbox().ChannelByKey(context.Background(), own.Key)
		if err != nil || after.Secret != before.Secret || after.Secret == "" {
			t.Errorf("the secret is lost (%v)", err)
		}
		for _, bad := range []string{"", "shop.example", "https://shop.example/", "https://shop.example/path", "ftp://shop.example", "https://*.example",
			"https://a:b@shop.example", "https://shop.example?x", "https://shop.example#", "https://shop.example:0", "https://shop.example:", "null", "https://bücher.example"} {
			if p := r.refuse(r.owner.Token, put(map[string]any{"origins": []string{bad}}), chat.CodeInvalid); p.Field != "origins.0" {
				t.Errorf("%q: field %q", bad, p.Field)
			}
		}
		if p := r.refuse(r.owner.Token, put(map[string]any{"receipts": "sometimes"}), chat.CodeInvalid); p.Field != "receipts" {
			t.Errorf("field %q", p.Field)
		}
		r.refuse(r.member("Ana", chat.RoleAgent).Token, put(map[string]any{"title": "x"}), chat.CodeForbidden)
		r.refuse(r.member("Ada", chat.RoleAdmin, second.Brand).Token, put(map[string]any{"title": "x"}), chat.CodeNotFound)

		// The operator names it as they like; without a name it must be clear.
		title := "Help"
		for _, name := range []string{own.ID.String(), own.Key, own.Slug} {
			title += "!"
			if ch, err := r.srv.UpdateChannel(context.Background(), server.ChannelUpdate{Channel: name, Title: &title}); err != nil || ch.Settings.Title != title || len(ch.Settings.Origins) != 2 {
				t.Errorf("by %s: %+v, %v", name, ch.Settings, err)
			}
		}
		if _, err := r.srv.UpdateChannel(context.Background(), server.ChannelUpdate{Title: &title}); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("one of two channels without saying which: %v", err)
		}
		if _, err := r.srv.UpdateChannel(context.Background(), server.ChannelUpdate{Channel: "x\x00", Title: &title}); chat.ErrorCode(err) != chat.CodeNotFound {
			t.Errorf("an unknown channel: %v", err)
		}
	})
}

func TestContactsAreListedAndFound(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		second := r.addBrand("Second")
		var all []chat.ContactID
		for i, name := range []string{"Zoë Young", "Zoltan Yard", "Adam"} {
			key := r.created.Channel.Key
			if i == 2 {
				key = second.Key
			}
			v := r.visit(key)
			v.say("hello")
			var c chat.Conversation
			r.get("/v1/conversations/"+v.conv.String(), r.owner.Token, &c)
			r.apply(r.owner.Token, cmd(protocol.ContactUpdate, map[string]any{"contact": c.Contact, "name": name, "phone": "+49 30 12345" + string(rune('0'+i))}), nil)
			all = append([]chat.ContactID{c.Contact}, all...)
		}
		list := func(token, q string) (ids []chat.ContactID) {
			t.Helper()
			for cursor := ""; ; {
				var page protocol.ContactsPage
				r.get("/v1/contacts?limit=1&q="+q+"&cursor="+cursor, token, &page)
				for _, c := range page.Contacts {
					ids = append(ids, c.ID)
				}
				if cursor = page.Cursor; cursor == "" {
					return ids
				}
			}
		}
		slices.SortFunc(all, func(a, b chat.ContactID) int { return slices.Compare(b.Bytes(), a.Bytes()) })
		if got := list(r.owner.Token, ""); !slices.Equal(got, all) {
			t.Errorf("all: %v, want %v", got, all)
		}
		for q, want := range map[string]int{"zo": 2, "zoe+you": 1, "zo+nobody": 0, "%2B493012345": 3, "ada": 1, "!!": 0} {
			if got := list(r.owner.Token, q); len(got) != want {
				t.Errorf("%q: %d contacts, want %d", q, len(got), want)
			}
		}
		ana := r.member("Ana", chat.RoleAgent, second.Brand)
		if got := list(ana.Token, ""); len(got) != 1 {
			t.Errorf("a member of one brand sees %d contacts, want 1", len(got))
		}
		if got := list(ana.Token, "zo"); len(got) != 0 {
			t.Errorf("a member of one brand finds %d contacts of another", len(got))
		}
	})
}

// TestABootstrapSaysHowMuchIsToCome: with the first line, for the progress bar.
func TestABootstrapSaysHowMuchIsToCome(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		second := r.addBrand("Second")
		r.conversation()
		r.visit(second.Key).say("hello")
		ana := r.member("Ana", chat.RoleAgent, second.Brand)
		for token, want := range map[string]int64{r.owner.Token: 2, ana.Token: 1} {
			var head protocol.BootstrapHead
			first, _, _ := cutLine(r.do(http.MethodGet, "/v1/bootstrap", token, nil).body)
			answer{body: first}.into(t, &head)
			if head.Total != want {
				t.Errorf("%d conversations to come, want %d", head.Total, want)
			}
		}
	})
}

func cutLine(b []byte) (line, rest []byte, found bool) {
	i := slices.Index(b, '\n')
	if i < 0 {
		return b, nil, false
	}
	return b[:i], b[i+1:], true
}

// TestAnOwnerWithoutANameIsTheBrand: customers never see a part of an e-mail.
func TestAnOwnerWithoutANameIsTheBrand(t *testing.T) {
	r := bareRig(t, onSQLite(t))
	var err error
	if r.created, err = r.srv.Setup(context.Background(), protocol.Setup{Workspace: "Northwind Coffee", Email: "private.person@northwind.example", Password: password}); err != nil {
		t.Fatal(err)
	}
	if r.owner, err = r.srv.OwnerSession(context.Background(), "test"); err != nil {
		t.Fatal(err)
	}
	conv, v := r.conversation()
	r.apply(r.owner.Token, text(conv, "Hi"), nil)
	var page protocol.VisitorMessages
	r.get("/v1/visitor/messages?after=1", v.token, &page)
	if name := page.Messages[0].Author.Name; r.owner.Member.Name != "Northwind Coffee" || name != "Northwind Coffee" {
		t.Errorf("the owner is called %q, to customers %q", r.owner.Member.Name, name)
	}
}

// TestWhatWasCarriedOutSaysSoAfterAccessWasTaken: the line broke before the
// answer, and the brand is another's by the time the command comes again.
func TestWhatWasCarriedOutSaysSoAfterAccessWasTaken(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	conv, _ := r.conversation()
	ana := r.member("Ana", chat.RoleAgent)
	sent := text(conv, "Hi")
	first := r.apply(ana.Token, sent, nil)
	brands := []chat.BrandID{r.addBrand("Other").Brand}
	r.patch(ana.Member.ID, protocol.MemberUpdate{Brands: &brands})
	if again := r.send(ana.Token, sent)[0]; again.Status != protocol.StatusDuplicate || again.Seq != first.Seq || again.Problem != nil {
		t.Fatalf("repeated: %+v", again)
	}
	r.refuse(ana.Token, text(conv, "Hi again"), chat.CodeNotFound)
}
