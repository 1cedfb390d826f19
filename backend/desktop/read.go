package desktop

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
)

// readTimeout bounds a read of the cache. It is far above what any takes.
const readTimeout = 10 * time.Second

func (e *Engine) reading() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.ctx, readTimeout)
}

// session gives the open account.
func (e *Engine) session() (*session, error) {
	v := e.view.Load()
	switch {
	case v.session != nil:
		return v.session, nil
	case v.problem != "":
		return nil, chat.Errorf(chat.CodeUnavailable, "%s", v.problem)
	case v.starting:
		return nil, errClosing
	}
	return nil, chat.Errorf(chat.CodeUnauthorized, "Sign in first.")
}

// fault makes a read that failed because the account was closed meanwhile
// recognisable: the window reads anew when it is told what is open now.
func (s *session) fault(err error) error {
	if err != nil && s.ctx.Err() != nil {
		return errClosing
	}
	return err
}

// State gives everything the window knows outside lists and threads.
func (e *Engine) State() (AppState, error) {
	for {
		v := e.view.Load()
		st, err := e.stateOf(v)
		if err == nil || e.view.Load() == v || e.ctx.Err() != nil {
			return st, err
		}
	}
}

func (e *Engine) stateOf(v *view) (AppState, error) {
	ctx, cancel := e.reading()
	defer cancel()
	st := AppState{Accounts: []Account{}, Warnings: slices.Clone(v.warnings), ShareLinks: []ShareLink{}, Version: e.opt.Version,
		Brands: []json.RawMessage{}, Channels: []json.RawMessage{}, Members: []json.RawMessage{}}
	if e.secrets.Missing() {
		st.Warnings = append(st.Warnings, Warning{Code: "keychain_missing",
			Message: "The keychain of this system could not be used, so your session and the key to what you have not sent are kept in files that only you can read."})
	}
	if len(tokensLeft(v.accounts)) > 0 {
		st.Warnings = append(st.Warnings, Warning{Code: "token_left",
			Message: "You are signed out, but the keychain of this system has not let go of the saved session. Unlock it and start Parley again to have it removed."})
	}
	if e.opt.Embedded != nil && e.opt.Embedded.Moved() {
		st.Warnings = append(st.Warnings, Warning{Code: "address_changed",
			Message: "Another program uses the address of the backend inside Parley. Links you have shared do not work until that program ends and Parley is started again."})
	}
	if st.Warnings == nil {
		st.Warnings = []Warning{}
	}
	for _, r := range v.accounts {
		if r.Revoked {
			continue // comes back when the same member signs in
		}
		a := Account{ID: r.ID, Server: r.Server, Email: r.Email, Workspace: r.Name, Kind: r.Kind, SignedOut: r.SignedOut, Outbox: r.Outbox}
		s := v.sessionOf(r.ID)
		a.Active = s != nil && s == v.session
		if s != nil {
			a.Outbox = s.outboxCounts()
		}
		if a.Active {
			st.Outbox = a.Outbox
		}
		st.Accounts = append(st.Accounts, a)
	}
	if v.session == nil {
		st.Connection = Connection{Status: string(sync.StatusSignedOut)}
		if v.starting {
			st.Connection.Status = string(sync.StatusConnecting)
		}
		if v.problem != "" {
			st.Connection = Connection{Status: string(sync.StatusError), Problem: &v.problem}
			if v.damaged {
				st.Connection.Remedy = RemedySetAside
			}
		}
		return st, nil
	}
	err := v.session.state(ctx, &st)
	return st, err
}

func (s *session) state(ctx context.Context, st *AppState) error {
	id := s.account.ID
	st.Account = &id
	st.Me = s.myself(ctx)
	if raw, err := s.cache.Workspace(ctx); err == nil {
		st.Workspace = raw
	}
	brands, err := s.cache.Brands(ctx)
	if err != nil {
		return err
	}
	channels, err := s.cache.Channels(ctx)
	if err != nil {
		return err
	}
	members, err := s.cache.Members(ctx)
	if err != nil {
		return err
	}
	st.Brands, st.Channels, st.Members = list(brands), list(channels), list(members)
	if st.Cached, err = s.cached(ctx); err != nil {
		return err
	}
	st.Loaded = s.cache.Loaded()
	st.ShareLinks = s.shareLinks(channels)
	st.Connection = connectionOf(*s.report.Load())
	st.Warnings = append(st.Warnings, s.sealWarnings()...)
	lost, err := s.vanishedWarning(ctx)
	if err != nil {
		return err
	}
	aside, err := s.asideWarning(ctx)
	if err != nil {
		return err
	}
	st.Warnings = append(append(st.Warnings, lost...), aside...)
	if set := s.cache.SetAside(); set != nil {
		st.Warnings = append(st.Warnings, Warning{Code: "cache_rebuilt", Message: set.Reason})
	}
	return nil
}

// list is what the window needs where there is nothing: an empty list.
func list(rows []json.RawMessage) []json.RawMessage {
	if rows == nil {
		return []json.RawMessage{}
	}
	return rows
}

func connectionOf(r sync.Report) Connection {
	c := Connection{Status: string(r.Status), Since: r.Since, CheckedAt: r.CheckedAt, Proven: r.Proven, Position: r.Position, Head: r.Head}
	if r.Filling {
		c.Progress = &Progress{Done: r.Done, Total: r.Total}
	}
	if r.Problem != "" {
		c.Problem = &r.Problem
	}
	return c
}

// shareLinks gives the addresses where customers can write.
func (s *session) shareLinks(channels []json.RawMessage) []ShareLink {
	server := s.account.Server
	if n := s.net.Load(); n != nil {
		server = n.client.Server()
	}
	links := []ShareLink{}
	for _, raw := range channels {
		var c chat.Channel
		if json.Unmarshal(raw, &c) != nil || c.Kind != chat.KindWeb || c.Slug == "" {
			continue
		}
		links = append(links, ShareLink{Channel: c.ID.String(), Name: c.Name, Brand: c.Brand.String(), URL: server + "/c/" + c.Slug})
	}
	return links
}

// Conversation gives a conversation with what stands around it.
func (e *Engine) Conversation(id string) (ConversationView, error) {
	ctx, cancel := e.reading()
	defer cancel()
	s, conv, err := e.target(id)
	if err != nil {
		return ConversationView{}, err
	}
	raw, err := s.cache.Conversation(ctx, conv)
	if err != nil {
		return ConversationView{}, s.fault(err)
	}
	var c chat.Conversation
	if err := json.Unmarshal(raw, &c); err != nil {
		return ConversationView{}, err
	}
	v := ConversationView{Others: []json.RawMessage{}, Draft: s.draftOf(ctx, conv)}
	v.Conversation, _ = s.overlay(ctx, raw, s.outbox.Snapshot().Of(conv))
	if v.Contact, err = s.cache.Contact(ctx, c.Contact); err != nil {
		return ConversationView{}, err
	}
	v.Contact = overlayContact(v.Contact, s.outbox.Snapshot().OfContact(c.Contact))
	if v.Channel, err = s.cache.Channel(ctx, c.Channel); err != nil {
		return ConversationView{}, err
	}
	var ch chat.Channel
	if err := json.Unmarshal(v.Channel, &ch); err != nil {
		return ConversationView{}, err
	}
	v.Abilities = chat.AbilitiesOf(ch.Kind)
	v.Abilities.ReplyUntil = c.ReplyUntil(ch.Kind)
	all, err := s.cache.ConversationsOfContact(ctx, c.Contact)
	if err != nil {
		return ConversationView{}, err
	}
	for _, other := range all {
		var head struct {
			ID chat.ConversationID `json:"id"`
		}
		if json.Unmarshal(other, &head) == nil && head.ID != conv {
			v.Others = append(v.Others, other)
		}
	}
	return v, nil
}

// target reads a conversation's id and gives the session it belongs to.
func (e *Engine) target(id string) (*session, chat.ConversationID, error) {
	s, err := e.session()
	if err != nil {
		return nil, chat.ConversationID{}, err
	}
	conv, err := chat.ParseID[chat.Conversation](id)
	return s, conv, err
}

// targetOf is target for what was typed in an account: a text never ends up
// in another one, because somebody switched while it was on its way here.
func (e *Engine) targetOf(id, account string) (*session, chat.ConversationID, error) {
	s, conv, err := e.target(id)
	if err == nil && account != "" && account != s.account.ID {
		err = chat.Errorf(chat.CodeConflict, "This was written in another account, so nothing was done. Switch back to that account first.")
	}
	return s, conv, err
}

// draftOf gives the text to put into the composer: this device's, else the one
// that another device has left on the server.
func (s *session) draftOf(ctx context.Context, conv chat.ConversationID) *Draft {
	if x, ok := s.drafts.local(conv); ok {
		if x.Text == "" {
			return nil
		}
		return &Draft{Text: x.Text, Comment: x.Comment}
	}
	if s.drafts.textWaits(conv) {
		return nil // what is on the server is what is being sent
	}
	raw, err := s.cache.Draft(ctx, conv)
	if err != nil {
		return nil
	}
	var x chat.Draft
	if json.Unmarshal(raw, &x) != nil || x.Text == "" {
		return nil
	}
	return &Draft{Text: x.Text, Comment: x.Comment}
}

// Thread gives part of a thread from the cache. What is missing is fetched in
// the background; a "thread" event follows when it is there.
func (e *Engine) Thread(id string, q ThreadQuery) (ThreadPage, error) {
	ctx, cancel := e.reading()
	defer cancel()
	s, conv, err := e.target(id)
	if err != nil {
		return ThreadPage{}, err
	}
	s.threads.Store(conv, nil) // before it is read, so that no change falls in between
	// What waits is read before the thread: a text that is confirmed in
	// between is then seen twice, which is repaired below, and never missed.
	waiting, err := s.pending(ctx, conv)
	if err != nil {
		return ThreadPage{}, s.fault(err)
	}
	limit := min(max(q.Limit, 1), cache.MaxPage)
	got, err := s.cache.Thread(ctx, conv, q.Before, q.After, q.Around, limit)
	if err != nil {
		return ThreadPage{}, s.fault(err)
	}
	page := ThreadPage{Head: got.Head, Pending: unconfirmed(waiting, got.Messages)}
	page.Messages, page.From, page.To = run(got, q)
	page.Complete = got.Head == 0 || (page.From <= 1 && len(page.Messages) > 0) || (q.Before == 1)
	page.Loading = s.fill(conv, got.Holes)
	return page, nil
}

// unconfirmed drops the entries whose message is among the messages.
func unconfirmed(waiting []OutboxEntry, messages []json.RawMessage) []OutboxEntry {
	if len(waiting) == 0 {
		return waiting
	}
	here := map[string]chat.Message{}
	for _, raw := range messages {
		var m chat.Message
		if json.Unmarshal(raw, &m) == nil {
			here[m.ID.String()] = m
		}
	}
	return slices.DeleteFunc(waiting, func(e OutboxEntry) bool {
		m, ok := here[e.Message]
		return ok && (e.Problem == nil || saysAll(m, e.Text))
	})
}

// saysAll reports whether a refused text need not wait for its author any more:
// its message is there, and nothing is in it that the message does not say.
func saysAll(m chat.Message, text string) bool { return m.DeletedAt != 0 || m.Text() == text }

// run cuts a window with holes down to one run of messages without any: the
// one next to where the window was asked for.
func run(got cache.ThreadPage, q ThreadQuery) (messages []json.RawMessage, from, to int64) {
	messages, from, to = got.Messages, got.From, got.To
	if messages == nil {
		messages = []json.RawMessage{}
	}
	if len(got.Holes) == 0 {
		if len(messages) == 0 {
			return messages, 0, 0
		}
		return messages, from, to
	}
	lo, hi := from, to
	holes := slices.Clone(got.Holes)
	slices.SortFunc(holes, func(a, b [2]int64) int { return int(a[0] - b[0]) })
	switch {
	case q.After > 0:
		hi = holes[0][0] - 1
	case q.Before > 0:
		lo = holes[len(holes)-1][1] + 1
	case q.Around > 0:
		for _, h := range holes {
			if h[1] < q.Around {
				lo = max(lo, h[1]+1)
			}
			if h[0] > q.Around {
				hi = min(hi, h[0]-1)
			}
			if h[0] <= q.Around && q.Around <= h[1] {
				return []json.RawMessage{}, 0, 0 // what was asked for is not here yet
			}
		}
	default: // the newest there are
		last := holes[len(holes)-1]
		if last[1] == hi {
			hi = last[0] - 1
			holes = holes[:len(holes)-1]
		}
		if len(holes) > 0 {
			lo = holes[len(holes)-1][1] + 1
		}
	}
	if lo > hi {
		return []json.RawMessage{}, 0, 0
	}
	first, _ := slices.BinarySearch(got.Numbers, lo)
	last, _ := slices.BinarySearch(got.Numbers, hi+1)
	return messages[first:last], lo, hi
}

// fill fetches what is missing and reports whether that may be hoped for.
func (s *session) fill(conv chat.ConversationID, holes [][2]int64) bool {
	n := s.net.Load()
	if len(holes) == 0 || n == nil {
		return false
	}
	for _, h := range holes {
		n.sync.Fetch(sync.Want{Conversation: conv, Before: h[1] + 1, Limit: int(min(max(h[1]-h[0]+1, 50), 100))})
	}
	switch s.report.Load().Status {
	case sync.StatusOffline, sync.StatusSignedOut, sync.StatusError:
		return false
	}
	return true
}

// pending gives the texts on their way whose message is not confirmed yet.
func (s *session) pending(ctx context.Context, conv chat.ConversationID) ([]OutboxEntry, error) {
	out := []OutboxEntry{}
	waiting := s.outbox.Snapshot().Of(conv)
	confirmed, err := s.confirmed(ctx, waiting)
	if err != nil {
		return nil, err
	}
	for _, w := range waiting {
		if w.Text() && !confirmed[w.ID] {
			x := entryAmong(waiting, w)
			x.Problem = s.withWords(ctx, x.Problem, true)
			out = append(out, x)
		}
	}
	return append(out, s.scheduledOf(conv, waiting)...), nil
}

// confirmed says of which texts the message is in the cache. One that was
// refused waits on if it says something else: its author has changed it since.
func (s *session) confirmed(ctx context.Context, waiting []outbox.Entry) (map[chat.CommandID]bool, error) {
	ids := make([]chat.MessageID, 0, len(waiting))
	for _, w := range waiting {
		if w.Text() {
			ids = append(ids, w.Message)
		}
	}
	here, err := s.cache.HasMessages(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := map[chat.CommandID]bool{}
	for _, w := range waiting {
		if !w.Text() || !here[w.Message] {
			continue
		}
		out[w.ID] = true
		if w.Problem == nil {
			continue
		}
		var m chat.Message
		raw, err := s.cache.Message(ctx, w.Message)
		out[w.ID] = err == nil && json.Unmarshal(raw, &m) == nil && saysAll(m, textOf(w))
	}
	return out, nil
}

// dropConfirmed takes refused texts out of the outbox that are in the cache by
// now: after a server was restored each desk of a member keeps what it has lost,
// and one of them has sent it again.
func (s *session) dropConfirmed() {
	waiting := s.outbox.Snapshot() // before the cache is read: what is about to vanish from it is not dropped
	confirmed, err := s.confirmed(s.ctx, waiting.Refused())
	switch {
	case err != nil && s.ctx.Err() == nil:
		s.e.log.Warn("look for refused texts that have arrived", "error", err) // with the next change
	case len(confirmed) > 0:
		var ids []chat.CommandID
		for id, arrived := range confirmed {
			if arrived {
				ids = append(ids, id)
			}
		}
		s.outbox.Confirmed(ids)
	}
}
