package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"parley/backend/chat"
)

// digestOf is the sum of conversations as a client has them.
func digestOf(list ...chat.Conversation) (d chat.Digest) {
	for _, c := range list {
		d.Add(c.ID, chat.DigestHash(c.ID, c.Ver))
	}
	return d
}

func TestDigestIsOfTheWindowAndTheView(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		now := s.now()
		mine, old, oldOpen, other := w.begin(0, "Ada"), w.begin(0, "Bob"), w.begin(0, "Cyd"), w.begin(1, "Dan")
		mine = w.change(mine, func(c *chat.Conversation) { c.Status = chat.StatusResolved })
		old = w.change(old, func(c *chat.Conversation) {
			c.Status, c.LastMessageAt = chat.StatusClosed, now.Add(-40*24*time.Hour)
		})
		oldOpen = w.change(oldOpen, func(c *chat.Conversation) { c.LastMessageAt = now.Add(-40 * 24 * time.Hour) })
		since := now.Add(-30 * 24 * time.Hour)
		for name, x := range map[string]struct {
			view  chat.View
			since chat.Time
			want  chat.Digest
		}{
			"a member of one brand": {chat.View{Member: w.members[0].ID, Brands: w.members[0].Brands}, since, digestOf(mine, oldOpen)},
			"who sees everything":   {chat.View{Member: w.owner.ID}, since, digestOf(mine, oldOpen, other)},
			"of all times":          {chat.View{Member: w.owner.ID}, 0, digestOf(mine, old, oldOpen, other)},
			"who sees nothing":      {chat.View{Member: w.owner.ID, Brands: []chat.BrandID{}}, 0, chat.Digest{}},
		} {
			head, _, _, err := s.Head(t.Context(), w.ws)
			must(t, err)
			sum, changed, at, err := s.Digest(t.Context(), w.ws, x.view, head, x.since)
			must(t, err)
			if sum != x.want || len(changed) != 0 || at != head {
				t.Errorf("%s: %d changed at %d, and the sums are those of other conversations", name, len(changed), at)
			}
		}
		head, _, _, err := s.Head(t.Context(), w.ws)
		must(t, err)
		_, _, _, err = s.Digest(t.Context(), w.ws, chat.View{}, head+1, since)
		wantCode(t, err, chat.CodeReset)
	})
}

// TestDigestFollowsTheLog: what has changed since the position is named and not
// summed, whether the table was read before the change or not.
func TestDigestFollowsTheLog(t *testing.T) {
	both(t, func(t *testing.T, s *Store, opt Options) {
		w := newWorld(t, s)
		a, b, c := w.begin(0, "Ada"), w.begin(0, "Bob"), w.begin(0, "Cyd")
		view := chat.View{Member: w.owner.ID}
		position, _, _, err := s.Head(t.Context(), w.ws)
		must(t, err)
		for round := range 3 {
			if round > 0 { // before any change there is nothing to tell apart
				b = w.change(b, func(c *chat.Conversation) { c.Priority++ })
			}
			want, since := digestOf(a, c), []chat.ConversationID{b.ID}
			if round == 0 {
				want, since = digestOf(a, b, c), []chat.ConversationID{}
			}
			sum, changed, _, err := s.Digest(t.Context(), w.ws, view, position, 0)
			must(t, err)
			if sum != want || !slices.Equal(changed, since) {
				t.Errorf("round %d: changed %v, want %v; sums as wanted: %v", round, changed, since, sum == want)
			}
		}
		fresh := opened(t, opt) // reads everything anew
		defer fresh.digests.close()
		sum, changed, _, err := fresh.Digest(t.Context(), w.ws, view, position, 0)
		must(t, err)
		if sum != digestOf(a, c) || !slices.Equal(changed, []chat.ConversationID{b.ID}) {
			t.Errorf("read anew: changed %v", changed)
		}
	})
}

// TestStateOfBuckets: every conversation of the window in them, changed or not,
// each after its contact, in pieces that go on where the last one ended.
func TestStateOfBuckets(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		const buckets = 20
		var named []int
		for n := range buckets {
			named = append(named, n)
		}
		want := map[string]bool{}
		for i := range pageRows + 50 {
			if c := w.begin(0, fmt.Sprint("Contact ", i)); chat.DigestBucket(c.ID) < buckets {
				want[c.ID.String()] = true
			}
		}
		head, _, _, err := s.Head(t.Context(), w.ws)
		must(t, err)
		for _, pieces := range []int{0, 7} {
			got, contacts, cursor := map[string]bool{}, map[string]bool{}, ""
			for {
				st := Stream{Buckets: named, Days: 30, MaxRows: pieces, Cursor: cursor, Emit: func(r Row) error {
					switch r.Kind {
					case chat.EntityContact:
						contacts[r.ID] = true
					case chat.EntityConversation:
						if got[r.ID] {
							t.Errorf("%s comes twice", r.ID)
						}
						got[r.ID] = true
					default:
						t.Errorf("a %s comes too", r.Kind)
					}
					return nil
				}}
				cursor, err = s.State(t.Context(), w.ws, chat.View{Member: w.owner.ID}, head, st)
				must(t, err)
				if cursor == "" {
					break
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || len(contacts) != len(want) {
				t.Errorf("in pieces of %d: %d conversations and %d contacts, want %d", pieces, len(got), len(contacts), len(want))
			}
		}
	})
}

// change changes a conversation and gives it as it now is.
func (w *world) change(c chat.Conversation, fn func(*chat.Conversation)) chat.Conversation {
	w.tb.Helper()
	w.update(func(tx *Tx) error {
		var err error
		if c, err = tx.Conversation(c.ID); err != nil {
			return err
		}
		fn(&c)
		return tx.PutConversation(&c, w.meta)
	})
	return c
}
