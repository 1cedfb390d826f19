package store

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/search"
)

// indexed takes everything into the index that waits for it.
func (w *world) indexed() {
	w.tb.Helper()
	for more := true; more; {
		var err error
		more, err = w.s.IndexMessages(w.tb.Context(), w.ws)
		must(w.tb, err)
	}
}

// tell appends a message with these parts.
func (w *world) tell(c chat.Conversation, author chat.Actor, parts ...chat.Part) (m chat.Message) {
	w.tb.Helper()
	w.update(func(tx *Tx) error {
		conv, err := tx.Conversation(c.ID)
		if err != nil {
			return err
		}
		m = chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, Author: author, Parts: parts, StoredAt: tx.Now()}
		conv.Append(&m)
		if err := tx.PutMessage(&m, w.meta); err != nil {
			return err
		}
		return tx.PutConversation(&conv, w.meta)
	})
	return m
}

// finds gives what is found, all pages: contacts of conversations, and the
// messages as contact.number, sorted.
func (w *world) finds(member chat.Member, typed string, limit int) string {
	w.tb.Helper()
	var list []string
	cursor := ""
	for {
		got, err := w.s.Search(w.tb.Context(), w.ws, chat.ViewOf(member), member.ID, search.Parse(typed, time.UTC), cursor, limit)
		must(w.tb, err)
		name := map[chat.ConversationID]string{}
		people := map[chat.ContactID]string{}
		for _, k := range got.Contacts {
			people[k.ID] = k.Name
		}
		for _, c := range got.Conversations {
			name[c.ID] = people[c.Contact]
		}
		for _, m := range got.Messages {
			list = append(list, fmt.Sprintf("%s.%d", name[m.Conversation], m.Number))
			delete(name, m.Conversation)
		}
		for _, n := range name {
			list = append(list, n)
		}
		if cursor = got.Next; cursor == "" {
			sort.Strings(list)
			return strings.Join(slices.Compact(list), " ")
		}
	}
}

func TestSearch(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		ana, bob, chen := w.begin(0, "Ana"), w.begin(0, "Bob Invoice"), w.begin(1, "Chen")
		by := func(c chat.Conversation) chat.Actor { return chat.CustomerActor(c.Contact) }
		w.tell(ana, by(ana), chat.TextPart("Where is my invoice for the Kräutertee?"))
		w.tell(ana, chat.MemberActor(w.owner.ID), chat.TextPart("It is on its way"), chat.Part{Kind: chat.PartFile, SHA256: strings.Repeat("a", 64), Name: "Rechnung-April.pdf"})
		w.tell(bob, by(bob), chat.TextPart("hello there, it's me"))
		w.tell(chen, by(chen), chat.TextPart("什么时候退款到账"))
		w.tell(chen, by(chen), chat.Part{Kind: chat.PartVoice, SHA256: strings.Repeat("b", 64), Transcript: "the invoice was paid twice"})
		tomorrow, yesterday := tomorrow(1), tomorrow(-1)
		ask := func(when string) {
			t.Helper()
			for typed, want := range map[string]string{
				"krautertee": "Ana.1", "KRÄUTER": "Ana.1", "april": "Ana.2", "退款": "Chen.1", "款到": "Chen.1", "账": "Chen.1", "hello": "Bob Invoice.1", "nothing": "",
				`"on its way"`: "Ana.2", `"way its on"`: "", "it's": "Bob Invoice.1", "invoice": "Ana.1 Bob Invoice Chen.2",
				"from:me": "Ana.2", "from:olga april": "Ana.2", "from:chen": "Chen.2", "from:ana invoice": "Ana.1", "from:nobody": "",
				"has:voice": "Chen.2", "has:file april": "Ana.2", "has:image": "", "invoice brand:1": "Chen.2", "brand:0": "Ana Bob Invoice", "channel:web twice": "Chen.2",
				"channel:mail twice": "", "invoice before:" + yesterday: "", "invoice after:" + yesterday: "Ana.1 Chen.2", "has:voice before:" + tomorrow: "Chen.2", "?!": "",
			} {
				if got := w.finds(w.owner, typed, 50); got != want {
					t.Errorf("%s: %q finds %q, want %q", when, typed, got, want)
				}
			}
			if got := w.finds(w.owner, "invoice", 1); got != "Ana.1 Bob Invoice Chen.2" {
				t.Errorf("%s, page by page: %q", when, got)
			}
			for i, want := range []string{"Ana.1 Bob Invoice", "Chen.2"} {
				if got := w.finds(w.members[i], "invoice", 50); got != want {
					t.Errorf("%s: a member of brand %d finds %q, want %q", when, i, got, want)
				}
			}
		}
		ask("from the log")
		w.indexed()
		ask("from the index")
		if more, err := s.IndexMessages(t.Context(), w.ws); more || err != nil {
			t.Errorf("there is more to index: %v, %v", more, err)
		}
	})
}

func tomorrow(days int) string {
	return time.Now().UTC().AddDate(0, 0, days).Format("2006-01-02")
}

// What was edited or deleted is not found any more, at once, and the index
// forgets it.
func TestSearchForgets(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		ana := w.begin(0, "Ana")
		m := w.tell(ana, chat.CustomerActor(ana.Contact), chat.TextPart("the secret word"))
		w.indexed()
		m.Parts = []chat.Part{chat.TextPart("another word")}
		w.update(func(tx *Tx) error { return change(tx, &m, w.meta) })
		for _, when := range []string{"at once", "indexed"} {
			if got := w.finds(w.owner, "secret", 9) + "/" + w.finds(w.owner, "another", 9); got != "/Ana.1" {
				t.Errorf("edited, %s: %s", when, got)
			}
			w.indexed()
		}
		gone := m.Stub(m.StoredAt)
		w.update(func(tx *Tx) error { return change(tx, &gone, w.meta) })
		for _, when := range []string{"at once", "indexed"} {
			if got := w.finds(w.owner, "another", 9); got != "" {
				t.Errorf("deleted, %s: %s", when, got)
			}
			w.indexed()
		}
		var n int
		must(t, s.r.QueryRowContext(t.Context(), "select count(*) from message_doc").Scan(&n))
		if n != 0 {
			t.Errorf("%d places are left in the index", n)
		}
	})
}

// An import is not in the log: the index goes through all messages.
func TestSearchFindsWhatWasImported(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		w.indexed()
		importSome(t, w, 150, 4)
		ana := w.begin(0, "Ana")
		w.tell(ana, chat.CustomerActor(ana.Contact), chat.TextPart("needle"))
		w.indexed()
		if got := w.finds(w.owner, "needle", 9); got != "Ana.1" {
			t.Errorf("finds %q", got)
		}
		var docs, messages int
		must(t, s.r.QueryRowContext(t.Context(), "select count(*) from message_doc").Scan(&docs))
		must(t, s.r.QueryRowContext(t.Context(), "select count(*) from message").Scan(&messages))
		if docs != messages || docs < 600 {
			t.Errorf("%d of %d messages are in the index", docs, messages)
		}
	})
}

// TestSearchByManyAuthors: what everybody of a name has written is found, also
// where very many are called so.
func TestSearchByManyAuthors(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		const people = manyContacts + 50
		must(t, s.Import(t.Context(), w.ws, func(imp *Importer) error {
			for i := range people {
				k := chat.Contact{ID: chat.NewID[chat.Contact](), Brand: w.brands[0].ID, Name: fmt.Sprint("Maria ", i)}
				c := chat.NewConversation(chat.NewID[chat.Conversation](), w.channels[0], k.ID, chat.IdentityID{}, false, chat.Time(i+1))
				m := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, Author: chat.CustomerActor(k.ID),
					Parts: []chat.Part{chat.TextPart("a refund")}, StoredAt: chat.Time(i + 1)}
				c.Append(&m)
				if err := errors.Join(imp.Contact(k), imp.Conversation(c), imp.Message(m)); err != nil {
					return err
				}
			}
			return nil
		}))
		w.indexed()
		found, cursor := 0, ""
		for {
			got, err := s.Search(t.Context(), w.ws, chat.ViewOf(w.owner), w.owner.ID, search.Parse("from:maria refund", time.UTC), cursor, 200)
			must(t, err)
			found += len(got.Messages)
			if cursor = got.Next; cursor == "" {
				break
			}
		}
		if found != people {
			t.Errorf("found what %d of %d have written", found, people)
		}
	})
}
