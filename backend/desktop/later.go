package desktop

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/protocol"
)

// What stands before the message in the id of an entry that is not in the
// outbox: the server keeps it until it is due, or the channel did not deliver it.
const (
	scheduledPrefix   = "scheduled:"
	undeliveredPrefix = "undelivered:"
)

// The states of such entries; see also cache.EntryState.
const (
	stateScheduled   = "scheduled"   // the server sends it at SendAt
	stateHeld        = "held"        // can be taken back until Due
	stateUndelivered = "undelivered" // the channel could not deliver it
)

// givenUp is the setting under which it is kept that a member wants to hear
// nothing more of a failed delivery; the message's id follows.
const givenUp = "given_up."

// later is what the server has of this member's that has not gone out: kept
// until it is due, refused then, or not delivered. It never changes; a new one
// is read when the cache says so.
type later struct {
	scheduled   map[chat.ConversationID][]chat.Scheduled // by the moment
	undelivered []chat.Message                           // oldest first
	// failing is all that has failed, by entry: also what is not listed any more.
	failing map[string]chat.ConversationID
	due     []OutboxEntry // of it, what its author is to hear of if they have not yet
}

// in reports whether something of it belongs to a conversation.
func (l *later) in(c chat.ConversationID) bool {
	return len(l.scheduled[c]) > 0 || slices.ContainsFunc(l.undelivered, func(m chat.Message) bool { return m.Conversation == c })
}

// laterNow gives it as read last.
func (s *session) laterNow() *later {
	if l := s.later.Load(); l != nil {
		return l
	}
	return s.readLater(s.ctx)
}

// readLater reads it anew. What is read first is kept first: two writes to the
// cache may be told at the same time.
func (s *session) readLater(ctx context.Context) *later {
	s.laterMu.Lock()
	defer s.laterMu.Unlock()
	l := &later{scheduled: map[chat.ConversationID][]chat.Scheduled{}, failing: map[string]chat.ConversationID{}}
	told, err := s.local.Told(ctx)
	var rows []json.RawMessage
	if err == nil {
		rows, err = s.cache.Scheduled(ctx)
	}
	if err == nil {
		for _, raw := range rows {
			var x chat.Scheduled
			if json.Unmarshal(raw, &x) != nil || x.Member != s.me {
				continue
			}
			l.scheduled[x.Conversation] = append(l.scheduled[x.Conversation], x)
			if len(x.Problem) > 0 {
				l.fail(s.scheduledEntry(x), x.Conversation, x.CreatedAt >= s.tells)
			}
		}
		for _, list := range l.scheduled {
			slices.SortStableFunc(list, func(a, b chat.Scheduled) int { return int(a.SendAt - b.SendAt) })
		}
		rows, err = s.cache.Undelivered(ctx, s.e.now().Add(-failedDays*24*time.Hour))
	}
	var gone map[string]json.RawMessage
	if err == nil && len(rows) > 0 {
		gone, err = s.local.Settings(ctx, givenUp)
	}
	if err != nil {
		if ctx.Err() == nil {
			s.e.log.Warn("read what has not gone out", "error", err)
		}
		return l
	}
	for _, raw := range rows {
		var m chat.Message
		if json.Unmarshal(raw, &m) != nil || !m.Author.IsMember(s.me) {
			continue
		}
		_, dropped := gone[givenUp+m.ID.String()]
		l.fail(undeliveredEntry(m), m.Conversation, !dropped && m.StoredAt >= s.tells)
		if !dropped && s.e.now().Sub(s.listedFrom(m, told)) <= undeliveredDays*24*time.Hour {
			l.undelivered = append(l.undelivered, m)
		}
	}
	s.later.Store(l)
	return l
}

func (l *later) fail(entry OutboxEntry, of chat.ConversationID, due bool) {
	l.failing[entry.ID] = of
	if due {
		l.due = append(l.due, entry)
	}
}

// laterChanged brings it up to date after a write to the cache, and tells what
// turned out not to have gone out.
func (s *session) laterChanged(a cache.Applied) {
	again := a.Everything || a.Waiting
	if old := s.later.Load(); old != nil && !again {
		for _, of := range old.failing {
			again = again || slices.Contains(a.Threads, of)
		}
	}
	if again {
		before := s.later.Load()
		now := s.readLater(s.ctx)
		s.tellFailed(a.Failed)
		if before == nil || !maps.Equal(before.failing, now.failing) {
			s.e.tell.state()
		}
	}
}

// codeUndelivered is the code of what the channel could not deliver.
const codeUndelivered chat.Code = "undelivered"

// tellRefused tells that something of the outbox waits for its author.
func (s *session) tellRefused(w outbox.Entry) {
	p := w.Problem
	if w.Kind == protocol.ContactUpdate {
		// The contact shows the old value again: that must not look like a slip.
		name := s.contactLabel(w.Contact)
		if name == "" {
			name = "The contact"
		}
		s.problem(Problem{Code: string(p.Code),
			Message: name + " could not be changed: " + p.Detail + " What you typed is kept with what could not be sent."})
		return
	}
	s.undelivered(entryOf(w), p.Code, p.Detail)
}

func (s *session) undelivered(e OutboxEntry, code chat.Code, reason string) {
	u := Undelivered{Account: s.account.ID, Entry: e.ID, Conversation: e.Conversation, Message: e.Message, Code: string(code), Reason: reason}
	if c, err := chat.ParseID[chat.Conversation](e.Conversation); err == nil {
		// An account behind is closed when its last text is refused.
		if u.Label, _, err = s.placeOf(context.WithoutCancel(s.ctx), c); err != nil {
			s.e.log.Warn("name the chat of what was not sent", "error", err) // told without
		}
	}
	s.e.tell.undelivered(u)
}

// scheduledEntry makes the window's entry of what the server keeps, with its
// moment by this machine's clock.
func (s *session) scheduledEntry(x chat.Scheduled) OutboxEntry {
	out := OutboxEntry{ID: scheduledPrefix + x.ID.String(), Message: x.ID.String(), Conversation: x.Conversation.String(),
		Kind: protocol.MessageSend, Text: x.Text(), State: stateScheduled, CreatedAt: x.CreatedAt,
		SendAt: x.SendAt.Add(-s.ahead()), ReplyTo: x.ReplyTo}
	if len(x.Problem) > 0 {
		out.State = string(cache.StateRefused)
		out.Problem = &protocol.Problem{}
		if json.Unmarshal(x.Problem, out.Problem) != nil {
			out.Problem = &protocol.Problem{Code: chat.CodeInternal, Detail: "This could not be sent."}
		}
	}
	return out
}

// undeliveredEntry makes the window's entry of a failed delivery.
func undeliveredEntry(m chat.Message) OutboxEntry {
	return OutboxEntry{ID: undeliveredPrefix + m.ID.String(), Message: m.ID.String(), Conversation: m.Conversation.String(),
		Kind: protocol.MessageSend, Text: m.Text(), State: stateUndelivered, CreatedAt: m.StoredAt,
		Problem: &protocol.Problem{Code: codeUndelivered, Detail: m.Delivery.Error}}
}

// scheduledOf gives what the server keeps for a conversation and is not on its
// way by another command.
func (s *session) scheduledOf(c chat.ConversationID, waiting []outbox.Entry) []OutboxEntry {
	var out []OutboxEntry
	for _, x := range s.laterNow().scheduled[c] {
		if !slices.ContainsFunc(waiting, func(w outbox.Entry) bool { return w.Message == x.ID }) {
			out = append(out, s.scheduledEntry(x))
		}
	}
	return out
}

// findScheduled gives a message that the server keeps.
func (s *session) findScheduled(id string) (chat.Scheduled, error) {
	for _, list := range s.laterNow().scheduled {
		for _, x := range list {
			if x.ID.String() == id {
				return x, nil
			}
		}
	}
	return chat.Scheduled{}, chat.Errorf(chat.CodeNotFound, "This message is no longer scheduled: it has gone out, or was dropped.")
}

// sendScheduled sends what the server keeps now: a new command, the same message.
func (s *session) sendScheduled(id string, r Resend) (OutboxEntry, error) {
	x, err := s.findScheduled(id)
	if err != nil {
		return OutboxEntry{}, err
	}
	args := protocol.MessageSendArgs{Conversation: x.Conversation, Message: x.ID, Parts: x.Parts, ReplyTo: x.ReplyTo,
		Over: overOf(r, s.scheduledEntry(x).Problem, x.Over)}
	if r.Text != nil {
		args.Parts = withText(x.Parts, *r.Text)
	}
	if err := chat.CheckParts(args.Parts); err != nil {
		return OutboxEntry{}, err
	}
	entry := outbox.Entry{Conversation: x.Conversation, Message: x.ID, Kind: protocol.MessageSend}
	if x.Seen != nil {
		seen := max(*x.Seen, r.Seen)
		if p := s.scheduledEntry(x).Problem; p != nil {
			seen = newest(seen, p)
		}
		entry.Seen = &seen
	}
	if err := s.draftOutlives(x.Conversation); err != nil {
		return OutboxEntry{}, err
	}
	entry, err = s.enqueue(entry, args, false)
	return entryOf(entry), err
}

// retryDelivery lets a message whose delivery failed go out once more, whether
// or not it is still listed: its thread shows it as failed for ever.
func (s *session) retryDelivery(id string) (OutboxEntry, error) {
	of, err := chat.ParseID[chat.Message](id)
	if err != nil {
		return OutboxEntry{}, err
	}
	var m chat.Message
	raw, err := s.cache.Message(s.ctx, of)
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	switch {
	case err != nil && chat.ErrorCode(err) != chat.CodeNotFound:
		return OutboxEntry{}, s.fault(fmt.Errorf("read what was not delivered: %w", err))
	case err != nil, !m.Author.IsMember(s.me), m.Delivery == nil, m.Delivery.State != chat.DeliveryFailed:
		return OutboxEntry{}, chat.Errorf(chat.CodeNotFound, "This message is no longer undelivered.")
	}
	if w, waits := retryOf(s.outbox.Snapshot().Of(m.Conversation), m.ID); waits {
		return entryOf(w), nil
	}
	entry, err := s.enqueue(outbox.Entry{Conversation: m.Conversation, Message: m.ID, Kind: protocol.MessageRetry},
		protocol.MessageArgs{Conversation: m.Conversation, Message: m.ID}, false)
	return entryOf(entry), err
}

// retryOf gives the command with which a failed delivery is about to be tried
// again.
func retryOf(waiting []outbox.Entry, m chat.MessageID) (w outbox.Entry, waits bool) {
	i := slices.IndexFunc(waiting, func(w outbox.Entry) bool { return w.Kind == protocol.MessageRetry && w.Message == m })
	if i < 0 {
		return w, false
	}
	return waiting[i], true
}

// giveUp takes a failed delivery off the list; the thread goes on showing it.
func (s *session) giveUp(id string) (Dropped, error) {
	for _, m := range s.laterNow().undelivered {
		if m.ID.String() != id {
			continue
		}
		if err := s.local.PutSetting(s.ctx, givenUp+id, json.RawMessage("true")); err != nil {
			return Dropped{}, err
		}
		s.readLater(s.ctx)
		s.e.tell.state()
		return Dropped{Text: m.Text()}, nil
	}
	return Dropped{}, chat.Errorf(chat.CodeNotFound, "This message is no longer undelivered.")
}

// CodeUncertain says that nobody knows whether something was done: the line
// broke before the answer.
const CodeUncertain chat.Code = "uncertain"

const (
	takeBackTries = 3
	takeBackRest  = time.Second
	takeBackTime  = 8 * time.Second // of one try
)

// unschedule takes a message back that the server keeps. That needs the server:
// a message must not go out after its author was told that it is taken back.
func (s *session) unschedule(id string) (Dropped, error) {
	x, err := s.findScheduled(id)
	if err != nil {
		return Dropped{}, err
	}
	args, err := json.Marshal(protocol.MessageArgs{Conversation: x.Conversation, Message: x.ID})
	if err != nil {
		return Dropped{}, err
	}
	cmd := chat.Command{ID: chat.NewID[chat.Command](), Kind: protocol.MessageUnschedule, Args: args}
	var res outbox.Answer
	arrived := false
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(s.ctx, takeBackTime)
		res, err = s.submit(ctx, cmd)
		cancel()
		if err == nil {
			break
		}
		arrived = arrived || !protocol.NeverSent(err)
		if !arrived || try == takeBackTries {
			break
		}
		select {
		case <-time.After(takeBackRest):
		case <-s.ctx.Done():
		}
	}
	switch {
	case err != nil && arrived:
		return Dropped{}, &chat.Error{Code: CodeUncertain, Cause: err,
			Message: "The line broke before the server answered: the message may still go out. Look at the chat before you send the text again."}
	case err != nil:
		return Dropped{}, &chat.Error{Code: chat.CodeUnavailable, Cause: err,
			Message: "The server keeps this message, and cannot be reached now. It goes out at the time you chose; take it back when the line is there again."}
	case res.Problem != nil:
		return Dropped{}, protocol.ErrorOf(res.Problem)
	}
	if res.Seq > 0 {
		applied, err := s.cache.PutRowsOf(s.ctx, res.Era, []cache.Row{{Kind: chat.EntityScheduled, ID: id, Op: chat.OpDelete, Ver: res.Seq, Conversation: x.Conversation}})
		if err != nil {
			s.e.log.Warn("forget scheduled message", "error", err) // the change follows
		} else {
			applied.Waiting = true // where the log was faster, it is about to say so
			s.changed(applied)
		}
	}
	return Dropped{Text: x.Text()}, nil
}

// unscheduleRefused takes back what the server still keeps of a refused text: a
// scheduled one that was to go out now. Dropped here alone it would go out when
// it is due, although its author was told that it is gone.
func (s *session) unscheduleRefused(id chat.CommandID) error {
	for _, w := range s.outbox.Snapshot().Refused() {
		if w.ID != id || w.Kind != protocol.MessageSend {
			continue
		}
		if _, err := s.findScheduled(w.Message.String()); err != nil {
			return nil // the server keeps nothing of it
		}
		_, err := s.unschedule(w.Message.String())
		return err
	}
	return nil
}

// elsewhere splits the id of an entry that is not in the outbox.
func elsewhere(entry, prefix string) (id string, ok bool) { return strings.CutPrefix(entry, prefix) }
