package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/server/store/pgtest"
)

// clocked runs a test on each database with a clock that the test sets.
func clocked(t *testing.T, test func(t *testing.T, w *world, now *chat.Time)) {
	t.Helper()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			now := chat.TimeOf(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
			opt := Options{Now: func() chat.Time { return now }}
			if name == "postgres" {
				opt.Database = pgtest.URL(t)
			} else {
				opt.Data = t.TempDir()
			}
			test(t, newWorld(t, opened(t, quiet(opt))), &now)
		})
	}
}

func TestStateKeepsToTheWindow(t *testing.T) {
	clocked(t, func(t *testing.T, w *world, now *chat.Time) {
		known, quietOne := w.begin(0, "Known, resolved since"), w.begin(0, "Known, untouched")
		w.say(known.ID, "hello")
		w.say(quietOne.ID, "hello")
		since := w.head()
		// Brought in later, from the same time: one resolved, one open.
		old, oldOpen := w.begin(0, "Old"), w.begin(0, "Old open")
		w.say(old.ID, "hello")
		w.say(oldOpen.ID, "hello")
		*now = now.Add(60 * 24 * time.Hour)
		recent := w.begin(1, "Recent")
		w.say(recent.ID, "hello")
		w.update(func(tx *Tx) error {
			for _, id := range []chat.ConversationID{old.ID, known.ID} {
				c, err := tx.Conversation(id)
				if err != nil {
					return err
				}
				c.Status = chat.StatusResolved
				if err := tx.PutConversation(&c, w.meta); err != nil {
					return err
				}
			}
			return nil
		})
		for days, want := range map[int][]chat.Conversation{30: {known, oldOpen, recent}, 90: {known, old, oldOpen, recent}, 0: {known, old, oldOpen, recent}} {
			var got, contacts []string
			_, err := w.s.State(t.Context(), w.ws, chat.ViewOf(w.owner), since, Stream{Days: days, Emit: func(r Row) error {
				switch r.Kind {
				case chat.EntityConversation:
					got = append(got, r.ID)
				case chat.EntityContact:
					contacts = append(contacts, r.ID)
				}
				return nil
			}})
			must(t, err)
			var wanted, people []string
			for _, c := range want {
				wanted, people = append(wanted, c.ID.String()), append(people, c.Contact.String())
			}
			for _, list := range [][]string{got, contacts, wanted, people} {
				slices.Sort(list)
			}
			if !slices.Equal(got, wanted) || !slices.Equal(contacts, people) {
				t.Errorf("%d days: conversations %v of contacts %v; want %v and %v", days, got, contacts, wanted, people)
			}
		}
	})
}

func TestTombstonesAreFewAndComeInPages(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		since := w.head()
		const drafts = pageRows + 5
		w.update(func(tx *Tx) error {
			for i := range drafts {
				c, err := w.start(tx, i%2, fmt.Sprint("Contact ", i))
				if err != nil {
					return err
				}
				for range 3 { // written and sent, again and again
					if err := tx.PutDraft(&chat.Draft{Conversation: c.ID, Member: w.owner.ID, Text: "draft"}, w.meta); err != nil {
						return err
					}
					if there, err := tx.DeleteDraft(c.ID, w.owner.ID, w.meta); err != nil || !there {
						return fmt.Errorf("draft %v %w", there, err)
					}
				}
			}
			return nil
		})
		var n int
		must(t, s.r.QueryRowContext(t.Context(), `select count(*) from tombstone`).Scan(&n))
		if n != drafts {
			t.Errorf("%d tombstones of %d drafts", n, drafts)
		}
		for _, pieces := range []int{0, 37} {
			seen := map[string]bool{}
			last := int64(0)
			for _, r := range collect(t, w, chat.ViewOf(w.owner), since, pieces) {
				if r.Op == chat.OpDelete {
					if r.Ver <= last || seen[r.ID] {
						t.Errorf("tombstone %+v after %d", r, last)
					}
					last, seen[r.ID] = r.Ver, true
				}
			}
			if len(seen) != drafts {
				t.Errorf("in pieces of %d: %d tombstones, want %d", pieces, len(seen), drafts)
			}
		}
		half := 0
		for _, r := range collect(t, w, chat.View{Member: w.owner.ID, Brands: []chat.BrandID{w.brands[0].ID}}, since, 0) {
			if r.Op == chat.OpDelete {
				half++
			}
		}
		if half != (drafts+1)/2 {
			t.Errorf("%d tombstones of one brand", half)
		}
	})
}

func TestPageOfChangesKeepsToItsBytes(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		after := w.head()
		w.update(func(tx *Tx) error {
			for range 1500 { // short ones, where everything but the data counts most
				if err := tx.PutDraft(&chat.Draft{Conversation: c.ID, Member: w.owner.ID, Text: "<&>"}, w.meta); err != nil {
					return err
				}
			}
			return nil
		})
		const limit = 512 << 10
		pages := 0
		for more := true; more; pages++ {
			var list []chat.Change
			var err error
			list, after, _, more, err = s.Changes(t.Context(), w.ws, chat.ViewOf(w.owner), after, 5000, limit)
			must(t, err)
			page, err := json.Marshal(list)
			must(t, err)
			if len(page) > limit || more && len(page) < limit*3/4 {
				t.Errorf("a page of %d changes has %d bytes of %d", len(list), len(page), limit)
			}
		}
		if pages < 2 {
			t.Errorf("%d pages", pages)
		}
	})
	id := chat.NewID[chat.Message]()
	long := chat.Change{Seq: 1<<63 - 1, At: chat.TimeOf(time.Date(2025, 12, 31, 23, 59, 59, 999999000, time.UTC)), Kind: chat.EntityConversation,
		ID: id.String(), Op: chat.OpDelete, Brand: chat.NewID[chat.Brand](), Conversation: chat.NewID[chat.Conversation](),
		Member: chat.NewID[chat.Member](), Actor: chat.Actor{Kind: chat.ActorCustomer, ID: id.String()}, Cause: chat.NewID[chat.Command](),
		Data: json.RawMessage(`{}`)}
	if b, err := json.Marshal(long); err != nil || len(b) > changeEnvelope {
		t.Errorf("the longest change has %d bytes beside its data (%v)", len(b), err)
	}
}

func TestOthersAfter(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		me := chat.MemberActor(w.members[0].ID)
		write := func(n int, author chat.Actor, kind chat.MessageKind) {
			w.update(func(tx *Tx) error {
				for range n {
					if _, err := appendTo(tx, c.ID, author, kind, "text"); err != nil {
						return err
					}
				}
				return nil
			})
		}
		others := func(after int64, limit int) string {
			var text []string
			w.update(func(tx *Tx) error {
				list, err := tx.OthersAfter(c.ID, after, w.members[0].ID, limit)
				for _, m := range list {
					text = append(text, fmt.Sprint(m.Number, " ", m.Author.Kind))
				}
				return err
			})
			return strings.Join(text, ", ")
		}
		write(1, me, chat.MessageKindMessage)                            // 1
		write(1, chat.CustomerActor(c.Contact), chat.MessageKindMessage) // 2
		write(1, chat.MemberActor(w.owner.ID), chat.MessageKindComment)  // 3
		write(1, chat.MemberActor(w.owner.ID), chat.MessageKindMessage)  // 4
		write(1100, me, chat.MessageKindMessage)                         // 5 … 1104
		write(3, chat.CustomerActor(c.Contact), chat.MessageKindMessage) // 1105 … 1107
		write(1, chat.SystemActor(), chat.MessageKindEvent)              // 1108
		for _, x := range []struct {
			after int64
			limit int
			want  string
		}{
			{0, 50, "2 customer, 4 member, 1105 customer, 1106 customer, 1107 customer"},
			{2, 50, "4 member, 1105 customer, 1106 customer, 1107 customer"},
			{4, 50, "1105 customer, 1106 customer, 1107 customer"},
			{4, 2, "1106 customer, 1107 customer"},
			{0, 3, "4 member, 1106 customer, 1107 customer"}, // the colleague's answer is never cut off
			{0, 4, "4 member, 1105 customer, 1106 customer, 1107 customer"},
			{1108, 50, ""},
		} {
			if got := others(x.after, x.limit); got != x.want {
				t.Errorf("after %d, %d of them: %s; want %s", x.after, x.limit, got, x.want)
			}
		}
	})
}
