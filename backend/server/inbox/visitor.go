package inbox

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/auth"
	"parley/backend/server/fanout"
	"parley/backend/server/store"
)

var _ Visitors = (*Inbox)(nil)

// everything is the view of the house itself.
var everything = chat.View{}

// visitorPage is how many messages a visitor gets at once.
const visitorPage = 200

// OpenVisitor implements Visitors.
func (in *Inbox) OpenVisitor(ctx context.Context, o OpenVisitor) (Visitor, string, error) {
	about, err := arrivalOf(o)
	if err != nil {
		return Visitor{}, "", err
	}
	var row *store.Visitor
	if o.Token != "" {
		r, err := in.visitorRow(ctx, o.Token)
		switch {
		case err == nil && r.Workspace == o.Workspace && r.Channel == o.Channel.ID:
			row = &r
		case err != nil && chat.ErrorCode(err) != chat.CodeUnauthorized:
			return Visitor{}, "", err
		}
	}
	if o.Verified {
		return in.openVerified(ctx, o, about, row)
	}
	if row != nil {
		return placed(*row, o.Channel), "", in.meet(ctx, *row, about)
	}
	token := auth.Token()
	fresh := store.Visitor{Workspace: o.Workspace, TokenHash: auth.TokenHash(token), Channel: o.Channel.ID,
		Contact: chat.NewID[chat.Contact](), CreatedAt: in.now()}
	if fresh.Arrival, err = about.keep(); err != nil {
		return Visitor{}, "", err
	}
	if err := in.store.PutVisitor(ctx, fresh); err != nil {
		return Visitor{}, "", fmt.Errorf("open visitor: %w", err)
	}
	in.visitors.put(string(fresh.TokenHash), fresh)
	return placed(fresh, o.Channel), token, nil
}

func placed(row store.Visitor, ch chat.Channel) Visitor {
	return Visitor{Workspace: row.Workspace, Channel: ch, TokenHash: row.TokenHash, Contact: row.Contact, Conversation: row.Conversation}
}

// meet takes over what is said about a visitor: into the contact if there is
// one, else into the visitor's row until the first message makes it.
func (in *Inbox) meet(ctx context.Context, row store.Visitor, about arrival) error {
	c, err := in.store.Contact(ctx, row.Workspace, everything, row.Contact)
	if isNotFound(err) {
		return in.await(ctx, row, about)
	}
	if err != nil || !about.fill(&c) {
		return err
	}
	return in.update(ctx, row.Workspace, func(tx *store.Tx) error {
		c, err := tx.Contact(row.Contact)
		if err != nil || !about.fill(&c) {
			return err
		}
		return tx.PutContact(&c, store.Meta{Actor: chat.CustomerActor(c.ID)})
	})
}

// await keeps what is known of a visitor who has not written yet, where a
// restart does not lose it. A visit that says nothing new writes nothing.
func (in *Inbox) await(ctx context.Context, row store.Visitor, about arrival) error {
	if _, changed, err := merged(row, about); err != nil || !changed {
		return err
	}
	err := in.store.Update(ctx, row.Workspace, func(tx *store.Tx) error {
		stored, err := tx.Visitor(row.TokenHash) // the row in memory may be older
		if err != nil {
			return err
		}
		var changed bool
		if row, changed, err = merged(stored, about); err != nil || !changed {
			return err
		}
		return tx.PutVisitor(row)
	})
	if err != nil {
		return fmt.Errorf("keep arrival: %w", err)
	}
	in.visitors.put(string(row.TokenHash), row)
	return nil
}

// merged gives the row with what is said now on top of what was known.
func merged(row store.Visitor, about arrival) (store.Visitor, bool, error) {
	earlier, err := keptArrival(row.Arrival)
	if err != nil {
		return row, false, err
	}
	raw, err := about.over(earlier).keep()
	if err != nil || bytes.Equal(raw, row.Arrival) {
		return row, false, err
	}
	row.Arrival = raw
	return row, true, nil
}

// update runs one transaction and tells that the log has grown, if it has.
func (in *Inbox) update(ctx context.Context, ws chat.WorkspaceID, fn func(*store.Tx) error) error {
	var before, after int64
	err := in.store.Update(ctx, ws, func(tx *store.Tx) error {
		before = tx.Head()
		err := fn(tx)
		after = tx.Head()
		return err
	})
	if err == nil && after > before {
		in.committed(ws, after, nil)
	}
	return err
}

// openVerified finds the person of a proven user id, on whichever device they
// came first, or makes the one of this token that person.
func (in *Inbox) openVerified(ctx context.Context, o OpenVisitor, about arrival, row *store.Visitor) (Visitor, string, error) {
	address := "user:" + o.Profile.UserID
	token := auth.Token()
	var out store.Visitor
	fresh := false
	err := in.update(ctx, o.Workspace, func(tx *store.Tx) error {
		contact, err := in.verified(tx, o, about, row, address)
		if err != nil {
			return err
		}
		fresh = row == nil || row.Contact != contact.ID
		out = store.Visitor{Workspace: o.Workspace, TokenHash: auth.TokenHash(token), Channel: o.Channel.ID,
			Contact: contact.ID, CreatedAt: tx.Now()}
		if !fresh {
			out = *row
		}
		conv, err := tx.ConversationOf(o.Channel.ID, contact.ID)
		if err != nil && !isNotFound(err) {
			return err
		}
		before := out
		out.Conversation = conv.ID
		if conv.ID.IsZero() { // the page that brought them is for the conversation
			if out, _, err = merged(out, about); err != nil {
				return err
			}
		}
		if !fresh && out.Conversation == before.Conversation && bytes.Equal(out.Arrival, before.Arrival) {
			return nil
		}
		return tx.PutVisitor(out)
	})
	if err != nil {
		return Visitor{}, "", fmt.Errorf("open visitor: %w", err)
	}
	in.visitors.put(string(out.TokenHash), out)
	if !fresh {
		token = ""
	}
	return placed(out, o.Channel), token, nil
}

// verified finds or makes the contact of a proven address.
func (in *Inbox) verified(tx *store.Tx, o OpenVisitor, about arrival, row *store.Visitor, address string) (chat.Contact, error) {
	contact, err := tx.IdentityContact(o.Channel.ID, address)
	if err == nil {
		if !about.fill(&contact) {
			return contact, nil
		}
		return contact, tx.PutContact(&contact, store.Meta{Actor: chat.CustomerActor(contact.ID)})
	}
	if !isNotFound(err) {
		return contact, err
	}
	id := chat.NewID[chat.Contact]()
	if row != nil {
		contact, err = tx.Contact(row.Contact)
		switch {
		case isNotFound(err):
			id = row.Contact
		case err != nil:
			return contact, err
		case !isSomebody(contact, o.Channel.ID): // wrote before signing in to the shop
			about.fill(&contact)
			contact.Identities = append(contact.Identities,
				chat.Identity{ID: chat.NewID[chat.Identity](), Channel: o.Channel.ID, Address: address, Name: about.Name})
			return contact, tx.PutContact(&contact, store.Meta{Actor: chat.CustomerActor(contact.ID)})
		}
	}
	contact = about.contact(id, o.Channel, address, tx.Now())
	return contact, tx.PutContact(&contact, store.Meta{Actor: chat.CustomerActor(id)})
}

// isSomebody reports whether a contact already is a proven user of the channel.
func isSomebody(c chat.Contact, channel chat.ChannelID) bool {
	for _, i := range c.Identities {
		if i.Channel == channel && strings.HasPrefix(i.Address, "user:") {
			return true
		}
	}
	return false
}

// visitorRow finds what a token stands for.
func (in *Inbox) visitorRow(ctx context.Context, token string) (store.Visitor, error) {
	if token == "" || len(token) > 256 {
		return store.Visitor{}, chat.Errorf(chat.CodeUnauthorized, "This visit is not known. Reload the page.")
	}
	hash := auth.TokenHash(token)
	if row, ok := in.visitors.get(string(hash)); ok {
		return row, nil
	}
	row, err := in.store.VisitorByToken(ctx, hash)
	if isNotFound(err) || chat.ErrorCode(err) == chat.CodeUnauthorized {
		return row, chat.Errorf(chat.CodeUnauthorized, "This visit is not known. Reload the page.")
	}
	if err != nil {
		return row, fmt.Errorf("find visitor: %w", err)
	}
	in.visitors.put(string(hash), row)
	return row, nil
}

// Visitor implements Visitors.
func (in *Inbox) Visitor(ctx context.Context, token string) (Visitor, error) {
	row, err := in.visitorRow(ctx, token)
	if err != nil {
		return Visitor{}, err
	}
	ch, err := in.channelByID(ctx, row.Workspace, row.Channel)
	if err != nil {
		return Visitor{}, err
	}
	return placed(row, ch), nil
}

// Say implements Visitors.
func (in *Inbox) Say(ctx context.Context, v Visitor, id chat.MessageID, parts []chat.Part) (chat.Message, error) {
	if id.IsZero() {
		return chat.Message{}, chat.Invalid("id", "The message needs an id, a fresh UUIDv7.")
	}
	if err := checkLength(parts, chat.AbilitiesOf(v.Channel.Kind)); err != nil {
		return chat.Message{}, err
	}
	m := Inbound{Workspace: v.Workspace, Channel: v.Channel, Contact: v.Contact, Conversation: v.Conversation,
		Address: "visitor:" + v.Contact.String(), MessageID: id, Parts: parts, broughtBy: v.Contact}
	if v.Conversation.IsZero() {
		m.visitor = v.TokenHash
	}
	msg, conv, err := in.Deliver(ctx, m)
	if err != nil {
		return msg, err
	}
	if v.Conversation.IsZero() {
		in.visitors.put(string(v.TokenHash), store.Visitor{Workspace: v.Workspace, TokenHash: v.TokenHash,
			Channel: v.Channel.ID, Contact: conv.Contact, Conversation: conv.ID})
	}
	return msg, nil
}

// conversationOf finds the visitor's conversation, which may have begun on
// another device since v was made; zero when there is none yet.
func (in *Inbox) conversationOf(ctx context.Context, v Visitor) (chat.ConversationID, error) {
	if !v.Conversation.IsZero() {
		return v.Conversation, nil
	}
	if row, ok := in.visitors.get(string(v.TokenHash)); ok && !row.Conversation.IsZero() {
		return row.Conversation, nil
	}
	f := store.ConversationFilter{Channel: v.Channel.ID, Contact: v.Contact}
	list, _, _, err := in.store.Conversations(ctx, v.Workspace, everything, f, "", 1)
	if err != nil || len(list) == 0 {
		return chat.ConversationID{}, err
	}
	return list[0].ID, nil
}

// VisitorMessages implements Visitors.
func (in *Inbox) VisitorMessages(ctx context.Context, v Visitor, after int64) (from, to int64, msgs []chat.Message, err error) {
	after = max(0, after)
	conv, err := in.conversationOf(ctx, v)
	if err != nil || conv.IsZero() {
		return after, 0, []chat.Message{}, err
	}
	to, msgs, err = in.store.VisitorMessages(ctx, v.Workspace, conv, after, visitorPage)
	if msgs == nil {
		msgs = []chat.Message{}
	}
	return after, to, msgs, err
}

// Standing implements Visitors.
func (in *Inbox) Standing(ctx context.Context, v Visitor) (Standing, error) {
	id, err := in.conversationOf(ctx, v)
	if err != nil || id.IsZero() {
		return Standing{}, err
	}
	conv, err := in.store.Conversation(ctx, v.Workspace, everything, id)
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Status: conv.Status}
	if v.Channel.Settings.ShowsReceipts() {
		s.Read = conv.ReadNumber
	}
	return s, nil
}

// VisitorRead implements Visitors: receipts move forward only.
func (in *Inbox) VisitorRead(ctx context.Context, v Visitor, upto int64) error {
	id, err := in.conversationOf(ctx, v)
	if err != nil || id.IsZero() {
		return err
	}
	var conv chat.Conversation
	var head int64
	err = in.store.Update(ctx, v.Workspace, func(tx *store.Tx) error {
		head = 0
		if conv, err = tx.Conversation(id); err != nil {
			return err
		}
		upto := min(upto, conv.LastNumber)
		if upto <= conv.SeenByCustomer {
			return nil
		}
		meta := store.Meta{Actor: chat.CustomerActor(v.Contact)}
		unread, err := tx.UnreadOutgoing(id, conv.SeenByCustomer, upto)
		if err != nil {
			return err
		}
		for _, m := range unread {
			if m.Delivery == nil || !m.Delivery.Advance(chat.DeliveryRead, "") {
				continue
			}
			if err := tx.PutMessage(&m, meta); err != nil {
				return err
			}
		}
		conv.SeenByCustomer = upto
		if err := tx.PutConversation(&conv, meta); err != nil {
			return err
		}
		head = tx.Head()
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what the visitor has read: %w", err)
	}
	if head > 0 {
		in.committed(v.Workspace, head, &conv)
	}
	return nil
}

// typingTTL is how long "is typing" stands without a further key press, seconds.
const typingTTL = 6

// VisitorTyping implements Visitors.
func (in *Inbox) VisitorTyping(ctx context.Context, v Visitor) {
	id, err := in.conversationOf(ctx, v)
	if err != nil || id.IsZero() {
		return // nobody could show it anyway
	}
	frame, err := marshal(protocol.Frame{Type: protocol.FrameTyping, Conversation: id, Contact: v.Contact, TTL: typingTTL})
	if err != nil {
		in.log.ErrorContext(ctx, "encode typing", "error", err)
		return
	}
	in.fan.Publish(fanout.Hint{Workspace: v.Workspace, Conversation: id, Brand: v.Channel.Brand,
		Ephemeral: frame, Key: "typing " + id.String() + " " + v.Contact.String()})
}

// SubscribeVisitor implements Visitors.
func (in *Inbox) SubscribeVisitor(v Visitor, notify func(VisitorHint)) (cancel func()) {
	return in.subscribers.add(v.Workspace, v.Contact, notify)
}
