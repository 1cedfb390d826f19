package cache

import (
	"database/sql"
	"slices"

	"parley/backend/chat"
)

// setAccess takes over what the member may see and removes everything else in
// this same transaction, so that not even a crash shows it again.
func (t *tx) setAccess(a chat.Access) error {
	if before := t.state.Access; before != nil && gains(*before, a) {
		// Kept with the access: the log goes on from here and will not name
		// again what was there before.
		t.state.Gains++
		t.applied.Gained = true
	}
	t.state.Access = &a
	t.applied.Access, t.applied.Everything, t.applied.Directory = &a, true, true
	for n, id := range t.w.refIDs {
		// Refs of channels and members are no brand of anything: nothing is found.
		if !t.state.sees(chat.BrandID(id)) {
			if err := t.purgeBrand(n); err != nil {
				return err
			}
		}
	}
	if a.Revoked {
		for _, table := range []string{"draft", "entity"} {
			if _, err := t.exec("delete from " + table); err != nil {
				return err
			}
		}
	}
	t.forget()
	return nil
}

// gains reports whether after lets the member see what before did not.
func gains(before, after chat.Access) bool {
	switch {
	case after.Revoked || len(before.Brands) == 0 && !before.Revoked:
		return false
	case len(after.Brands) == 0 || before.Revoked:
		return true
	}
	return slices.ContainsFunc(after.Brands, func(b chat.BrandID) bool { return !slices.Contains(before.Brands, b) })
}

// forget drops what the transaction has looked up, after rows were removed
// behind its back.
func (t *tx) forget() {
	clear(t.conversations)
	clear(t.contacts)
}

// identified is a row's number and id.
type identified struct {
	n  int64
	id [16]byte
}

func scanIdentified(rows *sql.Rows) (v identified, err error) {
	var id chat.ConversationID // any of the kinds
	err = rows.Scan(&v.n, &id)
	v.id = id
	return v, err
}

// purgeBrand removes a brand with everything in it.
func (t *tx) purgeBrand(brand int64) error {
	for _, where := range []string{"shown = 1 and brand = ?", "shown = 0 and brand = ?"} {
		err := each(t, "select n, id from conversation where "+where, []any{brand}, scanIdentified, func(v identified) error {
			return t.dropConversation(v.n, chat.ConversationID(v.id))
		})
		if err != nil {
			return err
		}
	}
	if err := t.dropContacts("brand = ?", brand); err != nil {
		return err
	}
	_, err := t.exec("delete from entity where brand = ?", brand)
	return err
}

// dropContacts removes the contacts that a condition names.
func (t *tx) dropContacts(where string, args ...any) error {
	return each(t, "select n, id from contact where "+where, args, scanIdentified, func(v identified) error {
		return t.dropContact(&contactRef{n: v.n}, chat.ContactID(v.id))
	})
}

// dropConversation removes a conversation's row, thread, spans and draft.
func (t *tx) dropConversation(n int64, id chat.ConversationID) error {
	for _, query := range []string{
		"delete from message where key between ?1 << 24 and (?1 << 24 | 16777215)",
		"delete from span where conversation = ?1",
		"delete from draft where conversation = ?1",
		"delete from conversation where n = ?1",
	} {
		if _, err := t.exec(query, n); err != nil {
			return err
		}
	}
	delete(t.spans, n)
	t.conversations[id] = nil
	return nil
}

// dropContact removes a contact and its place in the search. Its
// conversations, if any are left, go on with the label they have.
func (t *tx) dropContact(row *contactRef, id chat.ContactID) error {
	if _, err := t.exec("delete from contact_fts where rowid = ?", row.n); err != nil {
		return err
	}
	if _, err := t.exec("update conversation set contact = null where contact = ?", row.n); err != nil {
		return err
	}
	_, err := t.exec("delete from contact where n = ?", row.n)
	t.contacts[id] = nil
	return err
}

// sweep removes what a bootstrap did not name: rows of another epoch, and
// rows that were there before and have not changed since its head.
func (t *tx) sweep(b Bootstrap) error {
	const old = "(mark < ? or mark < ? and ver <= ?)"
	args := []any{t.state.Floor, t.state.Mark, b.Head}
	if !b.Sweep {
		return nil
	}
	err := each(t, "select n, id from conversation where "+old, args, scanIdentified, func(v identified) error {
		return t.dropConversation(v.n, chat.ConversationID(v.id))
	})
	if err != nil {
		return err
	}
	// A contact that a conversation still points to stays, as it was.
	if err := t.dropContacts(old+" and not exists (select 1 from conversation c where c.contact = contact.n)", args...); err != nil {
		return err
	}
	for _, query := range []string{
		"delete from entity where " + old,
		"delete from draft where " + old,
	} {
		if _, err := t.exec(query, args...); err != nil {
			return err
		}
	}
	if t.state.Floor == t.state.Mark { // this bootstrap began an epoch
		if _, err := t.exec("delete from message where mark < ?", t.state.Floor); err != nil {
			return err
		}
	}
	return nil
}

// lost reports which of the brands a member would no longer see.
func lost(a chat.Access, brand chat.BrandID) bool {
	return a.Revoked || len(a.Brands) > 0 && !slices.Contains(a.Brands, brand)
}
