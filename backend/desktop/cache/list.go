package cache

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"parley/backend/chat"
)

// quickList is how a list is read: the index in its order and what the index
// is limited to.
type quickList struct {
	index, where string
}

func quickLists(q Quick) (quickList, bool) {
	switch q {
	case "", QuickAll:
		return quickList{"list_all", "c.shown = 1"}, true
	case QuickUnread:
		return quickList{"list_unread", "c.shown = 1 and c.unread > 0"}, true
	case QuickMine:
		return quickList{"list_mine", "c.shown = 1 and c.assignee is not null and c.assignee = ?"}, true
	case QuickUnassigned:
		return quickList{"list_unassigned", "c.shown = 1 and c.assignee is null"}, true
	case QuickUnresolved:
		return quickList{"list_unresolved", "c.shown = 1 and c.done = 0"}, true
	case QuickResolved:
		return quickList{"list_resolved", "c.shown = 1 and c.done = 1"}, true
	}
	return quickList{}, false
}

// Each column of each row costs as much as finding the row, so the three refs
// come in one number. They count brands, channels and members: a few hundred.
const (
	refBits    = 20
	rowColumns = "c.id, (c.brand << 40) | (coalesce(c.channel, 0) << 20) | coalesce(c.assignee, 0), c.label, c.data, d.data"
	rowTables  = "left join draft d on d.conversation = c.n and d.filled"
)

// Conversations gives one page of a list, newest first unless Oldest.
func (c *Cache) Conversations(ctx context.Context, q ListQuery) (ListPage, error) {
	limit := pageLimit(q.Limit)
	query, args, err := c.listQuery(q, limit)
	if err != nil {
		return ListPage{}, err
	}
	page, err := c.page(ctx, query, args, limit)
	if err != nil {
		return ListPage{}, fmt.Errorf("list conversations: %w", c.noteDamage(unavailable(err)))
	}
	return page, nil
}

// page reads one page of rows.
func (c *Cache) page(ctx context.Context, query string, args []any, limit int) (page ListPage, err error) {
	if ctx, err = begin(ctx); err != nil {
		return page, err
	}
	return c.pageOf(ctx, c.read, query, args, limit)
}

// pageOf reads one page of rows on a pool of its own.
func (c *Cache) pageOf(ctx context.Context, from *reader, query string, args []any, limit int) (page ListPage, err error) {
	rows, err := from.query(ctx, query, args...)
	if err != nil {
		return page, err
	}
	defer rows.Close()
	scan := rowScanner{cache: c, names: c.names.Load()}
	page.Rows = make([]ListRow, 0, limit)
	for rows.Next() {
		if len(page.Rows) == limit { // one more than asked for: there is a next page
			page.Next, err = cursor(page.Rows[limit-1])
			return page, err
		}
		row, err := scan.row(rows)
		if err != nil {
			return page, err
		}
		page.Rows = append(page.Rows, row)
	}
	return page, rows.Err()
}

func pageLimit(n int) int {
	if n <= 0 {
		return 50
	}
	return min(n, MaxPage)
}

// listQuery writes the SQL of a page.
func (c *Cache) listQuery(q ListQuery, limit int) (string, []any, error) {
	l, ok := quickLists(q.Quick)
	if !ok {
		return "", nil, chat.Invalid("quick", "There is no list %q.", string(q.Quick))
	}
	index, where, args := l.index, l.where, []any{}
	refs := c.names.Load().refs
	if q.Quick == QuickMine {
		args = append(args, refs[q.Me]) // 0, which nobody has, for a member never seen
	}
	if !q.Brand.IsZero() {
		index += "_brand"
		where += " and c.brand = ?"
		args = append(args, refs[q.Brand])
	}
	where += c.seen("c.brand")
	return pageQuery(index, where, args, q.Oldest, q.Cursor, limit)
}

// pageQuery asks for one row more than the page holds, to know whether another
// page follows.
func pageQuery(index, where string, args []any, oldest bool, at string, limit int) (string, []any, error) {
	order, than := "desc", "<"
	if oldest {
		order, than = "asc", ">"
	}
	if at != "" {
		at, id, err := parseCursor(at)
		if err != nil {
			return "", nil, err
		}
		where += " and (c.last_at, c.id) " + than + " (?, ?)"
		args = append(args, at, id)
	}
	query := fmt.Sprintf("select %s from conversation c indexed by %s %s where %s order by c.last_at %s, c.id %s limit ?",
		rowColumns, index, rowTables, where, order, order)
	return query, append(args, limit+1), nil
}

// rowScanner reads list rows. The JSON of all rows lies in one piece of
// memory: a page costs few allocations.
type rowScanner struct {
	cache *Cache
	names *directory
	slab  slab
}

func (s *rowScanner) row(rows *sql.Rows) (row ListRow, err error) {
	var refs int64
	var id, data, draft sql.RawBytes
	if err := rows.Scan(&id, &refs, &row.Label, &data, &draft); err != nil {
		return row, err
	}
	const mask = 1<<refBits - 1
	copy(row.ID[:], id)
	row.Conversation = s.slab.keep(data)
	row.Brand = s.names.ids[refs>>(2*refBits)]
	row.ChannelKind = s.names.channels[refs>>refBits&mask]
	row.AssigneeName = s.names.members[refs&mask]
	row.Draft = s.draft(row.ID, draft)
	return row, nil
}

// draft gives the words of a draft, "" for none, or none that can be opened now.
func (s *rowScanner) draft(of chat.ConversationID, stored []byte) string {
	if len(stored) == 0 {
		return ""
	}
	data, ok := s.cache.openOwn(draftOf(of), stored)
	var d struct {
		Text string `json:"text"`
	}
	if !ok || json.Unmarshal(data, &d) != nil {
		return ""
	}
	return d.Text
}

// slab keeps copies of many small pieces in few big ones.
type slab struct{ free []byte }

func (s *slab) keep(data []byte) []byte {
	if len(data) > cap(s.free) {
		s.free = make([]byte, 0, max(32<<10, len(data)))
	}
	kept := append(s.free[:0], data...)
	s.free = s.free[len(data):cap(s.free)]
	return kept[:len(data):len(data)]
}

// Row gives the list row of one conversation.
func (c *Cache) Row(ctx context.Context, id chat.ConversationID) (ListRow, error) {
	page, err := c.page(ctx, "select "+rowColumns+" from conversation c "+rowTables+" where c.id = ? and c.shown = 1"+c.seen("c.brand"), []any{id}, 1)
	if err == nil && len(page.Rows) == 0 {
		err = chat.Errorf(chat.CodeNotFound, "This conversation is not here.")
	}
	if err != nil {
		return ListRow{}, fmt.Errorf("read row: %w", c.noteDamage(unavailable(err)))
	}
	return page.Rows[0], nil
}

// cursor names the last row of a page by what lists are sorted by.
func cursor(last ListRow) (string, error) {
	var c struct {
		LastAt chat.Time `json:"last_message_at"`
	}
	if err := json.Unmarshal(last.Conversation, &c); err != nil {
		return "", fmt.Errorf("make cursor: %w", err)
	}
	return strconv.FormatInt(int64(c.LastAt), 36) + "." + hex.EncodeToString(last.ID.Bytes()), nil
}

func parseCursor(s string) (lastAt int64, id []byte, err error) {
	at, rest, ok := strings.Cut(s, ".")
	lastAt, errAt := strconv.ParseInt(at, 36, 64)
	id, errID := hex.DecodeString(rest)
	if !ok || errAt != nil || errID != nil || len(id) != 16 {
		return 0, nil, chat.Invalid("cursor", "The cursor is not one of this list.")
	}
	return lastAt, id, nil
}
