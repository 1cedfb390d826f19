package inbox

import (
	"context"
	"fmt"

	"parley/backend/chat"
	"parley/backend/server/store"
)

// Inbound is one message of a customer, as a channel delivers it.
type Inbound struct {
	Workspace chat.WorkspaceID
	Channel   chat.Channel
	// Address is the customer's on the channel. Contact is the id of the person
	// if already known, or the one to give them.
	Address string
	Contact chat.ContactID
	// Conversation saves looking for it; zero when not known.
	Conversation chat.ConversationID
	// MessageID names the message where the sender's program does, zero where
	// the network has only its own RemoteID. One of both is needed: they are
	// what makes a repeat harmless.
	MessageID chat.MessageID
	RemoteID  string
	Parts     []chat.Part
	SentAt    chat.Time // zero: now
	ReplyTo   chat.MessageID
	// About is what the channel knows of the person, for the first message.
	About arrival
	// visitor is the hash of the visitor's token, for the first message on web
	// channels: their row has the arrival, and is bound to the conversation.
	visitor []byte
	// broughtBy limits the files of Parts to those this customer may send; zero
	// where the channel itself has stored them.
	broughtBy chat.ContactID
}

// Deliver stores a customer's message, once per message id and once per
// (channel, remote id). The first message of a person makes the contact and
// the conversation; one in a resolved conversation reopens it. It returns
// after the commit is durable.
func (in *Inbox) Deliver(ctx context.Context, m Inbound) (chat.Message, chat.Conversation, error) {
	if err := chat.CheckParts(m.Parts); err != nil {
		return chat.Message{}, chat.Conversation{}, err
	}
	if m.MessageID.IsZero() && m.RemoteID == "" {
		return chat.Message{}, chat.Conversation{}, chat.Invalid("id", "The message needs an id.")
	}
	var d delivery
	err := in.store.Update(ctx, m.Workspace, func(tx *store.Tx) error {
		d = delivery{tx: tx, in: m}
		return d.run()
	})
	if err != nil {
		return chat.Message{}, chat.Conversation{}, fmt.Errorf("deliver: %w", err)
	}
	if d.stored {
		in.committed(m.Workspace, d.head, &d.conv)
	}
	return d.msg, d.conv, nil
}

// delivery is one inbound message on its way, inside its transaction.
type delivery struct {
	tx     *store.Tx
	in     Inbound
	meta   store.Meta
	msg    chat.Message
	conv   chat.Conversation
	stored bool // false for a repeat
	head   int64
}

func (d *delivery) run() error {
	if repeat, err := d.again(); repeat || err != nil {
		return err
	}
	if err := d.findConversation(); err != nil {
		return err
	}
	parts := d.in.Parts
	if hasFile(parts) {
		var err error
		if parts, err = withFiles(parts, d.file); err != nil {
			return err
		}
		parts = shownAs(parts)
	}
	d.meta = store.Meta{Actor: chat.CustomerActor(d.conv.Contact)}
	if d.conv.ReopenForCustomer(hasAssistant) {
		if err := event(d.tx, d.meta, &d.conv, chat.Event{Name: "reopened"}); err != nil {
			return err
		}
	}
	now := d.tx.Now()
	d.msg = chat.Message{ID: d.in.MessageID, Kind: chat.MessageKindMessage, Author: d.meta.Actor, Parts: parts,
		SentAt: d.in.SentAt, StoredAt: now, ReplyTo: d.in.ReplyTo, RemoteID: d.in.RemoteID}
	if d.msg.ID.IsZero() {
		d.msg.ID = chat.NewID[chat.Message]()
	}
	if d.msg.SentAt.IsZero() {
		d.msg.SentAt = now
	}
	if err := chat.CheckSize("parts", d.msg); err != nil {
		return err
	}
	d.conv.Append(&d.msg)
	if err := d.tx.PutMessage(&d.msg, d.meta); err != nil {
		return err
	}
	if err := d.tx.PutConversation(&d.conv, d.meta); err != nil {
		return err
	}
	d.stored, d.head = true, d.tx.Head()
	return nil
}

// file finds a file that the customer may send.
func (d *delivery) file(sha256 string) (chat.File, error) {
	if d.in.broughtBy.IsZero() {
		return d.tx.File(sha256)
	}
	return d.tx.CustomerFile(d.conv.ID, d.in.broughtBy, sha256)
}

// again finds the message if it was delivered before.
func (d *delivery) again() (bool, error) {
	id := d.in.MessageID
	if d.in.RemoteID != "" {
		known, found, err := d.tx.RemoteMessage(d.in.Channel.ID, d.in.RemoteID)
		if err != nil {
			return false, err
		}
		if found {
			id = known
		}
	}
	if id.IsZero() {
		return false, nil
	}
	msg, err := d.tx.Message(id)
	if isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !msg.FromCustomer() || d.in.RemoteID == "" && msg.Author != chat.CustomerActor(d.in.Contact) {
		return false, &chat.Error{Code: chat.CodeIDReused, Field: "id",
			Message: "This message id belongs to another message. Give each message an id of its own."}
	}
	d.msg = msg
	d.conv, err = d.tx.Conversation(msg.Conversation)
	return true, err
}

// findConversation finds the person's conversation on the channel, or starts it.
func (d *delivery) findConversation() error {
	if !d.in.Conversation.IsZero() {
		var err error
		d.conv, err = d.tx.Conversation(d.in.Conversation)
		return err
	}
	var row store.Visitor
	if d.in.visitor != nil {
		var err error
		if row, err = d.tx.Visitor(d.in.visitor); err != nil {
			return err
		}
		if d.in.About, err = keptArrival(row.Arrival); err != nil {
			return err
		}
	}
	contact, identity, err := d.findContact()
	if err != nil {
		return err
	}
	d.conv, err = d.tx.ConversationOf(d.in.Channel.ID, contact.ID)
	if isNotFound(err) {
		d.conv = chat.NewConversation(chat.NewID[chat.Conversation](), d.in.Channel, contact.ID, identity, hasAssistant, d.tx.Now())
		d.conv.Origin = d.in.About.Origin
		err = nil
	}
	if err != nil || d.in.visitor == nil {
		return err
	}
	row.Contact, row.Conversation, row.Arrival = contact.ID, d.conv.ID, nil
	return d.tx.PutVisitor(row)
}

// findContact finds the person, or writes down who they are.
func (d *delivery) findContact() (chat.Contact, chat.IdentityID, error) {
	contact, err := d.tx.IdentityContact(d.in.Channel.ID, d.in.Address)
	if isNotFound(err) && !d.in.Contact.IsZero() {
		contact, err = d.tx.Contact(d.in.Contact)
	}
	if err == nil {
		for _, i := range contact.Identities {
			if i.Channel == d.in.Channel.ID {
				return contact, i.ID, nil
			}
		}
		return contact, chat.IdentityID{}, nil
	}
	if !isNotFound(err) {
		return contact, chat.IdentityID{}, err
	}
	id := d.in.Contact
	if id.IsZero() {
		id = chat.NewID[chat.Contact]()
	}
	contact = d.in.About.contact(id, d.in.Channel, d.in.Address, d.tx.Now())
	err = d.tx.PutContact(&contact, store.Meta{Actor: chat.CustomerActor(id)})
	return contact, contact.Identities[0].ID, err
}

func hasFile(parts []chat.Part) bool {
	for _, p := range parts {
		if p.Kind.IsFile() {
			return true
		}
	}
	return false
}
