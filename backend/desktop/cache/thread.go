package cache

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
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

const (
	threadHead = `select c.n, c.last_number, s.lo, s.hi from conversation c left join span s on s.conversation = c.n
		where c.id = ? and c.shown = 1 order by s.lo`
	threadRows = "select data from message where key between ? and ? order by key"
)

func (c *Cache) thread(ctx context.Context, conversation chat.ConversationID, before, after, around int64, limit int) (page ThreadPage, err error) {
	if ctx, err = begin(ctx); err != nil {
		return page, err
	}
	headStmt, err := c.read.stmt(ctx, threadHead)
	if err != nil {
		return page, err
	}
	rowsStmt, err := c.read.stmt(ctx, threadRows)
	if err != nil {
		return page, err
	}
	// One transaction: the spans speak about the rows read with them.
	tx, err := c.read.db.BeginTx(ctx, nil)
	if err != nil {
		return page, err
	}
	defer func() {
		if end := tx.Rollback(); end != nil && !errors.Is(end, sql.ErrTxDone) {
			err = errors.Join(err, end)
		}
	}()
	n, head, spans, err := readHead(ctx, tx.StmtContext(ctx, headStmt), conversation)
	if err != nil {
		return page, err
	}
	w := window(head, before, after, around, int64(limit))
	page = ThreadPage{From: w.lo, To: w.hi, Head: head, Messages: []json.RawMessage{}, Holes: holes(spans, w)}
	if w.lo > w.hi {
		return page, nil
	}
	rows, err := tx.StmtContext(ctx, rowsStmt).QueryContext(ctx, n<<numberBits|w.lo, n<<numberBits|w.hi)
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

// readHead finds a conversation, its newest number and its spans.
func readHead(ctx context.Context, s *sql.Stmt, conversation chat.ConversationID) (n, head int64, spans []span, err error) {
	rows, err := s.QueryContext(ctx, conversation)
	if err != nil {
		return 0, 0, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var lo, hi sql.NullInt64
		if err := rows.Scan(&n, &head, &lo, &hi); err != nil {
			return 0, 0, nil, err
		}
		if lo.Valid {
			spans = append(spans, span{lo.Int64, hi.Int64})
		}
	}
	if err := rows.Err(); err != nil {
		return 0, 0, nil, err
	}
	if n == 0 {
		return 0, 0, nil, chat.Errorf(chat.CodeNotFound, "This conversation is not here.")
	}
	if len(spans) > 0 {
		head = max(head, spans[len(spans)-1].hi) // a message came before its conversation
	}
	return n, min(head, maxNumber), spans, nil
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
