package cache

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"parley/backend/chat"
)

// Apply takes over a packet: everything the member may see in (from, to]. It
// is applied only if from is the cache's position, in one transaction with the
// new position; otherwise nothing changes and the error has CodeConflict.
func (c *Cache) Apply(ctx context.Context, from, to int64, changes []chat.Change) (Applied, error) {
	return c.change(ctx, "apply changes", func(t *tx) error {
		if from != t.state.Position || to < from {
			return &chat.Error{Code: chat.CodeConflict, Message: fmt.Sprintf("The packet covers %d to %d, but the cache is at %d.", from, to, t.state.Position)}
		}
		last := t.newest(changes)
		t.live = true
		for i, ch := range changes {
			if n, ok := last[entityKey{ch.Kind, ch.ID}]; ok && n != i {
				continue // a later change of this packet holds the whole entity
			}
			if err := t.apply(ch); err != nil {
				return fmt.Errorf("change %d: %w", ch.Seq, err)
			}
		}
		t.state.Position = to
		return nil
	})
}

// change runs a write that answers with what it changed.
func (c *Cache) change(ctx context.Context, op string, fn func(*tx) error) (Applied, error) {
	var t *tx
	err := c.writer.do(ctx, op, func(x *tx) error {
		t = x
		return fn(x)
	})
	if err != nil {
		return Applied{}, err
	}
	return t.applied, nil
}

type entityKey struct {
	kind chat.EntityKind
	id   string
}

// newest finds the last put of each conversation and contact, which change
// many times in a long packet. Where access changes in between, or something
// is deleted, each change counts in its turn.
func (t *tx) newest(changes []chat.Change) map[entityKey]int {
	last := make(map[entityKey]int)
	for i, ch := range changes {
		switch {
		case ch.Kind == chat.EntityAccess || ch.Op == chat.OpDelete:
			return nil
		case ch.Kind == chat.EntityConversation || ch.Kind == chat.EntityContact:
			if j, ok := last[entityKey{ch.Kind, ch.ID}]; !ok || changes[j].Seq <= ch.Seq {
				last[entityKey{ch.Kind, ch.ID}] = i
			}
		}
	}
	return last
}

func (t *tx) apply(ch chat.Change) error {
	if ch.Kind == chat.EntityAccess {
		var a chat.Access
		if err := json.Unmarshal(ch.Data, &a); err != nil {
			return t.skip(Row{Kind: ch.Kind, ID: ch.ID}, "not an access")
		}
		return t.setAccess(a)
	}
	return t.put(RowOf(ch))
}

// RowOf is a change of an entity as a row.
func RowOf(ch chat.Change) Row {
	return Row{Kind: ch.Kind, ID: ch.ID, Ver: ch.Seq, Op: ch.Op, Brand: ch.Brand, Conversation: ch.Conversation, Data: ch.Data}
}

// PutRows takes over entities that came outside the change log. What was asked
// for while another log may have begun goes through PutRowsOf.
func (c *Cache) PutRows(ctx context.Context, rows []Row) (Applied, error) {
	return c.change(ctx, "put rows", func(t *tx) error { return t.putAll(rows) })
}

// PutRowsOf is PutRows for rows that were asked for in an era. If another has
// begun since, nothing changes and the error has CodeConflict: with the version
// they carry they would stand in the way of what is true now.
func (c *Cache) PutRowsOf(ctx context.Context, era int64, rows []Row) (Applied, error) {
	return c.change(ctx, "put rows", func(t *tx) error {
		if era != t.state.Floor {
			return errMoved()
		}
		return t.putAll(rows)
	})
}

// PutAnswer is PutRowsOf for what a command has made, with the version that the
// answer gives. A command that was judged before is answered with what was true
// then: what the log has told of since, or the bootstrap under way tells of,
// comes from there alone, or is gone. An answer that another log must have
// given, before anybody said that there is another, is refused with
// CodeConflict.
func (c *Cache) PutAnswer(ctx context.Context, era int64, r Row) (Applied, error) {
	return c.change(ctx, "put answer", func(t *tx) error {
		if era != t.state.Floor {
			return errMoved()
		}
		if other, err := t.ofAnotherLog(r); other || err != nil {
			return cmp.Or(err, errMoved())
		}
		if past, err := t.past(r); past || err != nil {
			return err
		}
		return t.put(r)
	})
}

// ofAnotherLog reports whether a message has the number of one that this log
// has given to another.
func (t *tx) ofAnotherLog(r Row) (is bool, err error) {
	var m struct {
		ID     chat.MessageID `json:"id"`
		Number int64          `json:"number"`
	}
	if r.Kind != chat.EntityMessage || json.Unmarshal(r.Data, &m) != nil {
		return false, nil
	}
	conv, err := t.conversation(r.Conversation)
	if conv == nil || err != nil {
		return false, err
	}
	_, err = t.one("select exists (select 1 from message where key = ? and id <> ? and mark >= ?)",
		[]any{conv.n<<numberBits | m.Number, m.ID, t.state.Floor}, &is)
	return is, err
}

// past reports whether a row would bring back a conversation or a contact that
// is not there any more: whoever reads the log up to its version has them.
func (t *tx) past(r Row) (bool, error) {
	told := t.state.Position
	if t.state.Boot != nil {
		told = max(told, t.state.Boot.Head)
	}
	if r.Ver > told {
		return false, nil
	}
	id, err := chat.ParseID[any](r.ID)
	if err != nil {
		return false, nil // put says what is wrong with it
	}
	switch r.Kind {
	case chat.EntityConversation:
		row, err := t.conversation(chat.ConversationID(id))
		return row == nil || !row.shown || row.mark < t.state.Floor, err
	case chat.EntityContact:
		row, err := t.contact(chat.ContactID(id))
		return row == nil || row.mark < t.state.Floor, err
	}
	return false, nil
}

// PutAhead is PutRowsOf for entities that are ahead of the log: also before
// anything is known of it they are refused with CodeConflict.
func (c *Cache) PutAhead(ctx context.Context, era int64, rows []Row) (Applied, error) {
	return c.change(ctx, "put rows ahead", func(t *tx) error {
		if era != t.state.Floor || t.state.Epoch == "" || t.state.Boot != nil && t.state.Boot.Sweep {
			return errMoved()
		}
		return t.putAll(rows)
	})
}

func (t *tx) putAll(rows []Row) error {
	for _, r := range rows {
		if err := t.put(r); err != nil {
			return fmt.Errorf("%s %s: %w", r.Kind, r.ID, err)
		}
	}
	return nil
}

// PutMessages takes over a page of history: the messages are all there is
// numbered from to to. Head is the newest number of the conversation. The
// range counts as cached in the same transaction; 0, 0 is the empty page.
func (c *Cache) PutMessages(ctx context.Context, conversation chat.ConversationID, from, to, head int64, messages []json.RawMessage) (Applied, error) {
	return c.change(ctx, "put messages", func(t *tx) error {
		conv, err := t.conversation(conversation)
		if err != nil {
			return err
		}
		if conv == nil || !conv.shown {
			return chat.Errorf(chat.CodeNotFound, "This conversation is not here any more.")
		}
		if from < 0 || to < from || to > maxNumber || head > maxNumber {
			return chat.Invalid("range", "The range %d to %d of messages makes no sense.", from, to)
		}
		for _, data := range messages {
			if err := t.put(Row{Kind: chat.EntityMessage, Conversation: conversation, Data: data}); err != nil {
				return err
			}
		}
		if from > 0 && t.applied.Skipped == 0 { // else the page is not known to be whole
			e, err := t.spansOf(conv.n)
			if err != nil {
				return err
			}
			e.after = addSpan(e.after, span{from, to})
			t.threads[conversation] = struct{}{}
			if b := t.state.Boot; b != nil && !slices.Contains(b.Pages, conversation) {
				next := *b
				next.Pages = append(slices.Clone(b.Pages), conversation)
				t.state.Boot = &next
			}
		}
		t.heads[conv.n] = struct{}{}
		_, err = t.exec("update conversation set last_number = ? where n = ? and last_number < ?", head, conv.n, head)
		return err
	})
}

// buried reports whether something was deleted at or after ver.
func (t *tx) buried(kind chat.EntityKind, id []byte, ver int64) (bool, error) {
	if !t.w.tombstones && !t.tombstoned {
		return false, nil
	}
	var at int64
	found, err := t.one("select ver from tombstone where kind = ? and id = ?", []any{string(kind), id}, &at)
	return found && at >= ver, err
}

// remove takes a tombstone over.
func (t *tx) remove(r Row) error {
	id, err := chat.ParseID[any](r.ID)
	if err != nil || r.Ver <= 0 {
		return t.skip(r, "not a tombstone")
	}
	if gone, err := t.buried(r.Kind, id.Bytes(), r.Ver); gone || err != nil {
		return err
	}
	kept, err := t.removeRow(r.Kind, id, r.Ver)
	if kept || err != nil {
		return err
	}
	t.tombstoned = true
	_, err = t.exec("insert into tombstone values (?, ?, ?) on conflict do update set ver = excluded.ver", string(r.Kind), id, r.Ver)
	return err
}

// removeRow deletes an entity; kept says that a newer version of it is there.
func (t *tx) removeRow(kind chat.EntityKind, id chat.ID[any], ver int64) (kept bool, err error) {
	switch kind {
	case chat.EntityConversation:
		row, err := t.conversation(chat.ConversationID(id))
		if row == nil || err != nil || row.shown && !t.newer(ver, row.ver, row.mark) {
			return row != nil, err
		}
		t.rows[chat.ConversationID(id)], t.threads[chat.ConversationID(id)] = struct{}{}, struct{}{}
		return false, t.dropConversation(row.n, chat.ConversationID(id))
	case chat.EntityContact:
		row, err := t.contact(chat.ContactID(id))
		if row == nil || err != nil || !t.newer(ver, row.ver, row.mark) {
			return row != nil, err
		}
		t.people[chat.ContactID(id)] = struct{}{}
		return false, t.dropContact(row, chat.ContactID(id))
	case chat.EntityMessage:
		return t.removeMessage(id, ver)
	case chat.EntityDraft:
		return t.removeDraft(chat.ConversationID(id), ver)
	case chat.EntityScheduled:
		return t.removeScheduled(chat.MessageID(id), ver)
	}
	n, err := t.exec("delete from entity where kind = ? and id = ? and (ver < ? or mark < ?)", string(kind), id, ver, t.state.Floor)
	if n > 0 {
		t.applied.Directory = true
		return false, err
	}
	var there int64
	found, err := t.one("select ver from entity where kind = ? and id = ?", []any{string(kind), id}, &there)
	return found, err
}

func (t *tx) removeMessage(id chat.ID[any], ver int64) (kept bool, err error) {
	var key, than, mark int64
	found, err := t.one("select key, ver, mark from message where id = ?", []any{id}, &key, &than, &mark)
	if !found || err != nil {
		return false, err
	}
	if !t.newer(ver, than, mark) {
		return true, nil
	}
	var conv chat.ConversationID
	if _, err := t.one("select id from conversation where n = ?", []any{key >> numberBits}, &conv); err != nil {
		return false, err
	}
	t.threads[conv] = struct{}{}
	t.reindex(keyRange{key, key})
	_, err = t.exec("delete from message where key = ?", key)
	return false, err
}

func (t *tx) removeDraft(id chat.ConversationID, ver int64) (kept bool, err error) {
	conv, err := t.conversation(id)
	if conv == nil || err != nil {
		return false, err
	}
	var than, mark int64
	found, err := t.one("select ver, mark from draft where conversation = ?", []any{conv.n}, &than, &mark)
	if !found || err != nil {
		return false, err
	}
	if !t.newer(ver, than, mark) {
		return true, nil
	}
	t.rows[id] = struct{}{}
	_, err = t.exec("delete from draft where conversation = ?", conv.n)
	return false, err
}
