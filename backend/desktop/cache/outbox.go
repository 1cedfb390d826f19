package cache

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"parley/backend/chat"
)

// EntryState says what becomes of a command in the outbox.
type EntryState string

// The states.
const (
	StateQueued  EntryState = "queued"
	StateSending EntryState = "sending" // an answer is awaited
	StateRefused EntryState = "refused" // kept with its text until a person decides
)

// Entry is one command in the outbox.
type Entry struct {
	N            int64 // the place in the line
	ID           chat.CommandID
	Conversation chat.ConversationID // zero: about no conversation
	Kind         string
	Body         json.RawMessage
	Entity       string // what the command makes or changes, for example the message's id
	Seen         *int64
	CreatedAt    chat.Time
	State        EntryState
	Problem      json.RawMessage // why it was refused
	Attempts     int
	NextAt       chat.Time // not before
	ElapsedMS    int64     // how long it has waited
	SendAt       chat.Time // when the server is to send it, by this machine's clock; zero: when it has it

	sealed bool // and could not be opened
}

const entryColumns = "n, id, conversation, kind, body, entity, seen, created_at, state, problem, attempts, next_at, elapsed_ms, send_at"

func (l *Local) scanEntry(rows *sql.Rows) (e Entry, err error) {
	var problem []byte
	err = rows.Scan(&e.N, &e.ID, &e.Conversation, &e.Kind, (*[]byte)(&e.Body), &e.Entity, &e.Seen, &e.CreatedAt, &e.State, &problem, &e.Attempts, &e.NextAt, &e.ElapsedMS, &e.SendAt)
	if problem != nil {
		e.Problem = problem
	}
	body, sealed := l.read(outboxRow(e.ID), string(e.Body))
	e.Body, e.sealed = json.RawMessage(body), sealed
	return e, err
}

// Enqueue puts a command at the end of the line. When it returns without an
// error, the command survives whatever happens to the machine.
func (l *Local) Enqueue(ctx context.Context, e Entry) (Entry, error) {
	return l.enqueue(ctx, e, func(*sql.Tx) error { return nil })
}

// EnqueueSend is Enqueue for what was in the composer: the conversation's draft
// is empty from the same transaction on. An earlier state of it may be on the
// server, where it goes only when the text is accepted: that must not come back.
func (l *Local) EnqueueSend(ctx context.Context, e Entry) (Entry, error) {
	return l.enqueue(ctx, e, func(tx *sql.Tx) error {
		return l.putDraft(tx, Draft{Conversation: e.Conversation, UpdatedAt: e.CreatedAt})
	})
}

// EnqueueLatest is Enqueue for what only counts in its newest form, such as a
// read position: queued commands of the same kind and conversation go.
func (l *Local) EnqueueLatest(ctx context.Context, e Entry) (Entry, error) {
	return l.enqueue(ctx, e, func(tx *sql.Tx) error {
		_, err := tx.Exec("delete from outbox where conversation is ? and kind = ? and state = 'queued'", e.Conversation, e.Kind)
		return err
	})
}

// EnqueueRefused puts a text into the outbox that is not to go out before a
// person has said so, with the reason in its Problem.
func (l *Local) EnqueueRefused(ctx context.Context, e Entry) (Entry, error) {
	problem := e.Problem
	err := l.write(ctx, "enqueue", func(tx *sql.Tx) (err error) {
		if e, err = l.insertEntry(tx, e, nil); err != nil {
			return err
		}
		e.State, e.Problem = StateRefused, problem
		_, err = tx.Exec("update outbox set state = ?, problem = ? where n = ?", string(e.State), string(problem), e.N)
		return err
	})
	return e, err
}

func (l *Local) enqueue(ctx context.Context, e Entry, before func(*sql.Tx) error) (Entry, error) {
	err := l.write(ctx, "enqueue", func(tx *sql.Tx) (err error) {
		if err := before(tx); err != nil {
			return err
		}
		e, err = l.insertEntry(tx, e, nil)
		return err
	})
	return e, err
}

// insertEntry inserts with a given place in the line, or at its end.
func (l *Local) insertEntry(tx *sql.Tx, e Entry, n any) (Entry, error) {
	e.State, e.Problem = StateQueued, nil
	body, err := l.put(outboxRow(e.ID), string(e.Body))
	if err != nil {
		return e, err
	}
	res, err := tx.Exec("insert into outbox ("+entryColumns+") values (?, ?, ?, ?, ?, ?, ?, ?, ?, null, ?, ?, ?, ?)",
		n, e.ID, e.Conversation, e.Kind, body, e.Entity, e.Seen, int64(e.CreatedAt), string(e.State), e.Attempts, int64(e.NextAt), e.ElapsedMS, int64(e.SendAt))
	if err != nil {
		return e, err
	}
	e.N, err = res.LastInsertId()
	return e, err
}

func (l *Local) entries(ctx context.Context, where string, args ...any) ([]Entry, error) {
	l.seal.mu.RLock()
	defer l.seal.mu.RUnlock()
	all, err := readLocal(ctx, l, "read outbox", "select "+entryColumns+" from outbox "+where, args, l.scanEntry)
	return slices.DeleteFunc(all, func(e Entry) bool { return e.sealed }), err
}

// Entry gives one command; not found when it is no longer in the outbox.
func (l *Local) Entry(ctx context.Context, id chat.CommandID) (Entry, error) {
	all, err := l.entries(ctx, "where id = ?", id)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("read outbox: %w", chat.Errorf(chat.CodeNotFound, "This is no longer waiting to be sent."))
	}
	if err != nil {
		return Entry{}, err
	}
	return all[0], nil
}

// Pending gives a conversation's commands in line, in every state.
func (l *Local) Pending(ctx context.Context, conversation chat.ConversationID) ([]Entry, error) {
	return l.entries(ctx, "where conversation is ? order by n", conversation)
}

// Outbox gives all commands in line. Here as everywhere, those whose texts
// cannot be opened now are left out.
func (l *Local) Outbox(ctx context.Context) ([]Entry, error) { return l.entries(ctx, "order by n") }

// heads are the commands with no other before them in their conversation;
// refused ones hold nobody up. What is about no conversation is a line too.
const heads = `where state = 'queued' and not exists (select 1 from outbox o
	where o.conversation is outbox.conversation and o.n < outbox.n and o.state <> 'refused')`

// Ready gives the commands whose turn it is: of each conversation the first,
// if it is queued and due.
func (l *Local) Ready(ctx context.Context, now chat.Time, limit int) ([]Entry, error) {
	return l.entries(ctx, heads+" and next_at <= ? order by n limit ?", int64(now), limit)
}

// NextAt tells when the next turn comes, which may be in the past; false if
// nothing is queued that waits for time alone.
func (l *Local) NextAt(ctx context.Context) (chat.Time, bool, error) {
	all, err := readLocal(ctx, l, "read outbox", "select min(next_at) from outbox "+heads, nil, scan1[sql.NullInt64])
	if err != nil || !all[0].Valid {
		return 0, false, err
	}
	return chat.Time(all[0].Int64), true, nil
}

// each runs a statement for each command.
func (l *Local) each(ctx context.Context, op, query string, ids []chat.CommandID, args ...any) error {
	return l.write(ctx, op, func(tx *sql.Tx) error {
		for _, id := range ids {
			if _, err := tx.Exec(query, append(args[:len(args):len(args)], id)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// MarkSending notes that an answer is awaited.
func (l *Local) MarkSending(ctx context.Context, ids ...chat.CommandID) error {
	return l.each(ctx, "mark sending", "update outbox set state = 'sending' where id = ?", ids)
}

// MarkQueued puts a command back after a failure, to be tried again at nextAt.
func (l *Local) MarkQueued(ctx context.Context, id chat.CommandID, nextAt chat.Time) error {
	return l.each(ctx, "mark queued", "update outbox set state = 'queued', next_at = ?, attempts = attempts + 1 where id = ?",
		[]chat.CommandID{id}, int64(nextAt))
}

// MarkNotSent takes back that a command was tried: there was nobody to send it to.
func (l *Local) MarkNotSent(ctx context.Context, id chat.CommandID) error {
	return l.each(ctx, "mark not sent", "update outbox set attempts = 0 where id = ?", []chat.CommandID{id})
}

// MarkRefused keeps a command with the reason why it was not accepted.
func (l *Local) MarkRefused(ctx context.Context, id chat.CommandID, problem json.RawMessage) error {
	return l.each(ctx, "mark refused", "update outbox set state = 'refused', problem = ? where id = ?", []chat.CommandID{id}, string(problem))
}

// AddElapsed adds to how long commands have waited; without ids to all that
// are not refused.
func (l *Local) AddElapsed(ctx context.Context, ms int64, ids ...chat.CommandID) error {
	if len(ids) > 0 {
		return l.each(ctx, "add elapsed", "update outbox set elapsed_ms = elapsed_ms + ? where id = ?", ids, ms)
	}
	return l.write(ctx, "add elapsed", func(tx *sql.Tx) error {
		_, err := tx.Exec("update outbox set elapsed_ms = elapsed_ms + ? where state <> 'refused'", ms)
		return err
	})
}

// Requeue lets another command take an old one's place in the line.
func (l *Local) Requeue(ctx context.Context, old chat.CommandID, e Entry) (Entry, error) {
	err := l.write(ctx, "requeue", func(tx *sql.Tx) error {
		var n int64
		err := tx.QueryRow("delete from outbox where id = ? returning n", old).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return chat.Errorf(chat.CodeNotFound, "This is no longer waiting to be sent.")
		}
		if err != nil {
			return err
		}
		e, err = l.insertEntry(tx, e, n)
		return err
	})
	return e, err
}

// Remove takes commands out: they were accepted, or dropped by a person.
func (l *Local) Remove(ctx context.Context, ids ...chat.CommandID) error {
	return l.each(ctx, "remove from outbox", "delete from outbox where id = ?", ids)
}

// RefuseConversations marks everything that waits in some conversations as
// refused and says how much that was.
func (l *Local) RefuseConversations(ctx context.Context, conversations []chat.ConversationID, problem json.RawMessage) (int, error) {
	total := 0
	err := l.write(ctx, "refuse conversations", func(tx *sql.Tx) error {
		for _, c := range conversations {
			res, err := tx.Exec("update outbox set state = 'refused', problem = ? where conversation = ? and state <> 'refused'", string(problem), c)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			total += int(n)
		}
		return nil
	})
	return total, err
}

// OutboxCounts says how many commands wait and how many were refused.
func (l *Local) OutboxCounts(ctx context.Context) (queued, refused int, err error) {
	all, err := readLocal(ctx, l, "count outbox", "select state = 'refused', count(*) from outbox group by 1", nil,
		func(rows *sql.Rows) (v [2]int, err error) {
			err = rows.Scan(&v[0], &v[1])
			return v, err
		})
	for _, v := range all {
		if v[0] == 1 {
			refused = v[1]
		} else {
			queued += v[1]
		}
	}
	return queued, refused, err
}
