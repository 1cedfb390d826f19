package cache

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

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

// threadQuery answers with everything a page needs in one statement, because
// beginning a second one costs as much as reading a page. First a row 0 with
// the newest number and the window, as text; then a row -1 for each span that
// meets the window; then the messages, each with its number.
const threadQuery = `
with c as (
	select n, min(16777215, max(last_number, coalesce((select max(hi) from span where span.conversation = conversation.n), 0))) as head
	from conversation where id = ?1 and shown = 1%s
), first as (
	select n, head, case ?2
		when 'before' then min(?3, head + 1) - ?4
		when 'after' then min(?3, head) + 1
		when 'around' then max(1, min(min(?3, head) - ?4 / 2, head - ?4 + 1))
		else head - ?4 + 1 end as lo
	from c
), w as materialized (
	select n, head, min(max(lo, 1), min(head, lo + ?4 - 1) + 1) as lo, min(head, lo + ?4 - 1) as hi from first
)
select 0, head || ' ' || lo || ' ' || hi from w
union all
select -1, s.lo || ' ' || s.hi from w join span s on s.conversation = w.n and s.lo <= w.hi where s.hi >= w.lo
union all
select m.key & 16777215, m.data from w join message m on m.key between (w.n << 24) + w.lo and (w.n << 24) + w.hi`

func (c *Cache) thread(ctx context.Context, conversation chat.ConversationID, before, after, around int64, limit int) (page ThreadPage, err error) {
	if ctx, err = begin(ctx); err != nil {
		return page, err
	}
	stmt, err := c.read.stmt(ctx, fmt.Sprintf(threadQuery, c.seen("brand")))
	if err != nil {
		return page, err
	}
	where, at := place(before, after, around)
	rows, err := stmt.QueryContext(ctx, conversation, where, at, limit)
	if err != nil {
		return page, err
	}
	defer rows.Close()
	r := threadReader{page: ThreadPage{Messages: make([]json.RawMessage, 0, limit), Numbers: make([]int64, 0, limit)}}
	for rows.Next() {
		if err := r.read(rows); err != nil {
			return page, err
		}
	}
	if err := rows.Err(); err != nil {
		return page, err
	}
	if !r.found {
		return page, chat.Errorf(chat.CodeNotFound, "This conversation is not here.")
	}
	slices.SortFunc(r.spans, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	r.page.Holes = holes(r.spans, span{r.page.From, r.page.To})
	return r.page, nil
}

// place says in one word and one number which window is asked for.
func place(before, after, around int64) (where string, at int64) {
	switch {
	case before > 0:
		return "before", min(before, maxNumber)
	case after > 0:
		return "after", min(after, maxNumber)
	case around > 0:
		return "around", min(around, maxNumber)
	}
	return "", 0
}

// threadReader takes the rows of threadQuery apart.
type threadReader struct {
	page   ThreadPage
	spans  []span
	pieces slab
	found  bool
	last   int64 // number of the message before
}

func (r *threadReader) read(rows *sql.Rows) error {
	var kind int64
	var data sql.RawBytes
	if err := rows.Scan(&kind, &data); err != nil {
		return err
	}
	var err error
	switch {
	case kind == 0:
		r.found = true
		_, err = fmt.Sscan(string(data), &r.page.Head, &r.page.From, &r.page.To)
	case kind < 0:
		var s span
		_, err = fmt.Sscan(string(data), &s.lo, &s.hi)
		r.spans = append(r.spans, s)
	case kind <= r.last:
		err = fmt.Errorf("message %d came after message %d", kind, r.last) // a thread is read in the order of its keys
	default:
		r.last = kind
		r.page.Messages = append(r.page.Messages, r.pieces.keep(data))
		r.page.Numbers = append(r.page.Numbers, kind)
	}
	return err
}
