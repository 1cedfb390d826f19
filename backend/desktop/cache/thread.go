package cache

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"parley/backend/chat"
)

// Thread gives a window on a conversation's messages: those before a number,
// those after one, those around one, or, with none of the three, the newest.
// Numbers have no gaps, so the window is a range of numbers, and what of it is
// not cached are its holes.
func (c *Cache) Thread(ctx context.Context, conversation chat.ConversationID, before, after, around int64, limit int) (ThreadPage, error) {
	page, err := c.thread(ctx, conversation, before, after, around, pageLimit(limit))
	if err != nil {
		return ThreadPage{}, fmt.Errorf("read thread: %w", c.noteDamage(unavailable(err)))
	}
	return page, nil
}

// Two statements without a transaction around them, which would cost as much
// as they do. What is written in between is told of by an event that lets the
// window read again; the second finds the conversation by its id once more, so
// that it can never show another one's messages.
const (
	threadHead = `select c.last_number, s.lo, s.hi from conversation c left join span s on s.conversation = c.n
		where c.id = ? and c.shown = 1 order by s.lo`
	threadRows = `select m.data from conversation c join message m on m.key between (c.n << 24) + ? and (c.n << 24) + ?
		where c.id = ? and c.shown = 1 order by m.key`
)

func (c *Cache) thread(ctx context.Context, conversation chat.ConversationID, before, after, around int64, limit int) (page ThreadPage, err error) {
	if ctx, err = begin(ctx); err != nil {
		return page, err
	}
	head, spans, err := c.threadHead(ctx, conversation)
	if err != nil {
		return page, err
	}
	w := window(head, before, after, around, int64(limit))
	page = ThreadPage{From: w.lo, To: w.hi, Head: head, Messages: []json.RawMessage{}, Holes: holes(spans, w)}
	if w.lo > w.hi {
		return page, nil
	}
	stmt, err := c.read.stmt(ctx, threadRows)
	if err != nil {
		return page, err
	}
	rows, err := stmt.QueryContext(ctx, w.lo, w.hi, conversation)
	if err != nil {
		return page, err
	}
	defer rows.Close()
	var pieces slab
	var data sql.RawBytes
	page.Messages = make([]json.RawMessage, 0, w.hi-w.lo+1)
	for rows.Next() {
		if err := rows.Scan(&data); err != nil {
			return page, err
		}
		page.Messages = append(page.Messages, pieces.keep(data))
	}
	return page, rows.Err()
}

// threadHead finds a conversation's newest number and its spans.
func (c *Cache) threadHead(ctx context.Context, conversation chat.ConversationID) (head int64, spans []span, err error) {
	stmt, err := c.read.stmt(ctx, threadHead)
	if err != nil {
		return 0, nil, err
	}
	rows, err := stmt.QueryContext(ctx, conversation)
	if err != nil {
		return 0, nil, err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		found = true
		var lo, hi sql.NullInt64
		if err := rows.Scan(&head, &lo, &hi); err != nil {
			return 0, nil, err
		}
		if lo.Valid {
			spans = append(spans, span{lo.Int64, hi.Int64})
		}
	}
	if err := rows.Err(); err != nil {
		return 0, nil, err
	}
	if !found {
		return 0, nil, chat.Errorf(chat.CodeNotFound, "This conversation is not here.")
	}
	if len(spans) > 0 {
		head = max(head, spans[len(spans)-1].hi) // a message came before its conversation
	}
	return min(head, maxNumber), spans, nil
}

// window gives the numbers a page covers.
func window(head, before, after, around, limit int64) span {
	before, after, around = min(before, head+1), min(after, head), min(around, head)
	var w span
	switch {
	case before > 0:
		w = span{before - limit, before - 1}
	case after > 0:
		w = span{after + 1, after + limit}
	case around > 0:
		w.lo = max(1, min(around-limit/2, head-limit+1))
		w.hi = w.lo + limit - 1
	default:
		w = span{head - limit + 1, head}
	}
	w.hi = min(w.hi, head)
	w.lo = min(max(w.lo, 1), w.hi+1)
	return w
}
