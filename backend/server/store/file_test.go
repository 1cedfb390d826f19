package store

import (
	"errors"
	"testing"

	"parley/backend/chat"
)

// withFile makes the message of a conversation's next number, with a file twice.
func withFile(tx *Tx, conv chat.ConversationID, kind chat.MessageKind, sha string) (chat.Message, error) {
	c, err := tx.Conversation(conv)
	if err != nil {
		return chat.Message{}, err
	}
	part := chat.Part{Kind: chat.PartImage, SHA256: sha}
	m := chat.Message{ID: chat.NewID[chat.Message](), Kind: kind, Author: chat.CustomerActor(c.Contact), Parts: []chat.Part{part, part}, StoredAt: tx.Now()}
	c.Append(&m)
	return m, errors.Join(tx.PutMessage(&m, Meta{Actor: m.Author}), tx.PutConversation(&c, Meta{Actor: m.Author}))
}

func TestAFileIsForWhoSeesAMessageWithItOrBroughtIt(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		here, there := w.begin(0, "Ada"), w.begin(1, "Ben")
		var m chat.Message
		w.update(func(tx *Tx) (err error) {
			for _, sha := range []string{"said", "internal", "brought", "nobody's"} {
				if err := tx.PutFile(chat.File{SHA256: sha, Name: sha}); err != nil {
					return err
				}
			}
			if m, err = withFile(tx, here.ID, chat.MessageKindMessage, "said"); err != nil {
				return err
			}
			if _, err := withFile(tx, here.ID, chat.MessageKindComment, "internal"); err != nil {
				return err
			}
			return errors.Join(tx.PutUpload("brought", w.members[1].ID.Bytes()), tx.PutUpload("brought", w.members[1].ID.Bytes()),
				tx.PutUpload("brought", there.Contact.Bytes()))
		})
		expect := func(who string, f func(sha string) (chat.File, error), may ...string) {
			t.Helper()
			for _, sha := range []string{"said", "internal", "brought", "nobody's", "unknown"} {
				want := chat.CodeNotFound
				for _, x := range may {
					if x == sha {
						want = ""
					}
				}
				got, err := f(sha)
				if chat.ErrorCode(err) != want || err == nil && got.Name != sha {
					t.Errorf("%s, file %q: %+v %v", who, sha, got, err)
				}
			}
		}
		member := func(m chat.Member) func(string) (chat.File, error) {
			return func(sha string) (chat.File, error) { return s.MemberFile(t.Context(), w.ws, chat.ViewOf(m), sha) }
		}
		customer := func(c chat.Conversation, by chat.ContactID) func(string) (chat.File, error) {
			return func(sha string) (chat.File, error) { return s.CustomerFile(t.Context(), w.ws, c.ID, by, sha) }
		}
		expect("the owner", member(w.owner), "said", "internal")
		expect("a member of the brand", member(w.members[0]), "said", "internal")
		expect("a member of another brand", member(w.members[1]), "brought")
		expect("the customer", customer(here, here.Contact), "said")
		expect("another customer", customer(there, there.Contact), "brought")
		expect("a thread alone", customer(there, chat.ContactID{}))
		checked(t, s)

		w.update(func(tx *Tx) error { // a delivery moving on takes nothing away
			m.Delivery = &chat.Delivery{State: chat.DeliverySent}
			return change(tx, &m, w.meta)
		})
		expect("the customer", customer(here, here.Contact), "said")
		w.update(func(tx *Tx) error {
			m = m.Stub(tx.Now())
			return change(tx, &m, w.meta)
		})
		expect("the customer of a deleted message", customer(here, here.Contact))
		expect("the owner of a deleted message", member(w.owner), "internal")
	})
}

func TestImportedFilesBelongToTheirThreads(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		c := w.begin(0, "Ada")
		must(t, s.Import(t.Context(), w.ws, func(imp *Importer) error {
			m := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, Conversation: c.ID, Number: 1, InNumber: 1,
				Author: chat.CustomerActor(c.Contact), Parts: []chat.Part{{Kind: chat.PartFile, SHA256: "x"}, {Kind: chat.PartFile, SHA256: "x"}}}
			return errors.Join(imp.File(chat.File{SHA256: "x"}), imp.Message(m))
		}))
		if _, err := s.MemberFile(t.Context(), w.ws, chat.ViewOf(w.members[0]), "x"); err != nil {
			t.Error(err)
		}
		_, err := s.MemberFile(t.Context(), w.ws, chat.ViewOf(w.members[1]), "x")
		wantCode(t, err, chat.CodeNotFound)
	})
}

func TestAWorkspaceAndItsFirstContentAreOneThing(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		ws := chat.Workspace{ID: chat.NewID[chat.Workspace](), Name: "Acme"}
		owner := chat.Member{ID: chat.NewID[chat.Member](), Name: "Olga", Email: "o@acme.example", Role: chat.RoleOwner}
		broken := errors.New("the power went")
		fill := func(end error) func(tx *Tx) error {
			return func(tx *Tx) error {
				w, m := ws, owner
				return errors.Join(tx.PutWorkspace(&w, Meta{}), tx.PutMember(&m, Meta{}), end)
			}
		}
		if err := s.NewWorkspace(t.Context(), ws, fill(broken)); !errors.Is(err, broken) {
			t.Fatalf("got %v", err)
		}
		if list, err := s.Workspaces(t.Context()); err != nil || len(list) != 0 {
			t.Fatalf("%d workspaces remain of one that failed, %v", len(list), err)
		}
		must(t, s.NewWorkspace(t.Context(), ws, fill(nil)))
		if head, epoch, _, err := s.Head(t.Context(), ws.ID); err != nil || head != 2 || epoch == "" {
			t.Errorf("head %d of epoch %q, %v", head, epoch, err)
		}
		if m, err := s.Member(t.Context(), ws.ID, owner.ID); err != nil || m.Ver != 2 {
			t.Errorf("owner %+v, %v", m, err)
		}
		wantCode(t, s.NewWorkspace(t.Context(), ws, fill(nil)), chat.CodeConflict)
		must(t, s.Update(t.Context(), ws.ID, func(tx *Tx) error { m := owner; m.Ver = 2; return tx.PutMember(&m, Meta{}) }))
		checked(t, s)
	})
}
