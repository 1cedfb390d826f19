package cache

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"sync"

	"parley/backend/chat"
)

// reader is the pool of connections that read, with the statements prepared
// on them.
type reader struct {
	db    *sql.DB
	plan  func(query string) string // steady, or nil where plans may depend on values
	mu    sync.RWMutex              // of stmts
	stmts map[string]*sql.Stmt
}

// Connections of the two pools: a search gives way to the next one.
const (
	readers = 4
	finders = 2
)

func openReader(path string, connections int) (*reader, error) {
	db, err := sql.Open("sqlite3", dsn(path, "mode", "ro", "_query_only", "1", "_busy_timeout", "5000", "_cache_size", "-8000"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return &reader{db: db, stmts: map[string]*sql.Stmt{}}, nil
}

// stmt prepares a statement once. The queries are few: their texts depend on
// what is asked for, never on values.
func (r *reader) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	r.mu.RLock()
	s := r.stmts[query]
	r.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	text := query
	if r.plan != nil {
		text = r.plan(query)
	}
	s, err := r.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if first := r.stmts[query]; first != nil {
		return first, s.Close()
	}
	r.stmts[query] = s
	return s, nil
}

// begin checks the context and then detaches from it: every query here is
// bounded and short, and watching the context costs more than most of them.
func begin(ctx context.Context) (context.Context, error) {
	return context.WithoutCancel(ctx), ctx.Err()
}

// list reads all rows of a query.
func list[T any](ctx context.Context, c *Cache, op, query string, args []any, scan func(*sql.Rows) (T, error)) ([]T, error) {
	out, err := func() ([]T, error) {
		ctx, err := begin(ctx)
		if err != nil {
			return nil, err
		}
		s, err := c.read.stmt(ctx, query)
		if err != nil {
			return nil, err
		}
		rows, err := s.QueryContext(ctx, args...)
		if err != nil {
			return nil, err
		}
		return collect(rows, scan)
	}()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, c.noteDamage(unavailable(err)))
	}
	return out, nil
}

// single reads one row of one column; none is CodeNotFound.
func single[T any](ctx context.Context, c *Cache, what, query string, args ...any) (v T, err error) {
	all, err := list(ctx, c, "read "+what, query, args, scan1[T])
	if err == nil && len(all) == 0 {
		err = chat.Errorf(chat.CodeNotFound, "This %s is not here.", what)
	}
	if err != nil {
		return v, err
	}
	return all[0], nil
}

func raw(ctx context.Context, c *Cache, what, query string, args ...any) (json.RawMessage, error) {
	return single[json.RawMessage](ctx, c, what, query, args...)
}

// Conversation gives a conversation as it came.
func (c *Cache) Conversation(ctx context.Context, id chat.ConversationID) (json.RawMessage, error) {
	return raw(ctx, c, "conversation", "select data from conversation where id = ? and shown = 1"+c.seen("brand"), id)
}

// ConversationsOfContact gives a contact's conversations, newest first.
func (c *Cache) ConversationsOfContact(ctx context.Context, id chat.ContactID) ([]json.RawMessage, error) {
	return list(ctx, c, "read conversations of contact", `select data from conversation
		where contact = (select n from contact where id = ?) and shown = 1`+c.seen("brand")+" order by last_at desc, id desc", []any{id}, scan1[json.RawMessage])
}

// BrandOf gives the brand of a conversation.
func (c *Cache) BrandOf(ctx context.Context, id chat.ConversationID) (chat.BrandID, error) {
	return single[chat.BrandID](ctx, c, "conversation",
		"select r.id from conversation c join ref r on r.n = c.brand where c.id = ? and c.shown = 1"+c.seen("c.brand"), id)
}

// ConversationsOutside gives those of the conversations that are not within an
// access: what they still wait to send must be told apart before it is applied.
func (c *Cache) ConversationsOutside(ctx context.Context, a chat.Access, of []chat.ConversationID) ([]chat.ConversationID, error) {
	var out []chat.ConversationID
	for _, id := range of {
		brand, err := c.BrandOf(ctx, id)
		switch {
		case chat.ErrorCode(err) == chat.CodeNotFound:
			continue
		case err != nil:
			return nil, err
		case lost(a, brand):
			out = append(out, id)
		}
	}
	return out, nil
}

// Contact gives a contact as it came.
func (c *Cache) Contact(ctx context.Context, id chat.ContactID) (json.RawMessage, error) {
	return raw(ctx, c, "contact", "select data from contact where id = ? and data is not null"+c.seen("brand"), id)
}

// Message gives a message as it came.
func (c *Cache) Message(ctx context.Context, id chat.MessageID) (json.RawMessage, error) {
	return raw(ctx, c, "message", "select data from message where id = ?"+c.seenMessage()+" limit 1", id)
}

// seenMessage is seen for messages, whose brand is their conversation's.
func (c *Cache) seenMessage() string {
	limit := c.seen("brand")
	if limit == "" {
		return ""
	}
	return " and exists (select 1 from conversation where n = key >> 24" + limit + ")"
}

// HasMessages says which messages are cached: those are confirmed. What is only
// left of another log is not.
func (c *Cache) HasMessages(ctx context.Context, ids []chat.MessageID) (map[chat.MessageID]bool, error) {
	out := make(map[chat.MessageID]bool, len(ids))
	for _, id := range ids {
		has, err := single[bool](ctx, c, "message", "select exists (select 1 from message where id = ? and mark >= ?"+c.seenMessage()+")", id, c.state.Load().Floor)
		if err != nil {
			return nil, err
		}
		out[id] = has
	}
	return out, nil
}

func (c *Cache) entities(ctx context.Context, kind chat.EntityKind) ([]json.RawMessage, error) {
	return list(ctx, c, "read "+string(kind)+"s", "select data from entity where kind = ? order by id", []any{string(kind)}, scan1[json.RawMessage])
}

func (c *Cache) entity(ctx context.Context, kind chat.EntityKind, id any) (json.RawMessage, error) {
	return raw(ctx, c, string(kind), "select data from entity where kind = ? and id = ?", string(kind), id)
}

// Workspace gives the workspace as it came.
func (c *Cache) Workspace(ctx context.Context) (json.RawMessage, error) {
	return raw(ctx, c, "workspace", "select data from entity where kind = 'workspace' limit 1")
}

// Brands gives all brands the member sees.
func (c *Cache) Brands(ctx context.Context) ([]json.RawMessage, error) {
	return c.entities(ctx, chat.EntityBrand)
}

// Channels gives all channels the member sees.
func (c *Cache) Channels(ctx context.Context) ([]json.RawMessage, error) {
	return c.entities(ctx, chat.EntityChannel)
}

// Members gives all members of the workspace.
func (c *Cache) Members(ctx context.Context) ([]json.RawMessage, error) {
	return c.entities(ctx, chat.EntityMember)
}

// Member gives one member.
func (c *Cache) Member(ctx context.Context, id chat.MemberID) (json.RawMessage, error) {
	return c.entity(ctx, chat.EntityMember, id)
}

// Channel gives one channel.
func (c *Cache) Channel(ctx context.Context, id chat.ChannelID) (json.RawMessage, error) {
	return c.entity(ctx, chat.EntityChannel, id)
}

// Counts gives the number of unread conversations per brand, and per quick
// list within one brand or, for the zero brand, within all.
func (c *Cache) Counts(ctx context.Context, brand chat.BrandID, me chat.MemberID) (Counts, error) {
	type group struct {
		brand, done, assignee, count int64
	}
	groups, err := list(ctx, c, "count unread", fmt.Sprintf(countQuery, c.seen("brand")), nil, func(rows *sql.Rows) (g group, err error) {
		err = rows.Scan(&g.brand, &g.done, &g.assignee, &g.count)
		return g, err
	})
	if err != nil {
		return Counts{}, err
	}
	names := c.names.Load()
	out := Counts{Brands: map[string]int64{}, Quick: map[Quick]int64{
		QuickAll: 0, QuickUnread: 0, QuickMine: 0, QuickUnassigned: 0, QuickUnresolved: 0, QuickResolved: 0}}
	mine := names.refs[me]
	for _, g := range groups {
		id := chat.BrandID(names.ids[g.brand])
		out.Brands[id.String()] += g.count
		if !brand.IsZero() && id != brand {
			continue
		}
		out.Quick[QuickAll] += g.count
		out.Quick[QuickUnread] += g.count
		switch {
		case g.assignee == 0:
			out.Quick[QuickUnassigned] += g.count
		case g.assignee == mine:
			out.Quick[QuickMine] += g.count
		}
		if g.done == 0 {
			out.Quick[QuickUnresolved] += g.count
		} else {
			out.Quick[QuickResolved] += g.count
		}
	}
	return out, nil
}

const countQuery = `select brand, done, coalesce(assignee, 0), count(*) from conversation indexed by count_unread
	where shown = 1 and unread > 0%s group by brand, done, assignee`

const headlessCount = "select count(*) from conversation indexed by headless where shown = 1 and headless = 1"

// HeadlessAt is a place among the conversations whose newest messages are not
// here; the zero value is the beginning.
type HeadlessAt struct {
	ID     chat.ConversationID
	LastAt chat.Time
}

const headlessList = `select id, last_at from conversation indexed by headless
	where shown = 1 and headless = 1 and (last_at, id) < (?1, ?2) and (done = 0 or last_at >= ?3)%s
	order by last_at desc, id desc limit ?4`

// Headless gives conversations whose newest messages are not here, newest
// first, after a place: those that are open or were active since a time.
func (c *Cache) Headless(ctx context.Context, since chat.Time, after HeadlessAt, limit int) ([]HeadlessAt, error) {
	if after == (HeadlessAt{}) {
		after.LastAt = math.MaxInt64
	}
	return list(ctx, c, "find what to load", fmt.Sprintf(headlessList, c.seen("brand")), []any{int64(after.LastAt), after.ID, int64(since), limit},
		func(rows *sql.Rows) (h HeadlessAt, err error) {
			err = rows.Scan(&h.ID, &h.LastAt)
			return h, err
		})
}

// Stats says how much is cached.
func (c *Cache) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	var err error
	if s.Conversations, err = single[int64](ctx, c, "size", "select count(*) from conversation where shown = 1"+c.seen("brand")); err != nil {
		return Stats{}, err
	}
	headless, err := single[int64](ctx, c, "size", headlessCount+c.seen("brand"))
	if err != nil {
		return Stats{}, err
	}
	pruned, err := single[int64](ctx, c, "size", "select count(*) from conversation indexed by pruned where shown = 1 and headless = 2"+c.seen("brand"))
	if err != nil {
		return Stats{}, err
	}
	s.Readable = s.Conversations - headless - pruned
	return s, nil
}

// KeepStats remembers what was counted.
func (c *Cache) KeepStats(ctx context.Context, s Stats) error {
	return c.writer.do(ctx, "keep counts", func(t *tx) error {
		t.state.Counted = s
		return nil
	})
}

// KeptStats says how much was cached when it was counted last, which may be
// long ago; zero if that is not known.
func (c *Cache) KeptStats() Stats { return c.state.Load().Counted }

// directory is the names and kinds behind the small numbers, kept in memory
// because every list row needs them. It is replaced, never changed.
type directory struct {
	refs     map[[16]byte]int64
	ids      map[int64][16]byte
	channels map[int64]chat.ChannelKind
	members  map[int64]string
	// Names by which a search picks.
	channelNames, brands map[int64]string
}

// loadNames publishes the directory anew.
func (w *writer) loadNames(ctx context.Context) error {
	d := &directory{refs: map[[16]byte]int64{}, ids: map[int64][16]byte{}, channels: map[int64]chat.ChannelKind{}, members: map[int64]string{},
		channelNames: map[int64]string{}, brands: map[int64]string{}}
	for id, n := range w.refs {
		d.refs[id], d.ids[n] = n, id
	}
	rows, err := w.conn.QueryContext(ctx, "select kind, id, data from entity where kind in ('brand', 'channel', 'member')")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var id chat.MemberID // or a channel's
		var data []byte
		if err := rows.Scan(&kind, &id, &data); err != nil {
			return err
		}
		var e struct {
			Kind chat.ChannelKind `json:"kind"`
			Name string           `json:"name"`
		}
		if json.Unmarshal(data, &e) != nil {
			continue // fields of another type than ours: shown without a name
		}
		switch n := d.refs[id]; chat.EntityKind(kind) {
		case chat.EntityChannel:
			d.channels[n], d.channelNames[n] = e.Kind, e.Name
		case chat.EntityBrand:
			d.brands[n] = e.Name
		default:
			d.members[n] = e.Name
		}
	}
	w.cache.names.Store(d)
	return rows.Err()
}

// Unknown gives up to limit conversations whose contacts are not here, one of
// each contact, and where the next ones begin; after is 0 at the beginning.
func (c *Cache) Unknown(ctx context.Context, after int64, limit int) (ids []chat.ConversationID, last int64, err error) {
	type row struct {
		n  int64
		id chat.ConversationID
	}
	rows, err := list(ctx, c, "read unknown contacts", `select k.n, (select c.id from conversation c where c.contact = k.n and c.shown = 1 limit 1) as of
		from contact k where k.ver = 0 and k.n > ? and of is not null order by k.n limit ?`, []any{after, limit}, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.n, &r.id)
		return r, err
	})
	for _, r := range rows {
		ids, last = append(ids, r.id), r.n
	}
	return ids, last, err
}
