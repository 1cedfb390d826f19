package store

import (
	"context"
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"

	"parley/backend/chat"
	"parley/backend/server/store/pgtest"
)

// both runs a test on each database, with a fresh one.
func both(t *testing.T, test func(t *testing.T, s *Store, opt Options)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		opt := quiet(Options{Data: t.TempDir()})
		test(t, opened(t, opt), opt)
	})
	t.Run("postgres", func(t *testing.T) {
		opt := quiet(Options{Database: pgtest.URL(t)})
		test(t, opened(t, opt), opt)
	})
}

func quiet(opt Options) Options {
	opt.Log = slog.New(slog.DiscardHandler)
	return opt
}

func opened(tb testing.TB, opt Options) *Store {
	tb.Helper()
	s, err := Open(tb.Context(), opt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// world is a workspace with two brands, a channel each, and three members: an
// owner who sees all, and one for each brand.
type world struct {
	tb       testing.TB
	s        *Store
	ws       chat.WorkspaceID
	brands   [2]chat.Brand
	channels [2]chat.Channel
	owner    chat.Member
	members  [2]chat.Member
	meta     Meta
}

func newWorld(tb testing.TB, s *Store) *world {
	tb.Helper()
	w := &world{tb: tb, s: s, ws: chat.NewID[chat.Workspace]()}
	must(tb, s.CreateWorkspace(tb.Context(), chat.Workspace{ID: w.ws, Name: "Acme", Settings: chat.DefaultWorkspaceSettings()}))
	w.owner = chat.Member{ID: chat.NewID[chat.Member](), Name: "Olga", Email: "Olga@acme.example", Role: chat.RoleOwner, PasswordHash: "hash"}
	w.meta = Meta{Actor: chat.MemberActor(w.owner.ID), Cause: chat.NewID[chat.Command]()}
	w.update(func(tx *Tx) error {
		if err := tx.PutMember(&w.owner, w.meta); err != nil {
			return err
		}
		for i := range w.brands {
			w.brands[i] = chat.Brand{ID: chat.NewID[chat.Brand](), Name: "Brand " + strconv.Itoa(i), Position: i}
			w.channels[i] = chat.Channel{ID: chat.NewID[chat.Channel](), Brand: w.brands[i].ID, Kind: chat.KindWeb, Name: "Web",
				Key: "key-" + w.brands[i].ID.String(), Slug: "slug-" + w.brands[i].ID.String(), Secret: "secret"}
			w.members[i] = chat.Member{ID: chat.NewID[chat.Member](), Name: "Member " + strconv.Itoa(i), Role: chat.RoleAgent,
				Email: "m" + strconv.Itoa(i) + "@acme.example", Brands: []chat.BrandID{w.brands[i].ID}}
			if err := tx.PutBrand(&w.brands[i], w.meta); err != nil {
				return err
			}
			if err := tx.PutChannel(&w.channels[i], w.meta); err != nil {
				return err
			}
			if err := tx.PutMember(&w.members[i], w.meta); err != nil {
				return err
			}
		}
		return nil
	})
	return w
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// wantCode fails unless err has the code.
func wantCode(tb testing.TB, err error, code chat.Code) {
	tb.Helper()
	if got := chat.ErrorCode(err); got != code {
		tb.Fatalf("got error %v (code %q), want code %q", err, got, code)
	}
}

func (w *world) update(fn func(tx *Tx) error) {
	w.tb.Helper()
	must(w.tb, w.s.Update(w.tb.Context(), w.ws, fn))
}

// start begins a conversation of a new contact in one of the brands.
func (w *world) start(tx *Tx, brand int, name string) (chat.Conversation, error) {
	k := chat.Contact{ID: chat.NewID[chat.Contact](), Brand: w.brands[brand].ID, Name: name, CreatedAt: tx.Now()}
	k.Identities = []chat.Identity{{ID: chat.NewID[chat.Identity](), Channel: w.channels[brand].ID, Address: k.ID.String()}}
	if err := tx.PutContact(&k, w.meta); err != nil {
		return chat.Conversation{}, err
	}
	c := chat.NewConversation(chat.NewID[chat.Conversation](), w.channels[brand], k.ID, k.Identities[0].ID, false, tx.Now())
	return c, tx.PutConversation(&c, w.meta)
}

// begin is start in an update of its own.
func (w *world) begin(brand int, name string) (c chat.Conversation) {
	w.tb.Helper()
	w.update(func(tx *Tx) (err error) {
		c, err = w.start(tx, brand, name)
		return err
	})
	return c
}

// appendTo adds a message to a conversation as the inbox does it.
func appendTo(tx *Tx, id chat.ConversationID, author chat.Actor, kind chat.MessageKind, text string) (chat.Message, error) {
	c, err := tx.Conversation(id)
	if err != nil {
		return chat.Message{}, err
	}
	m := chat.Message{ID: chat.NewID[chat.Message](), Kind: kind, Author: author, Parts: []chat.Part{chat.TextPart(text)}, SentAt: tx.Now(), StoredAt: tx.Now()}
	c.Append(&m)
	if err := tx.PutMessage(&m, Meta{Actor: author}); err != nil {
		return m, err
	}
	return m, tx.PutConversation(&c, Meta{Actor: author})
}

// change writes a message as it is now, and its conversation.
func change(tx *Tx, m *chat.Message, meta Meta) error {
	c, err := tx.Conversation(m.Conversation)
	if err != nil {
		return err
	}
	if err := tx.PutMessage(m, meta); err != nil {
		return err
	}
	return tx.PutConversation(&c, meta)
}

// say is a customer's message in an update of its own.
func (w *world) say(id chat.ConversationID, text string) (m chat.Message) {
	w.tb.Helper()
	w.update(func(tx *Tx) error {
		c, err := tx.Conversation(id)
		if err != nil {
			return err
		}
		m, err = appendTo(tx, id, chat.CustomerActor(c.Contact), chat.MessageKindMessage, text)
		return err
	})
	return m
}

// answer is a member's message in an update of its own.
func (w *world) answer(id chat.ConversationID, text string) (m chat.Message) {
	w.tb.Helper()
	w.update(func(tx *Tx) (err error) {
		m, err = appendTo(tx, id, chat.MemberActor(w.owner.ID), chat.MessageKindMessage, text)
		return err
	})
	return m
}

func (w *world) head() int64 {
	w.tb.Helper()
	head, _, _, err := w.s.Head(w.tb.Context(), w.ws)
	must(w.tb, err)
	return head
}

// checked fails if Check finds anything.
func checked(tb testing.TB, s *Store) {
	tb.Helper()
	list, err := s.Check(context.WithoutCancel(tb.Context()))
	must(tb, err)
	for _, d := range list {
		tb.Error(d)
	}
}

func databasePath(opt Options) string { return filepath.Join(opt.Data, databaseFile) }
