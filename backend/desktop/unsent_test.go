package desktop

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

func TestTextOutlivesTheAccessToItsChat(t *testing.T) {
	j := newJudge(t)
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	join(t, e, j.URL)
	s := current(t, e)
	until(t, "the line", func() bool { return s.net.Load() != nil })
	keeps, loses := chat.NewID[chat.Brand](), chat.NewID[chat.Brand]()
	here, sent, typed, elsewhere := cached(t, s, keeps), cached(t, s, loses), cached(t, s, loses), cached(t, s, loses)
	// The server has the one draft, this device the other.
	_, err := s.cache.PutRows(t.Context(), []cache.Row{{Kind: chat.EntityDraft, ID: elsewhere.String(), Op: chat.OpPut, Conversation: elsewhere,
		Data: encode(t, chat.Draft{Conversation: elsewhere, Ver: 3, Text: "typed on the laptop"})}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cache.SetPosition(t.Context(), 5, "epoch"); err != nil {
		t.Fatal(err)
	}
	j.refuse(&protocol.Problem{Code: chat.CodeNotFound, Detail: "There is no such conversation."})
	for c, text := range map[chat.ConversationID]string{here: "to a chat that stays", sent: "to a chat that goes"} {
		if _, err := e.Send(c.String(), NewMessage{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.SaveDraft(typed.String(), Draft{Text: "half a sen", Comment: true}); err != nil {
		t.Fatal(err)
	}
	until(t, "the refusals", func() bool {
		x, _ := s.drafts.local(typed)
		return stateOf(t, e).Outbox.Refused == 2 && x.Synced
	})
	page, err := e.List(ListQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, r := range page.Rows {
		if r.Pending != 0 {
			t.Errorf("a refused text counts as on its way: %+v", r)
		}
		refused += r.Refused
	}
	if refused != 2 {
		t.Fatalf("the list shows %d refused texts", refused)
	}

	access := chat.Access{Member: s.me, Brands: []chat.BrandID{keeps}}
	if err := s.beforeAccess(t.Context(), access); err != nil {
		t.Fatal(err)
	}
	if _, err := s.cache.Apply(t.Context(), 5, 6, []chat.Change{{Seq: 6, Kind: chat.EntityAccess, Op: chat.OpPut, Member: s.me, ID: s.me.String(), Data: encode(t, access)}}); err != nil {
		t.Fatal(err)
	}
	all, err := e.Unsent()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]UnsentEntry{}
	for _, u := range all {
		got[u.Text] = u
	}
	for text, want := range map[string]UnsentEntry{
		"to a chat that stays": {OutboxEntry: OutboxEntry{Kind: protocol.MessageSend}, Label: "Zoë Fischer", Reachable: true},
		"to a chat that goes":  {OutboxEntry: OutboxEntry{Kind: protocol.MessageSend}},
		"half a sen":           {OutboxEntry: OutboxEntry{Kind: KindDraft, ID: "draft:" + typed.String(), Comment: true}},
		"typed on the laptop":  {OutboxEntry: OutboxEntry{Kind: KindDraft, ID: "draft:" + elsewhere.String()}},
	} {
		u := got[text]
		if u.Kind != want.Kind || u.Label != want.Label || u.Reachable != want.Reachable || u.Comment != want.Comment || u.State != "refused" ||
			(want.ID != "" && u.ID != want.ID) {
			t.Errorf("%q is %+v", text, u)
		}
		dropped, err := e.Drop(u.ID)
		if err != nil || dropped.Text != text {
			t.Errorf("drop %q: %+v %v", text, dropped, err)
		}
	}
	if all, err = e.Unsent(); err != nil || len(all) != 0 {
		t.Fatalf("after dropping: %+v %v", all, err)
	}
	kept, err := s.local.Drafts(t.Context())
	if err != nil || slices.ContainsFunc(kept, func(x cache.Draft) bool { return x.Text != "" }) {
		t.Fatalf("dropped drafts stay on disk: %+v %v", kept, err)
	}
}

func TestADraftIsKeptWhateverItIs(t *testing.T) {
	dir, j := t.TempDir(), newJudge(t)
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	join(t, e, j.URL)
	until(t, "the line", func() bool { return current(t, e).net.Load() != nil })
	texts := map[chat.ConversationID]string{}
	for _, text := range []string{"before\x00after", strings.Repeat("long ", 20_000)} {
		c := chat.NewID[chat.Conversation]()
		texts[c] = text
		if err := e.SaveDraft(c.String(), Draft{Text: text}); err != nil {
			t.Fatalf("refused a draft: %v", err)
		}
		if _, err := e.Send(c.String(), NewMessage{Text: text}); err == nil {
			t.Fatal("took a text that cannot be sent")
		}
	}
	last := chat.NewID[chat.Conversation]()
	if err := e.SaveDraft(last.String(), Draft{Text: "good"}); err != nil {
		t.Fatal(err)
	}
	until(t, "the good draft to be handed in", func() bool { return len(j.commands(protocol.DraftPut)) > 0 })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range j.commands(protocol.DraftPut) {
		var args protocol.DraftPutArgs
		if json.Unmarshal(c.Args, &args) != nil || args.Conversation != last {
			t.Fatal("handed in a draft that the server cannot take")
		}
	}
	e = open(t, Options{Data: dir, DefaultServer: "x"})
	for c, text := range texts {
		if x, ok := current(t, e).drafts.local(c); !ok || x.Text != text {
			t.Fatalf("a draft of %d bytes came back with %d", len(text), len(x.Text))
		}
	}
}

func TestADraftThatFailsIsOneCommandAndBacksOff(t *testing.T) {
	d := &drafts{tries: map[chat.ConversationID]try{}}
	c := chat.NewID[chat.Conversation]()
	x := cache.Draft{Conversation: c, Text: "hello", UpdatedAt: 1}
	due := map[chat.ConversationID]time.Time{}
	first := d.try(x, 3)
	var waits []time.Duration
	for range 10 {
		x.UpdatedAt++
		if d.try(x, 4).id != first.id {
			t.Fatal("the same text became another command")
		}
		d.again(c, due)
		waits = append(waits, time.Until(due[c]).Round(time.Second))
	}
	if waits[0] != draftRetry || waits[1] != 2*draftRetry || waits[9] != draftSlow {
		t.Fatalf("waits %v", waits)
	}
	x.Text = "hello!"
	if d.try(x, 4).id == first.id {
		t.Fatal("another text went out as the same command")
	}
	if d.again(c, due); time.Until(due[c]) > draftRetry {
		t.Fatal("a new text waits for the failures of the old one")
	}
}

// TestADraftEmptiedOnItsWayIsTakenBack: while nobody knows whether the server
// has a draft, the mark that says it is emptied stays, and is handed in.
func TestADraftEmptiedOnItsWayIsTakenBack(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	join(t, e, nowhere)
	d := &drafts{s: current(t, e), tries: map[chat.ConversationID]try{}}
	d.view.Store(&map[chat.ConversationID]cache.Draft{})
	c := chat.NewID[chat.Conversation]()
	due := map[chat.ConversationID]time.Time{}
	save := func(x cache.Draft) {
		t.Helper()
		reply := make(chan error, 1)
		if d.take(saveDraft{x, reply}, due); <-reply != nil {
			t.Fatal("not saved")
		}
	}
	save(cache.Draft{Conversation: c, Text: "hello", UpdatedAt: 1})
	if _, away := d.tries[c]; away {
		t.Fatal("the server was told of what rests here")
	}
	typed, _ := d.local(c)
	first := d.try(typed, 0).id
	save(cache.Draft{Conversation: c, UpdatedAt: 2})
	if _, away := d.tries[c]; !away {
		t.Fatal("forgot that the server may have the draft")
	}
	emptied, _ := d.local(c)
	if id := d.try(emptied, 0).id; id.IsZero() || id == first {
		t.Fatalf("emptied by command %s after %s", id, first)
	}
}

func TestMyChoicesAreShownAtOnce(t *testing.T) {
	dir, j := t.TempDir(), newJudge(t)
	e := open(t, Options{Data: dir, DefaultServer: "x"})
	me := chat.Member{ID: chat.NewID[chat.Member](), Name: "Ana", Settings: chat.MemberSettings{Language: "pt"}}
	joinAs(t, e, nowhere, me)
	manual, nonsense := "manual", "nonsense"
	if err := e.PutMe(MePut{ReadMode: &nonsense}); chat.ErrorCode(err) != chat.CodeInvalid {
		t.Fatalf("took nonsense: %v", err)
	}
	if !current(t, e).readsOnReply() {
		t.Fatal("answering should mark as read")
	}
	if err := e.PutMe(MePut{ReadMode: &manual}); err != nil {
		t.Fatal(err)
	}
	shown := func() chat.Member {
		var m chat.Member
		if err := json.Unmarshal(stateOf(t, e).Me, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := chat.MemberSettings{ReadMode: "manual", Language: "pt"}
	if m := shown(); m.Settings != want || m.Name != "Ana" {
		t.Fatalf("shown %+v", m)
	}
	conv := chat.NewID[chat.Conversation]()
	if _, err := e.Send(conv.String(), NewMessage{Text: "hello", Seen: 4}); err != nil {
		t.Fatal(err)
	}
	if waiting := current(t, e).outbox.Snapshot().Of(conv); len(waiting) != 1 {
		t.Fatalf("answering still marks as read: %+v", waiting)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, Options{Data: dir, DefaultServer: "x"})
	if m := shown(); m.Settings != want {
		t.Fatalf("after a restart: %+v", m)
	}
	joinAs(t, e, j.URL, me) // the same member, but on a server that answers: an account of its own
	if err := e.PutMe(MePut{ReadMode: &manual}); err != nil {
		t.Fatal(err)
	}
	until(t, "the choice to reach the server", func() bool { return len(j.commands(protocol.MePut)) == 1 })
	if args := string(j.commands(protocol.MePut)[0].Args); args != `{"read_mode":"manual"}` {
		t.Fatalf("handed in %s", args)
	}
}

func TestAnAnswerWakesSync(t *testing.T) {
	e := open(t, Options{Data: t.TempDir(), DefaultServer: "x"})
	join(t, e, nowhere)
	s := current(t, e)
	woken := 0
	n := &network{wake: func() { woken++ }}
	for status, want := range map[sync.Status]int{sync.StatusLive: 0, sync.StatusOffline: 1} {
		woken = 0
		s.report.Store(&sync.Report{Status: status})
		s.reached(n)
		s.reached(n) // what was begun gets its time
		if woken != want {
			t.Errorf("%s: woken %d times", status, woken)
		}
	}
}

// counted wants the line under the list to say as many as the list behind it
// holds: it is the only way there.
func counted(t *testing.T, what string, e *Engine, want int) {
	t.Helper()
	all, err := e.Unsent()
	if st := stateOf(t, e).Outbox; err != nil || len(all) != want || st.Refused+st.Failed != want {
		t.Errorf("%s: want %d, listed %d, counted %+v (%v)", what, want, len(all), st, err)
	}
}

func TestWhatIsOnItsWayAgainIsNotCountedAsNotSent(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	f := newFailing(t, e)
	m := f.message(chat.DeliveryFailed, 0)
	f.log(m)
	counted(t, "a failed delivery", e, 1)
	if _, err := e.Resend(undeliveredPrefix+m.ID.String(), Resend{}); err != nil {
		t.Fatal(err)
	}
	counted(t, "tried again without a line", e, 0)

	x := chat.Scheduled{ID: chat.NewID[chat.Message](), Ver: 7, Conversation: f.conv, Member: f.s.me, Parts: []chat.Part{chat.TextPart("later")},
		SendAt: e.now(), CreatedAt: e.now(), Problem: encode(t, protocol.Problem{Code: chat.CodeNewerMessages, Detail: "Somebody wrote."})}
	a, err := f.s.cache.PutRows(t.Context(), []cache.Row{{Kind: chat.EntityScheduled, ID: x.ID.String(), Op: chat.OpPut, Brand: f.brand, Conversation: f.conv, Data: encode(t, x)}})
	f.took(a, err, false)
	counted(t, "refused when it was due", e, 1)
	if _, err := e.Resend(scheduledPrefix+x.ID.String(), Resend{Force: true}); err != nil {
		t.Fatal(err)
	}
	counted(t, "sent now without a line", e, 0)
	page, err := e.List(ListQuery{Limit: 10})
	if err != nil || len(page.Rows) != 1 || page.Rows[0].Pending != 1 || page.Rows[0].Refused != 0 {
		t.Errorf("one text is on its way: %+v %v", page.Rows, err)
	}
}

func TestADraftThatWasTakenAwayIsCounted(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	s := current(t, e)
	keeps, loses := chat.NewID[chat.Brand](), chat.NewID[chat.Brand]()
	cached(t, s, keeps)
	conv := cached(t, s, loses)
	if err := s.cache.SetPosition(t.Context(), 5, "epoch"); err != nil {
		t.Fatal(err)
	}
	if err := e.SaveDraft(conv.String(), Draft{Text: "a long answer"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Send(cached(t, s, loses).String(), NewMessage{Text: "sent", Seen: 1}); err != nil {
		t.Fatal(err)
	}
	counted(t, "before", e, 0)
	access := chat.Access{Member: s.me, Brands: []chat.BrandID{keeps}}
	if err := s.beforeAccess(t.Context(), access); err != nil {
		t.Fatal(err)
	}
	a, err := s.cache.Apply(t.Context(), 5, 6, []chat.Change{{Seq: 6, Kind: chat.EntityAccess, Op: chat.OpPut, Member: s.me, ID: s.me.String(), Data: encode(t, access)}})
	if err != nil {
		t.Fatal(err)
	}
	s.changed(a)
	counted(t, "a text and a draft", e, 2)
	if st := stateOf(t, e).Outbox; st.Queued != 0 {
		t.Errorf("nothing goes out any more: %+v", st)
	}
}
