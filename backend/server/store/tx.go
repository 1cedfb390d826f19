package store

import (
	"database/sql"
	"encoding/json"
	"slices"

	"parley/backend/chat"
)

// Tx is a transaction of one workspace inside Update. What it reads includes
// what was written before it; what it writes is seen by nobody before the
// commit. It must not be used after its function has returned.
type Tx struct {
	r       reader
	b       *batch
	c       *counter
	id      chat.WorkspaceID
	now     chat.Time
	wrote   bool
	created bool  // the workspace was made here
	failed  error // the first statement that failed

	// Messages written here whose conversation was not known yet: it gives
	// their changes the brand, and the vendor's id its channel.
	loose  []looseMessage
	places map[chat.ConversationID]place

	// Messages written here and not yet followed by their conversation.
	ahead map[chat.ConversationID]chat.MessageID
}

type place struct {
	brand   chat.BrandID
	channel chat.ChannelID
}

type looseMessage struct {
	change       int // index in the batch's changes
	conversation chat.ConversationID
	message      chat.MessageID
	remote       string
}

// ID gives the workspace.
func (tx *Tx) ID() chat.WorkspaceID { return tx.id }

// Head gives the newest sequence number, this transaction's own included.
func (tx *Tx) Head() int64 { return tx.c.head }

// Now gives the moment the transaction's function began.
func (tx *Tx) Now() chat.Time { return tx.now }

// Workspace reads the workspace.
func (tx *Tx) Workspace() (chat.Workspace, error) { return tx.r.workspace() }

// Brand reads a brand.
func (tx *Tx) Brand(id chat.BrandID) (chat.Brand, error) { return tx.r.brand(id) }

// Channel reads a channel with its secret.
func (tx *Tx) Channel(id chat.ChannelID) (chat.Channel, error) { return tx.r.channel(id) }

// Member reads a member with the password's hash.
func (tx *Tx) Member(id chat.MemberID) (chat.Member, error) { return tx.r.member(id) }

// Contact reads a contact.
func (tx *Tx) Contact(id chat.ContactID) (chat.Contact, error) { return tx.r.contact(id) }

// Conversation reads a conversation.
func (tx *Tx) Conversation(id chat.ConversationID) (chat.Conversation, error) {
	c, err := tx.r.conversation(id)
	if err == nil {
		tx.know(c)
	}
	return c, err
}

// Message reads a message by its id.
func (tx *Tx) Message(id chat.MessageID) (chat.Message, error) { return tx.r.message(id) }

// MessageByNumber reads a message by its place in the thread.
func (tx *Tx) MessageByNumber(conv chat.ConversationID, number int64) (chat.Message, error) {
	return tx.r.oneMessage(`select data, remote_id from message where workspace_id = ? and conversation_id = ? and number = ?`,
		tx.r.ws, conv.Bytes(), number)
}

// MessagesAfter reads messages with a higher number, in order.
func (tx *Tx) MessagesAfter(conv chat.ConversationID, number int64, limit int) ([]chat.Message, error) {
	return tx.r.messages(`select data, remote_id from message where workspace_id = ? and conversation_id = ? and number > ?
		order by number limit ?`, limit, tx.r.ws, conv.Bytes(), number, int64(limit))
}

// OthersAfter reads what was said in a conversation after a number by anybody
// but a member: the newest messages, at most limit of them, in order. If one
// of all of them is not the customer's, one of those is among them, however
// many newer ones the customer has written.
func (tx *Tx) OthersAfter(conv chat.ConversationID, number int64, member chat.MemberID, limit int) ([]chat.Message, error) {
	others := func(more string, limit int) ([]chat.Message, error) {
		q := &query{}
		q.add(`select data, remote_id from message where workspace_id = ? and conversation_id = ? and number > ?
			and kind = 'message' and not (author_kind = 'member' and author_id = ?)`, tx.r.ws, conv.Bytes(), number, member.String())
		q.add(more)
		q.add(` order by number desc limit ?`, int64(limit))
		return tx.r.messages(q.text.String(), limit, q.args...)
	}
	list, err := others("", limit)
	if err != nil || len(list) == 0 {
		return list, err
	}
	answered := slices.ContainsFunc(list, func(m chat.Message) bool { return m.Author.Kind != chat.ActorCustomer })
	if !answered && len(list) == limit {
		older, err := others(` and author_kind <> 'customer'`, 1)
		if err != nil {
			return nil, err
		}
		copy(list[limit-len(older):], older)
	}
	slices.Reverse(list)
	return list, nil
}

// resolvedDepth bounds how many events are looked through for the one with
// which a conversation was resolved.
const resolvedDepth = 50

// ResolvedAfter finds the newest event after a number with which a
// conversation was resolved; nil if there is none.
func (tx *Tx) ResolvedAfter(conv chat.ConversationID, number int64) (*chat.Message, error) {
	events, err := tx.r.messages(`select data, remote_id from message where workspace_id = ? and conversation_id = ? and number > ?
		and kind = 'event' order by number desc limit ?`, resolvedDepth, tx.r.ws, conv.Bytes(), number, int64(resolvedDepth))
	if err != nil {
		return nil, err
	}
	for i := range events {
		if e := events[i].Event; e != nil && e.Name == "resolved" {
			return &events[i], nil
		}
	}
	return nil, nil
}

// InNumberAt counts the customer's messages up to and including a number.
func (tx *Tx) InNumberAt(conv chat.ConversationID, number int64) (int64, error) {
	var n int64
	err := tx.r.row("message", `select in_number from message where workspace_id = ? and conversation_id = ? and number <= ?
		order by number desc limit 1`, []any{&n}, tx.r.ws, conv.Bytes(), number)
	if chat.ErrorCode(err) == chat.CodeNotFound {
		return 0, nil // before the first message
	}
	return n, err
}

// LastSentAt tells when a member last wrote to the customer in a conversation;
// zero is never.
func (tx *Tx) LastSentAt(conv chat.ConversationID, member chat.MemberID) (chat.Time, error) {
	var at chat.Time
	err := tx.r.row("message", `select stored_at from message where workspace_id = ? and conversation_id = ? and author_id = ?
		and kind = 'message' and author_kind = 'member' order by number desc limit 1`,
		[]any{&at}, tx.r.ws, conv.Bytes(), member.String())
	if chat.ErrorCode(err) == chat.CodeNotFound {
		return 0, nil
	}
	return at, err
}

// ConversationOf finds the newest conversation of a contact on a channel.
func (tx *Tx) ConversationOf(channel chat.ChannelID, contact chat.ContactID) (chat.Conversation, error) {
	c, err := entity[chat.Conversation](&tx.r, "conversation", `select data from conversation
		where workspace_id = ? and contact_id = ? and channel_id = ? order by last_message_at desc, id desc limit 1`,
		tx.r.ws, contact.Bytes(), channel.Bytes())
	if err == nil {
		tx.know(c)
	}
	return c, err
}

// IdentityContact finds the contact with an address on a channel.
func (tx *Tx) IdentityContact(channel chat.ChannelID, address string) (chat.Contact, error) {
	return entity[chat.Contact](&tx.r, "contact", `select c.data from identity i
		join contact c on c.workspace_id = i.workspace_id and c.id = i.contact_id
		where i.workspace_id = ? and i.channel_id = ? and i.address = ?`, tx.r.ws, channel.Bytes(), address)
}

// UnreadOutgoing reads what was said to the customer in (after, upto] and is
// not known to be read, in order.
func (tx *Tx) UnreadOutgoing(conv chat.ConversationID, after, upto int64) ([]chat.Message, error) {
	all, err := tx.r.messages(`select data, remote_id from message where workspace_id = ? and conversation_id = ?
		and number > ? and number <= ? and kind = 'message' and author_kind <> 'customer' order by number`,
		0, tx.r.ws, conv.Bytes(), after, upto)
	if err != nil {
		return nil, err
	}
	unread := all[:0]
	for _, m := range all {
		if m.Delivery != nil && m.Delivery.State != chat.DeliveryRead {
			unread = append(unread, m)
		}
	}
	return unread, nil
}

// Draft reads what a member has not sent yet in a conversation.
func (tx *Tx) Draft(conv chat.ConversationID, member chat.MemberID) (chat.Draft, error) {
	return entity[chat.Draft](&tx.r, "draft", `select data from draft
		where workspace_id = ? and conversation_id = ? and member_id = ?`, tx.r.ws, conv.Bytes(), member.Bytes())
}

// DraftVer is when a member's draft of a conversation was last put or dropped;
// 0: never, as far as is known.
func (tx *Tx) DraftVer(conv chat.ConversationID, member chat.MemberID) (int64, error) {
	var ver int64
	err := tx.r.row("draft", `select coalesce(max(ver), 0) from (
			select ver from draft where workspace_id = ? and conversation_id = ? and member_id = ?
			union all select ver from tombstone where workspace_id = ? and kind = ? and id = ? and member_id = ?) last`,
		[]any{&ver}, tx.r.ws, conv.Bytes(), member.Bytes(), tx.r.ws, string(chat.EntityDraft), conv.String(), member.Bytes())
	return ver, err
}

// Verdict finds how a command was judged before, if it was.
func (tx *Tx) Verdict(actor chat.MemberID, id chat.CommandID) (Verdict, bool, error) {
	v := Verdict{Actor: actor, ID: id}
	var data, problem sql.NullString
	err := tx.r.row("command", `select hash, seq, status, data, problem, at from command
		where workspace_id = ? and actor_id = ? and id = ?`,
		[]any{&v.Hash, &v.Seq, &v.Status, &data, &problem, &v.At}, tx.r.ws, actor.Bytes(), id.Bytes())
	if chat.ErrorCode(err) == chat.CodeNotFound {
		return Verdict{}, false, nil
	}
	if err != nil {
		return Verdict{}, false, err
	}
	v.Data, v.Problem = rawJSON(data), rawJSON(problem)
	return v, true, nil
}

// PutVerdict keeps how a command was judged.
func (tx *Tx) PutVerdict(v Verdict) error {
	return tx.exec("put verdict", `insert into command (workspace_id, actor_id, id, hash, seq, status, data, problem, at)
		values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.r.ws, v.Actor.Bytes(), v.ID.Bytes(), notNull(v.Hash), v.Seq, v.Status, jsonArg(v.Data), jsonArg(v.Problem), int64(v.At))
}

// RemoteMessage finds the message that a vendor's id stands for, if it came before.
func (tx *Tx) RemoteMessage(channel chat.ChannelID, remoteID string) (chat.MessageID, bool, error) {
	var id chat.MessageID
	err := tx.r.row("message", `select message_id from remote_message where workspace_id = ? and channel_id = ? and remote_id = ?`,
		[]any{&id}, tx.r.ws, channel.Bytes(), remoteID)
	if chat.ErrorCode(err) == chat.CodeNotFound {
		return chat.MessageID{}, false, nil
	}
	return id, err == nil, err
}

// Visitor finds what a visitor's token stands for, in this workspace.
func (tx *Tx) Visitor(hash []byte) (Visitor, error) {
	v := Visitor{Workspace: tx.id, TokenHash: hash}
	var arrival sql.NullString
	err := tx.r.row("visitor", `select channel_id, contact_id, conversation_id, created_at, arrival from visitor
		where workspace_id = ? and token_hash = ?`, []any{&v.Channel, &v.Contact, &v.Conversation, &v.CreatedAt, &arrival}, tx.r.ws, hash)
	v.Arrival = rawJSON(arrival)
	return v, err
}

// PutVisitor records what a visitor's token stands for. It is no change of the log.
func (tx *Tx) PutVisitor(v Visitor) error {
	return tx.exec("put visitor", `insert into visitor (workspace_id, token_hash, channel_id, contact_id, conversation_id, created_at, arrival)
		values (?, ?, ?, ?, ?, ?, ?)
		on conflict (workspace_id, token_hash) do update set channel_id = excluded.channel_id, contact_id = excluded.contact_id,
			conversation_id = excluded.conversation_id, arrival = excluded.arrival`,
		tx.r.ws, v.TokenHash, idArg(v.Channel), idArg(v.Contact), idArg(v.Conversation), int64(v.CreatedAt), jsonArg(v.Arrival))
}

func (tx *Tx) exec(op, q string, args ...any) error {
	tx.wrote = true
	_, err := tx.r.exec(op, q, args...)
	return err
}

func rawJSON(s sql.NullString) json.RawMessage {
	if !s.Valid {
		return nil
	}
	return json.RawMessage(s.String)
}

// notNull makes an absent byte string an empty one.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
