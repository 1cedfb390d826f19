package cache

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/search"
)

// FindQuery asks for conversations in which something was found.
type FindQuery struct {
	search.Query
	Brand  chat.BrandID // zero: all brands
	Quick  Quick        // "": all
	Me     chat.MemberID
	Among  []chat.ConversationID // only these; nil: any
	Best   bool                  // messages that fit best first; else by time
	Oldest bool                  // oldest first; not with Best
	Cursor string                // of the page before; "": the first
	Limit  int                   // at most MaxPage
}

// Hit is what was found in a conversation: one message, the first by the order
// that was asked for. A conversation without one was found by its contact.
type Hit struct {
	Message chat.MessageID   `json:"message"`
	Number  int64            `json:"number"`
	Kind    chat.MessageKind `json:"kind"`
	Author  chat.Actor       `json:"author"`
	At      chat.Time        `json:"at"`
	Part    chat.PartKind    `json:"part"` // in what it was found
	search.Snippet
}

const (
	// bestOf is among how many of the newest hits the best are looked for, and
	// bestIn among how many of the newest messages that have the words: where
	// these have to stand side by side, few of those may be hits.
	bestOf = 400
	bestIn = 4000
	// FTS5 reads everything about every word that begins so before it gives the
	// first hit, unless the beginning has as many letters as the index keeps
	// beginnings of. So where a word before the last one is in fewer messages
	// than fewHits, these are looked through; else a last word that is in
	// commonWord messages as it is stands for itself alone.
	fewHits    = 100
	commonWord = 500
	// manyPeople is how many contacts of one name are told apart.
	manyPeople = 2000
	// fewPeople is up to how many contacts a search by author reads their threads.
	fewPeople = 200
)

// Find looks for contacts by what they are called, and then for messages, each
// conversation once. It ends when the context does, also in the middle of a query.
func (c *Cache) Find(ctx context.Context, q FindQuery) (ListPage, error) {
	page, err := c.findPage(ctx, q)
	switch {
	case ctx.Err() != nil:
		return ListPage{}, fmt.Errorf("search: %w", ctx.Err())
	case err != nil:
		return ListPage{}, fmt.Errorf("search: %w", c.noteDamage(unavailable(err)))
	}
	return page, nil
}

// query runs a statement that the context can interrupt.
func (r *reader) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := r.stmt(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// finding is one search under way.
type finding struct {
	c       *Cache
	q       FindQuery
	limit   int
	where   string // what conversations it is limited to
	args    []any
	names   map[int64]bool // contacts found by name: their conversations stand above
	match   string         // what the index of messages is asked; "": everything
	authors *authors       // nil: anybody
	paged   bool           // there was a page before, whose last doc is after
	after   int64
	shown   map[int64]bool // conversations of which it is known whether an earlier page has them
}

// authors are who may have written what is looked for.
type authors struct {
	contacts map[int64]bool
	members  map[chat.MemberID]bool
}

func (c *Cache) findPage(ctx context.Context, q FindQuery) (page ListPage, err error) {
	f := &finding{c: c, q: q, limit: pageLimit(q.Limit), shown: map[int64]bool{}}
	if q.Blank() {
		return page, nil
	}
	if some, err := f.scope(); err != nil || !some {
		return page, err
	}
	names, rest, ok := strings.Cut(cmp.Or(q.Cursor, "n."), ".")
	if !ok || names != "n" && names != "m" {
		return page, chat.Invalid("cursor", "The cursor is not one of this list.")
	}
	if match := q.MatchNames(); !q.OfMessages() {
		if f.names, err = f.people(ctx, match, manyPeople); err != nil {
			return page, err
		}
		if names == "n" {
			if page, err = f.byName(ctx, match, rest); err != nil {
				return page, err
			}
			if page.Next != "" {
				page.Next = "n." + page.Next
				return page, nil
			}
			rest = ""
		}
		if !q.HasWords() {
			return page, nil
		}
	} else if names == "n" && rest != "" {
		return page, chat.Invalid("cursor", "The cursor is not one of this list.")
	}
	if rest != "" {
		f.paged = true
		if f.after, err = strconv.ParseInt(rest, 36, 64); err != nil {
			return page, chat.Invalid("cursor", "The cursor is not one of this list.")
		}
	}
	if some, err := f.writers(ctx); err != nil || !some {
		return page, err
	}
	if q.Best {
		f.limit = MaxPage // a choice, given whole
	}
	f.limit -= len(page.Rows)
	if f.limit <= 0 { // the names filled the page
		page.Next = "m."
		return page, nil
	}
	found, more, err := f.messages(ctx)
	if err != nil {
		return page, err
	}
	rows, err := f.rows(ctx, found)
	page.Rows = append(page.Rows, rows...)
	if more {
		page.Next = "m." + strconv.FormatInt(found[len(found)-1].doc, 36)
	}
	return page, err
}

// scope says in SQL what conversations the search is limited to; false where
// that is none.
func (f *finding) scope() (some bool, err error) {
	l, ok := quickLists(f.q.Quick)
	if !ok {
		return false, chat.Invalid("quick", "There is no list %q.", string(f.q.Quick))
	}
	d, s := f.c.names.Load(), f.c.state.Load()
	f.where = l.where + f.c.seen("c.brand")
	if f.q.Quick == QuickMine {
		f.args = append(f.args, d.refs[f.q.Me])
	}
	if !f.q.Brand.IsZero() {
		f.where += " and c.brand = ?"
		f.args = append(f.args, d.refs[f.q.Brand])
	}
	if f.q.Among != nil {
		b, err := json.Marshal(f.q.Among)
		if err != nil {
			return false, err
		}
		f.where += " and c.id in (select unhex(value, '-') from json_each(?))"
		f.args = append(f.args, string(b))
	}
	among := func(column string, fits func(n int64) bool) error {
		list := []int64{}
		for n := range d.ids {
			if fits(n) {
				list = append(list, n)
			}
		}
		b, err := json.Marshal(list)
		f.where += " and " + column + " in (select value from json_each(?))"
		f.args = append(f.args, string(b))
		return err
	}
	// What is not to be seen any more is never found, wherever the purge is.
	if s.Access != nil && (s.Access.Revoked || len(s.Access.Brands) > 0) {
		if s.Access.Revoked {
			return false, nil
		}
		if err := among("c.brand", func(n int64) bool { return s.sees(chat.BrandID(d.ids[n])) }); err != nil {
			return false, err
		}
	}
	if len(f.q.Query.Brand) > 0 {
		if err := among("c.brand", func(n int64) bool { return named(f.q.Query.Brand, d.brands[n]) }); err != nil {
			return false, err
		}
	}
	if len(f.q.Channel) > 0 {
		err = among("c.channel", func(n int64) bool {
			return named(f.q.Channel, d.channelNames[n]) || named(f.q.Channel, string(d.channels[n]))
		})
	}
	return true, err
}

func named(typed []string, name string) bool {
	return slices.ContainsFunc(typed, func(t string) bool { return search.Named(t, name) })
}

// byName gives a page of the conversations whose contact is called so; without
// words all there are.
func (f *finding) byName(ctx context.Context, match, cursor string) (page ListPage, err error) {
	if f.q.HasWords() && len(f.names) == 0 {
		return page, nil
	}
	q := ListQuery{Quick: f.q.Quick, Brand: f.q.Brand, Me: f.q.Me, Oldest: f.q.Oldest, Cursor: cursor}
	index, where, args := "list_all", f.where, slices.Clone(f.args)
	if l, _ := quickLists(q.Quick); l.index != "" {
		index = l.index
	}
	if !q.Brand.IsZero() {
		index += "_brand"
	}
	if match != "" {
		// Many: go down the list and take those that match, as the page is soon
		// full. Few: look their conversations up and sort those.
		in, what := "select rowid from contact_fts where contact_fts match ?", match
		if len(f.names) < manyPeople {
			list := make([]int64, 0, len(f.names))
			for n := range f.names {
				list = append(list, n)
			}
			b, err := json.Marshal(list)
			if err != nil {
				return page, err
			}
			index, in, what = "conversation_contact", "select value from json_each(?)", string(b)
		}
		where += " and c.contact in (" + in + ")"
		args = append(args, what)
	}
	query, args, err := pageQuery(index, where, args, q.Oldest, cursor, f.limit)
	if err != nil {
		return page, err
	}
	return f.c.pageOf(ctx, f.c.find, query, args, f.limit)
}

// people gives the contacts found by name, up to a limit; below 0: all of them.
func (f *finding) people(ctx context.Context, match string, limit int) (map[int64]bool, error) {
	found := map[int64]bool{}
	if match == "" {
		return found, nil
	}
	rows, err := f.c.find.query(ctx, "select rowid from contact_fts where contact_fts match ? limit ?", match, limit)
	if err != nil {
		return nil, err
	}
	list, err := collect(rows, scan1[int64])
	for _, n := range list {
		found[n] = true
	}
	return found, err
}

// writers finds out whom from: means; false where nobody is called so.
func (f *finding) writers(ctx context.Context) (some bool, err error) {
	if len(f.q.From) == 0 {
		return true, nil
	}
	f.authors = &authors{contacts: map[int64]bool{}, members: map[chat.MemberID]bool{}}
	d := f.c.names.Load()
	for _, typed := range f.q.From {
		if search.Fold(typed) == "me" {
			f.authors.members[f.q.Me] = true
			continue
		}
		for n, name := range d.members {
			if search.Named(typed, name) {
				f.authors.members[d.ids[n]] = true
			}
		}
		found, err := f.people(ctx, search.Parse(typed, time.UTC).MatchNames(), -1)
		if err != nil {
			return false, err
		}
		for n := range found {
			f.authors.contacts[n] = true
		}
	}
	return len(f.authors.contacts)+len(f.authors.members) > 0, nil
}

// before reports whether a place comes before another one by the order asked for.
func (f *finding) before(a, b int64) bool {
	if f.q.Oldest && !f.q.Best {
		return a > b
	}
	return a < b
}

// settle decides what the index is asked: see fewHits.
func (f *finding) settle(ctx context.Context) error {
	rest, last, goesOn := f.q.Parts()
	if goesOn {
		words := rest.MatchWords()
		for _, word := range words {
			if lots, err := f.has(ctx, word, fewHits); err != nil {
				return err
			} else if !lots {
				f.match = together(words)
				return nil
			}
		}
		common, err := f.has(ctx, together(last.MatchWords()), commonWord)
		if err != nil {
			return err
		}
		if common {
			f.q.Query = f.q.Whole()
		}
	}
	f.match = together(f.q.MatchWords())
	return nil
}

// together asks for messages that have every word.
func together(words []string) string { return strings.Join(words, " AND ") }

// has reports whether the index has so many hits.
func (f *finding) has(ctx context.Context, match string, many int) (bool, error) {
	rows, err := f.c.find.query(ctx, "select count(*) from (select 1 from message_fts where message_fts match ? limit ?)", match, many)
	if err != nil {
		return false, err
	}
	n, err := collect(rows, scan1[int])
	return len(n) == 1 && n[0] == many, err
}

// messages gives the page's hits, one of each conversation.
func (f *finding) messages(ctx context.Context) (page []found, more bool, err error) {
	all, err := f.candidates(ctx)
	if err != nil {
		return nil, false, err
	}
	if f.q.Best {
		for i := range all {
			all[i].score = f.q.ScoreOf(&all[i].message)
		}
	}
	slices.SortStableFunc(all, func(a, b found) int {
		switch {
		case f.q.Best && a.score != b.score:
			return cmp.Compare(b.score, a.score)
		case f.before(a.doc, b.doc):
			return -1
		case a.doc != b.doc:
			return 1
		}
		return cmp.Compare(b.key, a.key)
	})
	seen := map[int64]bool{}
	for _, x := range all {
		n := x.key >> numberBits
		if seen[n] {
			continue
		}
		seen[n] = true
		if shown, err := f.shownBefore(ctx, n, x.contact); err != nil {
			return nil, false, err
		} else if shown {
			continue
		}
		if len(page) == f.limit {
			return page, !f.q.Best, nil // the best are a choice, and have no second page
		}
		page = append(page, x)
	}
	return page, false, nil
}

// candidates gives hits of which the page is chosen.
func (f *finding) candidates(ctx context.Context) (all []found, err error) {
	if f.q.Among != nil {
		b, err := json.Marshal(f.q.Among)
		if err != nil {
			return nil, err
		}
		return f.threads(ctx, "cross join conversation c on c.id = unhex(j.value, '-')", b)
	}
	if err := f.settle(ctx); err != nil {
		return nil, err
	}
	// What is indexed meanwhile is then found twice, and not missed.
	if all, err = f.tail(ctx); err != nil {
		return nil, err
	}
	var rest []found
	if f.authors != nil && len(f.authors.members) == 0 && len(f.authors.contacts) <= fewPeople {
		rest, err = f.threadsOf(ctx, f.authors.contacts)
	} else {
		rest, err = f.index(ctx)
	}
	return append(all, rest...), err
}

// foundColumns are read of a message that may be a hit, after its doc.
const foundColumns = "x.key, coalesce(c.contact, 0), m.data"

// each gives every row that is a hit, until fn says that it is enough.
func (f *finding) each(ctx context.Context, query string, args []any, fn func(found) (on bool)) error {
	rows, err := f.c.find.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var x found
		var data sql.RawBytes
		if err := rows.Scan(&x.doc, &x.key, &x.contact, &data); err != nil {
			return err
		}
		x.data = data
		if f.names[x.contact] || !f.q.MayHit(data) || !f.check(&x) {
			continue
		}
		if x.data = nil; !fn(x) {
			return nil
		}
	}
	return rows.Err()
}

// index gives the first hits of the index: those of one conversation more than
// the page holds or, for the best, the newest.
func (f *finding) index(ctx context.Context) (list []found, err error) {
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	if f.q.After != 0 {
		hi = docAt(search.FirstPlace(f.q.After))
	}
	if f.q.Before != 0 {
		lo = docAt(search.FirstPlace(f.q.Before) + search.PlaceSlack)
	}
	order := "asc"
	if f.before(1, 0) {
		order = "desc"
	}
	switch {
	case f.paged && order == "asc":
		lo = max(lo, f.after+1)
	case f.paged:
		hi = min(hi, f.after-1)
	}
	query := `select x.doc, ` + foundColumns + ` from message_fts cross join indexed x on x.doc = message_fts.rowid
		cross join conversation c on c.n = x.key >> 24 cross join message m on m.key = x.key
		where message_fts match ? and message_fts.rowid between ? and ? and ` + f.where + ` order by message_fts.rowid ` + order
	args := []any{f.match, lo, hi}
	if f.match == "" {
		query = `select x.doc, ` + foundColumns + ` from indexed x cross join conversation c on c.n = x.key >> 24
			cross join message m on m.key = x.key where x.doc between ? and ? and ` + f.where + ` order by x.doc ` + order
		args = args[1:]
	}
	if f.q.Best {
		query += " limit " + strconv.Itoa(bestIn)
	}
	seen := map[int64]bool{}
	var failed error
	err = f.each(ctx, query, append(args, f.args...), func(x found) bool {
		list = append(list, x)
		if f.q.Best {
			return len(list) < bestOf
		}
		n := x.key >> numberBits
		var shown bool
		if shown, failed = f.shownBefore(ctx, n, x.contact); !shown {
			seen[n] = true
		}
		return failed == nil && len(seen) <= f.limit
	})
	return list, errors.Join(err, failed)
}
