package desktop

import (
	"encoding/json"
	"fmt"
	"strings"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

// Send puts a message into the outbox. When it returns the text is on disk and
// the draft is gone; it goes out as soon as it can.
func (e *Engine) Send(id string, m NewMessage) (OutboxEntry, error) {
	s, conv, err := e.targetOf(id, m.Account)
	if err != nil {
		return OutboxEntry{}, err
	}
	args := protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Parts: []chat.Part{chat.TextPart(m.Text)}, Draft: s.drafts.upto(conv)}
	if err := chat.CheckParts(args.Parts); err != nil {
		return OutboxEntry{}, err
	}
	if m.ReplyTo != "" {
		if args.ReplyTo, err = chat.ParseID[chat.Message](m.ReplyTo); err != nil {
			return OutboxEntry{}, err
		}
	}
	seen := max(m.Seen, 0)
	w := outbox.Entry{Conversation: conv, Message: args.Message, Kind: protocol.MessageSend, Seen: &seen, CreatedAt: e.now()}
	if m.SendAt > e.now() {
		if m.SendAt > e.now().Add(chat.MaxSchedule) {
			return OutboxEntry{}, chat.Invalid("send_at", "A message can be sent at most a year from now.")
		}
		args.SendAt, w.SendAt = m.SendAt.Add(s.ahead()), m.SendAt // the server's clock, and this one
	} else if undo := s.undo(); undo > 0 {
		w.Due = w.CreatedAt.Add(undo)
	}
	entry, err := s.enqueue(w, args, true)
	if err != nil {
		return OutboxEntry{}, err
	}
	s.drafts.sent(conv, entry.CreatedAt)
	// What can still be taken back has answered nothing yet: the server marks it
	// as read when it has it, and the overlay when it is handed in.
	if seen > 0 && w.SendAt.IsZero() && w.Due.IsZero() && s.readsOnReply() {
		if _, err := s.enqueue(outbox.Entry{Conversation: conv, Reply: args.Message, Kind: protocol.ConversationRead}, protocol.ReadArgs{Conversation: conv, Upto: seen}, false); err != nil {
			e.log.Warn("mark read on reply", "error", err) // the message is what counts
		}
	}
	return entryOf(entry), nil
}

// Comment puts an internal comment into the outbox.
func (e *Engine) Comment(id string, c NewComment) (OutboxEntry, error) {
	s, conv, err := e.targetOf(id, c.Account)
	if err != nil {
		return OutboxEntry{}, err
	}
	if strings.TrimSpace(c.Text) == "" {
		return OutboxEntry{}, chat.Invalid("text", "The comment is empty.")
	}
	if err := chat.CheckText("text", c.Text, chat.MaxTextBytes); err != nil {
		return OutboxEntry{}, err
	}
	args := protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: c.Text, Draft: s.drafts.upto(conv)}
	for _, m := range c.Mentions {
		member, err := chat.ParseID[chat.Member](m)
		if err != nil {
			return OutboxEntry{}, err
		}
		args.Mentions = append(args.Mentions, member)
	}
	entry, err := s.enqueue(outbox.Entry{Conversation: conv, Message: args.Message, Kind: protocol.CommentAdd}, args, true)
	if err != nil {
		return OutboxEntry{}, err
	}
	// The server drops a draft with a message only: this one is dropped by itself.
	if err := s.drafts.save(cache.Draft{Conversation: conv, UpdatedAt: e.now()}); err != nil {
		e.log.Warn("drop draft", "error", err) // the comment is what counts
	}
	return entryOf(entry), nil
}

// enqueue gives an entry its command id and puts it into the outbox.
func (s *session) enqueue(entry outbox.Entry, args any, clearDraft bool) (outbox.Entry, error) {
	b, err := json.Marshal(args)
	if err != nil {
		return entry, fmt.Errorf("encode %s: %w", entry.Kind, err)
	}
	entry.ID, entry.Args = chat.NewID[chat.Command](), b
	if entry.CreatedAt.IsZero() {
		entry.CreatedAt = s.e.now()
	}
	return entry, s.outbox.Add(entry, clearDraft)
}

// Resend tries a refused text again: a new command, the same message, judged
// against what its author has been shown with the refusal.
func (e *Engine) Resend(entry string, r Resend) (OutboxEntry, error) {
	s, err := e.session()
	if err != nil {
		return OutboxEntry{}, err
	}
	if id, ok := elsewhere(entry, scheduledPrefix); ok {
		return s.sendScheduled(id, r)
	}
	if id, ok := elsewhere(entry, undeliveredPrefix); ok {
		return s.retryDelivery(id)
	}
	id, err := chat.ParseID[chat.Command](entry)
	if err != nil {
		return OutboxEntry{}, err
	}
	again, err := s.outbox.Resend(id, func(old outbox.Entry) (outbox.Entry, error) {
		if old.Kind == protocol.ContactUpdate {
			return s.editAgain(old), nil
		}
		if err := s.draftOutlives(old.Conversation); err != nil {
			return old, err
		}
		return e.again(old, r)
	})
	if err != nil {
		return OutboxEntry{}, err
	}
	return entryOf(again), nil
}

// draftOutlives keeps what stands in the composer while an older text goes out
// again: the server drops the author's draft with the message, which it takes
// for what the message was made from. Kept here, it is brought back afterwards.
func (s *session) draftOutlives(c chat.ConversationID) error {
	d := s.draftOf(s.ctx, c)
	if d == nil {
		return nil
	}
	return s.drafts.save(cache.Draft{Conversation: c, Text: d.Text, Comment: d.Comment, UpdatedAt: s.e.now()})
}

func (e *Engine) again(old outbox.Entry, r Resend) (outbox.Entry, error) {
	next := old
	next.ID, next.CreatedAt = chat.NewID[chat.Command](), e.now()
	next.Problem, next.Attempts, next.Elapsed, next.Noted, next.Uncertain, next.Due = nil, 0, 0, 0, false, 0
	var args any
	if old.Kind == protocol.CommentAdd {
		var c protocol.CommentAddArgs
		if err := json.Unmarshal(old.Args, &c); err != nil {
			return next, fmt.Errorf("read comment: %w", err)
		}
		if r.Text != nil {
			c.Text = *r.Text
		}
		if err := chat.CheckText("text", c.Text, chat.MaxTextBytes); err != nil {
			return next, err
		}
		args = c
	} else {
		var m protocol.MessageSendArgs
		if err := json.Unmarshal(old.Args, &m); err != nil {
			return next, fmt.Errorf("read message: %w", err)
		}
		if r.Text != nil {
			m.Parts = withText(m.Parts, *r.Text)
		}
		if err := chat.CheckParts(m.Parts); err != nil {
			return next, err
		}
		if old.Problem.Code == chat.CodeMomentPassed || next.SendAt <= e.now() { // what is sent again now is not sent later
			m.SendAt, next.SendAt = 0, 0
		}
		m.Force, m.Over = false, overOf(r, old.Problem, m.Over)
		args = m
	}
	if old.Seen != nil {
		seen := newest(max(*old.Seen, r.Seen), old.Problem)
		next.Seen = &seen
	}
	b, err := json.Marshal(args)
	if err != nil {
		return next, fmt.Errorf("encode %s: %w", old.Kind, err)
	}
	next.Args = b
	return next, nil
}

// withText gives parts with another text in the place of theirs; what is no text
// stays.
func withText(parts []chat.Part, text string) []chat.Part {
	out, put := []chat.Part{}, false
	for _, p := range parts {
		switch {
		case p.Kind != chat.PartText:
			out = append(out, p)
		case !put:
			out, put = append(out, chat.TextPart(text)), true
		}
	}
	if !put {
		out = append(out, chat.TextPart(text))
	}
	return out
}

// overOf gives the colleague over whose firm hold a text may go, as its author
// has been told of it. Nothing else needs force when a text is sent again: it is
// compared with what its author has been shown, and what is said after that
// counts, however long it takes until the text is there.
func overOf(r Resend, p *protocol.Problem, before chat.MemberID) chat.MemberID {
	if !r.Force || p == nil || p.Code != chat.CodeHeldByOther || p.Holder == nil {
		return before
	}
	over, err := chat.ParseID[chat.Member](p.Holder.ID)
	if err != nil {
		return before // not somebody we know how to name: asked for again
	}
	return over
}

// newest is the highest number that the author of a text knows of, having been
// shown why it was refused.
func newest(seen int64, p *protocol.Problem) int64 {
	for _, m := range p.Messages {
		seen = max(seen, m.Number)
	}
	return seen
}

// MarkRead moves the read position forward to a message's number.
func (e *Engine) MarkRead(id string, upto int64) error {
	s, conv, err := e.target(id)
	if err != nil {
		return err
	}
	if upto <= 0 {
		return chat.Invalid("upto", "Say up to which message is read.")
	}
	return s.markRead(conv, upto)
}

func (s *session) markRead(conv chat.ConversationID, upto int64) error {
	return s.change(conv, protocol.ConversationRead, protocol.ReadArgs{Conversation: conv, Upto: upto})
}

// change puts a command about a conversation into the outbox.
func (s *session) change(conv chat.ConversationID, kind string, args any) error {
	_, err := s.enqueue(outbox.Entry{Conversation: conv, Kind: kind}, args, false)
	return err
}

// MarkUnread makes the newest customer message unread again, of those that are
// here: what arrives before the server has the command was seen by nobody. A
// chat in which something is unread stays as it is.
func (e *Engine) MarkUnread(id string) error {
	ctx, cancel := e.reading()
	defer cancel()
	s, conv, err := e.target(id)
	if err != nil {
		return err
	}
	args := protocol.ReadArgs{Conversation: conv}
	var c chat.Conversation
	if raw, err := s.cache.Conversation(ctx, conv); err == nil { // else the server knows
		raw, _ = s.overlay(ctx, raw, s.outbox.Snapshot().Of(conv))
		if json.Unmarshal(raw, &c) == nil && c.Unread > 0 {
			return nil
		}
		args.From = c.LastCustomerNumber
	}
	return s.change(conv, protocol.ConversationUnread, args)
}

// Resolve marks a conversation done for now, as it is here: the server refuses
// that over what the customer has said since.
func (e *Engine) Resolve(id string) error {
	ctx, cancel := e.reading()
	defer cancel()
	s, conv, err := e.target(id)
	if err != nil {
		return err
	}
	entry := outbox.Entry{Conversation: conv, Kind: protocol.ConversationResolve}
	var c chat.Conversation
	if raw, err := s.cache.Conversation(ctx, conv); err == nil && json.Unmarshal(raw, &c) == nil { // else nothing was in view to compare with
		entry.Seen = &c.LastNumber
	}
	_, err = s.enqueue(entry, protocol.ConversationArgs{Conversation: conv}, false)
	return err
}

// Reopen takes that back.
func (e *Engine) Reopen(id string) error { return e.simple(id, protocol.ConversationReopen) }

// Accept takes a conversation firmly.
func (e *Engine) Accept(id string) error { return e.simple(id, protocol.HandoffAccept) }

// Release gives it back.
func (e *Engine) Release(id string) error { return e.simple(id, protocol.HandoffRelease) }

func (e *Engine) simple(id, kind string) error {
	s, conv, err := e.target(id)
	if err != nil {
		return err
	}
	return s.change(conv, kind, protocol.ConversationArgs{Conversation: conv})
}

// Assign makes a member responsible; an empty id means nobody.
func (e *Engine) Assign(id, member string) error {
	s, conv, err := e.target(id)
	if err != nil {
		return err
	}
	args := protocol.AssignArgs{Conversation: conv}
	if member != "" {
		if args.Member, err = chat.ParseID[chat.Member](member); err != nil {
			return err
		}
	}
	return s.change(conv, protocol.ConversationAssign, args)
}

// editAgain makes a refused change of a contact anew: a new command, the same
// values.
func (s *session) editAgain(old outbox.Entry) outbox.Entry {
	return outbox.Entry{ID: chat.NewID[chat.Command](), Contact: old.Contact, Kind: old.Kind, Args: old.Args, CreatedAt: s.e.now()}
}

// words gives what was typed.
func (f ContactFields) words() string {
	var typed []string
	for _, field := range []*string{f.Name, f.Email, f.Phone} {
		if field != nil && *field != "" {
			typed = append(typed, *field)
		}
	}
	return strings.Join(typed, "\n")
}

// UpdateContact changes fields of a contact.
func (e *Engine) UpdateContact(contact string, f ContactFields) error {
	s, err := e.session()
	if err != nil {
		return err
	}
	id, err := chat.ParseID[chat.Contact](contact)
	if err != nil {
		return err
	}
	args := protocol.ContactUpdateArgs{Contact: id, Name: f.Name, Email: f.Email, Phone: f.Phone}
	_, err = s.enqueue(outbox.Entry{Contact: id, Kind: protocol.ContactUpdate}, args, false)
	return err
}

// SaveDraft keeps unsent text, whatever it is: what cannot be sent is refused
// when it is sent. It is on disk on return, and on the server soon.
func (e *Engine) SaveDraft(id string, d Draft) error {
	s, conv, err := e.targetOf(id, d.Account)
	if err != nil {
		return err
	}
	s.working()
	return s.drafts.save(cache.Draft{Conversation: conv, Text: d.Text, Comment: d.Comment, UpdatedAt: e.now()})
}

// typingSeconds is how long others show that somebody types.
const typingSeconds = 6

// Typing tells colleagues and the customer that the agent types.
func (e *Engine) Typing(id string) error {
	s, conv, err := e.target(id)
	if err != nil {
		return err
	}
	s.ephemeral(protocol.Frame{Type: protocol.FrameTyping, Conversation: conv, TTL: typingSeconds})
	return nil
}

// Viewing says which conversation is in front of the agent; empty for none.
func (e *Engine) Viewing(id string) error {
	s, err := e.session()
	if err != nil {
		return err
	}
	s.working()
	if id == "" {
		s.viewing.Store(nil)
		return nil
	}
	conv, err := chat.ParseID[chat.Conversation](id)
	if err != nil {
		return err
	}
	s.viewing.Store(&conv)
	s.opened(conv)
	s.ephemeral(protocol.Frame{Type: protocol.FrameViewing, Conversation: conv, TTL: 20})
	return nil
}

// working keeps the background from taking the machine while the agent moves
// through chats or types.
func (s *session) working() {
	s.worked.Store(int64(s.e.clock().Mono))
	if stop := s.breakOff.Load(); stop != nil {
		(*stop)()
	}
	if n := s.net.Load(); n != nil {
		n.sync.Working()
	}
}

func (s *session) ephemeral(f protocol.Frame) {
	if n := s.net.Load(); n != nil && s.report.Load().Status != sync.StatusOffline {
		n.sync.Send(f)
	}
}

// entryOf makes the window's entry of a waiting text.
func entryOf(w outbox.Entry) OutboxEntry {
	out := OutboxEntry{ID: w.ID.String(), Message: w.Message.String(), Conversation: w.Conversation.String(), Kind: w.Kind,
		Text: textOf(w), Comment: w.Kind == protocol.CommentAdd, State: string(cache.StateQueued), Problem: w.Problem,
		CreatedAt: w.CreatedAt, Attempts: w.Attempts, SendAt: w.SendAt, ReplyTo: quotedBy(w)}
	switch {
	case w.Problem != nil:
		out.State = string(cache.StateRefused)
	case w.Sending:
		out.State = string(cache.StateSending)
	case !w.Due.IsZero() && w.Attempts == 0:
		out.State, out.Due = stateHeld, w.Due
	}
	return out
}

// entryAmong is entryOf with what is held behind the text.
func entryAmong(waiting []outbox.Entry, w outbox.Entry) OutboxEntry {
	out := entryOf(w)
	if w.Problem == nil {
		return out
	}
	behind := false
	for _, x := range waiting {
		behind = behind || x.ID == w.ID
		if behind && x.Problem != nil && !x.Text() {
			out.Then = append(out.Then, x.Kind)
		}
	}
	return out
}

// quotedBy gives the message that a text replies to.
func quotedBy(w outbox.Entry) chat.MessageID {
	var args protocol.MessageSendArgs
	if w.Kind != protocol.MessageSend || json.Unmarshal(w.Args, &args) != nil {
		return chat.MessageID{}
	}
	return args.ReplyTo
}

// textOf gives what the author wrote.
func textOf(w outbox.Entry) string {
	var args struct {
		Text  string      `json:"text"`
		Parts []chat.Part `json:"parts"`
		ContactFields
	}
	if json.Unmarshal(w.Args, &args) != nil {
		return ""
	}
	if args.Text != "" {
		return args.Text
	}
	if w.Kind == protocol.ContactUpdate {
		return args.words()
	}
	return chat.Message{Parts: args.Parts}.Text()
}
