package cache

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
)

// setAccess takes over what the member may see and hides everything else in
// this same transaction, so that not even a crash shows it again. The rows go
// behind, see purgeStep: thousands of conversations take too long for one
// transaction.
func (t *tx) setAccess(a chat.Access) error {
	before := t.state.Access
	if before == nil || gains(a, *before) { // nothing is known of what an older cache held
		t.state.FilesOwed++
		t.w.cache.dropAside()
	}
	if before != nil && gains(*before, a) {
		// Kept with the access: the log goes on from here and will not name
		// again what was there before.
		t.state.Gains++
		t.applied.Gained = true
	}
	t.state.Access = &a
	t.applied.Access, t.applied.Everything, t.applied.Directory = &a, true, true
	for _, n := range slices.Sorted(maps.Keys(t.w.refIDs)) {
		if id := t.w.refIDs[n]; !t.state.sees(chat.BrandID(id)) {
			if err := t.hide(n, id); err != nil {
				return err
			}
		}
	}
	if a.Revoked {
		for _, table := range []string{"draft", "scheduled", "entity"} {
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

// FilesOwed reports whether files may be here that the member may not see any
// more: they do not say to which brand they belong. It is known from the
// transaction on that hides the rest until FilesGone is called with the number.
func (c *Cache) FilesOwed() (n int64, owed bool) {
	s := c.state.Load()
	return s.FilesOwed, s.FilesOwed > s.FilesGone
}

// FilesGone notes that the files were removed that were here when FilesOwed
// gave n.
func (c *Cache) FilesGone(ctx context.Context, n int64) error {
	return c.writer.do(ctx, "note that files are gone", func(t *tx) error {
		t.state.FilesGone = max(t.state.FilesGone, min(n, t.state.FilesOwed))
		return nil
	})
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

// hide takes a brand out of sight. Its number gets another name, so that the
// brand begins anew, under a new number, if it is granted again before its old
// rows are gone.
func (t *tx) hide(brand int64, id [16]byte) error {
	if t.state.hides(brand) {
		return nil
	}
	// Refs of channels and members are no brand of anything.
	var has bool
	_, err := t.one(`select exists (select 1 from conversation where shown = 1 and brand = ?1)
		or exists (select 1 from conversation where shown = 0 and brand = ?1)
		or exists (select 1 from contact where brand = ?1)
		or exists (select 1 from entity where brand = ?1)`, []any{brand}, &has)
	if !has || err != nil {
		return err
	}
	if _, err := t.exec("delete from entity where brand = ?", brand); err != nil {
		return err
	}
	alias := [16]byte(chat.NewID[chat.Brand]())
	if _, err := t.exec("update ref set id = ? where n = ?", alias[:], brand); err != nil {
		return err
	}
	delete(t.w.refs, id) // taken back by undo
	t.w.refs[alias], t.w.refIDs[brand] = brand, alias
	t.state.Purging = append(slices.Clone(t.state.Purging), brand)
	return nil
}

// How the rows of what is hidden are removed: for so long in one transaction,
// with so long a pause for other writes after it.
const (
	purgeTime  = 10 * time.Millisecond
	purgePause = 3 * purgeTime
	purgeStart = time.Second // after opening
)

// purgeStep removes rows of a brand that is hidden, until a time.
func (t *tx) purgeStep(until time.Time) error {
	brand := t.state.Purging[0]
	for _, part := range []func(int64, time.Time) (done bool, err error){t.purgeShown, t.purgeUnshown, t.purgeContacts} {
		if done, err := part(brand, until); !done || err != nil {
			return err
		}
	}
	if _, err := t.exec("delete from ref where n = ?", brand); err != nil {
		return err
	}
	delete(t.w.refs, t.w.refIDs[brand])
	delete(t.w.refIDs, brand)
	t.refsGrew = true
	t.state.Purging = slices.Clone(t.state.Purging[1:])
	return t.oweWords()
}

func (t *tx) purgeShown(brand int64, until time.Time) (bool, error) {
	return t.purgeConversations("shown = 1 and brand = ?", brand, until)
}

func (t *tx) purgeUnshown(brand int64, until time.Time) (bool, error) {
	return t.purgeConversations("shown = 0 and brand = ?", brand, until)
}

const purgeRows = 16 // looked up at once

func (t *tx) purgeConversations(where string, brand int64, until time.Time) (done bool, err error) {
	for {
		found := 0
		err := each(t, "select n, id from conversation where "+where+" limit ?", []any{brand, purgeRows}, scanIdentified, func(v identified) error {
			found++
			if found > 1 && time.Now().After(until) {
				return nil
			}
			gone, err := t.dropMessages(v.n)
			if !gone || err != nil {
				return err // a long thread goes over several steps
			}
			return t.dropConversation(v.n, chat.ConversationID(v.id))
		})
		if found == 0 || err != nil || time.Now().After(until) {
			return found == 0, err
		}
	}
}

const dropAtOnce = 500 // messages of a thread

// dropMessages removes some messages of a thread and says whether those were
// all.
func (t *tx) dropMessages(conversation int64) (gone bool, err error) {
	t.reindex(threadKeys(conversation))
	n, err := t.exec(`delete from message where key in (select key from message
		where key between ?1 << 24 and (?1 << 24 | 16777215) limit ?2)`, conversation, dropAtOnce)
	return n < dropAtOnce, err
}

func (t *tx) purgeContacts(brand int64, until time.Time) (done bool, err error) {
	for {
		found := 0
		err := each(t, "select n, id from contact where brand = ? limit ?", []any{brand, purgeRows}, scanIdentified, func(v identified) error {
			found++
			return t.dropContact(&contactRef{n: v.n}, chat.ContactID(v.id))
		})
		if found == 0 || err != nil || time.Now().After(until) {
			return found == 0, err
		}
	}
}

// hides reports whether the rows of a brand are there only until they are
// removed.
func (s *state) hides(brand int64) bool { return slices.Contains(s.Purging, brand) }

// seen limits a query to what the member may still see, by a column with the
// number of a brand. While nothing is being removed there is nothing to limit.
func (c *Cache) seen(column string) string {
	hidden := c.state.Load().Purging
	if len(hidden) == 0 {
		return ""
	}
	var b strings.Builder
	for i, n := range hidden {
		b.WriteString([]string{" and " + column + " not in (", ", "}[min(i, 1)])
		b.WriteString(strconv.FormatInt(n, 10))
	}
	return b.String() + ")"
}

// Purging reports whether rows of what the member may no longer see are still
// in the file. They are read by nobody and removed by and by.
func (c *Cache) Purging() bool { return len(c.state.Load().Purging) > 0 }

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
		"delete from scheduled where conversation = ?1",
		"delete from opened where conversation = ?1",
		"delete from displaced where conversation = (select id from conversation where n = ?1)",
		"delete from conversation where n = ?1",
	} {
		if _, err := t.exec(query, n); err != nil {
			return err
		}
	}
	t.reindex(threadKeys(n))
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

// sweep removes what a bootstrap did not name: rows of another era, and
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
		"delete from scheduled where " + old,
	} {
		if _, err := t.exec(query, args...); err != nil {
			return err
		}
	}
	if !t.replacing() {
		return nil
	}
	// Of a thread that is what it was, the messages stay, to be replaced by
	// anything: should the next log not have them either, they are known here.
	err = each(t, "select distinct key >> 24 from ("+forgottenMessages+")", []any{t.state.Floor}, scan1[int64], func(n int64) error {
		t.reindex(threadKeys(n))
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := t.exec("delete from message where key in (select key from ("+forgottenMessages+"))", t.state.Floor); err != nil {
		return err
	}
	if _, err = t.exec("delete from doubtful"); err != nil {
		return err
	}
	_, err = t.exec("delete from displaced")
	return err
}

// forgottenMessages are those of the log before that the one which is loaded
// does not have: newer than the oldest it gave of their conversation, or than
// its newest number.
const forgottenMessages = withNamed + `
	select m.key from message m
		left join conversation c on c.n = m.key >> 24
		left join named on named.conversation = c.n
		where m.mark < ?1 and (c.n is null or (m.key & 16777215) > c.last_number or (m.key & 16777215) >= named.lo)`

// lost reports which of the brands a member would no longer see.
func lost(a chat.Access, brand chat.BrandID) bool {
	return a.Revoked || len(a.Brands) > 0 && !slices.Contains(a.Brands, brand)
}
