package desktop

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

// TestATextIsJudgedByWhatTheCacheKnows: what somebody wrote speaks against it at
// any time, what else happened only while nothing is missing here.
func TestATextIsJudgedByWhatTheCacheKnows(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	join(t, e, nowhere)
	s := current(t, e)
	ben := chat.NewID[chat.Member]()
	brand := chat.NewID[chat.Brand]()
	type world struct {
		contact chat.Contact
		channel chat.Channel
		conv    chat.Conversation
		said    []chat.Message
	}
	say := func(w *world, m chat.Message) {
		m.ID, m.Ver, m.StoredAt = chat.NewID[chat.Message](), 1, e.now()
		if m.Kind == "" {
			m.Kind, m.Parts = chat.MessageKindMessage, []chat.Part{chat.TextPart("x")}
		}
		w.conv.Append(&m)
		w.said = append(w.said, m)
	}
	for name, test := range map[string]struct {
		change   func(*world)
		age      time.Duration
		force    bool
		live     chat.Code // what is said while the cache is current
		catching chat.Code // and while it is not
	}{
		"nothing happened":        {func(*world) {}, time.Hour, false, "", ""},
		"a colleague answered":    {func(w *world) { say(w, chat.Message{Author: chat.MemberActor(ben)}) }, 0, false, chat.CodeNewerMessages, chat.CodeNewerMessages},
		"answered, and forced":    {func(w *world) { say(w, chat.Message{Author: chat.MemberActor(ben)}) }, 0, true, "", ""},
		"the customer wrote on":   {func(w *world) { say(w, chat.Message{Author: chat.CustomerActor(w.contact.ID)}) }, 0, false, "", ""},
		"and the text had waited": {func(w *world) { say(w, chat.Message{Author: chat.CustomerActor(w.contact.ID)}) }, time.Hour, false, chat.CodeNewerMessages, chat.CodeNewerMessages},
		"own answer":              {func(w *world) { say(w, chat.Message{Author: chat.MemberActor(s.me)}) }, time.Hour, false, "", ""},
		"resolved by a colleague": {func(w *world) {
			_, _ = w.conv.Resolve(false)
			say(w, chat.Message{Kind: chat.MessageKindEvent, Author: chat.MemberActor(ben), Event: &chat.Event{Name: "resolved", Member: ben}})
		}, time.Hour, false, chat.CodeResolved, ""},
		"held by a colleague":    {func(w *world) { _, _ = w.conv.Accept(ben, false) }, 0, false, chat.CodeHeldByOther, ""},
		"the contact is blocked": {func(w *world) { w.contact.Blocked = true }, 0, false, chat.CodeBlocked, ""},
		"the chat has ended":     {func(w *world) { w.conv.Status = chat.StatusClosed }, 0, false, chat.CodeClosed, ""},
		"the window has closed": {func(w *world) {
			w.channel.Kind, w.conv.LastCustomerAt = chat.KindWhatsApp, e.now().Add(-25*time.Hour)
		}, 0, false, "", ""}, // two clocks are never compared
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{contact: chat.Contact{ID: chat.NewID[chat.Contact](), Ver: 1, Brand: brand},
				channel: chat.Channel{ID: chat.NewID[chat.Channel](), Ver: 1, Brand: brand, Kind: chat.KindWeb}}
			w.conv = chat.Conversation{ID: chat.NewID[chat.Conversation](), Ver: 1, Brand: brand, Contact: w.contact.ID, Channel: w.channel.ID,
				Status: chat.StatusOpen, State: chat.StateEscalated}
			say(w, chat.Message{Author: chat.CustomerActor(w.contact.ID)})
			test.change(w)
			row := func(kind chat.EntityKind, id string, v any) cache.Row {
				return cache.Row{Kind: kind, ID: id, Op: chat.OpPut, Brand: brand, Data: encode(t, v)}
			}
			rows := []cache.Row{row(chat.EntityChannel, w.channel.ID.String(), w.channel), row(chat.EntityContact, w.contact.ID.String(), w.contact),
				row(chat.EntityConversation, w.conv.ID.String(), w.conv)}
			for _, m := range w.said {
				rows = append(rows, row(chat.EntityMessage, m.ID.String(), m))
			}
			if applied, err := s.cache.PutRows(t.Context(), rows); err != nil || applied.Skipped > 0 {
				t.Fatalf("%+v %v", applied, err)
			}
			seen := int64(1)
			entry := outbox.Entry{Kind: protocol.MessageSend, Conversation: w.conv.ID, Seen: &seen, Elapsed: test.age,
				Args: encode(t, protocol.MessageSendArgs{Conversation: w.conv.ID, Force: test.force})}
			for status, want := range map[sync.Status]chat.Code{sync.StatusLive: test.live, sync.StatusCatchingUp: test.catching} {
				s.report.Store(&sync.Report{Status: status})
				var got chat.Code
				if p := s.judge(t.Context(), entry); p != nil {
					got = p.Code
				}
				if got != want {
					t.Errorf("%s: code %q, want %q", status, got, want)
				}
			}
		})
	}
}

// TestWhatIsKnownHereNeedsNoServer: the text is refused without having left.
func TestWhatIsKnownHereNeedsNoServer(t *testing.T) {
	j := newJudge(t)
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	join(t, e, j.URL)
	s := current(t, e)
	until(t, "the line", func() bool { return s.net.Load() != nil })
	brand := chat.NewID[chat.Brand]()
	conv := cached(t, s, brand)
	answer := chat.Message{ID: chat.NewID[chat.Message](), Ver: 2, Conversation: conv, Number: 1, Kind: chat.MessageKindMessage,
		Author: chat.MemberActor(chat.NewID[chat.Member]()), Parts: []chat.Part{chat.TextPart("medium")}}
	row := cache.Row{Kind: chat.EntityMessage, ID: answer.ID.String(), Op: chat.OpPut, Brand: brand, Conversation: conv, Data: encode(t, answer)}
	if _, err := s.cache.PutRows(t.Context(), []cache.Row{row}); err != nil {
		t.Fatal(err)
	}
	told(e, EventUndelivered) // what was told so far
	if _, err := e.Send(conv.String(), NewMessage{Text: "large"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the refusal", func() bool { return stateOf(t, e).Outbox.Refused == 1 })
	until(t, "the event", func() bool { return told(e, EventUndelivered) == 1 })
	if n := len(j.commands(protocol.MessageSend)); n != 0 {
		t.Fatalf("handed in %d times", n)
	}
	list, err := e.Unsent()
	if err != nil || len(list) != 1 || list[0].Problem.Code != chat.CodeNewerMessages || len(list[0].Problem.Messages) != 1 {
		t.Fatalf("could not send: %+v %v", list, err)
	}
	// Having read it, the author sends it all the same.
	if _, err := e.Resend(list[0].ID, Resend{Force: true}); err != nil {
		t.Fatal(err)
	}
	until(t, "the server to have it", func() bool { return len(j.commands(protocol.MessageSend)) == 1 })
}

// TestWhatIsHeldAndScheduledSurvivesOnDisk: how long it can be taken back, and
// when it is to be sent.
func TestWhatIsHeldAndScheduledSurvivesOnDisk(t *testing.T) {
	local, err := cache.OpenLocal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	o := outboxStore{local}
	conv := chat.NewID[chat.Conversation]()
	entry := func(kind string, args any) outbox.Entry {
		return outbox.Entry{ID: chat.NewID[chat.Command](), Kind: kind, Conversation: conv, Message: chat.NewID[chat.Message](), CreatedAt: 1_000_000, Args: encode(t, args)}
	}
	held := entry(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv})
	held.Due = held.CreatedAt.Add(10 * time.Second)
	later := entry(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, SendAt: 9_000_000})
	later.SendAt = 7_000_000 // this machine's clock
	retry := entry(protocol.MessageRetry, protocol.MessageArgs{Conversation: conv})
	for _, e := range []outbox.Entry{held, later, retry} {
		if err := o.Insert(t.Context(), e, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Attempted(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	got, err := o.Load(t.Context())
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v %v", got, err)
	}
	if got[0].Due != held.Due || got[1].SendAt != later.SendAt || got[1].Due != 0 || got[2].Message != retry.Message {
		t.Fatalf("came back as %+v", got)
	}
}

// TestEditingKeepsWhatIsNoText: the quote and what is attached.
func TestEditingKeepsWhatIsNoText(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	quoted, file, seen, text := chat.NewID[chat.Message](), chat.Part{Kind: chat.PartFile, SHA256: strings.Repeat("a", 64), Name: "a.pdf"}, int64(1), "corrected"
	old := outbox.Entry{Kind: protocol.MessageSend, Seen: &seen, Problem: &protocol.Problem{Code: chat.CodeNewerMessages},
		Args: encode(t, protocol.MessageSendArgs{ReplyTo: quoted, Parts: []chat.Part{chat.TextPart("one"), file, chat.TextPart("two")}})}
	next, err := e.again(old, Resend{Text: &text})
	if err != nil {
		t.Fatal(err)
	}
	var args protocol.MessageSendArgs
	if err := json.Unmarshal(next.Args, &args); err != nil {
		t.Fatal(err)
	}
	if len(args.Parts) != 2 || args.Parts[0].Text != text || args.Parts[1].SHA256 != file.SHA256 || args.ReplyTo != quoted {
		t.Fatalf("became %+v", args)
	}
	if shown := entryOf(next); shown.ReplyTo != quoted || shown.Text != text {
		t.Fatalf("shown as %+v", shown)
	}
}

// TestOnlyWhatMayHaveArrivedIsUncertainAfterARestart: what was tried without a
// line has not left, and can be dropped.
func TestOnlyWhatMayHaveArrivedIsUncertainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Options{Data: dir, DefaultServer: "x", Random: func() float64 { return 0.9 }}) // a second until the next try
	join(t, e, nowhere)
	conv := chat.NewID[chat.Conversation]()
	entry, err := e.Send(conv.String(), NewMessage{Text: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	waiting := func() outbox.Entry { return current(t, e).outbox.Snapshot().Of(conv)[0] }
	until(t, "a try", func() bool { w := waiting(); return w.Attempts > 0 && !w.Sending })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, Options{Data: dir, DefaultServer: "x"})
	if w := waiting(); w.Uncertain {
		t.Fatalf("nobody knows whether it arrived: %+v", w)
	}
	until(t, "it to be dropped", func() bool {
		back, err := e.Drop(entry.ID)
		return err == nil && back.Text == "hello"
	})
}
