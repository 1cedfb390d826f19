package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/backend/chat"
)

func TestViewLimitsEverythingRead(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		mine, other := w.begin(0, "Ada"), w.begin(1, "Bob")
		w.say(mine.ID, "hello")
		w.say(other.ID, "secret")
		w.update(func(tx *Tx) error {
			for i, c := range []chat.Conversation{mine, other} {
				for _, m := range []chat.Member{w.members[i], w.owner} {
					if err := tx.PutDraft(&chat.Draft{Conversation: c.ID, Member: m.ID, Text: "draft"}, w.meta); err != nil {
						return err
					}
				}
			}
			return tx.PutAccess(chat.Access{Member: w.owner.ID, Role: chat.RoleOwner}, w.meta)
		})
		ctx, view := t.Context(), chat.ViewOf(w.members[0])

		changes, to, head, more, err := s.Changes(ctx, w.ws, view, 0, 1000, 0)
		must(t, err)
		if to != head || more {
			t.Errorf("to %d, head %d, more %v", to, head, more)
		}
		drafts := 0
		for _, c := range changes {
			if !view.SeesChange(c) || c.Brand == w.brands[1].ID || c.Conversation == other.ID || c.Kind == chat.EntityAccess {
				t.Errorf("sees change %+v", c)
			}
			if c.Kind == chat.EntityDraft {
				drafts++
			}
		}
		if drafts != 1 || len(changes) == 0 {
			t.Errorf("%d changes with %d drafts, want one draft", len(changes), drafts)
		}

		_, err = s.Conversation(ctx, w.ws, view, other.ID)
		wantCode(t, err, chat.CodeNotFound)
		_, err = s.Contact(ctx, w.ws, view, other.Contact)
		wantCode(t, err, chat.CodeNotFound)
		_, err = s.Channel(ctx, w.ws, view, w.channels[1].ID)
		wantCode(t, err, chat.CodeNotFound)
		_, _, _, _, err = s.Messages(ctx, w.ws, view, other.ID, 0, 0, 0, 50)
		wantCode(t, err, chat.CodeNotFound)

		list, contacts, _, err := s.Conversations(ctx, w.ws, view, ConversationFilter{}, "", 50)
		must(t, err)
		if len(list) != 1 || list[0].ID != mine.ID || len(contacts) != 1 || contacts[0].ID != mine.Contact {
			t.Errorf("lists %d conversations, %d contacts", len(list), len(contacts))
		}
		if list, _, _, err = s.Conversations(ctx, w.ws, view, ConversationFilter{Query: "bob"}, "", 50); err != nil || len(list) != 0 {
			t.Errorf("finds %d conversations, %v", len(list), err)
		}
		brands, err := s.Brands(ctx, w.ws, view)
		must(t, err)
		channels, err := s.Channels(ctx, w.ws, view)
		must(t, err)
		if len(brands) != 1 || len(channels) != 1 {
			t.Errorf("%d brands, %d channels", len(brands), len(channels))
		}
		none := chat.View{Member: w.owner.ID, Brands: []chat.BrandID{}}
		if list, _, _, err = s.Conversations(ctx, w.ws, none, ConversationFilter{}, "", 50); err != nil || len(list) != 0 {
			t.Errorf("a view without brands lists %d conversations, %v", len(list), err)
		}

		for name, rows := range map[string][]Row{"bootstrap": collect(t, w, view, -1, 0), "state": collect(t, w, view, 1, 0)} {
			drafts := 0
			for _, r := range rows {
				if r.Brand == w.brands[1].ID || r.Conversation == other.ID || r.ID == other.Contact.String() {
					t.Errorf("%s has %+v", name, r)
				}
				if r.Kind == chat.EntityDraft {
					drafts++
				}
			}
			if drafts != 1 {
				t.Errorf("%s has %d drafts, want the member's own", name, drafts)
			}
		}
	})
}

// collect streams a bootstrap (after < 0) or a state answer in pieces of about
// pieces rows (0: at once), breaking off now and then as a network does.
func collect(t *testing.T, w *world, view chat.View, after int64, pieces int) []Row {
	t.Helper()
	var all []Row
	cursor, head := "", int64(-1)
	for round := 0; ; round++ {
		broken := errors.New("connection lost")
		kept := len(all)
		last := cursor
		st := Stream{Cursor: cursor, MaxRows: pieces}
		st.Begin = func(h int64, epoch string, _ chat.Time) error {
			if head >= 0 && h != head {
				t.Errorf("head %d in a continued answer that began with %d", h, head)
			}
			head = h
			return nil
		}
		n := 0
		st.Emit = func(r Row) error {
			n++
			if pieces > 0 && round%3 == 1 && n > pieces/2 {
				return broken
			}
			all = append(all, r)
			if r.Cursor != "" {
				kept, last = len(all), r.Cursor
			}
			return nil
		}
		var next string
		var err error
		if after < 0 {
			next, err = w.s.Bootstrap(t.Context(), w.ws, view, st)
		} else {
			next, err = w.s.State(t.Context(), w.ws, view, after, st)
		}
		if errors.Is(err, broken) { // as a client does: what came after the last cursor comes again
			all, cursor = all[:kept], last
			continue
		}
		must(t, err)
		if next == "" {
			return all
		}
		cursor = next
	}
}

func keys(rows []Row) []string {
	list := []string{}
	for _, r := range rows {
		list = append(list, fmt.Sprint(r.Kind, " ", r.ID, " ", r.Op, " ", r.Ver))
	}
	return list
}

func TestBootstrapIsCompleteAndResumes(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		const conversations = pageRows + 10 // more than a page
		lengths := []int{1, 4, bootstrapThreadLength + 5}
		w.update(func(tx *Tx) error {
			for i := range conversations {
				c, err := w.start(tx, i%2, fmt.Sprint("Contact ", i))
				if err != nil {
					return err
				}
				for range lengths[i%3] {
					m := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, Author: chat.CustomerActor(c.Contact)}
					c.Append(&m)
					if err := tx.PutMessage(&m, w.meta); err != nil {
						return err
					}
				}
				if err := tx.PutConversation(&c, w.meta); err != nil {
					return err
				}
			}
			return nil
		})
		view := chat.ViewOf(w.owner)
		whole := collect(t, w, view, -1, 0)
		counts := map[chat.EntityKind]int{}
		for i, r := range whole {
			counts[r.Kind]++
			if r.Op != chat.OpPut || len(r.Data) == 0 {
				t.Fatalf("row %+v", r)
			}
			if r.Kind == chat.EntityConversation && whole[i-1].Kind != chat.EntityContact {
				t.Fatalf("conversation %s does not follow its contact", r.ID)
			}
		}
		messages := 0
		for i := range conversations {
			messages += min(bootstrapThreadLength, lengths[i%3])
		}
		want := map[chat.EntityKind]int{chat.EntityWorkspace: 1, chat.EntityBrand: 2, chat.EntityChannel: 2, chat.EntityMember: 3,
			chat.EntityContact: conversations, chat.EntityConversation: conversations, chat.EntityMessage: messages}
		for kind, n := range want {
			if counts[kind] != n {
				t.Errorf("%d of kind %s, want %d", counts[kind], kind, n)
			}
		}
		for _, pieces := range []int{17, 300, 2000} {
			got := collect(t, w, view, -1, pieces)
			a, b := keys(whole), keys(got)
			slices.Sort(a) // a contact may be named again in a later piece
			slices.Sort(b)
			if b = slices.Compact(b); !slices.Equal(slices.Compact(a), b) {
				t.Errorf("in pieces of %d: %d rows, want %d", pieces, len(b), len(a))
			}
		}
		state := collect(t, w, view, 0, 0)
		if a, b := len(state), len(whole)-messages; a != b {
			t.Errorf("the state since ever has %d rows, want %d", a, b)
		}
		got := keys(collect(t, w, view, 0, 50))
		a := keys(state)
		slices.Sort(a)
		slices.Sort(got)
		if !slices.Equal(slices.Compact(a), slices.Compact(got)) {
			t.Errorf("the state in pieces has %d rows, want %d", len(got), len(a))
		}
	})
}

func TestBootstrapWindow(t *testing.T) {
	for _, days := range []int{0, 30} {
		now := chat.TimeOf(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
		opt := quiet(Options{Data: t.TempDir(), Now: func() chat.Time { return now }})
		w := newWorld(t, opened(t, opt))
		resolved, open := w.begin(0, "Old resolved"), w.begin(0, "Old open")
		w.update(func(tx *Tx) error {
			resolved.Status = chat.StatusResolved
			return tx.PutConversation(&resolved, w.meta)
		})
		now = now.Add(60 * 24 * time.Hour)
		recent := w.begin(0, "Recent")
		var got []string
		_, err := w.s.Bootstrap(t.Context(), w.ws, chat.ViewOf(w.owner), Stream{Days: days, Emit: func(r Row) error {
			if r.Kind == chat.EntityConversation {
				got = append(got, r.ID)
			}
			return nil
		}})
		must(t, err)
		want := []string{recent.ID.String(), open.ID.String()}
		if days == 0 {
			want = append(want, resolved.ID.String())
			slices.Sort(want[1:]) // same time
			slices.Reverse(want[1:])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d days: %v, want %v", days, got, want)
		}
	}
}

func TestStateHasWhatChangedAndWhatWasDeleted(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		quietOne, busy := w.begin(0, "Quiet"), w.begin(0, "Busy")
		w.update(func(tx *Tx) error {
			for _, m := range []chat.Member{w.owner, w.members[0]} {
				if err := tx.PutDraft(&chat.Draft{Conversation: quietOne.ID, Member: m.ID, Text: "draft"}, w.meta); err != nil {
					return err
				}
			}
			return nil
		})
		since := w.head()
		w.say(busy.ID, "hello")
		w.update(func(tx *Tx) error {
			for _, m := range []chat.Member{w.owner, w.members[0]} {
				if there, err := tx.DeleteDraft(quietOne.ID, m.ID, w.meta); err != nil || !there {
					return fmt.Errorf("draft %v %w", there, err)
				}
				if there, err := tx.DeleteDraft(quietOne.ID, m.ID, w.meta); err != nil || there {
					return fmt.Errorf("draft again %v %w", there, err)
				}
			}
			return nil
		})
		rows := collect(t, w, chat.ViewOf(w.owner), since, 0)
		if len(rows) != 3 || rows[0].ID != busy.Contact.String() || rows[1].ID != busy.ID.String() ||
			rows[2].Kind != chat.EntityDraft || rows[2].Op != chat.OpDelete || rows[2].Conversation != quietOne.ID || rows[2].Data != nil {
			t.Errorf("rows %+v", rows)
		}
	})
}

func TestCursorsOfOtherAnswersAreRefused(t *testing.T) {
	w := newWorld(t, opened(t, quiet(Options{Data: t.TempDir()})))
	w.begin(0, "Ada")
	view := chat.ViewOf(w.owner)
	emit := func(Row) error { return nil }
	for _, cursor := range []string{"x", "v1.a.b", "v1......", "v2.x.1.s.0.0", "v1.x.1.s.0.0.zz.zz"} {
		_, err := w.s.Bootstrap(t.Context(), w.ws, view, Stream{Cursor: cursor, Emit: emit})
		if code := chat.ErrorCode(err); code != chat.CodeInvalid && code != chat.CodeReset {
			t.Errorf("%q: %v", cursor, err)
		}
	}
	head, epoch, _, err := w.s.Head(t.Context(), w.ws)
	must(t, err)
	good := fmt.Sprintf("v1.%s.%d.s.0.0", epoch, head)
	_, err = w.s.Bootstrap(t.Context(), w.ws, view, Stream{Cursor: good, Emit: emit})
	must(t, err)
	for cursor, code := range map[string]chat.Code{
		fmt.Sprintf("v1.other.%d.s.0.0", head):          chat.CodeReset,
		fmt.Sprintf("v1.%s.%d.s.0.0", epoch, head+1):    chat.CodeInvalid,
		fmt.Sprintf("v1.%s.%d.t.0.0", epoch, head):      chat.CodeInvalid, // of a state answer
		fmt.Sprintf("v1.%s.%d.c.0.0", epoch, head):      chat.CodeInvalid, // without its position
		fmt.Sprintf("v1.%s.%d.m.0.0.1.0a", epoch, head): chat.CodeInvalid,
	} {
		_, err := w.s.Bootstrap(t.Context(), w.ws, view, Stream{Cursor: cursor, Emit: emit})
		wantCode(t, err, code)
	}
	_, _, _, err = w.s.Conversations(t.Context(), w.ws, view, ConversationFilter{}, "nonsense", 10)
	wantCode(t, err, chat.CodeInvalid)
}

func TestStreamStopsWithItsContext(t *testing.T) {
	w := newWorld(t, opened(t, quiet(Options{Data: t.TempDir()})))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := w.s.Bootstrap(ctx, w.ws, chat.ViewOf(w.owner), Stream{Emit: func(Row) error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFarBehindAndReset(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		ctx, view := t.Context(), chat.ViewOf(w.owner)
		head := w.head()
		_, _, _, _, err := s.Changes(ctx, w.ws, view, head+1, 10, 0)
		wantCode(t, err, chat.CodeReset)
		changes, to, _, more, err := s.Changes(ctx, w.ws, view, head, 10, 0)
		if err != nil || len(changes) != 0 || to != head || more {
			t.Errorf("at the head: %d changes to %d, more %v, %v", len(changes), to, more, err)
		}
		changes, to, _, more, err = s.Changes(ctx, w.ws, view, 0, 3, 0)
		if err != nil || len(changes) != 3 || to != 3 || !more {
			t.Errorf("a page of 3: %d changes to %d, more %v, %v", len(changes), to, more, err)
		}
		changes, to, _, more, err = s.Changes(ctx, w.ws, view, 0, 100, 1)
		if err != nil || len(changes) != 1 || to != 1 || !more {
			t.Errorf("a page of one byte: %d changes to %d, more %v, %v", len(changes), to, more, err)
		}
		w.update(func(tx *Tx) error {
			tx.c.floor, tx.c.dirty = 4, true // as if the log had been trimmed
			return nil
		})
		_, _, _, _, err = s.Changes(ctx, w.ws, view, 3, 10, 0)
		wantCode(t, err, chat.CodeFarBehind)
		_, _, _, _, err = s.Changes(ctx, w.ws, view, 4, 10, 0)
		must(t, err)
		c := w.begin(0, "Ada")
		w.update(func(tx *Tx) error {
			for range farBehind/2 + 1 {
				if err := tx.PutAccess(chat.Access{Member: w.owner.ID}, w.meta); err != nil {
					return err
				}
				if err := tx.PutAccess(chat.Access{Member: w.owner.ID}, w.meta); err != nil {
					return err
				}
			}
			return nil
		})
		_, err = s.LogTail(ctx, w.ws, head, 10, 0)
		wantCode(t, err, chat.CodeFarBehind)
		_, err = s.Conversation(ctx, w.ws, view, c.ID)
		must(t, err)
	})
}

func TestMessagesPages(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		view := chat.ViewOf(w.owner)
		if from, to, head, msgs, err := s.Messages(t.Context(), w.ws, view, c.ID, 0, 0, 0, 10); err != nil || from != 0 || to != 0 || head != 0 || len(msgs) != 0 {
			t.Errorf("empty thread: [%d, %d] of %d, %v", from, to, head, err)
		}
		w.update(func(tx *Tx) error {
			for i := range 20 {
				kind, author := chat.MessageKindMessage, chat.CustomerActor(c.Contact)
				switch i % 4 {
				case 1:
					kind, author = chat.MessageKindComment, chat.MemberActor(w.owner.ID)
				case 2:
					kind, author = chat.MessageKindEvent, chat.SystemActor()
				case 3:
					author = chat.MemberActor(w.owner.ID)
				}
				if _, err := appendTo(tx, c.ID, author, kind, fmt.Sprint(i)); err != nil {
					return err
				}
			}
			return nil
		})
		for _, x := range []struct{ before, after, around, from, to int64 }{
			{0, 0, 0, 16, 20}, {16, 0, 0, 11, 15}, {3, 0, 0, 1, 2}, {1, 0, 0, 0, 0}, {99, 0, 0, 16, 20},
			{0, 4, 0, 5, 9}, {0, 18, 0, 19, 20}, {0, 20, 0, 0, 0}, {0, 0, 10, 8, 12}, {0, 0, 1, 1, 5}, {0, 0, 20, 16, 20}, {0, 0, 500, 16, 20},
		} {
			from, to, head, msgs, err := s.Messages(t.Context(), w.ws, view, c.ID, x.before, x.after, x.around, 5)
			must(t, err)
			if from != x.from || to != x.to || head != 20 {
				t.Errorf("%+v: [%d, %d] of %d", x, from, to, head)
			}
			for i, m := range msgs {
				if m.Number != from+int64(i) {
					t.Errorf("%+v: number %d at place %d", x, m.Number, i)
				}
			}
		}
		var got []int64
		for after := int64(0); ; {
			to, msgs, err := s.VisitorMessages(t.Context(), w.ws, c.ID, after, 3)
			must(t, err)
			for _, m := range msgs {
				got = append(got, m.Number)
			}
			if after = to; len(msgs) < 3 {
				break
			}
		}
		if want := []int64{1, 4, 5, 8, 9, 12, 13, 16, 17, 20}; !slices.Equal(got, want) {
			t.Errorf("a visitor sees %v, want %v", got, want)
		}
	})
}

func TestConversationsListAndSearch(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		names := []string{"José Álvarez", "Jo Smith", "王小明", "Ada Lovelace", "", "Smithers"}
		var all []chat.Conversation
		for i, name := range names {
			c := w.begin(i%2, name)
			w.update(func(tx *Tx) error {
				k, err := tx.Contact(c.Contact)
				if err != nil {
					return err
				}
				if name == "" {
					k.Email, k.Phone = "Grace.Hopper@navy.example", "+1 (555) 010-99"
				}
				return tx.PutContact(&k, w.meta)
			})
			all = append(all, c)
		}
		w.say(all[3].ID, "unread")
		w.update(func(tx *Tx) error {
			c, err := tx.Conversation(all[1].ID)
			c.Assignee, c.Status = w.members[1].ID, chat.StatusResolved
			return errors.Join(err, tx.PutConversation(&c, w.meta))
		})
		find := func(f ConversationFilter) []int {
			t.Helper()
			found := []int{}
			cursor := ""
			for {
				list, contacts, next, err := s.Conversations(t.Context(), w.ws, chat.ViewOf(w.owner), f, cursor, 2)
				must(t, err)
				if len(contacts) != len(list) {
					t.Errorf("%d conversations with %d contacts", len(list), len(contacts))
				}
				for _, c := range list {
					found = append(found, slices.IndexFunc(all, func(x chat.Conversation) bool { return x.ID == c.ID }))
				}
				if cursor = next; next == "" {
					slices.Sort(found)
					return found
				}
			}
		}
		for _, x := range []struct {
			f    ConversationFilter
			want []int
		}{
			{ConversationFilter{}, []int{0, 1, 2, 3, 4, 5}},
			{ConversationFilter{Query: "jo"}, []int{0, 1}}, {ConversationFilter{Query: "JOSE alv"}, []int{0}},
			{ConversationFilter{Query: "smith"}, []int{1, 5}}, {ConversationFilter{Query: "王"}, []int{2}},
			{ConversationFilter{Query: "hopper"}, []int{4}}, {ConversationFilter{Query: "grace.hopper@n"}, []int{4}},
			{ConversationFilter{Query: "+1 555 0"}, []int{4}}, {ConversationFilter{Query: "1555"}, []int{4}},
			{ConversationFilter{Query: "love ada"}, []int{3}}, {ConversationFilter{Query: "ovelace"}, []int{}},
			{ConversationFilter{Query: "%"}, []int{}}, {ConversationFilter{Query: "ada bob"}, []int{}},
			{ConversationFilter{Unread: true}, []int{3}}, {ConversationFilter{Brand: w.brands[0].ID}, []int{0, 2, 4}},
			{ConversationFilter{Channel: w.channels[1].ID}, []int{1, 3, 5}}, {ConversationFilter{Contact: all[2].Contact}, []int{2}},
			{ConversationFilter{Status: chat.StatusResolved}, []int{1}}, {ConversationFilter{State: chat.StateAgent}, []int{}},
			{ConversationFilter{Assignee: w.members[1].ID}, []int{1}}, {ConversationFilter{Unassigned: true, Query: "jo"}, []int{0}},
		} {
			if got := find(x.f); !slices.Equal(got, x.want) {
				t.Errorf("%+v: %v, want %v", x.f, got, x.want)
			}
		}
		first, _, _, err := s.Conversations(t.Context(), w.ws, chat.ViewOf(w.owner), ConversationFilter{}, "", 1)
		must(t, err)
		if first[0].ID != all[3].ID {
			t.Error("the conversation with the newest message is not first")
		}
		w.update(func(tx *Tx) error {
			k, err := tx.Contact(all[3].Contact)
			k.Name = "Countess"
			return errors.Join(err, tx.PutContact(&k, w.meta))
		})
		if a, b := find(ConversationFilter{Query: "lovelace"}), find(ConversationFilter{Query: "countess"}); len(a) != 0 || len(b) != 1 {
			t.Errorf("after a new name: old name finds %v, new name %v", a, b)
		}
		checked(t, s)
	})
}

func TestSearchWithManyMatches(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		must(t, s.Import(t.Context(), w.ws, func(imp *Importer) error {
			for i := range manyContacts + 50 {
				k := chat.Contact{ID: chat.NewID[chat.Contact](), Brand: w.brands[0].ID, Name: fmt.Sprint("Common Name", i)}
				c := chat.NewConversation(chat.NewID[chat.Conversation](), w.channels[0], k.ID, chat.IdentityID{}, false, chat.Time(i+1))
				if err := errors.Join(imp.Contact(k), imp.Conversation(c)); err != nil {
					return err
				}
			}
			return nil
		}))
		list, contacts, next, err := s.Conversations(t.Context(), w.ws, chat.ViewOf(w.owner), ConversationFilter{Query: "common name20"}, "", 500)
		must(t, err)
		if len(list) != 1+10+50 || next != "" { // 20, 200–209, 2000–2049
			t.Errorf("%d conversations, next %q", len(list), next)
		}
		if contacts[0].Name != "Common Name2049" {
			t.Errorf("the newest is %q", contacts[0].Name)
		}
		list, _, next, err = s.Conversations(t.Context(), w.ws, chat.ViewOf(w.owner), ConversationFilter{Query: "common"}, "", 9)
		must(t, err)
		if len(list) != 9 || next == "" {
			t.Errorf("of very many %d conversations, next %q", len(list), next)
		}
		r, err := s.read(t.Context(), w.ws)
		must(t, err)
		q := &query{}
		q.add(`select count(*) from conversation c where c.workspace_id = ?`, r.ws)
		some, err := r.search(q, [][]string{{"nobody"}, {"common", "name2"}})
		must(t, err)
		n := 0
		if must(t, r.row("count", q.text.String(), []any{&n}, q.args...)); !some || n != 1+10+100+50 {
			t.Errorf("one of two lists fits %d", n)
		}
	})
}
