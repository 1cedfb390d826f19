package chat_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parley/backend/chat"
)

var (
	ana  = chat.NewID[chat.Member]()
	ben  = chat.NewID[chat.Member]()
	cust = chat.CustomerActor(chat.NewID[chat.Contact]())
	noon = chat.TimeOf(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
)

func newConversation() chat.Conversation {
	ch := chat.Channel{ID: chat.NewID[chat.Channel](), Brand: chat.NewID[chat.Brand](), Kind: chat.KindWeb}
	return chat.NewConversation(chat.NewID[chat.Conversation](), ch, chat.NewID[chat.Contact](), chat.NewID[chat.Identity](), false, noon)
}

func say(c *chat.Conversation, author chat.Actor, text string) chat.Message {
	m := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, Author: author,
		Parts: []chat.Part{chat.TextPart(text)}, SentAt: noon, StoredAt: noon.Add(time.Duration(c.LastNumber+1) * time.Minute)}
	c.Append(&m)
	return m
}

func TestAppendNumbersCountsAndPreviews(t *testing.T) {
	c := newConversation()
	say(&c, cust, "hello")
	m := say(&c, cust, "  anybody\n there? ")
	if m.Number != 2 || m.InNumber != 2 || c.Unread != 2 || c.Turns != 1 {
		t.Fatalf("after two customer messages: number %d in %d unread %d turns %d", m.Number, m.InNumber, c.Unread, c.Turns)
	}
	if c.Preview != "anybody there?" || c.PreviewAuthor != cust {
		t.Errorf("preview %q by %v", c.Preview, c.PreviewAuthor)
	}
	say(&c, chat.MemberActor(ana), "yes")
	say(&c, cust, "good")
	if c.Turns != 2 || c.Unread != 3 || c.LastReplyNumber != 3 || c.LastCustomerNumber != 4 {
		t.Errorf("turns %d unread %d reply %d customer %d", c.Turns, c.Unread, c.LastReplyNumber, c.LastCustomerNumber)
	}
	before := c.LastMessageAt
	ev := chat.Message{Kind: chat.MessageKindEvent, Author: chat.SystemActor(), Event: &chat.Event{Name: "resolved"}, StoredAt: noon.Add(time.Hour)}
	c.Append(&ev)
	if c.LastMessageAt != before || c.Preview != "good" || c.LastNumber != 5 {
		t.Errorf("an event moved the conversation: at %v preview %q number %d", c.LastMessageAt, c.Preview, c.LastNumber)
	}
}

// What Append and Read maintain step by step is what a recount of the thread gives.
func TestRecountAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newConversation()
		var thread []chat.Message
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1:
				thread = append(thread, say(&c, cust, rapid.String().Draw(t, "text")))
			case 2:
				thread = append(thread, say(&c, chat.MemberActor(ana), "ok"))
			case 3:
				m := chat.Message{Kind: chat.MessageKindComment, Author: chat.MemberActor(ben), Parts: []chat.Part{chat.TextPart("note")}, StoredAt: noon.Add(time.Hour)}
				c.Append(&m)
				thread = append(thread, m)
			case 4:
				m := chat.Message{Kind: chat.MessageKindEvent, Author: chat.SystemActor(), Event: &chat.Event{Name: "assigned"}, StoredAt: noon}
				c.Append(&m)
				thread = append(thread, m)
			case 5:
				if n := rapid.Int64Range(0, c.LastNumber).Draw(t, "read"); n == 0 {
					c.Read(0, 0)
				} else {
					c.Read(n, thread[n-1].InNumber)
				}
			}
		}
		want, _ := json.Marshal(c.Recount(thread))
		got, _ := json.Marshal(c)
		if string(want) != string(got) {
			t.Fatalf("recount differs\n got %s\nwant %s", got, want)
		}
	})
}

func TestReadIsBoundedByTheThread(t *testing.T) {
	c := newConversation()
	say(&c, cust, "one")
	say(&c, cust, "two")
	if !c.Read(99, 99) || c.ReadNumber != 2 || c.Unread != 0 {
		t.Fatalf("read past the end: position %d unread %d", c.ReadNumber, c.Unread)
	}
	if c.Read(2, 2) {
		t.Error("reading again reports a change")
	}
	if !c.Read(1, 1) || c.Unread != 1 {
		t.Errorf("marking the second as unread: unread %d", c.Unread)
	}
}

func TestCheckSend(t *testing.T) {
	seen := func(n int64) *int64 { return &n }
	base := func() chat.Conversation {
		c := newConversation()
		say(&c, cust, "question")
		return c
	}
	tests := []struct {
		name string
		prep func(*chat.Conversation) []chat.Message
		try  chat.Attempt
		want chat.Code
	}{
		{"first answer", nil, chat.Attempt{Seen: seen(1)}, ""},
		{"colleague answered after what was seen", func(c *chat.Conversation) []chat.Message {
			return []chat.Message{say(c, chat.MemberActor(ben), "mine")}
		}, chat.Attempt{Seen: seen(1)}, chat.CodeNewerMessages},
		{"assistant answered after what was seen", func(c *chat.Conversation) []chat.Message {
			return []chat.Message{say(c, chat.Actor{Kind: chat.ActorAssistant, ID: "a"}, "beep")}
		}, chat.Attempt{Seen: seen(1)}, chat.CodeNewerMessages},
		{"own earlier message does not count", func(c *chat.Conversation) []chat.Message {
			return []chat.Message{say(c, chat.MemberActor(ana), "and")}
		}, chat.Attempt{Seen: seen(1)}, ""},
		{"customer wrote on, answered at once", func(c *chat.Conversation) []chat.Message {
			return []chat.Message{say(c, cust, "hello?")}
		}, chat.Attempt{Seen: seen(1), Age: time.Minute}, ""},
		{"customer wrote on, waited over a minute", func(c *chat.Conversation) []chat.Message {
			return []chat.Message{say(c, cust, "found it")}
		}, chat.Attempt{Seen: seen(1), Age: time.Minute + time.Millisecond}, chat.CodeNewerMessages},
		{"a comment is not an answer", func(c *chat.Conversation) []chat.Message {
			m := chat.Message{Kind: chat.MessageKindComment, Author: chat.MemberActor(ben), Parts: []chat.Part{chat.TextPart("x")}}
			c.Append(&m)
			return []chat.Message{m}
		}, chat.Attempt{Seen: seen(1), Age: time.Hour}, ""},
		{"forced over a colleague", func(c *chat.Conversation) []chat.Message {
			return []chat.Message{say(c, chat.MemberActor(ben), "mine")}
		}, chat.Attempt{Seen: seen(1), Force: true}, ""},
		{"no view, no guard", func(c *chat.Conversation) []chat.Message {
			return []chat.Message{say(c, chat.MemberActor(ben), "mine")}
		}, chat.Attempt{}, ""},
		{"firmly held by another", func(c *chat.Conversation) []chat.Message {
			_, _ = c.Accept(ben, false)
			return nil
		}, chat.Attempt{Seen: seen(1)}, chat.CodeHeldByOther},
		{"firmly held by another, forced", func(c *chat.Conversation) []chat.Message {
			_, _ = c.Accept(ben, false)
			return nil
		}, chat.Attempt{Seen: seen(1), Force: true}, ""},
		{"firmly held by another, who is known", func(c *chat.Conversation) []chat.Message {
			_, _ = c.Accept(ben, false)
			return nil
		}, chat.Attempt{Seen: seen(1), Over: ben}, ""},
		{"firmly held by somebody else than is known", func(c *chat.Conversation) []chat.Message {
			_, _ = c.Accept(ben, false)
			return nil
		}, chat.Attempt{Seen: seen(1), Over: chat.NewID[chat.Member]()}, chat.CodeHeldByOther},
		{"a hold passed is not an answer passed", func(c *chat.Conversation) []chat.Message {
			_, _ = c.Accept(ben, false)
			return []chat.Message{say(c, chat.MemberActor(ben), "mine")}
		}, chat.Attempt{Seen: seen(1), Over: ben}, chat.CodeNewerMessages},
		{"softly held by another", func(c *chat.Conversation) []chat.Message {
			c.Answered(ben)
			return nil
		}, chat.Attempt{Seen: seen(1)}, ""},
		{"too soon", nil, chat.Attempt{Seen: seen(1), LastSentAt: noon.Add(-time.Second), Interval: 3 * time.Second}, chat.CodeTooSoon},
		{"too soon cannot be forced", nil, chat.Attempt{Force: true, LastSentAt: noon.Add(-time.Second), Interval: 3 * time.Second}, chat.CodeTooSoon},
		{"pause over", nil, chat.Attempt{Seen: seen(1), LastSentAt: noon.Add(-3 * time.Second), Interval: 3 * time.Second}, ""},
		{"blocked", nil, chat.Attempt{Seen: seen(1), Blocked: true}, chat.CodeBlocked},
		{"the channel's window has closed", func(c *chat.Conversation) []chat.Message {
			c.LastCustomerAt = noon.Add(-24*time.Hour - time.Second)
			return nil
		}, chat.Attempt{Seen: seen(1), Force: true, Channel: chat.KindWhatsApp}, chat.CodeWindowClosed},
		{"the channel's window is open", func(c *chat.Conversation) []chat.Message {
			c.LastCustomerAt = noon.Add(-24 * time.Hour)
			return nil
		}, chat.Attempt{Seen: seen(1), Channel: chat.KindWhatsApp}, ""},
		{"a channel without a window", func(c *chat.Conversation) []chat.Message {
			c.LastCustomerAt = noon.Add(-900 * 24 * time.Hour)
			return nil
		}, chat.Attempt{Seen: seen(1), Channel: chat.KindEmail}, ""},
		{"resolved by a colleague while it waited", resolvedBy(ben), chat.Attempt{Seen: seen(1), Age: time.Hour}, chat.CodeResolved},
		{"resolved by a colleague, answered at once", resolvedBy(ben), chat.Attempt{Seen: seen(1)}, ""},
		{"resolved by a colleague, forced", resolvedBy(ben), chat.Attempt{Seen: seen(1), Age: time.Hour, Force: true}, ""},
		{"resolved by a colleague, and seen", resolvedBy(ben), chat.Attempt{Seen: seen(2), Age: time.Hour}, ""},
		{"resolved by the author", resolvedBy(ana), chat.Attempt{Seen: seen(1), Age: time.Hour}, ""},
		{"resolved and reopened while it waited", func(c *chat.Conversation) []chat.Message {
			list := resolvedBy(ben)(c)
			c.Reopen(false)
			return list
		}, chat.Attempt{Seen: seen(1), Age: time.Hour}, ""},
		{"ended", func(c *chat.Conversation) []chat.Message { c.Status = chat.StatusClosed; return nil }, chat.Attempt{}, chat.CodeClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := base()
			if tt.prep != nil {
				tt.try.Newer = tt.prep(&c)
			}
			if n := len(tt.try.Newer); n > 0 && tt.try.Newer[n-1].Event != nil {
				tt.try.Resolved, tt.try.Newer = &tt.try.Newer[n-1], nil
			}
			tt.try.Author, tt.try.Now = ana, noon
			if got := chat.ErrorCode(c.CheckSend(tt.try)); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCheckResolve(t *testing.T) {
	seen := int64(1)
	for name, test := range map[string]struct {
		by   chat.Actor
		seen *int64
		age  time.Duration
		want chat.Code
	}{
		"the customer wrote since":         {cust, &seen, 0, chat.CodeNewerMessages},
		"nothing is compared":              {cust, nil, 0, ""},
		"a colleague answers just then":    {chat.MemberActor(ben), &seen, 0, ""},
		"a colleague answered long since":  {chat.MemberActor(ben), &seen, time.Hour, chat.CodeNewerMessages},
		"who resolves answered themselves": {chat.MemberActor(ana), &seen, time.Hour, ""},
	} {
		c := newConversation()
		say(&c, cust, "question")
		a := chat.Attempt{Author: ana, Seen: test.seen, Age: test.age, Newer: []chat.Message{say(&c, test.by, "more")}}
		if got := chat.ErrorCode(c.CheckResolve(a)); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		c.Status = chat.StatusResolved
		if err := c.CheckResolve(a); err != nil {
			t.Errorf("%s, resolved already: %v", name, err)
		}
	}
}

// resolvedBy lets a member resolve a conversation, which leaves an event.
func resolvedBy(m chat.MemberID) func(*chat.Conversation) []chat.Message {
	return func(c *chat.Conversation) []chat.Message {
		_, _ = c.Resolve(false)
		e := chat.Message{Kind: chat.MessageKindEvent, Author: chat.MemberActor(m), Event: &chat.Event{Name: "resolved", Member: m}}
		c.Append(&e)
		return []chat.Message{e}
	}
}

// A clock that was set back must not make somebody wait for longer than the pause.
func TestTooSoonNeverWaitsLongerThanThePause(t *testing.T) {
	c := newConversation()
	err := c.CheckSend(chat.Attempt{Author: ana, Now: noon, LastSentAt: noon.Add(24 * time.Hour), Interval: 3 * time.Second})
	e, ok := err.(*chat.Error)
	if !ok || e.RetryAfter > 3*time.Second {
		t.Fatalf("got %v", err)
	}
}

func TestHandoff(t *testing.T) {
	c := newConversation()
	if c.State != chat.StateEscalated {
		t.Fatalf("without an assistant a new conversation waits for a person, not %q", c.State)
	}
	c.Answered(ana)
	if c.Holder == nil || c.Holder.Firm || c.State != chat.StateAgent {
		t.Fatalf("answering gives a soft hold, got %+v %s", c.Holder, c.State)
	}
	if changed, err := c.Accept(ben, false); err != nil || !changed || c.Assignee != ben {
		t.Fatalf("accept over a soft hold: %v %v assignee %v", changed, err, c.Assignee)
	}
	if changed, err := c.Accept(ben, false); err != nil || changed {
		t.Errorf("accepting twice: %v %v", changed, err)
	}
	if _, err := c.Accept(ana, false); chat.ErrorCode(err) != chat.CodeHeldByOther {
		t.Errorf("accept over a firm hold: %v", err)
	}
	if _, err := c.Release(ana, false, false); chat.ErrorCode(err) != chat.CodeHeldByOther {
		t.Errorf("release of another's hold: %v", err)
	}
	if changed, err := c.Release(ana, true, true); err != nil || !changed || c.State != chat.StateAssistant || c.Holder != nil {
		t.Errorf("supervisor's release: %v %v %s", changed, err, c.State)
	}
	if changed, err := c.Resolve(false); err != nil || !changed || c.Status != chat.StatusResolved {
		t.Errorf("resolve: %v %v", changed, err)
	}
	if !c.ReopenForCustomer(true) || c.State != chat.StateAssistant || c.Status != chat.StatusOpen {
		t.Errorf("a customer message reopens with the assistant: %s %s", c.Status, c.State)
	}
	c.Status = chat.StatusClosed
	if _, err := c.Accept(ana, true); chat.ErrorCode(err) != chat.CodeClosed {
		t.Errorf("accept of an ended conversation: %v", err)
	}
}

func TestDeliveryOnlyMovesForward(t *testing.T) {
	d := chat.Delivery{State: chat.DeliveryQueued}
	for _, step := range []struct {
		to   chat.DeliveryState
		want bool
	}{{chat.DeliverySent, true}, {chat.DeliveryDelivered, true}, {chat.DeliverySent, false}, {chat.DeliveryFailed, false}, {chat.DeliveryRead, true}, {chat.DeliveryRead, false}} {
		if got := d.Advance(step.to, ""); got != step.want {
			t.Errorf("advance to %s: %v", step.to, got)
		}
	}
}

func TestCheckParts(t *testing.T) {
	sha := strings.Repeat("a", 64)
	tests := []struct {
		name  string
		parts []chat.Part
		want  chat.Code
	}{
		{"none", nil, chat.CodeInvalid},
		{"blank", []chat.Part{chat.TextPart(" \n\t")}, chat.CodeInvalid},
		{"zero byte", []chat.Part{chat.TextPart("a\x00b")}, chat.CodeInvalid},
		{"invalid UTF-8", []chat.Part{chat.TextPart("a\xff")}, chat.CodeInvalid},
		{"a megabyte", []chat.Part{chat.TextPart(strings.Repeat("x", 1<<20))}, chat.CodeTooLarge},
		{"unknown kind", []chat.Part{{Kind: "hologram"}}, chat.CodeUnsupported},
		{"file without hash", []chat.Part{{Kind: chat.PartFile, Name: "x"}}, chat.CodeInvalid},
		{"file with a path for a hash", []chat.Part{{Kind: chat.PartFile, SHA256: "../../etc/passwd"}}, chat.CodeInvalid},
		{"off the globe", []chat.Part{{Kind: chat.PartLocation, Latitude: 91}}, chat.CodeInvalid},
		{"right to left and zalgo", []chat.Part{chat.TextPart("שלום \u202e مرحبا z\u0351\u0352a\u0353")}, ""},
		{"image", []chat.Part{{Kind: chat.PartImage, SHA256: sha}}, ""},
		{"a link", []chat.Part{{Kind: chat.PartLink, URL: "HTTPS://shop.example/a?b=c"}}, ""},
		{"a mail link", []chat.Part{{Kind: chat.PartLink, URL: "mailto:help@shop.example"}}, ""},
		{"a link that runs", []chat.Part{{Kind: chat.PartLink, URL: "javascript:alert(1)"}}, chat.CodeInvalid},
		{"a link to a file", []chat.Part{{Kind: chat.PartLink, URL: "file:///etc/passwd"}}, chat.CodeInvalid},
		{"a link with a line break", []chat.Part{{Kind: chat.PartLink, URL: "https://shop.example/\n"}}, chat.CodeInvalid},
		{"a link to nowhere", []chat.Part{{Kind: chat.PartLink, URL: "https://"}}, chat.CodeInvalid},
		{"a link without one", []chat.Part{{Kind: chat.PartLink}}, chat.CodeInvalid},
		{"a price", []chat.Part{{Kind: chat.PartPaid, Price: 300, Currency: "EUR"}}, ""},
		{"a negative price", []chat.Part{{Kind: chat.PartPaid, Price: -1, Currency: "EUR"}}, chat.CodeInvalid},
		{"a price in nothing", []chat.Part{{Kind: chat.PartPaid, Price: 300}}, chat.CodeInvalid},
		{"a currency by its sign", []chat.Part{{Kind: chat.PartPaid, Price: 300, Currency: "€"}}, chat.CodeInvalid},
		{"a negative size", []chat.Part{{Kind: chat.PartFile, SHA256: sha, Size: -1}}, chat.CodeInvalid},
		{"a negative duration", []chat.Part{{Kind: chat.PartVoice, SHA256: sha, DurationMS: -1}}, chat.CodeInvalid},
		{"too many", make([]chat.Part, chat.MaxParts+1), chat.CodeInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := chat.ErrorCode(chat.CheckParts(tt.parts)); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWhatIsTooMuchAsJSONIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want chat.Code
	}{
		"the longest text":              {strings.Repeat("x", chat.MaxTextBytes), ""},
		"the longest in six bytes each": {strings.Repeat("<", chat.MaxTextBytes), chat.CodeTooLarge},
		"half of that":                  {strings.Repeat("\n", chat.MaxTextBytes/2), ""},
	} {
		err := chat.CheckSize("text", chat.Message{Parts: []chat.Part{chat.TextPart(tt.text)}})
		var e *chat.Error
		if chat.ErrorCode(err) != tt.want || errors.As(err, &e) && e.Field != "text" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFileNames(t *testing.T) {
	long := strings.Repeat("報告書", 60) // 540 bytes in 180 characters
	for in, want := range map[string]string{
		"photo.png": "photo.png", `C:\fake path\a.txt`: "a.txt", "../../etc/passwd": "passwd", "": "", "..": "", "/": "", "\n": "",
		"a\x00b\nc.txt": "abc.txt", "a\xffb.txt": "ab.txt", "näme.pdf": "näme.pdf",
		strings.Repeat("x", 300):          strings.Repeat("x", 200),
		strings.Repeat("x", 300) + ".pdf": strings.Repeat("x", 196) + ".pdf",
		long + ".pdf":                     long[:195] + ".pdf", // a character is not cut in two
		long + ". " + long:                long[:198],
		"." + strings.Repeat("x", 300):    "." + strings.Repeat("x", 199),
	} {
		if got := chat.FileName(in); got != want {
			t.Errorf("FileName(%.40q) = %q, want %q", in, got, want)
		}
	}
}

func TestALocationOnTheEquatorKeepsItsPlace(t *testing.T) {
	for want, p := range map[string]chat.Part{
		`{"kind":"location","title":"Null Island","latitude":0,"longitude":0}`: {Kind: chat.PartLocation, Title: "Null Island"},
		`{"kind":"location","latitude":0,"longitude":-78.5}`:                   {Kind: chat.PartLocation, Longitude: -78.5},
		`{"kind":"text","text":"here"}`:                                        chat.TextPart("here"),
	} {
		b, err := json.Marshal(p)
		if err != nil || string(b) != want {
			t.Errorf("%s %v, want %s", b, err, want)
		}
		var back chat.Part
		if err := json.Unmarshal(b, &back); err != nil || back.Kind != p.Kind || back.Latitude != p.Latitude || back.Longitude != p.Longitude || back.Title != p.Title {
			t.Errorf("%s came back as %+v %v", b, back, err)
		}
	}
}

func TestPreviewOfEveryKind(t *testing.T) {
	tests := []struct {
		m          chat.Message
		text, kind string
	}{
		{chat.Message{Parts: []chat.Part{{Kind: chat.PartVoice, DurationMS: 8000}}}, "", "voice"},
		{chat.Message{Parts: []chat.Part{{Kind: chat.PartFile, Name: "invoice.pdf"}}}, "invoice.pdf", "file"},
		{chat.Message{Parts: []chat.Part{{Kind: chat.PartImage}, chat.TextPart("look")}}, "look", "image"},
		{chat.Message{Parts: []chat.Part{chat.TextPart("x")}, DeletedAt: noon}, "", "deleted"},
		{chat.Message{Kind: chat.MessageKindEvent, Event: &chat.Event{Name: "resolved"}}, "resolved", "event"},
	}
	for _, tt := range tests {
		if text, kind := tt.m.Preview(); text != tt.text || kind != tt.kind {
			t.Errorf("preview %q %q, want %q %q", text, kind, tt.text, tt.kind)
		}
	}
	long := chat.Message{Parts: []chat.Part{chat.TextPart(strings.Repeat("日本", 500))}}
	if text, _ := long.Preview(); len([]rune(text)) != chat.PreviewLen+1 {
		t.Errorf("preview of a long text has %d runes", len([]rune(text)))
	}
}

func TestRolesAreDeniedByDefault(t *testing.T) {
	for _, tt := range []struct {
		role chat.Role
		act  chat.Action
		want bool
	}{
		{chat.RoleAgent, chat.ActAnswer, true}, {chat.RoleAgent, chat.ActManageWork, false}, {chat.RoleAgent, chat.ActManageWorkspace, false},
		{chat.RoleSupervisor, chat.ActManageWork, true}, {chat.RoleSupervisor, chat.ActManageMembers, false},
		{chat.RoleAdmin, chat.ActManageWorkspace, true}, {chat.RoleOwner, chat.ActManageMembers, true},
		{"stranger", chat.ActRead, false}, {chat.RoleOwner, "fly", false},
	} {
		if got := tt.role.Can(tt.act); got != tt.want {
			t.Errorf("%s may %s: %v", tt.role, tt.act, got)
		}
	}
}

func TestViewHidesOtherBrandsAndOthersDrafts(t *testing.T) {
	mine, other := chat.NewID[chat.Brand](), chat.NewID[chat.Brand]()
	v := chat.ViewOf(chat.Member{ID: ana, Role: chat.RoleAgent, Brands: []chat.BrandID{mine}})
	for _, tt := range []struct {
		name string
		c    chat.Change
		want bool
	}{
		{"own brand", chat.Change{Brand: mine}, true}, {"other brand", chat.Change{Brand: other}, false},
		{"whole workspace", chat.Change{}, true}, {"own draft", chat.Change{Brand: mine, Member: ana}, true},
		{"another's draft", chat.Change{Brand: mine, Member: ben}, false},
	} {
		if got := v.SeesChange(tt.c); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
