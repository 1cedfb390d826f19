package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/fanout"
	"parley/backend/server/inbox"
	"parley/backend/server/store"
	"parley/backend/server/store/pgtest"
)

// company is a real store with an inbox on it, and the caches of two members:
// an owner who sees everything, and an agent whose brands change.
type company struct {
	t        *testing.T
	rnd      *rand.Rand
	store    *store.Store
	inbox    *inbox.Inbox
	ws       chat.WorkspaceID
	channels []chat.Channel
	owner    chat.Member
	agent    chat.Member
	convs    []chat.ConversationID
	caches   map[chat.MemberID]*Cache
	n        int
}

func newCompany(t *testing.T, opt store.Options, seed uint64) *company {
	t.Helper()
	opt.Log = slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	in := inbox.New(inbox.Options{Store: s, Fanout: fanout.NewLocal(), Log: opt.Log})
	t.Cleanup(func() {
		in.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	k := &company{t: t, rnd: rand.New(rand.NewPCG(seed, 2)), store: s, inbox: in, ws: chat.NewID[chat.Workspace](), caches: map[chat.MemberID]*Cache{}}
	settings := chat.DefaultWorkspaceSettings()
	settings.SendIntervalSeconds = 0
	k.must(s.CreateWorkspace(t.Context(), chat.Workspace{ID: k.ws, Name: "Acme", Settings: settings}))
	k.owner = chat.Member{ID: chat.NewID[chat.Member](), Name: "Olga", Email: "olga@acme.example", Role: chat.RoleOwner, PasswordHash: "hash"}
	k.agent = chat.Member{ID: chat.NewID[chat.Member](), Name: "Ana", Email: "ana@acme.example", Role: chat.RoleAgent, PasswordHash: "hash"}
	k.update(func(tx *store.Tx, meta store.Meta) error {
		for i := range 3 {
			b := chat.Brand{ID: chat.NewID[chat.Brand](), Name: fmt.Sprint("Brand ", i), Position: i}
			ch := inbox.NewWebChannel(b, "Website")
			k.channels = append(k.channels, ch)
			if err := tx.PutBrand(&b, meta); err != nil {
				return err
			}
			if err := tx.PutChannel(&ch, meta); err != nil {
				return err
			}
		}
		k.agent.Brands = []chat.BrandID{k.channels[0].Brand}
		if err := tx.PutMember(&k.owner, meta); err != nil {
			return err
		}
		return tx.PutMember(&k.agent, meta)
	})
	for _, m := range []chat.MemberID{k.owner.ID, k.agent.ID} {
		k.caches[m] = open(t, t.TempDir())
		k.load(m, true)
	}
	return k
}

func (k *company) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *company) update(fn func(*store.Tx, store.Meta) error) {
	k.t.Helper()
	k.must(k.store.Update(k.t.Context(), k.ws, func(tx *store.Tx) error { return fn(tx, store.Meta{Actor: chat.SystemActor()}) }))
}

func (k *company) do(kind string, args any) {
	k.t.Helper()
	res, err := k.inbox.Do(k.t.Context(), k.ws, k.owner.ID, []chat.Command{{ID: chat.NewID[chat.Command](), Kind: kind, Args: encode(k.t, args)}})
	if err != nil || res[0].Problem != nil {
		k.t.Fatalf("%s: %v %+v", kind, err, res)
	}
}

// step does something at random and says what.
func (k *company) step() string {
	k.t.Helper()
	what := k.rnd.IntN(13)
	if len(k.convs) < 3 {
		what = 0
	}
	if what == 0 || what == 1 && k.rnd.IntN(3) == 0 {
		k.n++
		_, c, err := k.inbox.Deliver(k.t.Context(), inbox.Inbound{Workspace: k.ws, Channel: k.channels[k.rnd.IntN(len(k.channels))], Address: fmt.Sprint("c", k.n),
			Contact: chat.NewID[chat.Contact](), MessageID: chat.NewID[chat.Message](), Parts: []chat.Part{chat.TextPart("Hello")}})
		k.must(err)
		k.convs = append(k.convs, c.ID)
		return "somebody new"
	}
	id := k.convs[k.rnd.IntN(len(k.convs))]
	c, err := k.store.Conversation(k.t.Context(), k.ws, chat.View{}, id)
	k.must(err)
	number := 1 + k.rnd.Int64N(c.LastNumber)
	switch what {
	case 1, 2, 3:
		for _, ch := range k.channels {
			if ch.ID == c.Channel {
				_, _, err := k.inbox.Deliver(k.t.Context(), inbox.Inbound{Workspace: k.ws, Channel: ch, Conversation: id, Address: "a" + id.String(),
					Contact: c.Contact, MessageID: chat.NewID[chat.Message](), Parts: []chat.Part{chat.TextPart("More")}})
				k.must(err)
			}
		}
		return "a message"
	case 4:
		k.do(protocol.MessageSend, protocol.MessageSendArgs{Conversation: id, Message: chat.NewID[chat.Message](), Parts: []chat.Part{chat.TextPart("Hi")}, Force: true})
		return "a reply"
	case 5:
		k.do(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: id, Message: chat.NewID[chat.Message](), Text: "hm"})
		return "a comment"
	case 6, 7:
		k.do(protocol.ConversationRead, protocol.ReadArgs{Conversation: id, Upto: number})
		return fmt.Sprint("read up to ", number)
	case 8:
		k.do(protocol.ConversationUnread, protocol.ReadArgs{Conversation: id, From: k.rnd.Int64N(c.LastNumber + 1)})
		return "unread"
	case 9:
		kind := []string{protocol.ConversationResolve, protocol.ConversationReopen}[k.rnd.IntN(2)]
		k.do(kind, protocol.ConversationArgs{Conversation: id})
		return kind
	case 10:
		k.do(protocol.ConversationAssign, protocol.AssignArgs{Conversation: id, Member: []chat.MemberID{{}, k.owner.ID}[k.rnd.IntN(2)]})
		return "assigned"
	case 11:
		if number < c.LastCustomerNumber { // the newest would be the preview too, which is another matter
			k.delete(id, number)
		}
		return "a message deleted"
	}
	var brands []chat.BrandID // none would be all
	for len(brands) == 0 {
		for _, ch := range k.channels {
			if k.rnd.IntN(2) == 0 {
				brands = append(brands, ch.Brand)
			}
		}
	}
	k.agent, err = k.inbox.UpdateMember(k.t.Context(), k.ws, inbox.System(), k.agent.ID, protocol.MemberUpdate{Brands: &brands})
	k.must(err)
	return fmt.Sprint("access to ", len(brands))
}

// delete leaves a stub of a message.
func (k *company) delete(id chat.ConversationID, number int64) {
	k.t.Helper()
	k.update(func(tx *store.Tx, meta store.Meta) error {
		m, err := tx.MessageByNumber(id, number)
		if err != nil || m.DeletedAt != 0 {
			return err
		}
		c, err := tx.Conversation(id)
		if err != nil {
			return err
		}
		m = m.Stub(tx.Now())
		if err := tx.PutMessage(&m, meta); err != nil {
			return err
		}
		return tx.PutConversation(&c, meta)
	})
}

func (k *company) who(m chat.MemberID) inbox.Principal {
	if m == k.agent.ID {
		return inbox.Principal{Workspace: k.ws, Member: k.agent}
	}
	return inbox.Principal{Workspace: k.ws, Member: k.owner}
}

// follow brings a member's cache up to date, packet by packet.
func (k *company) follow(m chat.MemberID) {
	k.t.Helper()
	c := k.caches[m]
	for {
		at, epoch := c.Position()
		page, err := k.inbox.Changes(k.t.Context(), k.ws, k.who(m).View(), at, 1+k.rnd.IntN(20), epoch)
		k.must(err)
		_, err = c.Apply(k.t.Context(), page.From, page.To, page.Changes)
		k.must(err)
		if !page.More {
			break
		}
	}
	if n, gained := c.Gained(); gained {
		var rows []Row
		_, err := k.inbox.Bootstrap(k.t.Context(), k.who(m), inbox.Stream{Days: 30, Begin: func(protocol.BootstrapHead) error { return nil },
			Emit: func(b protocol.BootstrapLine) error {
				rows = append(rows, lineRow(b))
				return nil
			}})
		k.must(err)
		_, err = c.PutRows(k.t.Context(), rows)
		k.must(err)
		k.must(c.LoadedGained(k.t.Context(), n, 1))
	}
}

func lineRow(b protocol.BootstrapLine) Row {
	return Row{Kind: b.Kind, ID: b.ID, Ver: b.Ver, Op: b.Op, Brand: b.Brand, Conversation: b.Conversation, Data: b.Data}
}

// load fills a member's cache whole, or with what has changed since.
func (k *company) load(m chat.MemberID, whole bool) {
	k.t.Helper()
	c := k.caches[m]
	s := inbox.Stream{Days: 30,
		Begin: func(h protocol.BootstrapHead) error {
			return c.BeginBootstrap(k.t.Context(), Bootstrap{Head: h.Head, Epoch: h.Epoch, Access: h.Access, Since: h.Since, Sweep: whole})
		},
		Emit: func(b protocol.BootstrapLine) error {
			_, err := c.PutBootstrap(k.t.Context(), []Row{lineRow(b)}, b.Cursor)
			return err
		}}
	var err error
	if at, _ := c.Position(); whole {
		_, err = k.inbox.Bootstrap(k.t.Context(), k.who(m), s)
	} else {
		_, err = k.inbox.State(k.t.Context(), k.who(m), at, s)
	}
	k.must(err)
	_, err = c.FinishBootstrap(k.t.Context())
	k.must(err)
	k.follow(m)
}

// recount counts the unread messages of every conversation that a member sees,
// by the messages themselves.
func (k *company) recount(m chat.MemberID) (unread map[chat.ConversationID]int64, of map[chat.ConversationID]chat.Conversation) {
	k.t.Helper()
	unread, of = map[chat.ConversationID]int64{}, map[chat.ConversationID]chat.Conversation{}
	view := k.who(m).View()
	for _, id := range k.convs {
		c, err := k.store.Conversation(k.t.Context(), k.ws, view, id)
		if chat.ErrorCode(err) == chat.CodeNotFound {
			continue
		}
		k.must(err)
		of[id], unread[id] = c, 0
		for before := c.LastNumber + 1; before > 1; {
			from, _, _, page, err := k.store.Messages(k.t.Context(), k.ws, view, id, before, 0, 0, 200)
			k.must(err)
			for _, msg := range page {
				if msg.FromCustomer() && msg.Number > c.ReadNumber {
					unread[id]++
				}
			}
			before = from
		}
	}
	return unread, of
}

// check compares what a member's window shows with the recount.
func (k *company) check(m chat.MemberID) error {
	c := k.caches[m]
	unread, of := k.recount(m)
	page, err := c.Conversations(context.Background(), ListQuery{Limit: MaxPage})
	k.must(err)
	shown := map[chat.ConversationID]int64{}
	for _, r := range page.Rows {
		var row chat.Conversation
		k.must(json.Unmarshal(r.Conversation, &row))
		shown[row.ID] = row.Unread
	}
	if len(k.convs) < MaxPage && !maps.Equal(shown, unread) {
		return fmt.Errorf("the rows show %v unread, the messages say %v", shown, unread)
	}
	for _, brand := range append([]chat.ChannelID{{}}, k.channels[0].ID, k.channels[1].ID, k.channels[2].ID) {
		want := map[Quick]int64{QuickAll: 0, QuickUnread: 0, QuickMine: 0, QuickUnassigned: 0, QuickUnresolved: 0, QuickResolved: 0}
		brands, within := map[string]int64{}, chat.BrandID{}
		for id, n := range unread {
			conv := of[id]
			if n == 0 {
				continue
			}
			brands[conv.Brand.String()]++
			if !brand.IsZero() {
				for _, ch := range k.channels {
					if ch.ID == brand {
						within = ch.Brand
					}
				}
				if conv.Brand != within {
					continue
				}
			}
			want[QuickAll]++
			want[QuickUnread]++
			if conv.Assignee.IsZero() {
				want[QuickUnassigned]++
			}
			if conv.Assignee == m {
				want[QuickMine]++
			}
			if conv.Status == chat.StatusOpen {
				want[QuickUnresolved]++
			} else {
				want[QuickResolved]++
			}
		}
		for _, ch := range k.channels {
			if ch.ID == brand {
				within = ch.Brand
			}
		}
		got, err := c.Counts(context.Background(), within, m)
		k.must(err)
		if !maps.Equal(got.Quick, want) || !maps.Equal(got.Brands, brands) {
			return fmt.Errorf("the badges show %v and %v, the messages say %v and %v", got.Quick, got.Brands, want, brands)
		}
	}
	return nil
}

// TestUnreadEqualsARecount: whatever customers, members and administrators do,
// and however a cache has learned of it, the unread numbers in its rows and on
// its badges are those of the messages themselves.
func TestUnreadEqualsARecount(t *testing.T) {
	for name, steps := range map[string]int{"sqlite": 150, "postgres": 60} {
		t.Run(name, func(t *testing.T) {
			opt := store.Options{}
			if name == "sqlite" {
				opt.Data = t.TempDir()
			} else {
				opt.Database = pgtest.URL(t)
			}
			seed := rand.Uint64()
			k := newCompany(t, opt, seed)
			var log []string
			for range steps {
				log = append(log, k.step())
				for m := range k.caches {
					switch k.rnd.IntN(12) {
					case 0:
						k.load(m, false)
					case 1:
						k.load(m, true)
					case 2, 3, 4:
						continue // falls behind
					default:
						k.follow(m)
					}
					if err := k.check(m); err != nil {
						t.Fatalf("seed %d, after %q: %v", seed, log[max(0, len(log)-12):], err)
					}
				}
			}
			found, err := k.store.Check(t.Context())
			k.must(err)
			for _, d := range found {
				t.Errorf("seed %d: %v", seed, d)
			}
		})
	}
}
