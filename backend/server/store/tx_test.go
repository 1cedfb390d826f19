package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"parley/backend/chat"
)

func TestTxReads(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		first, answer := w.say(c.ID, "one"), w.answer(c.ID, "two")
		w.say(c.ID, "three")
		w.update(func(tx *Tx) error {
			if ws, err := tx.Workspace(); err != nil || ws.Name != "Acme" || ws.ID != tx.ID() || tx.ID() != w.ws {
				t.Errorf("workspace %+v, %v", ws, err)
			}
			if b, err := tx.Brand(w.brands[1].ID); err != nil || b != w.brands[1] {
				t.Errorf("brand %+v, %v", b, err)
			}
			if ch, err := tx.Channel(w.channels[0].ID); err != nil || ch.Secret != "secret" {
				t.Errorf("channel %+v, %v", ch, err)
			}
			if m, err := tx.Member(w.owner.ID); err != nil || m.PasswordHash != "hash" {
				t.Errorf("member %+v, %v", m, err)
			}
			if m, err := tx.Message(first.ID); err != nil || m.Text() != "one" || m.Number != 1 {
				t.Errorf("message %+v, %v", m, err)
			}
			if m, err := tx.MessageByNumber(c.ID, 2); err != nil || m.ID != answer.ID {
				t.Errorf("message %+v, %v", m, err)
			}
			if list, err := tx.MessagesAfter(c.ID, 1, 10); err != nil || len(list) != 2 || list[0].Number != 2 {
				t.Errorf("messages %+v, %v", list, err)
			}
			for number, want := range map[int64]int64{0: 0, 1: 1, 2: 1, 3: 2, 99: 2} {
				if n, err := tx.InNumberAt(c.ID, number); err != nil || n != want {
					t.Errorf("customer messages at %d: %d, %v, want %d", number, n, err, want)
				}
			}
			if at, err := tx.LastSentAt(c.ID, w.owner.ID); err != nil || at != answer.StoredAt {
				t.Errorf("last sent %v, %v", at, err)
			}
			if at, err := tx.LastSentAt(c.ID, w.members[0].ID); err != nil || at != 0 {
				t.Errorf("last sent %v, %v", at, err)
			}
			if x, err := tx.ConversationOf(w.channels[0].ID, c.Contact); err != nil || x.ID != c.ID {
				t.Errorf("conversation %+v, %v", x, err)
			}
			_, err := tx.ConversationOf(w.channels[1].ID, c.Contact)
			wantCode(t, err, chat.CodeNotFound)
			if k, err := tx.IdentityContact(w.channels[0].ID, c.Contact.String()); err != nil || k.ID != c.Contact {
				t.Errorf("contact %+v, %v", k, err)
			}
			_, err = tx.IdentityContact(w.channels[0].ID, "nobody")
			wantCode(t, err, chat.CodeNotFound)
			return nil
		})
	})
}

func TestUnreadOutgoing(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		w.update(func(tx *Tx) error {
			conv, err := tx.Conversation(c.ID)
			if err != nil {
				return err
			}
			for _, state := range []chat.DeliveryState{chat.DeliverySent, chat.DeliveryRead, chat.DeliveryQueued} {
				m := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, Author: chat.MemberActor(w.owner.ID),
					Delivery: &chat.Delivery{State: state}}
				conv.Append(&m)
				if err := tx.PutMessage(&m, w.meta); err != nil {
					return err
				}
			}
			return tx.PutConversation(&conv, w.meta)
		})
		w.update(func(tx *Tx) error {
			list, err := tx.UnreadOutgoing(c.ID, 0, 99)
			if err != nil || len(list) != 2 || list[0].Number != 1 || list[1].Number != 3 {
				t.Errorf("unread %+v, %v", list, err)
			}
			if list, err = tx.UnreadOutgoing(c.ID, 1, 2); err != nil || len(list) != 0 {
				t.Errorf("unread in (1, 2] %+v, %v", list, err)
			}
			list, err = tx.UnreadOutgoing(c.ID, 0, 1)
			if err != nil {
				return err
			}
			list[0].Delivery.Advance(chat.DeliveryRead, "")
			return change(tx, &list[0], w.meta)
		})
		w.update(func(tx *Tx) error {
			if list, err := tx.UnreadOutgoing(c.ID, 0, 99); err != nil || len(list) != 1 {
				t.Errorf("unread %+v, %v", list, err)
			}
			return nil
		})
		checked(t, s)
	})
}

func TestVerdictsAreKept(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		id := chat.NewID[chat.Command]()
		want := Verdict{Actor: w.owner.ID, ID: id, Hash: []byte{1, 2}, Seq: 7, Status: "refused", Problem: json.RawMessage(`{"code":"closed"}`), At: 5}
		w.update(func(tx *Tx) error {
			if _, found, err := tx.Verdict(w.owner.ID, id); err != nil || found {
				t.Errorf("found %v, %v before it was put", found, err)
			}
			return tx.PutVerdict(want)
		})
		w.update(func(tx *Tx) error {
			got, found, err := tx.Verdict(w.owner.ID, id)
			if err != nil || !found || got.Data != nil || !bytes.Equal(got.Problem, want.Problem) || !bytes.Equal(got.Hash, want.Hash) ||
				got.Seq != 7 || got.Status != "refused" || got.At != 5 || got.Actor != want.Actor || got.ID != id {
				t.Errorf("got %+v, %v, %v", got, found, err)
			}
			if _, found, err := tx.Verdict(w.members[0].ID, id); err != nil || found {
				t.Errorf("another member's command: %v, %v", found, err)
			}
			return nil
		})
		err := s.Update(t.Context(), w.ws, func(tx *Tx) error { return tx.PutVerdict(want) })
		wantCode(t, err, chat.CodeConflict)
	})
}

func TestRemoteMessagesComeOnce(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		deliver := func(brand int) (chat.MessageID, error) {
			m := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, RemoteID: "wamid.1"}
			return m.ID, s.Update(t.Context(), w.ws, func(tx *Tx) error {
				c, err := w.start(tx, brand, "Ada")
				if err != nil {
					return err
				}
				m.Author = chat.CustomerActor(c.Contact)
				c.Append(&m)
				return errors.Join(tx.PutMessage(&m, w.meta), tx.PutConversation(&c, w.meta))
			})
		}
		id, err := deliver(0)
		must(t, err)
		_, err = deliver(0)
		wantCode(t, err, chat.CodeConflict)
		_, err = deliver(1) // the same id on another channel is another message
		must(t, err)
		w.update(func(tx *Tx) error {
			got, found, err := tx.RemoteMessage(w.channels[0].ID, "wamid.1")
			if err != nil || !found || got != id {
				t.Errorf("got %s, %v, %v", got, found, err)
			}
			m, err := tx.Message(id)
			if err != nil || m.RemoteID != "wamid.1" {
				t.Errorf("message %+v, %v", m, err)
			}
			if err := change(tx, &m, w.meta); err != nil { // its own id does not speak against it
				return err
			}
			_, found, err = tx.RemoteMessage(w.channels[0].ID, "wamid.2")
			if found {
				t.Error("found an id that never came")
			}
			return err
		})
		checked(t, s)
	})
}

func TestMessagesKeepTheirPlace(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		m := w.say(c.ID, "one")
		moved := m
		moved.Number = 2
		err := s.Update(t.Context(), w.ws, func(tx *Tx) error { return tx.PutMessage(&moved, w.meta) })
		wantCode(t, err, chat.CodeConflict)
		twice := chat.Message{ID: chat.NewID[chat.Message](), Conversation: c.ID, Number: 1}
		err = s.Update(t.Context(), w.ws, func(tx *Tx) error { return tx.PutMessage(&twice, w.meta) })
		wantCode(t, err, chat.CodeConflict)
	})
}

// Who loads the state sees no messages: that one has changed is told by its
// conversation alone.
func TestAMessageIsFollowedByItsConversation(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c, other := w.begin(0, "Ada"), w.begin(0, "Bea")
		m, head := w.say(c.ID, "one"), w.head()
		for name, fn := range map[string]func(tx *Tx, c chat.Conversation) error{
			"alone": func(tx *Tx, _ chat.Conversation) error { return tx.PutMessage(&m, w.meta) },
			"before it": func(tx *Tx, c chat.Conversation) error {
				return errors.Join(tx.PutConversation(&c, w.meta), tx.PutMessage(&m, w.meta))
			},
			"with another": func(tx *Tx, _ chat.Conversation) error {
				return errors.Join(tx.PutMessage(&m, w.meta), tx.PutConversation(&other, w.meta))
			},
			"with a new one": func(tx *Tx, _ chat.Conversation) error {
				_, err := w.start(tx, 0, "Cia")
				return errors.Join(tx.PutMessage(&m, w.meta), err)
			},
		} {
			err := s.Update(t.Context(), w.ws, func(tx *Tx) error {
				c, err := tx.Conversation(c.ID)
				if err != nil {
					return err
				}
				return fn(tx, c)
			})
			if err == nil || w.head() != head {
				t.Errorf("%s: %v, the head is %d after %d", name, err, w.head(), head)
			}
		}
		w.update(func(tx *Tx) error { return change(tx, &m, w.meta) })
		checked(t, s)
	})
}

func TestSecretsStayUnlessReplaced(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		m, err := s.Member(t.Context(), w.ws, w.owner.ID)
		must(t, err)
		if m.PasswordHash != "" {
			t.Error("the hash is read without need")
		}
		ch := w.channels[0]
		ch.Secret = ""
		m.Name = "Renamed"
		w.update(func(tx *Tx) error { return errors.Join(tx.PutMember(&m, w.meta), tx.PutChannel(&ch, w.meta)) })
		ws, m, err := s.MemberByEmail(t.Context(), " OLGA@acme.example ")
		if err != nil || ws != w.ws || m.PasswordHash != "hash" || m.Name != "Renamed" {
			t.Errorf("member %+v, %v", m, err)
		}
		ws, ch, err = s.ChannelByKey(t.Context(), w.channels[0].Key)
		if err != nil || ws != w.ws || ch.Secret != "secret" {
			t.Errorf("channel %+v, %v", ch, err)
		}
		if _, ch, err = s.ChannelBySlug(t.Context(), w.channels[1].Slug); err != nil || ch.ID != w.channels[1].ID {
			t.Errorf("channel %+v, %v", ch, err)
		}
		_, _, err = s.ChannelBySlug(t.Context(), "")
		wantCode(t, err, chat.CodeNotFound)
		_, _, err = s.MemberByEmail(t.Context(), "")
		wantCode(t, err, chat.CodeNotFound)
	})
}

func TestSessions(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		ctx := t.Context()
		one := chat.Session{ID: chat.NewID[chat.Session](), Member: w.members[0].ID, Device: "laptop", CreatedAt: 1, SeenAt: 1, TokenHash: []byte("one")}
		two := chat.Session{ID: chat.NewID[chat.Session](), Member: w.members[0].ID, Device: "desk", CreatedAt: 2, SeenAt: 2, TokenHash: []byte("two")}
		must(t, errors.Join(s.PutSession(ctx, w.ws, one), s.PutSession(ctx, w.ws, two)))
		ws, x, m, err := s.SessionByToken(ctx, []byte("one"))
		if err != nil || ws != w.ws || x.ID != one.ID || m.ID != w.members[0].ID || len(m.Brands) != 1 {
			t.Errorf("session %+v of %+v, %v", x, m, err)
		}
		_, _, _, err = s.SessionByToken(ctx, []byte("three"))
		wantCode(t, err, chat.CodeUnauthorized)
		_, _, _, err = s.SessionByToken(ctx, nil)
		wantCode(t, err, chat.CodeUnauthorized)
		must(t, s.TouchSessions(ctx, w.ws, map[chat.SessionID]chat.Time{one.ID: 9, two.ID: 3}))
		must(t, s.TouchSessions(ctx, w.ws, map[chat.SessionID]chat.Time{one.ID: 5})) // late news
		list, err := s.Sessions(ctx, w.ws, w.members[0].ID)
		if err != nil || len(list) != 2 || list[0].ID != one.ID || list[0].SeenAt != 9 {
			t.Errorf("sessions %+v, %v", list, err)
		}
		wantCode(t, s.RevokeSession(ctx, w.ws, w.members[1].ID, one.ID, true), chat.CodeNotFound) // somebody else's
		must(t, s.RevokeSession(ctx, w.ws, w.members[0].ID, one.ID, true))
		_, x, m, err = s.SessionByToken(ctx, []byte("one"))
		wantCode(t, err, chat.CodeUnauthorized)
		if !x.Wipe || x.RevokedAt.IsZero() || m.ID != w.members[0].ID {
			t.Errorf("revoked session %+v", x)
		}
		if list, err = s.Sessions(ctx, w.ws, w.members[0].ID); err != nil || len(list) != 1 {
			t.Errorf("%d sessions, %v", len(list), err)
		}
		w.update(func(tx *Tx) error {
			m.Disabled = true
			return tx.PutMember(&m, w.meta)
		})
		_, _, _, err = s.SessionByToken(ctx, []byte("two"))
		wantCode(t, err, chat.CodeUnauthorized)
	})
}

func TestVisitorsAndFiles(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		v := Visitor{Workspace: w.ws, TokenHash: []byte("token"), Channel: w.channels[0].ID, CreatedAt: 3, Arrival: json.RawMessage(`{"name":"Ada"}`)}
		must(t, s.PutVisitor(t.Context(), v))
		v.Contact, v.Conversation = c.Contact, c.ID
		file := chat.File{SHA256: "abc", Name: "a.png", Type: "image/png", Size: 5}
		w.update(func(tx *Tx) error {
			got, err := tx.Visitor(v.TokenHash)
			if err != nil || !got.Conversation.IsZero() || got.Channel != v.Channel || string(got.Arrival) != `{"name":"Ada"}` {
				t.Errorf("visitor %+v, %v", got, err)
			}
			v.Arrival = json.RawMessage(`{"name":"Ben"}`)
			return errors.Join(tx.PutVisitor(v), tx.PutFile(file))
		})
		got, err := s.VisitorByToken(t.Context(), v.TokenHash)
		if err != nil || got.Workspace != w.ws || got.Contact != c.Contact || got.Conversation != c.ID || got.CreatedAt != 3 ||
			string(got.Arrival) != `{"name":"Ben"}` {
			t.Errorf("visitor %+v, %v", got, err)
		}
		v.Arrival = nil
		must(t, s.PutVisitor(t.Context(), v))
		if got, err := s.VisitorByToken(t.Context(), v.TokenHash); err != nil || got.Arrival != nil {
			t.Errorf("visitor %+v, %v", got, err)
		}
		_, err = s.VisitorByToken(t.Context(), nil)
		wantCode(t, err, chat.CodeNotFound)
		if f, err := s.File(t.Context(), w.ws, "abc"); err != nil || f != file {
			t.Errorf("file %+v, %v", f, err)
		}
		_, err = s.File(t.Context(), w.ws, "abd")
		wantCode(t, err, chat.CodeNotFound)
	})
}

func TestAnAddressBelongsToWhoClaimedItLast(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		identity := chat.Identity{ID: chat.NewID[chat.Identity](), Channel: w.channels[0].ID, Address: "+1"}
		a := chat.Contact{ID: chat.NewID[chat.Contact](), Brand: w.brands[0].ID, Identities: []chat.Identity{identity}}
		b := chat.Contact{ID: chat.NewID[chat.Contact](), Brand: w.brands[0].ID, Identities: []chat.Identity{identity}}
		w.update(func(tx *Tx) error { return errors.Join(tx.PutContact(&a, w.meta), tx.PutContact(&b, w.meta)) })
		owner := func() (k chat.Contact, err error) {
			w.update(func(tx *Tx) error {
				k, err = tx.IdentityContact(identity.Channel, identity.Address)
				return nil
			})
			return k, err
		}
		if k, err := owner(); err != nil || k.ID != b.ID {
			t.Errorf("the address belongs to %s, %v", k.ID, err)
		}
		checked(t, s)
		a.Identities = nil
		w.update(func(tx *Tx) error { return tx.PutContact(&a, w.meta) })
		if k, err := owner(); err != nil || k.ID != b.ID {
			t.Errorf("dropping the old claim took the address from its owner: %s, %v", k.ID, err)
		}
		b.Identities = nil
		w.update(func(tx *Tx) error { return tx.PutContact(&b, w.meta) })
		_, err := owner()
		wantCode(t, err, chat.CodeNotFound)
		checked(t, s)
	})
}

func TestTextSurvivesUnharmed(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "'; drop table message; --")
		for _, text := range []string{"שלום \u202eabc", "Z̷̧̛a̸l̶g̷o̸", "👩‍👩‍👧‍👦", "a\tb\r\nc", `{"a":"\u0001"}`, "<script>&amp;", "\ufeffx\uffff"} {
			m := w.say(c.ID, text)
			_, _, _, msgs, err := s.Messages(t.Context(), w.ws, chat.ViewOf(w.owner), c.ID, 0, 0, 0, 1)
			must(t, err)
			if msgs[0].ID != m.ID || msgs[0].Text() != text {
				t.Errorf("%q became %q", text, msgs[0].Text())
			}
		}
		checked(t, s)
	})
}
