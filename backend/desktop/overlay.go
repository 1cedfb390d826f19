package desktop

import (
	"context"
	"encoding/json"
	"maps"

	"parley/backend/chat"
	"parley/backend/desktop/outbox"
	"parley/backend/protocol"
)

// overlay shows a conversation as it will be once the server has accepted what
// waits: the cached row with the waiting commands applied by the domain's own
// rules. The row itself stays as the server said it; a refused command simply
// is not applied any more. It reports the conversation before and after, nil
// when nothing waits that changes it.
func (s *session) overlay(ctx context.Context, raw json.RawMessage, waiting []outbox.Entry) (json.RawMessage, *overlaid) {
	changes := false
	for _, w := range waiting {
		changes = changes || !w.Text() || released(w)
	}
	if !changes {
		return raw, nil
	}
	var c chat.Conversation
	if json.Unmarshal(raw, &c) != nil {
		return raw, nil
	}
	o := &overlaid{before: c, after: c}
	refused := false
	for _, w := range waiting {
		refused = refused || w.Text() && w.Problem != nil
		if w.Problem == nil && (!refused || w.Reply.IsZero()) { // else it may never happen
			s.foresee(ctx, &o.after, w)
		}
	}
	return patch(raw, o), o
}

// released reports whether a message that could be taken back is on its way: now
// it answers what its author had seen.
func released(w outbox.Entry) bool {
	return w.Kind == protocol.MessageSend && w.Problem == nil && w.Seen != nil && !w.Due.IsZero() && w.Attempts > 0
}

// overlaid is a conversation before and after what waits.
type overlaid struct{ before, after chat.Conversation }

// foresee applies one waiting command to a conversation.
func (s *session) foresee(ctx context.Context, c *chat.Conversation, w outbox.Entry) {
	assistant := c.State == chat.StateAssistant
	switch w.Kind {
	case protocol.MessageSend:
		if released(w) && s.readsOnReply() && *w.Seen > c.ReadNumber {
			c.Read(*w.Seen, s.customerMessages(ctx, *c, *w.Seen))
		}
	case protocol.ConversationRead:
		var args protocol.ReadArgs
		if json.Unmarshal(w.Args, &args) == nil && args.Upto > c.ReadNumber {
			c.Read(args.Upto, s.customerMessages(ctx, *c, args.Upto))
		}
	case protocol.ConversationUnread:
		var args protocol.ReadArgs
		switch {
		case json.Unmarshal(w.Args, &args) != nil:
		case args.From > 0 && args.From < c.LastCustomerNumber:
			c.Read(args.From-1, s.customerMessages(ctx, *c, args.From-1))
		case c.LastCustomerNumber > 0 && c.Unread == 0:
			c.Read(c.LastCustomerNumber-1, max(c.InNumber-1, 0))
		}
	case protocol.ConversationResolve:
		_, _ = c.Resolve(assistant) // where the rule says no, nothing is foreseen
	case protocol.ConversationReopen:
		c.Reopen(assistant)
	case protocol.ConversationAssign:
		var args protocol.AssignArgs
		if json.Unmarshal(w.Args, &args) == nil {
			c.Assign(args.Member)
		}
	case protocol.HandoffAccept:
		_, _ = c.Accept(s.me, false) // as above
	case protocol.HandoffRelease:
		_, _ = c.Release(s.me, true, assistant) // as above
	}
}

// customerMessages counts the customer's messages up to a number.
func (s *session) customerMessages(ctx context.Context, c chat.Conversation, upto int64) int64 {
	if upto >= c.LastCustomerNumber {
		return c.InNumber
	}
	if upto <= 0 {
		return 0
	}
	page, err := s.cache.Thread(ctx, c.ID, upto+1, 0, 0, 1)
	if err != nil || len(page.Messages) == 0 {
		return c.ReadIn // not cached: leave the count as it is
	}
	var m chat.Message
	if json.Unmarshal(page.Messages[0], &m) != nil {
		return c.ReadIn
	}
	return m.InNumber
}

// patch writes the foreseen values into the row and leaves all else, known or
// not, as it is.
func patch(raw json.RawMessage, o *overlaid) json.RawMessage {
	after := o.after
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(raw, &fields) != nil {
		return raw
	}
	for name, value := range map[string]any{
		"state": after.State, "status": after.Status, "holder": after.Holder, "assignee": after.Assignee,
		"unread": after.Unread, "read_number": after.ReadNumber, "read_in": after.ReadIn,
	} {
		b, err := json.Marshal(value)
		if err != nil {
			return raw
		}
		fields[name] = b
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return raw
	}
	return b
}

// overlayContact shows a contact with the changes that wait.
func overlayContact(raw json.RawMessage, waiting []outbox.Entry) json.RawMessage {
	if len(waiting) == 0 {
		return raw
	}
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(raw, &fields) != nil {
		return raw
	}
	for _, w := range waiting {
		args := map[string]json.RawMessage{}
		if w.Problem != nil {
			continue // it stands with what could not be sent, not in the contact
		}
		if json.Unmarshal(w.Args, &args) == nil {
			delete(args, "contact")
			maps.Copy(fields, args)
		}
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return raw
	}
	return b
}
