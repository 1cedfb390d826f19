package sync

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// List is the list that the window shows, from its beginning.
type List struct {
	Quick  cache.Quick
	Brand  chat.BrandID // zero: all
	Oldest bool
	Limit  int
}

// lag notes that there is more to catch up with than one page: then the first
// page of what the window shows is asked for beside it, so that the screen is
// right after one round trip, however long the rest takes.
func (m *Machine) lag() { m.lagging = true }

// peek asks for that page, once for each list that the window shows meanwhile.
func (m *Machine) peek() {
	switch {
	case m.complete() && !m.pulling:
		m.lagging, m.peeked = false, List{}
	case m.lagging && m.loaded && m.filling != FillBootstrap && m.shown != (List{}) && m.shown != m.peeked && !m.peeking && m.now.Mono >= m.peekAt:
		m.peeking, m.peeked = true, m.shown
		m.peekGen++
		m.do(Peek{m.peekGen, m.shown})
	}
}

func (m *Machine) peekAnswered(ev Peeked) {
	if ev.Gen != m.peekGen {
		return
	}
	m.peeking = false
	if ev.Err == nil {
		m.peeks = 0
		return
	}
	if protocol.IsUnreachable(ev.Err) || retryAfter(ev.Err) > 0 { // else it would fail again
		m.peeked = List{}
		m.peekAt = m.now.Mono + max(m.delay(&m.peeks), retryAfter(ev.Err))
	}
}

// Show says which list the window shows.
func (s *Sync) Show(l List) { s.ask(Shown{l}) }

func (s *Sync) peek(a Peek) {
	s.flying.Go(func() {
		err := s.firstPage(a)
		if err != nil && s.ctx.Err() == nil {
			s.cfg.Log.Debug("ask for the first page", "error", err)
		}
		s.post(Peeked{a.Gen, err})
	})
}

// peekRounds is how often one list is asked for before the catch-up is left to
// put right what remains.
const peekRounds = 4

// peekWith is how many rows of the cache are asked for with each: what stands
// behind the first page moves up when that empties.
const peekWith = 100

// firstPage brings the first page of a list into the cache, and what the cache
// would show on it: that may belong elsewhere by now. If then others come into
// its place that are only of the cache, they are asked for too.
func (s *Sync) firstPage(a Peek) error {
	asked, era := map[chat.ConversationID]bool{}, s.cfg.Cache.Era()
	for round := range peekRounds {
		page, err := s.cfg.Cache.Conversations(s.ctx, cache.ListQuery{Quick: a.List.Quick, Brand: a.List.Brand, Oldest: a.List.Oldest,
			Me: s.cfg.Me, Limit: max(a.List.Limit, peekWith)})
		if err != nil {
			return err
		}
		if round > 0 && !slices.ContainsFunc(page.Rows[:min(a.List.Limit, len(page.Rows))], func(r cache.ListRow) bool { return !asked[r.ID] }) {
			return nil
		}
		var ids []string
		for _, r := range page.Rows[:min(peekWith, len(page.Rows))] {
			if !asked[r.ID] {
				asked[r.ID] = true
				ids = append(ids, r.ID.String())
			}
		}
		q := s.listQuery(a.List)
		if len(ids) > 0 {
			q.Set("with", strings.Join(ids, ","))
		}
		found, err := s.cfg.Client.List(s.ctx, q)
		if err != nil {
			return err
		}
		applied, err := s.cfg.Cache.PutAhead(s.ctx, era, RowsOf(found))
		if err != nil {
			return err
		}
		for _, c := range found.Conversations {
			if id, err := chat.ParseID[chat.Conversation](c.ID); err == nil {
				asked[id] = true
			}
		}
		s.cfg.Changed(applied)
	}
	return nil
}

// RowsOf is what a list or a search has found, as the cache takes it.
func RowsOf(found protocol.Found) (rows []cache.Row) {
	for _, part := range []struct {
		kind chat.EntityKind
		list []protocol.Raw
	}{{chat.EntityContact, found.Contacts}, {chat.EntityConversation, found.Conversations}, {chat.EntityConversation, found.With}, {chat.EntityMessage, found.Messages}} {
		for _, x := range part.list {
			rows = append(rows, cache.Row{Kind: part.kind, ID: x.ID, Op: chat.OpPut, Data: x.Data})
		}
	}
	return rows
}

// listQuery asks the server for a list.
func (s *Sync) listQuery(l List) url.Values {
	q := url.Values{"limit": {strconv.Itoa(min(max(l.Limit, 1), cache.MaxPage))}}
	if !l.Brand.IsZero() {
		q.Set("brand", l.Brand.String())
	}
	if l.Oldest {
		q.Set("order", "oldest")
	}
	switch l.Quick {
	case cache.QuickUnread:
		q.Set("unread", "true")
	case cache.QuickMine:
		q.Set("assignee", s.cfg.Me.String())
	case cache.QuickUnassigned:
		q.Set("unassigned", "true")
	case cache.QuickUnresolved:
		q.Set("status", string(chat.StatusOpen))
	case cache.QuickResolved:
		q.Set("status", "done")
	}
	return q
}
