package store

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"parley/backend/chat"
)

// A contact is found on the server by what finds it on a desktop that has it
// cached: with any accents, by any part of a name in a script without spaces
// and by any part of a number.
func TestContactsAreFoundAsOnADesktop(t *testing.T) {
	both(t, func(t *testing.T, s *Store, _ Options) {
		w := newWorld(t, s)
		people := []chat.Contact{
			{Name: "山田太郎"}, {Name: "Łukasz Bjørnsen"}, {Name: "Jürgen Groß"}, {Name: "Anna", Phone: "+49 170 1234567"},
			{Name: "Room 0421"}, {Email: "grace.hopper@navy.example"}, {},
		}
		for i := range people {
			c := w.begin(0, "x")
			w.update(func(tx *Tx) error {
				k, err := tx.Contact(c.Contact)
				k.Name, k.Email, k.Phone = people[i].Name, people[i].Email, people[i].Phone
				people[i] = k
				return errors.Join(err, tx.PutContact(&k, w.meta))
			})
		}
		for typed, want := range map[string]int{
			"太郎": 0, "田太": 0, "郎": 0, "山田太郎": 0, "郎太": -1, "lukasz": 1, "ŁUKASZ bjorn": 1, "bjornsen": 1, "ukasz": -1,
			"gross": 2, "groß jurgen": 2, "0170 1234567": 3, "1234567": 3, "+49 170 123": 3, "4567": 3, "1234568": -1, "anna 170": 3,
			"0421": 4, "room 04": 4, "grace.hopper@n": 5, "navy": 5, people[6].Label(): 6, `"bjornsen"`: 1, "from:lukasz": -1,
		} {
			list, _, _, err := s.Conversations(t.Context(), w.ws, chat.ViewOf(w.owner), ConversationFilter{Query: strings.Trim(typed, `"`)}, "", 50)
			must(t, err)
			contacts, _, err := s.Contacts(t.Context(), w.ws, chat.ViewOf(w.owner), typed, "", 50)
			must(t, err)
			var ids []chat.ContactID
			for _, c := range list {
				ids = append(ids, c.Contact)
			}
			found := ids
			for _, k := range contacts {
				found = append(found, k.ID)
			}
			one := want >= 0 && len(ids) == 1 && len(contacts) == 1 && !slices.ContainsFunc(found, func(id chat.ContactID) bool { return id != people[want].ID })
			if !one && (want >= 0 || len(found) > 0) {
				t.Errorf("%q finds %d conversations and %d contacts", typed, len(ids), len(contacts))
			}
			if want < 0 || people[want].Name == "" {
				continue
			}
			if got := w.finds(w.owner, typed, 50); got != people[want].Name {
				t.Errorf("a search for %q finds %q", typed, got)
			}
		}
		checked(t, s)
	})
}

// However long a name is, it costs a write no more than so many rows.
func TestContactTermsAreFew(t *testing.T) {
	long := chat.Contact{Name: strings.Repeat("長い名前の会社 株式会社例 ", 40) + "unique", Email: "a@b.example", Phone: "+49 170 1234567"}
	if n := len(contactTerms(long)); n > maxTerms {
		t.Errorf("%d terms", n)
	}
	if terms := contactTerms(chat.Contact{Name: strings.Repeat("x", 500)}); len(terms) != 1 || !matches(terms, []string{strings.Repeat("x", 400)}) {
		t.Errorf("a long word is found by its beginning: %q", terms)
	}
	if terms := contactTerms(chat.Contact{}); terms != nil {
		t.Errorf("nobody is called %q", terms)
	}
}
