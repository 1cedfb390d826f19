package desktop

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
)

// quicks are the quick lists by name.
var quicks = []cache.Quick{cache.QuickAll, cache.QuickUnread, cache.QuickMine, cache.QuickUnassigned,
	cache.QuickUnresolved, cache.QuickResolved}

// List gives one page of the chat list, with what waits in the outbox shown as
// if it were done.
func (e *Engine) List(q ListQuery) (ListPage, error) {
	ctx, cancel := e.reading()
	defer cancel()
	s, err := e.session()
	if err != nil {
		return ListPage{}, err
	}
	want, err := s.query(q)
	if err != nil {
		return ListPage{}, err
	}
	// Also where nothing is searched: an older search is over then.
	searching, err := s.search.turn(s.ctx, q)
	if err != nil {
		return ListPage{}, err
	}
	var got cache.ListPage
	if q.Search = strings.TrimSpace(q.Search); q.Search != "" {
		got, err = s.find(searching, q, want)
	} else {
		if want.Cursor == "" {
			s.show(sync.List{Quick: want.Quick, Brand: want.Brand, Oldest: want.Oldest, Limit: want.Limit})
		}
		got, err = s.cache.Conversations(ctx, want)
	}
	if err != nil {
		return ListPage{}, s.fault(err)
	}
	waiting := s.outbox.Snapshot()
	page := ListPage{Rows: make([]ListRow, 0, len(got.Rows)), Next: got.Next}
	shown := map[chat.ConversationID]bool{}
	s.addRows(ctx, &page, got, want, waiting, shown)
	// What waits may take a whole page out of a list: the next one is shown then.
	for next := want; q.Search == "" && len(page.Rows) == 0 && page.Next != ""; page.Next = got.Next {
		next.Cursor = page.Next
		if got, err = s.cache.Conversations(ctx, next); err != nil {
			return ListPage{}, s.fault(err)
		}
		s.addRows(ctx, &page, got, want, waiting, shown)
	}
	if q.Search == "" {
		s.addForeseen(ctx, &page, want, waiting, shown)
	}
	return page, nil
}

// addRows puts in the rows of a page that belong into the list with what waits.
func (s *session) addRows(ctx context.Context, page *ListPage, got cache.ListPage, want cache.ListQuery, waiting *outbox.Snapshot, shown map[chat.ConversationID]bool) {
	for _, r := range got.Rows {
		shown[r.ID] = true
		row, o := s.row(ctx, r, waiting)
		if o == nil || matches(want, o.after, s.me) {
			page.Rows = append(page.Rows, row)
		}
	}
}

// show tells sync which list the window shows.
func (s *session) show(l sync.List) {
	s.shown.Store(&l)
	if n := s.net.Load(); n != nil {
		n.sync.Show(l)
	}
}

func (s *session) query(q ListQuery) (cache.ListQuery, error) {
	want := cache.ListQuery{Quick: cache.Quick(q.Quick), Oldest: q.Oldest, Me: s.me,
		Cursor: q.Cursor, Limit: min(max(q.Limit, 1), cache.MaxPage)}
	if want.Quick == "" {
		want.Quick = cache.QuickAll
	}
	if !slices.Contains(quicks, want.Quick) {
		return want, chat.Invalid("quick", "There is no such list.")
	}
	var err error
	if q.Brand != "" {
		want.Brand, err = chat.ParseID[chat.Brand](q.Brand)
	}
	return want, err
}

// row makes the window's row of a cached one.
func (s *session) row(ctx context.Context, r cache.ListRow, waiting *outbox.Snapshot) (ListRow, *overlaid) {
	row := ListRow{Conversation: r.Conversation, Label: r.Label, ChannelKind: string(r.ChannelKind), Brand: r.Brand.String(),
		AssigneeName: r.AssigneeName, Draft: r.Draft, Hit: r.Hit}
	pending := waiting.Of(r.ID)
	for _, w := range pending {
		switch {
		case !w.Text():
		case w.Problem != nil:
			row.Refused++
		default:
			row.Pending++
		}
	}
	for _, x := range s.scheduledOf(r.ID, pending) {
		if x.Problem != nil {
			row.Refused++
		}
	}
	if x, ok := s.drafts.local(r.ID); ok {
		row.Draft = x.Text
	} else if row.Pending > 0 {
		row.Draft = ""
	}
	var o *overlaid
	row.Conversation, o = s.overlay(ctx, r.Conversation, pending)
	if o != nil && o.after.Assignee != o.before.Assignee {
		row.AssigneeName = s.memberName(o.after.Assignee)
	}
	return row, o
}

// matches reports whether a conversation belongs into a list.
func matches(q cache.ListQuery, c chat.Conversation, me chat.MemberID) bool {
	if !q.Brand.IsZero() && c.Brand != q.Brand {
		return false
	}
	switch q.Quick {
	case cache.QuickUnread:
		return c.Unread > 0
	case cache.QuickMine:
		return c.Assignee == me
	case cache.QuickUnassigned:
		return c.Assignee.IsZero()
	case cache.QuickUnresolved:
		return c.Status == chat.StatusOpen
	case cache.QuickResolved:
		return c.Status != chat.StatusOpen
	}
	return true
}

// addForeseen puts in the rows that belong into the list only because of what
// waits, at the place where the page would have them.
func (s *session) addForeseen(ctx context.Context, page *ListPage, q cache.ListQuery, waiting *outbox.Snapshot, shown map[chat.ConversationID]bool) {
	if q.Quick == cache.QuickAll {
		return
	}
	at := func(r ListRow) chat.Time {
		var c struct {
			LastMessageAt chat.Time `json:"last_message_at"`
		}
		_ = json.Unmarshal(r.Conversation, &c) // a row that cannot be read sorts last
		return c.LastMessageAt
	}
	order := func(a, b chat.Time) int {
		if q.Oldest {
			return cmp.Compare(a, b)
		}
		return cmp.Compare(b, a)
	}
	added := false
	for _, id := range waiting.Conversations() {
		if shown[id] {
			continue
		}
		r, err := s.cache.Row(ctx, id)
		if err != nil {
			continue // not cached: nothing to show
		}
		row, o := s.row(ctx, r, waiting)
		if o == nil || matches(q, o.before, s.me) || !matches(q, o.after, s.me) {
			continue
		}
		afterLast := page.Next != "" && len(page.Rows) > 0 && order(at(row), at(page.Rows[len(page.Rows)-1])) > 0
		beforeFirst := q.Cursor != "" && (len(page.Rows) == 0 || order(at(row), at(page.Rows[0])) < 0)
		if !afterLast && !beforeFirst {
			page.Rows = append(page.Rows, row)
			added = true
		}
	}
	if added {
		slices.SortStableFunc(page.Rows, func(a, b ListRow) int { return order(at(a), at(b)) })
	}
}

// Counts gives the unread conversations of every brand, and of each quick list
// within one brand (empty: all), with what waits shown as if it were done.
func (e *Engine) Counts(brand string) (Counts, error) {
	ctx, cancel := e.reading()
	defer cancel()
	s, err := e.session()
	if err != nil {
		return Counts{}, err
	}
	q, err := s.query(ListQuery{Brand: brand, Limit: 1})
	if err != nil {
		return Counts{}, err
	}
	got, err := s.cache.Counts(ctx, q.Brand, s.me)
	if err != nil {
		return Counts{}, s.fault(err)
	}
	out := Counts{Brands: map[string]int64{}, Quick: map[string]int64{}}
	for id, n := range got.Brands {
		out.Brands[id] = n
	}
	for _, quick := range quicks {
		out.Quick[string(quick)] = got.Quick[quick]
	}
	waiting := s.outbox.Snapshot()
	for _, id := range waiting.Conversations() {
		raw, err := s.cache.Conversation(ctx, id)
		if err != nil {
			continue // not cached: not counted
		}
		_, o := s.overlay(ctx, raw, waiting.Of(id))
		if o == nil {
			continue
		}
		all := cache.ListQuery{Quick: cache.QuickUnread}
		out.Brands[o.before.Brand.String()] += gain(all, *o, s.me)
		for _, quick := range quicks {
			q.Quick = quick
			out.Quick[string(quick)] += gain(q, *o, s.me)
		}
	}
	return out, nil
}

// gain is by how much what waits changes the unread of a list.
func gain(q cache.ListQuery, o overlaid, me chat.MemberID) int64 {
	before := o.before.Unread > 0 && matches(q, o.before, me)
	after := o.after.Unread > 0 && matches(q, o.after, me)
	switch {
	case after && !before:
		return 1
	case before && !after:
		return -1
	}
	return 0
}
