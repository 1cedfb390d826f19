package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

// errNotConnected says that there is no server yet to talk to.
var errNotConnected = errors.New("not connected yet")

// errAnotherLog says that the server was restored and is being read anew.
var errAnotherLog = errors.New("the server has another log, which is not here yet")

func (s *session) outboxConfig() outbox.Config {
	return outbox.Config{
		Store:  outboxStore{s.local},
		Submit: s.submit, Confirm: s.confirm,
		Changed: s.outboxChanged, Undone: s.undone, Failed: s.doubt,
		Judge: s.judge, Refused: s.refused,
		Clock:  func() outbox.Instant { return outbox.Instant(s.e.clock()) },
		Random: s.e.opt.Random, Log: s.e.log,
	}
}

func (s *session) submit(ctx context.Context, cmd chat.Command) (outbox.Answer, error) {
	a := outbox.Answer{Era: s.cache.Era()}
	n := s.net.Load()
	if n == nil {
		return a, protocol.Unreachable("commands", errNotConnected)
	}
	_, epoch := s.cache.Position()
	if epoch == "" && a.Era > 0 { // what was in view is yet to be compared with the new log
		return a, protocol.Unreachable("commands", errAnotherLog)
	}
	on := s.line.Load()
	ctx, done := on.bind(ctx)
	defer done()
	res, err := n.client.Commands(ctx, epoch, []chat.Command{cmd})
	if err != nil {
		if on.late(ctx) {
			n.client.Close() // other idle connections are no better than this one was
		}
		if chat.ErrorCode(err) == chat.CodeUnauthorized && s.net.Load() != n {
			err = protocol.Unreachable("commands", errNotConnected) // it says nothing of the session that has come since
		}
		return a, err
	}
	on.answered()
	s.reached(n)
	a.Result = res[0]
	return a, nil
}

// reachedRest is how long sync has after a wake before it is woken again:
// what it has begun must have the time to succeed.
const reachedRest = 10 * time.Second

// reached wakes sync when the server has just answered while the window still
// shows it as out of reach: what was delivered must not stand beside "offline".
func (s *session) reached(n *network) {
	switch s.report.Load().Status {
	case sync.StatusOffline, sync.StatusConnecting:
	default:
		return
	}
	now, last := int64(s.e.clock().Mono)+1, s.woken.Load()
	if (last == 0 || now-last > int64(reachedRest)) && s.woken.CompareAndSwap(last, now) {
		n.wake()
	}
}

// confirm brings what an accepted command made into the cache, so that it
// never vanishes between the outbox and the change that follows.
func (s *session) confirm(ctx context.Context, e outbox.Entry, res outbox.Answer) error {
	kind := kindOf(e, res.Data)
	if kind == "" || len(res.Data) == 0 || string(res.Data) == "null" {
		return nil
	}
	id := e.Conversation.String()
	switch kind {
	case chat.EntityMessage, chat.EntityScheduled:
		id = e.Message.String()
	case chat.EntityContact:
		id = e.Contact.String()
	case chat.EntityMember:
		id = s.me.String()
	}
	if e.Text() {
		s.awaitNeighbours(ctx, e.Conversation, res.Result)
	}
	applied, err := s.cache.PutAnswer(ctx, res.Era, cache.Row{Kind: kind, ID: id, Ver: res.Seq, Op: chat.OpPut, Conversation: e.Conversation, Data: res.Data})
	if err != nil {
		return fmt.Errorf("store answer: %w", err)
	}
	s.changed(applied)
	return nil
}

// neighbourPatience is how long a confirmed text waits for what was said just
// before it; neighbourLook is how often that is looked for.
const (
	neighbourPatience = 2 * time.Second
	neighbourLook     = 10 * time.Millisecond
)

// awaitNeighbours lets the changes that the server made before a text arrive
// first, if they are on their way: the answer may overtake them, and the
// thread would show the text alone beyond a hole for a moment. Meanwhile the
// text is shown as being sent.
func (s *session) awaitNeighbours(ctx context.Context, conv chat.ConversationID, res protocol.Result) {
	var m struct {
		Number int64 `json:"number"`
	}
	page, err := s.cache.Thread(ctx, conv, 0, 0, 0, 1)
	if err != nil || json.Unmarshal(res.Data, &m) != nil || m.Number <= page.Head+1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, neighbourPatience)
	defer cancel()
	look := time.NewTicker(neighbourLook)
	defer look.Stop()
	for {
		if position, _ := s.cache.Position(); position >= res.Seq {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// kindOf is what kind of entity a command's answer is.
func kindOf(e outbox.Entry, data json.RawMessage) chat.EntityKind {
	switch e.Kind {
	case protocol.MessageSend:
		var kept struct {
			SendAt chat.Time `json:"send_at"`
		}
		if !e.SendAt.IsZero() && json.Unmarshal(data, &kept) == nil && !kept.SendAt.IsZero() {
			return chat.EntityScheduled
		}
		return chat.EntityMessage
	case protocol.CommentAdd, protocol.MessageRetry:
		return chat.EntityMessage
	case protocol.ContactUpdate:
		return chat.EntityContact
	case protocol.MePut:
		return chat.EntityMember
	}
	if !e.Conversation.IsZero() {
		return chat.EntityConversation
	}
	return ""
}

func (s *session) outboxChanged(c chat.ConversationID) {
	if s.behind.Load() {
		s.post(waited{s})
		return
	}
	if !c.IsZero() {
		s.e.tell.thread(c.String())
		s.e.tell.list(c.String())
	} else {
		s.e.tell.everything()
	}
	s.e.tell.counts()
	s.e.tell.state()
}

// undone tells that something shown early was refused.
func (s *session) undone(e outbox.Entry, p *protocol.Problem) {
	s.problem(Problem{Code: string(p.Code), Message: p.Detail, Conversation: e.Conversation.String()})
}

// doubt lets sync check the connection when a request could not reach the
// server, and find out for itself when the session is no more.
func (s *session) doubt(err error) {
	n := s.net.Load()
	switch {
	case n == nil:
	case protocol.IsUnreachable(err):
		n.sync.Doubt()
	case chat.ErrorCode(err) == chat.CodeUnauthorized, chat.ErrorCode(err) == chat.CodeReset:
		n.sync.Wake()
	}
}

// outboxStore keeps the outbox's entries in local.db.
type outboxStore struct{ local *cache.Local }

// Load gives everything that waits.
func (o outboxStore) Load(ctx context.Context) ([]outbox.Entry, error) {
	rows, err := o.local.Outbox(ctx)
	if err != nil {
		return nil, fmt.Errorf("load outbox: %w", err)
	}
	out := make([]outbox.Entry, 0, len(rows))
	for _, r := range rows {
		e := outbox.Entry{ID: r.ID, Conversation: r.Conversation, Kind: r.Kind, Args: r.Body, Seen: r.Seen,
			CreatedAt: r.CreatedAt, Attempts: r.Attempts, Uncertain: r.Attempts > 0,
			Elapsed: time.Duration(r.ElapsedMS) * time.Millisecond}
		e.Noted = e.Elapsed
		e.Due = r.NextAt
		e.SendAt = r.SendAt
		if e.Kind == protocol.MessageSend && e.SendAt.IsZero() { // perhaps put there before this clock's moment was kept
			var args struct {
				SendAt chat.Time `json:"send_at"`
			}
			if err := json.Unmarshal(r.Body, &args); err != nil {
				return nil, fmt.Errorf("load outbox: %w", err)
			}
			e.SendAt = args.SendAt
		}
		if e.Text() || e.Kind == protocol.MessageRetry {
			if e.Message, err = chat.ParseID[chat.Message](r.Entity); err != nil {
				return nil, fmt.Errorf("load outbox: %w", err)
			}
		} else if e.Kind == protocol.ContactUpdate {
			if e.Contact, err = chat.ParseID[chat.Contact](r.Entity); err != nil {
				return nil, fmt.Errorf("load outbox: %w", err)
			}
		} else if e.Kind == protocol.ConversationRead && r.Entity != "" {
			if e.Reply, err = chat.ParseID[chat.Message](r.Entity); err != nil {
				return nil, fmt.Errorf("load outbox: %w", err)
			}
		}
		if r.State == cache.StateRefused {
			e.Problem = &protocol.Problem{Code: chat.CodeInternal, Detail: "This could not be sent."}
			if len(r.Problem) > 0 {
				if err := json.Unmarshal(r.Problem, e.Problem); err != nil {
					return nil, fmt.Errorf("load outbox: problem: %w", err)
				}
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func rowOf(e outbox.Entry) cache.Entry {
	r := cache.Entry{ID: e.ID, Conversation: e.Conversation, Kind: e.Kind, Body: e.Args, Seen: e.Seen, CreatedAt: e.CreatedAt, NextAt: e.Due, SendAt: e.SendAt}
	switch {
	case e.Text(), e.Kind == protocol.MessageRetry:
		r.Entity = e.Message.String()
	case e.Kind == protocol.ContactUpdate:
		r.Entity = e.Contact.String()
	case !e.Reply.IsZero():
		r.Entity = e.Reply.String()
	}
	return r
}

// Insert adds an entry, durably.
func (o outboxStore) Insert(ctx context.Context, e outbox.Entry, clearDraft bool) error {
	row, add := rowOf(e), o.local.Enqueue
	switch {
	case e.Problem != nil:
		b, err := json.Marshal(withoutWords(e.Problem))
		if err != nil {
			return fmt.Errorf("put into outbox: %w", err)
		}
		row.Problem, add = b, o.local.EnqueueRefused
	case clearDraft:
		add = o.local.EnqueueSend
	}
	if _, err := add(ctx, row); err != nil {
		return fmt.Errorf("put into outbox: %w", err)
	}
	return nil
}

// Replace puts an entry at the place of another.
func (o outboxStore) Replace(ctx context.Context, old chat.CommandID, e outbox.Entry) error {
	if _, err := o.local.Requeue(ctx, old, rowOf(e)); err != nil {
		return fmt.Errorf("replace in outbox: %w", err)
	}
	return nil
}

// Remove forgets an entry.
func (o outboxStore) Remove(ctx context.Context, id chat.CommandID) error {
	if err := o.local.Remove(ctx, id); err != nil {
		return fmt.Errorf("remove from outbox: %w", err)
	}
	return nil
}

// Refuse notes why an entry could not be sent.
func (o outboxStore) Refuse(ctx context.Context, id chat.CommandID, p *protocol.Problem) error {
	b, err := json.Marshal(withoutWords(p))
	if err != nil {
		return fmt.Errorf("note refusal: %w", err)
	}
	if err := o.local.MarkRefused(ctx, id, b); err != nil {
		return fmt.Errorf("note refusal: %w", err)
	}
	return nil
}

// withoutWords gives a problem without what was said in the messages it names.
// Customers' words are not kept with what was not sent, which outlives the right
// to read them: see docs/decisions/0008-what-a-revoked-device-forgets.md.
func withoutWords(p *protocol.Problem) *protocol.Problem {
	if len(p.Messages) == 0 {
		return p
	}
	kept := *p
	kept.Messages = make([]chat.Message, 0, len(p.Messages))
	for _, m := range p.Messages {
		kept.Messages = append(kept.Messages, chat.Message{ID: m.ID, Ver: m.Ver, Conversation: m.Conversation, Number: m.Number,
			Kind: m.Kind, Author: m.Author, Parts: []chat.Part{}, SentAt: m.SentAt, StoredAt: m.StoredAt})
	}
	return &kept
}

// withWords gives the messages that a refusal names as the cache has them. Of
// those that are not there yet it leaves what came with the refusal; of a chat
// that the member may not read any more, no word.
func (s *session) withWords(ctx context.Context, p *protocol.Problem, readable bool) *protocol.Problem {
	if p == nil || len(p.Messages) == 0 {
		return p
	}
	if !readable {
		return withoutWords(p)
	}
	shown := *p
	shown.Messages = slices.Clone(p.Messages)
	for i, m := range shown.Messages {
		raw, err := s.cache.Message(ctx, m.ID)
		if err != nil {
			continue
		}
		var now chat.Message
		if json.Unmarshal(raw, &now) == nil {
			shown.Messages[i] = now
		}
	}
	return &shown
}

// Attempted notes that an entry goes out once more and how long it has waited.
// After a crash this is what says that it may have arrived.
func (o outboxStore) Attempted(ctx context.Context, e outbox.Entry) error {
	if err := o.local.MarkQueued(ctx, e.ID, e.Due); err != nil {
		return fmt.Errorf("note attempt: %w", err)
	}
	if more := (e.Elapsed - e.Noted).Milliseconds(); more >= 1000 {
		if err := o.local.AddElapsed(ctx, more, e.ID); err != nil {
			return fmt.Errorf("note attempt: %w", err)
		}
	}
	return nil
}

// NotSent notes that nothing of an entry has left this machine yet: after a
// restart it can still be taken back.
func (o outboxStore) NotSent(ctx context.Context, id chat.CommandID) error {
	if err := o.local.MarkNotSent(ctx, id); err != nil {
		return fmt.Errorf("note that it was not sent: %w", err)
	}
	return nil
}
