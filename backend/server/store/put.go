package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"parley/backend/chat"
)

// The Put methods write an entity as it now is: they give it the workspace's
// next sequence number as its Ver, write its row and append the change. Ver 0
// says the entity is new; an id that exists already is then chat.CodeConflict.

// next takes the next sequence number.
func (tx *Tx) next() int64 {
	tx.c.head++
	tx.c.dirty = true
	tx.wrote = true
	return tx.c.head
}

// record appends a change; it is written with the others before the commit.
func (tx *Tx) record(c chat.Change, meta Meta) {
	c.At, c.Actor, c.Cause = tx.now, meta.Actor, meta.Cause
	if c.Actor.Kind == "" {
		c.Actor = chat.SystemActor()
	}
	tx.b.changes = append(tx.b.changes, logged{tx.r.ws, c})
}

// upsert writes a row: a new one is inserted, any other changed, or inserted
// if it turns out not to be there. That order, and not the database's upsert,
// because a row may collide with itself under a second unique index.
func (tx *Tx) upsert(what string, isNew bool, insert, update string, values, key []any) error {
	tx.wrote = true
	if !isNew {
		n, err := tx.r.exec("put "+what, update, append(slices.Clone(values), key...)...)
		if err != nil || n > 0 {
			return err
		}
	}
	_, err := tx.r.exec("put "+what, insert, append(slices.Clone(values), key...)...)
	return err
}

func encode(x any) (json.RawMessage, error) {
	data, err := json.Marshal(x)
	if err != nil {
		return nil, &opError{"encode", err}
	}
	return data, nil
}

func newEpoch() string { return chat.NewID[chat.Workspace]().String()[19:] }

func (tx *Tx) createWorkspace(w chat.Workspace) error {
	w.Ver = 0
	data, err := encode(w)
	if err != nil {
		return err
	}
	if err := tx.exec("create workspace", `insert into workspace (workspace_id, ver, created_at, data) values (?, 0, ?, ?)`,
		tx.r.ws, int64(tx.now), string(data)); err != nil {
		return err
	}
	epoch := newEpoch()
	if err := tx.exec("create workspace", `insert into counter (workspace_id, head, floor, epoch) values (?, 0, 0, ?)`, tx.r.ws, epoch); err != nil {
		return err
	}
	tx.c.epoch, tx.created = epoch, true
	tx.b.counters[tx.id] = tx.c
	return nil
}

// PutWorkspace writes the workspace.
func (tx *Tx) PutWorkspace(x *chat.Workspace, meta Meta) error {
	x.ID, x.Ver = tx.id, tx.next()
	data, err := encode(x)
	if err != nil {
		return err
	}
	tx.record(chat.Change{Seq: x.Ver, Kind: chat.EntityWorkspace, ID: x.ID.String(), Op: chat.OpPut, Data: data}, meta)
	return tx.exec("put workspace", `update workspace set ver = ?, data = ? where workspace_id = ?`, x.Ver, string(data), tx.r.ws)
}

// PutBrand writes a brand.
func (tx *Tx) PutBrand(x *chat.Brand, meta Meta) error {
	isNew := x.Ver == 0
	x.Ver = tx.next()
	data, err := encode(x)
	if err != nil {
		return err
	}
	tx.record(chat.Change{Seq: x.Ver, Kind: chat.EntityBrand, ID: x.ID.String(), Op: chat.OpPut, Brand: x.ID, Data: data}, meta)
	return tx.upsert("brand", isNew,
		`insert into brand (ver, data, workspace_id, id) values (?, ?, ?, ?)`,
		`update brand set ver = ?, data = ? where workspace_id = ? and id = ?`,
		[]any{x.Ver, string(data)}, []any{tx.r.ws, x.ID.Bytes()})
}

// PutChannel writes a channel. An empty secret keeps the stored one.
func (tx *Tx) PutChannel(x *chat.Channel, meta Meta) error {
	isNew := x.Ver == 0
	if !isNew && x.Secret == "" {
		old, err := tx.r.channel(x.ID)
		if err != nil && chat.ErrorCode(err) != chat.CodeNotFound {
			return err
		}
		x.Secret = old.Secret
	}
	x.Ver = tx.next()
	data, err := encode(x)
	if err != nil {
		return err
	}
	tx.record(chat.Change{Seq: x.Ver, Kind: chat.EntityChannel, ID: x.ID.String(), Op: chat.OpPut, Brand: x.Brand, Data: data}, meta)
	return tx.upsert("channel", isNew,
		`insert into channel (ver, brand_id, key, slug, secret, data, workspace_id, id) values (?, ?, ?, ?, ?, ?, ?, ?)`,
		`update channel set ver = ?, brand_id = ?, key = ?, slug = ?, secret = ?, data = ? where workspace_id = ? and id = ?`,
		[]any{x.Ver, idArg(x.Brand), x.Key, x.Slug, x.Secret, string(data)}, []any{tx.r.ws, x.ID.Bytes()})
}

// PutMember writes a member. An empty password hash keeps the stored one.
func (tx *Tx) PutMember(x *chat.Member, meta Meta) error {
	isNew := x.Ver == 0
	if !isNew && x.PasswordHash == "" {
		old, err := tx.r.member(x.ID)
		if err != nil && chat.ErrorCode(err) != chat.CodeNotFound {
			return err
		}
		x.PasswordHash = old.PasswordHash
	}
	x.Ver = tx.next()
	data, err := encode(x)
	if err != nil {
		return err
	}
	tx.record(chat.Change{Seq: x.Ver, Kind: chat.EntityMember, ID: x.ID.String(), Op: chat.OpPut, Data: data}, meta)
	return tx.upsert("member", isNew,
		`insert into member (ver, email, disabled, password_hash, data, workspace_id, id) values (?, ?, ?, ?, ?, ?, ?)`,
		`update member set ver = ?, email = ?, disabled = ?, password_hash = ?, data = ? where workspace_id = ? and id = ?`,
		[]any{x.Ver, emailKey(x.Email), boolArg(x.Disabled), x.PasswordHash, string(data)}, []any{tx.r.ws, x.ID.Bytes()})
}

// emailKey is how addresses are compared.
func emailKey(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// PutContact writes a contact, its identities and its search terms. An address
// belongs to one contact of a channel: the last one that claimed it.
func (tx *Tx) PutContact(x *chat.Contact, meta Meta) error {
	var old chat.Contact
	isNew := x.Ver == 0
	if !isNew {
		var err error
		if old, err = tx.r.contact(x.ID); err != nil && chat.ErrorCode(err) != chat.CodeNotFound {
			return err
		}
	}
	x.Ver = tx.next()
	data, err := encode(x)
	if err != nil {
		return err
	}
	tx.record(chat.Change{Seq: x.Ver, Kind: chat.EntityContact, ID: x.ID.String(), Op: chat.OpPut, Brand: x.Brand, Data: data}, meta)
	if err := tx.upsert("contact", isNew,
		`insert into contact (ver, brand_id, data, workspace_id, id) values (?, ?, ?, ?, ?)`,
		`update contact set ver = ?, brand_id = ?, data = ? where workspace_id = ? and id = ?`,
		[]any{x.Ver, idArg(x.Brand), string(data)}, []any{tx.r.ws, x.ID.Bytes()}); err != nil {
		return err
	}
	if err := tx.putIdentities(old.Identities, x); err != nil {
		return err
	}
	return tx.putTerms(contactTerms(old), contactTerms(*x), x.ID)
}

func (tx *Tx) putIdentities(old []chat.Identity, x *chat.Contact) error {
	for _, i := range old {
		if slices.ContainsFunc(x.Identities, func(n chat.Identity) bool { return n.Channel == i.Channel && n.Address == i.Address }) {
			continue
		}
		if err := tx.exec("drop identity", `delete from identity where workspace_id = ? and channel_id = ? and address = ? and contact_id = ?`,
			tx.r.ws, i.Channel.Bytes(), i.Address, x.ID.Bytes()); err != nil {
			return err
		}
	}
	for _, i := range x.Identities {
		if slices.ContainsFunc(old, func(o chat.Identity) bool { return o.ID == i.ID && o.Channel == i.Channel && o.Address == i.Address }) {
			continue
		}
		if err := tx.exec("put identity", `insert into identity (workspace_id, channel_id, address, id, contact_id) values (?, ?, ?, ?, ?)
			on conflict (workspace_id, channel_id, address) do update set id = excluded.id, contact_id = excluded.contact_id`,
			tx.r.ws, i.Channel.Bytes(), i.Address, idArg(i.ID), x.ID.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// putTerms writes what has changed in a contact's words, in two statements at most.
func (tx *Tx) putTerms(old, terms []string, id chat.ContactID) error {
	gone, args := 0, []any{tx.r.ws, id.Bytes()}
	for _, t := range old {
		if !slices.Contains(terms, t) {
			gone++
			args = append(args, t)
		}
	}
	if gone > 0 {
		if err := tx.exec("drop terms", `delete from contact_term where workspace_id = ? and contact_id = ? and term in `+rowsOf(1, gone), args...); err != nil {
			return err
		}
	}
	added, args := 0, []any{}
	for _, t := range terms {
		if !slices.Contains(old, t) {
			added++
			args = append(args, tx.r.ws, t, id.Bytes())
		}
	}
	if added == 0 {
		return nil
	}
	return tx.exec("put terms", `insert into contact_term (workspace_id, term, contact_id) values `+rowsOf(added, 3)+`
		on conflict (workspace_id, term, contact_id) do nothing`, args...)
}

// PutConversation writes a conversation. Its contact and channel must exist.
func (tx *Tx) PutConversation(x *chat.Conversation, meta Meta) error {
	isNew := x.Ver == 0
	x.Ver = tx.next()
	data, err := encode(x)
	if err != nil {
		return err
	}
	tx.know(*x)
	delete(tx.ahead, x.ID)
	tx.record(chat.Change{Seq: x.Ver, Kind: chat.EntityConversation, ID: x.ID.String(), Op: chat.OpPut, Brand: x.Brand,
		Conversation: x.ID, Data: data}, meta)
	return tx.upsert("conversation", isNew,
		`insert into conversation (ver, brand_id, channel_id, contact_id, status, state, assignee_id, unread, last_number,
			last_message_at, data, workspace_id, id) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`update conversation set ver = ?, brand_id = ?, channel_id = ?, contact_id = ?, status = ?, state = ?, assignee_id = ?,
			unread = ?, last_number = ?, last_message_at = ?, data = ? where workspace_id = ? and id = ?`,
		conversationValues(*x, data), []any{tx.r.ws, x.ID.Bytes()})
}

func conversationValues(x chat.Conversation, data []byte) []any {
	return []any{x.Ver, idArg(x.Brand), idArg(x.Channel), idArg(x.Contact), string(x.Status), string(x.State), idArg(x.Assignee),
		x.Unread, x.LastNumber, int64(x.LastMessageAt), string(data)}
}

// PutMessage writes a message. Its conversation must be written after it in the
// same transaction: who loads the state learns only from the conversation's ver
// that its thread is another. Neither its place in the thread nor its
// conversation changes.
func (tx *Tx) PutMessage(x *chat.Message, meta Meta) error {
	isNew := x.Ver == 0
	x.Ver = tx.next()
	data, err := encode(x)
	if err != nil {
		return err
	}
	c := chat.Change{Seq: x.Ver, Kind: chat.EntityMessage, ID: x.ID.String(), Op: chat.OpPut, Conversation: x.Conversation, Data: data}
	if tx.ahead == nil {
		tx.ahead = map[chat.ConversationID]chat.MessageID{}
	}
	tx.ahead[x.Conversation] = x.ID
	known, ok := tx.places[x.Conversation]
	c.Brand = known.brand
	tx.record(c, meta)
	if !ok || x.RemoteID != "" {
		tx.loose = append(tx.loose, looseMessage{len(tx.b.changes) - 1, x.Conversation, x.ID, x.RemoteID})
	}
	if err := tx.putParts(x, isNew); err != nil {
		return err
	}
	return tx.upsert("message", isNew,
		`insert into message (ver, in_number, kind, author_kind, author_id, stored_at, remote_id, data,
			workspace_id, id, conversation_id, number) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`update message set ver = ?, in_number = ?, kind = ?, author_kind = ?, author_id = ?, stored_at = ?, remote_id = ?, data = ?
			where workspace_id = ? and id = ? and conversation_id = ? and number = ?`,
		[]any{x.Ver, x.InNumber, string(x.Kind), string(x.Author.Kind), x.Author.ID, int64(x.StoredAt), x.RemoteID, string(data)},
		[]any{tx.r.ws, x.ID.Bytes(), x.Conversation.Bytes(), x.Number})
}

// PutDraft writes a member's draft; only that member ever reads it.
func (tx *Tx) PutDraft(x *chat.Draft, meta Meta) error {
	at, err := tx.place(x.Conversation)
	if err != nil {
		return err
	}
	x.Ver = tx.next()
	data, err := encode(x)
	if err != nil {
		return err
	}
	tx.record(chat.Change{Seq: x.Ver, Kind: chat.EntityDraft, ID: x.Conversation.String(), Op: chat.OpPut, Brand: at.brand,
		Conversation: x.Conversation, Member: x.Member, Data: data}, meta)
	return tx.exec("put draft", `insert into draft (workspace_id, conversation_id, member_id, ver, data) values (?, ?, ?, ?, ?)
		on conflict (workspace_id, conversation_id, member_id) do update set ver = excluded.ver, data = excluded.data`,
		tx.r.ws, x.Conversation.Bytes(), x.Member.Bytes(), x.Ver, string(data))
}

// DeleteDraft drops a draft and leaves a tombstone in the place of any earlier
// one, so that there is one for a draft however often it is sent. It reports whether there
// was one; nothing is logged if not.
func (tx *Tx) DeleteDraft(conv chat.ConversationID, member chat.MemberID, meta Meta) (bool, error) {
	n, err := tx.r.exec("delete draft", `delete from draft where workspace_id = ? and conversation_id = ? and member_id = ?`,
		tx.r.ws, conv.Bytes(), member.Bytes())
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.BuryDraft(conv, member, meta)
}

// BuryDraft leaves the tombstone of a draft that is not there: one put by
// somebody who does not know of it comes late.
func (tx *Tx) BuryDraft(conv chat.ConversationID, member chat.MemberID, meta Meta) error {
	at, err := tx.place(conv)
	if err != nil {
		return err
	}
	ver := tx.next()
	tx.record(chat.Change{Seq: ver, Kind: chat.EntityDraft, ID: conv.String(), Op: chat.OpDelete, Brand: at.brand,
		Conversation: conv, Member: member}, meta)
	return tx.exec("put tombstone", `insert into tombstone (workspace_id, ver, kind, id, brand_id, conversation_id, member_id)
		values (?, ?, ?, ?, ?, ?, ?)
		on conflict (workspace_id, kind, id, member_id) do update set ver = excluded.ver, brand_id = excluded.brand_id`,
		tx.r.ws, ver, string(chat.EntityDraft), conv.String(), idArg(at.brand), conv.Bytes(), member.Bytes())
}

// PutAccess tells one member that what they may see has changed.
func (tx *Tx) PutAccess(a chat.Access, meta Meta) error {
	data, err := encode(a)
	if err != nil {
		return err
	}
	tx.record(chat.Change{Seq: tx.next(), Kind: chat.EntityAccess, ID: a.Member.String(), Op: chat.OpPut, Member: a.Member, Data: data}, meta)
	return nil
}

// know remembers the brand and channel of a conversation.
func (tx *Tx) know(c chat.Conversation) {
	if tx.places == nil {
		tx.places = map[chat.ConversationID]place{}
	}
	tx.places[c.ID] = place{c.Brand, c.Channel}
}

// place gives the brand and channel of a conversation.
func (tx *Tx) place(id chat.ConversationID) (place, error) {
	if p, ok := tx.places[id]; ok {
		return p, nil
	}
	c, err := tx.Conversation(id)
	return place{c.Brand, c.Channel}, err
}

// finish does what could not be done before every conversation was written.
func (tx *Tx) finish() error {
	for _, m := range tx.loose {
		at, err := tx.place(m.conversation)
		if err != nil {
			return err
		}
		tx.b.changes[m.change].Brand = at.brand
		if m.remote == "" {
			continue
		}
		n, err := tx.r.exec("put remote id", `insert into remote_message (workspace_id, channel_id, remote_id, message_id) values (?, ?, ?, ?)
			on conflict (workspace_id, channel_id, remote_id) do update set remote_id = excluded.remote_id
				where remote_message.message_id = excluded.message_id`,
			tx.r.ws, at.channel.Bytes(), m.remote, m.message.Bytes())
		if err != nil {
			return err
		}
		if n == 0 {
			return chat.Errorf(chat.CodeConflict, "This message of the channel is stored already.")
		}
	}
	for conv, id := range tx.ahead {
		return fmt.Errorf("message %s was written, and its conversation %s not after it", id, conv)
	}
	return nil
}

// columnsOfChange is how many values a change has as a row.
const columnsOfChange = 13

// logChunks are how many changes go into one statement, largest first: few
// distinct statements, each prepared once.
var logChunks = [...]int{64, 16, 4, 1}

// writeLog appends the changes of all functions of the batch.
func (b *batch) writeLog() error {
	rest := b.changes
	args := make([]any, 0, min(len(rest), logChunks[0])*columnsOfChange)
	r := b.reader(chat.WorkspaceID{})
	for _, n := range logChunks {
		for len(rest) >= n {
			args = args[:0]
			for _, c := range rest[:n] {
				args = append(args, c.ws, c.Seq, int64(c.At), string(c.Kind), c.ID, string(c.Op), idArg(c.Brand), idArg(c.Conversation),
					idArg(c.Member), string(c.Actor.Kind), c.Actor.ID, idArg(c.Cause), jsonArg(c.Data))
			}
			if _, err := r.exec("append changes", b.s.d.many(n), args...); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}
