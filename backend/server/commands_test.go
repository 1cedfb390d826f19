package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

func TestAConversationBothWays(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		conv, v := r.conversation()
		var msg chat.Message
		res := r.apply(r.owner.Token, seen(text(conv, "How can I help?"), 1), &msg)
		if msg.Number != 2 || msg.Ver != res.Seq || msg.Delivery == nil || msg.Delivery.State != chat.DeliverySent {
			t.Fatalf("message %+v, result seq %d", msg, res.Seq)
		}
		var page protocol.VisitorMessages
		r.get("/v1/visitor/messages?after=0", v.token, &page)
		if len(page.Messages) != 2 || page.To != 2 || page.Messages[1].Author.Name != "Olga" {
			t.Fatalf("the visitor sees %+v", page)
		}
		var c chat.Conversation
		r.get("/v1/conversations/"+conv.String(), r.owner.Token, &c)
		if c.Unread != 0 || c.Holder == nil || c.Holder.Firm || c.State != chat.StateAgent || c.Preview != "How can I help?" {
			t.Fatalf("after the answer: %+v", c)
		}
	})
}

func TestACommandIsJudgedOncePerID(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		conv, _ := r.conversation()
		c := seen(text(conv, "Hi"), 1)
		first := r.send(r.owner.Token, c)[0]
		c.AgeMS = 120_000 // how long it has waited is not what it asks
		again := r.send(r.owner.Token, c)[0]
		if first.Status != protocol.StatusApplied || again.Status != protocol.StatusDuplicate || again.Seq != first.Seq || !sameJSON(again.Data, first.Data) {
			t.Fatalf("first %+v, again %+v", first, again)
		}
		spaced := c // the same body, written differently, is the same body
		spaced.Args = json.RawMessage(" " + strings.ReplaceAll(string(c.Args), `,"`, ` , "`))
		if res := r.send(r.owner.Token, spaced)[0]; res.Status != protocol.StatusDuplicate {
			t.Fatalf("white space made it another command: %+v", res.Problem)
		}
		other := text(conv, "Something else")
		other.ID = c.ID
		if p := r.refuse(r.owner.Token, other, chat.CodeIDReused); p.Status != http.StatusUnprocessableEntity {
			t.Fatalf("status %d, want 422", p.Status)
		}
		if n := len(r.thread(conv)); n != 2 {
			t.Fatalf("%d messages, want 2", n)
		}
	})
}

func TestARefusalIsAVerdictToo(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	conv, v := r.conversation()
	ana := r.member("Ana", chat.RoleAgent)
	r.apply(ana.Token, seen(text(conv, "I am on it"), 1), nil)
	late := seen(text(conv, "Me too"), 1)
	r.refuse(r.owner.Token, late, chat.CodeNewerMessages)
	v.say("Thanks")
	again := r.send(r.owner.Token, late)[0]
	if again.Status != protocol.StatusDuplicate || again.Problem == nil || again.Problem.Code != chat.CodeNewerMessages || len(again.Problem.Messages) != 1 {
		t.Fatalf("the repeat of a refusal: %+v %+v", again, again.Problem)
	}
}

func TestTooSoonIsNotStored(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	r.apply(r.owner.Token, text(conv, "one"), nil)
	r.clock.advance(time.Second)
	c := text(conv, "two")
	p := r.refuse(r.owner.Token, c, chat.CodeTooSoon)
	if p.RetryAfter != 2 || p.Status != http.StatusTooManyRequests {
		t.Fatalf("retry after %v s, status %d; want 2 s, 429", p.RetryAfter, p.Status)
	}
	r.clock.advance(2 * time.Second)
	r.apply(r.owner.Token, c, nil)
	ana := r.member("Ana", chat.RoleAgent)
	r.apply(ana.Token, text(conv, "another member has a pace of their own"), nil)
}

func TestTheIntervalIsASetting(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	var ws chat.Workspace
	r.apply(r.owner.Token, cmd(protocol.SettingsPut, map[string]any{"send_interval_seconds": 10, "unknown": true}), &ws)
	if ws.Settings.SendIntervalSeconds != 10 || ws.Settings.MaxFileBytes != 10<<20 {
		t.Fatalf("settings %+v", ws.Settings)
	}
	r.apply(r.owner.Token, text(conv, "one"), nil)
	r.clock.advance(9 * time.Second)
	if p := r.refuse(r.owner.Token, text(conv, "two"), chat.CodeTooSoon); p.RetryAfter != 1 {
		t.Fatalf("retry after %v, want 1", p.RetryAfter)
	}
	r.unpaced()
	r.apply(r.owner.Token, text(conv, "two"), nil)
	r.apply(r.owner.Token, text(conv, "three"), nil)
	for _, bad := range []any{-1, 61, 2.5, "3", true} {
		if p := r.refuse(r.owner.Token, cmd(protocol.SettingsPut, map[string]any{"send_interval_seconds": bad}), chat.CodeInvalid); p.Field != "send_interval_seconds" {
			t.Errorf("%v: field %q", bad, p.Field)
		}
	}
	ana := r.member("Ana", chat.RoleAgent)
	r.refuse(ana.Token, cmd(protocol.SettingsPut, map[string]any{"send_interval_seconds": 0}), chat.CodeForbidden)
}

func TestAMessageExistsOncePerID(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	conv, _ := r.conversation()
	c := text(conv, "Hi")
	first := r.apply(r.owner.Token, c, nil)
	c.ID = chat.NewID[chat.Command]()
	second := r.apply(r.owner.Token, c, nil)
	if second.Seq != first.Seq || !sameJSON(second.Data, first.Data) {
		t.Fatalf("first %+v, second %+v", first, second)
	}
	c.ID = chat.NewID[chat.Command]()
	ana := r.member("Ana", chat.RoleAgent)
	if p := r.refuse(ana.Token, c, chat.CodeIDReused); p.Field != "message" {
		t.Fatalf("field %q", p.Field)
	}
	if n := len(r.thread(conv)); n != 2 {
		t.Fatalf("%d messages, want 2", n)
	}
}

func TestCompareAndSend(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.unpaced()
		conv, v := r.conversation()
		ana := r.member("Ana", chat.RoleAgent)
		// The customer goes on writing: that speaks against nothing yet.
		v.say("Are you there?")
		r.apply(r.owner.Token, seen(text(conv, "Yes"), 1), nil)
		// A colleague has answered since.
		c := seen(text(conv, "Hello from Ana"), 2)
		p := r.refuse(ana.Token, c, chat.CodeNewerMessages)
		if len(p.Messages) != 1 || p.Messages[0].Number != 3 || p.Status != http.StatusConflict {
			t.Fatalf("problem %+v", p)
		}
		// All the same: a new command id, the same message id, the new seen.
		c.ID = chat.NewID[chat.Command]()
		r.apply(ana.Token, seen(c, 3), nil)
		// Waited for long: then the customer's words count as well.
		v.say("One more thing")
		old := seen(text(conv, "Goodbye"), 4)
		old.AgeMS = 60_001
		if p := r.refuse(ana.Token, old, chat.CodeNewerMessages); len(p.Messages) != 1 || p.Messages[0].Author.Kind != chat.ActorCustomer {
			t.Fatalf("problem %+v", p)
		}
		forced := text(conv, "Goodbye")
		forced.Args = json.RawMessage(strings.Replace(string(forced.Args), `{`, `{"force":true,`, 1))
		forced.AgeMS = 60_001
		r.apply(ana.Token, seen(forced, 4), nil)
		// A program without a view is not guarded.
		r.apply(r.owner.Token, text(conv, "From a program"), nil)
	})
}

func TestHolding(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	conv, _ := r.conversation()
	ana, ben, sue := r.member("Ana", chat.RoleAgent), r.member("Ben", chat.RoleAgent), r.member("Sue", chat.RoleSupervisor)
	just := func(kind string) chat.Command { return cmd(kind, map[string]any{"conversation": conv}) }

	var c chat.Conversation
	r.apply(ana.Token, just(protocol.HandoffAccept), &c)
	if c.Holder == nil || !c.Holder.Firm || c.Holder.ID != ana.Member.ID.String() || c.Assignee != ana.Member.ID {
		t.Fatalf("after accept: %+v", c)
	}
	p := r.refuse(ben.Token, text(conv, "Hi"), chat.CodeHeldByOther)
	if p.Holder == nil || p.Holder.ID != ana.Member.ID.String() {
		t.Fatalf("the problem does not say who holds: %+v", p)
	}
	over := func(holder chat.MemberID) chat.Command {
		return seen(cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](),
			Parts: []chat.Part{chat.TextPart("All the same")}, Over: holder}), 99)
	}
	r.refuse(ben.Token, over(sue.Member.ID), chat.CodeHeldByOther)
	r.apply(ben.Token, over(ana.Member.ID), nil)
	r.refuse(ben.Token, just(protocol.HandoffAccept), chat.CodeHeldByOther)
	r.refuse(ben.Token, just(protocol.HandoffRelease), chat.CodeHeldByOther)
	forced := cmd(protocol.MessageSend, map[string]any{"conversation": conv, "message": chat.NewID[chat.Message](), "parts": []chat.Part{chat.TextPart("Urgent")}, "force": true})
	r.apply(ben.Token, forced, nil)
	r.apply(sue.Token, just(protocol.HandoffRelease), &c)
	if c.Holder != nil || c.State != chat.StateEscalated {
		t.Fatalf("after release: %+v", c)
	}
	r.apply(ben.Token, text(conv, "I hold it softly"), nil)
	r.apply(ana.Token, text(conv, "and may be written over"), nil)
	r.apply(ana.Token, just(protocol.ConversationResolve), &c)
	if c.Status != chat.StatusResolved || c.Holder != nil {
		t.Fatalf("after resolve: %+v", c)
	}
	events := map[string]int{}
	for _, m := range r.thread(conv) {
		if m.Event != nil {
			events[m.Event.Name]++
		}
	}
	if events["accepted"] != 1 || events["released"] != 1 || events["resolved"] != 1 {
		t.Fatalf("events %v", events)
	}
}

func TestACustomerReopens(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, v := r.conversation()
	r.apply(r.owner.Token, cmd(protocol.ConversationResolve, map[string]any{"conversation": conv}), nil)
	again := r.apply(r.owner.Token, cmd(protocol.ConversationResolve, map[string]any{"conversation": conv}), nil)
	if n := len(r.thread(conv)); n != 2 || again.Seq == 0 {
		t.Fatalf("resolving twice made %d rows", n)
	}
	m := v.say("It broke again")
	var c chat.Conversation
	r.get("/v1/conversations/"+conv.String(), r.owner.Token, &c)
	if c.Status != chat.StatusOpen || m.Number != 4 || c.Unread != 2 {
		t.Fatalf("message %d, conversation %+v", m.Number, c)
	}
}

func TestReadAndUnread(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, v := r.conversation()
	v.say("two")
	v.say("three")
	var c chat.Conversation
	for _, step := range []struct {
		kind string
		args map[string]any
		want int64
	}{
		{protocol.ConversationRead, map[string]any{"upto": 2}, 1},
		{protocol.ConversationRead, map[string]any{"upto": 1}, 1}, // a late one moves nothing back
		{protocol.ConversationRead, map[string]any{"upto": 999}, 0},
		{protocol.ConversationUnread, map[string]any{}, 1},
		{protocol.ConversationUnread, map[string]any{"from": 1}, 3},
	} {
		step.args["conversation"] = conv
		r.apply(r.owner.Token, cmd(step.kind, step.args), &c)
		if c.Unread != step.want {
			t.Fatalf("%s %v: unread %d, want %d", step.kind, step.args, c.Unread, step.want)
		}
	}
	if p := r.refuse(r.owner.Token, cmd(protocol.ConversationRead, map[string]any{"conversation": conv}), chat.CodeInvalid); p.Field != "upto" {
		t.Fatalf("field %q", p.Field)
	}
	// Who reads only by hand is not read by answering.
	r.apply(r.owner.Token, cmd(protocol.MePut, map[string]any{"read_mode": "manual"}), nil)
	r.apply(r.owner.Token, seen(text(conv, "Hi"), 3), nil)
	r.get("/v1/conversations/"+conv.String(), r.owner.Token, &c)
	if c.Unread != 3 {
		t.Fatalf("unread %d after answering in manual mode, want 3", c.Unread)
	}
}

func TestAssignAndComment(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, v := r.conversation()
	ana := r.member("Ana", chat.RoleAgent)
	var c chat.Conversation
	r.apply(r.owner.Token, cmd(protocol.ConversationAssign, map[string]any{"conversation": conv, "member": ana.Member.ID}), &c)
	if c.Assignee != ana.Member.ID {
		t.Fatalf("assignee %v", c.Assignee)
	}
	r.apply(r.owner.Token, cmd(protocol.ConversationAssign, map[string]any{"conversation": conv, "member": nil}), &c)
	if !c.Assignee.IsZero() {
		t.Fatalf("assignee %v after unassigning", c.Assignee)
	}
	nobody := chat.NewID[chat.Member]()
	if p := r.refuse(r.owner.Token, cmd(protocol.ConversationAssign, map[string]any{"conversation": conv, "member": nobody}), chat.CodeInvalid); p.Field != "member" {
		t.Fatalf("field %q", p.Field)
	}
	comment := func(mentions ...chat.MemberID) chat.Command {
		return cmd(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: "@Ana have a look", Mentions: mentions})
	}
	var m chat.Message
	r.apply(r.owner.Token, comment(ana.Member.ID), &m)
	if m.Kind != chat.MessageKindComment || len(m.Mentions) != 1 || m.Delivery != nil {
		t.Fatalf("comment %+v", m)
	}
	if p := r.refuse(r.owner.Token, comment(ana.Member.ID, nobody), chat.CodeInvalid); p.Field != "mentions.1" {
		t.Fatalf("field %q", p.Field)
	}
	var page protocol.VisitorMessages
	r.get("/v1/visitor/messages?after=0", v.token, &page)
	if len(page.Messages) != 1 || page.To != m.Number {
		t.Fatalf("a visitor must jump over comments and events: %+v", page)
	}
}

func TestAfterFollowsItsForerunner(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	bad := cmd(protocol.ConversationRead, map[string]any{"conversation": conv})
	dependent := cmd(protocol.ConversationResolve, map[string]any{"conversation": conv})
	dependent.After = bad.ID
	free := cmd(protocol.ConversationRead, map[string]any{"conversation": conv, "upto": 1})
	res := r.send(r.owner.Token, bad, dependent, free)
	if res[0].Status != protocol.StatusRefused || res[1].Status != protocol.StatusRefused || res[1].Problem.Code != chat.CodeAfterRefused || res[2].Status != protocol.StatusApplied {
		t.Fatalf("results %+v", res)
	}
	follower := cmd(protocol.ConversationResolve, map[string]any{"conversation": conv})
	follower.After = free.ID
	r.apply(r.owner.Token, follower, nil) // in a later request, by the stored verdict

	// A forerunner that is only too early takes its follower along, for now.
	r.apply(r.owner.Token, text(conv, "one"), nil)
	early := text(conv, "two")
	next := cmd(protocol.ConversationReopen, map[string]any{"conversation": conv})
	next.After = early.ID
	res = r.send(r.owner.Token, early, next)
	if res[0].Problem == nil || res[0].Problem.Code != chat.CodeTooSoon || res[1].Problem == nil || res[1].Problem.Code != chat.CodeTooSoon {
		t.Fatalf("results %+v", res)
	}
	r.clock.advance(3 * time.Second)
	for _, res := range r.send(r.owner.Token, early, next) {
		if res.Status != protocol.StatusApplied {
			t.Fatalf("after waiting: %+v", res.Problem)
		}
	}
}

func TestDraftsBelongToTheirAuthor(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	ana := r.member("Ana", chat.RoleAgent)
	var d chat.Draft
	r.apply(ana.Token, cmd(protocol.DraftPut, map[string]any{"conversation": conv, "text": "Dear"}), &d)
	if d.Text != "Dear" || d.Member != ana.Member.ID || d.Ver == 0 {
		t.Fatalf("draft %+v", d)
	}
	kinds := func(token string) map[string]int {
		var page protocol.ChangesPage
		r.get("/v1/changes?after=0", token, &page)
		n := map[string]int{}
		for _, c := range page.Changes {
			n[string(c.Kind)+" "+string(c.Op)]++
		}
		return n
	}
	if n := kinds(r.owner.Token); n["draft put"] != 0 {
		t.Fatal("somebody else sees the draft")
	}
	r.apply(ana.Token, text(conv, "Dear customer"), nil)
	if n := kinds(ana.Token); n["draft put"] != 1 || n["draft delete"] != 1 {
		t.Fatalf("sending must drop the draft: %v", n)
	}
	r.apply(ana.Token, cmd(protocol.DraftDrop, map[string]any{"conversation": conv}), nil) // nothing there: fine
}

func TestContactUpdate(t *testing.T) {
	r := newRig(t, onSQLite(t))
	conv, _ := r.conversation()
	var c chat.Conversation
	r.get("/v1/conversations/"+conv.String(), r.owner.Token, &c)
	var contact chat.Contact
	r.apply(r.owner.Token, cmd(protocol.ContactUpdate, map[string]any{"contact": c.Contact, "name": " Zoë ", "email": "zoe@example.org"}), &contact)
	if contact.Name != "Zoë" || contact.Email != "zoe@example.org" {
		t.Fatalf("contact %+v", contact)
	}
	r.apply(r.owner.Token, cmd(protocol.ContactUpdate, map[string]any{"contact": c.Contact, "phone": "+1 555"}), &contact)
	if contact.Name != "Zoë" || contact.Phone != "+1 555" {
		t.Fatalf("absent fields must stay: %+v", contact)
	}
	if p := r.refuse(r.owner.Token, cmd(protocol.ContactUpdate, map[string]any{"contact": c.Contact, "email": "nonsense"}), chat.CodeInvalid); p.Field != "email" {
		t.Fatalf("field %q", p.Field)
	}
	var page protocol.ConversationsPage
	r.get("/v1/search?q=zo", r.owner.Token, &page)
	if len(page.Conversations) != 1 || len(page.Contacts) != 1 {
		t.Fatalf("search found %d conversations", len(page.Conversations))
	}
}

func TestTextOfAnyScriptSurvivesUnharmed(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.unpaced()
		conv, _ := r.conversation()
		for _, s := range []string{"مرحبا \u202eabc\u202c", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!", "👩‍👩‍👧‍👦 \u0001 \ufeff\u2028", "'; drop table message; --", "<script>alert(1)</script>", `\u0000 as text`} {
			var m chat.Message
			r.apply(r.owner.Token, text(conv, s), &m)
			if got := m.Text(); got != s {
				t.Errorf("answer: %q became %q", s, got)
			}
			thread := r.thread(conv)
			if got := thread[len(thread)-1].Text(); got != s {
				t.Errorf("stored: %q became %q", s, got)
			}
		}
	})
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

// TestATextThatWaitedIsJudgedByWhatHappenedMeanwhile: with who did it and when,
// so that the window can say so.
func TestATextThatWaitedIsJudgedByWhatHappenedMeanwhile(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.unpaced()
		conv, v := r.conversation()
		ana := r.member("Ana", chat.RoleAgent)
		r.apply(ana.Token, cmd(protocol.ConversationResolve, map[string]any{"conversation": conv}), nil)
		at := r.clock.now()
		r.clock.advance(time.Hour)
		late := func(n int64) chat.Command {
			c := seen(text(conv, "Hi"), n)
			c.AgeMS = time.Hour.Milliseconds()
			return c
		}
		p := r.refuse(r.owner.Token, late(1), chat.CodeResolved)
		if p.By == nil || !p.By.IsMember(ana.Member.ID) || p.At != at {
			t.Fatalf("the problem does not say who resolved it and when: %+v", p)
		}
		r.apply(r.owner.Token, seen(text(conv, "Right on time"), 1), nil)
		r.apply(r.owner.Token, late(3), nil) // with the event in view
		v.say("Wait")                        // which reopens it
		r.refuse(r.owner.Token, late(1), chat.CodeNewerMessages)
	})
}

// TestNobodyResolvesOverWhatTheCustomerSaidMeanwhile: they would be forgotten.
func TestNobodyResolvesOverWhatTheCustomerSaidMeanwhile(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		conv, v := r.conversation()
		resolve := func(n int64) chat.Command {
			return seen(cmd(protocol.ConversationResolve, map[string]any{"conversation": conv}), n)
		}
		v.say("One more thing")
		if p := r.refuse(r.owner.Token, resolve(1), chat.CodeNewerMessages); len(p.Messages) != 1 {
			t.Fatalf("the problem does not say what was said: %+v", p)
		}
		var c chat.Conversation
		r.apply(r.owner.Token, resolve(2), &c)
		if c.Status != chat.StatusResolved {
			t.Fatalf("%+v", c)
		}
	})
}
