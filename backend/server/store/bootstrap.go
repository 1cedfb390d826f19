package store

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
)

const (
	pageRows              = 200 // conversations read at a time while streaming
	bootstrapThreads      = 500 // newest conversations whose messages come along
	bootstrapThreadLength = 30  // newest messages of each
	maxSeenContacts       = 50_000
	everything            = -1 // below every ver; that of a fresh workspace is 0
)

// The stages of an answer, in order, as they stand in cursors.
const (
	stageSettings      = "s"
	stageContacts      = "k" // state only
	stageConversations = "c"
	stageMessages      = "m" // bootstrap only
	stageDrafts        = "d"
	stageScheduled     = "l"
	stageTombstones    = "t" // state only
	stageBuckets       = "b" // state of some buckets only
)

// stream is an answer under way.
type stream struct {
	Stream
	ctx   context.Context
	s     *Store
	r     *reader
	view  chat.View
	head  int64
	epoch string
	sent  int
	stop  string // the cursor at which MaxRows ended the answer
	// after is the position of a state answer's reader; a bootstrap's has none.
	after int64
	// contacts that this answer has named already
	contacts map[chat.ContactID]bool
}

// cursor is a position in an answer: a stage, and where in it.
type cursor struct {
	stage string
	pos   position // conversations and messages of a bootstrap
	ver   int64    // the stages of a state answer
	n     int      // conversations whose messages were given
}

// Bootstrap streams what a fresh cache needs: workspace, brands, channels,
// members; then the conversations of the window, newest first, each after its
// contact; then the last messages of the newest conversations; then the
// member's own drafts and scheduled messages. The head given to Begin was read before the rows, so
// that catching up from it misses nothing. The returned cursor is empty when
// everything was sent.
func (s *Store) Bootstrap(ctx context.Context, ws chat.WorkspaceID, view chat.View, st Stream) (next string, err error) {
	a, at, err := s.stream(ctx, ws, view, st, stageSettings, stageConversations, stageMessages, stageDrafts, stageScheduled)
	if err != nil {
		return "", err
	}
	if at.stage == stageSettings {
		at = cursor{stage: stageConversations, pos: top()}
		if err := a.settings(everything, at); err != nil {
			return "", err
		}
	}
	if at.stage == stageConversations && a.stop == "" {
		if err := a.conversations(at.pos); err != nil {
			return "", err
		}
		at = cursor{stage: stageMessages, pos: top()}
	}
	if at.stage == stageMessages && a.stop == "" {
		if err := a.messages(at); err != nil {
			return "", err
		}
		at = cursor{stage: stageDrafts}
	}
	if at.stage == stageDrafts && a.stop == "" {
		if err := a.drafts(at.ver); err != nil {
			return "", err
		}
		at = cursor{stage: stageScheduled}
	}
	if at.stage == stageScheduled && a.stop == "" {
		if err := a.scheduled(at.ver); err != nil {
			return "", err
		}
	}
	return a.stop, nil
}

// stream reads the head, or takes it over from the cursor, and begins.
func (s *Store) stream(ctx context.Context, ws chat.WorkspaceID, view chat.View, st Stream, stages ...string) (*stream, cursor, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return nil, cursor{}, err
	}
	a := &stream{Stream: st, ctx: ctx, s: s, r: r, view: view, after: math.MaxInt64, contacts: map[chat.ContactID]bool{}}
	if a.Days > 0 && a.Since == 0 {
		a.Since = s.now().Add(-time.Duration(a.Days) * 24 * time.Hour)
	}
	at := cursor{stage: stageSettings}
	if a.head, a.epoch, _, err = r.head(); err != nil {
		return nil, at, err
	}
	if st.Cursor != "" {
		if at, err = a.resume(st.Cursor, stages); err != nil {
			return nil, at, err
		}
	}
	if st.Begin != nil {
		if err := st.Begin(a.head, a.epoch, a.Since); err != nil {
			return nil, at, err
		}
	}
	return a, at, nil
}

// cursor writes a position: it carries the first answer's head, from which the
// reader will catch up, and the epoch, which a restore changes.
func (a *stream) cursor(c cursor) string {
	parts := []string{"v1", a.epoch, strconv.FormatInt(a.head, 10), c.stage, strconv.FormatInt(c.ver, 10), strconv.Itoa(c.n)}
	if c.pos.id != nil {
		parts = append(parts, c.pos.String())
	}
	return strings.Join(parts, ".")
}

func (a *stream) resume(text string, stages []string) (cursor, error) {
	parts := strings.Split(text, ".")
	if (len(parts) != 6 && len(parts) != 8) || parts[0] != "v1" {
		return cursor{}, errCursor()
	}
	if parts[1] != a.epoch {
		return cursor{}, chat.Errorf(chat.CodeReset, "The data were restored from a backup since. Load them anew.")
	}
	head, err := strconv.ParseInt(parts[2], 10, 64)
	ver, err2 := strconv.ParseInt(parts[4], 10, 64)
	n, err3 := strconv.Atoi(parts[5])
	if err != nil || err2 != nil || err3 != nil || head < 0 || head > a.head || n < 0 {
		return cursor{}, errCursor()
	}
	c := cursor{stage: parts[3], ver: ver, n: n}
	if len(parts) == 8 {
		if c.pos, err = parsePosition(parts[6], parts[7]); err != nil {
			return cursor{}, err
		}
	}
	byPosition := c.stage == stageMessages || c.stage == stageBuckets || c.stage == stageConversations && slices.Contains(stages, stageMessages)
	if !slices.Contains(stages, c.stage) || byPosition != (c.pos.id != nil) {
		return cursor{}, errCursor()
	}
	a.head = head
	return c, nil
}

// emit sends a row. If it is a safe place to stop and the answer is long
// enough, it says so.
func (a *stream) emit(row Row) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if row.Op == "" {
		row.Op = chat.OpPut
	}
	if err := a.Emit(row); err != nil {
		return err
	}
	a.sent++
	if a.MaxRows > 0 && a.sent >= a.MaxRows && row.Cursor != "" {
		a.stop = row.Cursor
	}
	return nil
}

// emitAll sends rows of which the last one may be a place to stop.
func (a *stream) emitAll(rows []Row) error {
	for _, row := range rows {
		if err := a.emit(row); err != nil || a.stop != "" {
			return err
		}
	}
	return nil
}

// settings sends what changed after ver of workspace, brands, channels and members.
func (a *stream) settings(ver int64, next cursor) error {
	var rows []Row
	for _, part := range []struct {
		kind chat.EntityKind
		q    string
	}{
		{chat.EntityWorkspace, `select workspace_id, ver, null, data from workspace where workspace_id = ? and ver > ?`},
		{chat.EntityBrand, `select id, ver, id, data from brand where workspace_id = ? and ver > ? order by id`},
		{chat.EntityChannel, `select id, ver, brand_id, data from channel where workspace_id = ? and ver > ? order by id`},
		{chat.EntityMember, `select id, ver, null, data from member where workspace_id = ? and ver > ? order by id`},
	} {
		list, err := a.rows(part.kind, part.q, a.r.ws, ver)
		if err != nil {
			return err
		}
		rows = append(rows, list...)
	}
	if len(rows) > 0 {
		rows[len(rows)-1].Cursor = a.cursor(next)
	}
	return a.emitAll(rows)
}

// rows reads id, ver, brand and data of entities that the view includes.
func (a *stream) rows(kind chat.EntityKind, q string, args ...any) ([]Row, error) {
	var list []Row
	err := a.r.each(string(kind), q, func(rows *sql.Rows) error {
		row := Row{Kind: kind}
		var id chat.MessageID // any kind of id: only its text is wanted
		var data []byte
		if err := rows.Scan(&id, &row.Ver, &row.Brand, &data); err != nil {
			return err
		}
		row.ID, row.Data = id.String(), data
		if a.view.Sees(row.Brand) {
			list = append(list, row)
		}
		return nil
	}, args...)
	return list, err
}

// window restricts a query on conversation c to the view and the days.
func (a *stream) window(q *query, from position) {
	q.add(" where c.workspace_id = ? and (c.last_message_at, c.id) < (?, ?)", a.r.ws, int64(from.at), from.id)
	if a.Days > 0 {
		q.add(" and (c.last_message_at >= ? or c.status = 'open')", int64(a.Since))
	}
	q.brands(a.view, "c.brand_id")
	q.add(" order by c.last_message_at desc, c.id desc limit ?")
}

// pair is a conversation with its contact.
type pair struct {
	conversation, contact Row
	contactID             chat.ContactID
	at                    position
}

func (a *stream) pairs(q *query) ([]pair, error) {
	var list []pair
	err := a.r.each("conversation", q.text.String(), func(rows *sql.Rows) error {
		var p pair
		var id chat.ConversationID
		var data, contact []byte
		if err := rows.Scan(&id, &p.conversation.Ver, &p.conversation.Brand, &p.at.at, &data,
			&p.contactID, &p.contact.Ver, &p.contact.Brand, &contact); err != nil {
			return err
		}
		p.at.id = id.Bytes()
		p.conversation.Kind, p.conversation.ID, p.conversation.Conversation, p.conversation.Data = chat.EntityConversation, id.String(), id, data
		p.contact.Kind, p.contact.ID, p.contact.Data = chat.EntityContact, p.contactID.String(), contact
		list = append(list, p)
		return nil
	}, q.args...)
	return list, err
}

const selectPairs = `select c.id, c.ver, c.brand_id, c.last_message_at, c.data, k.id, k.ver, k.brand_id, k.data
	from conversation c join contact k on k.workspace_id = c.workspace_id and k.id = c.contact_id`

// conversations sends the window's conversations behind a position.
func (a *stream) conversations(from position) error {
	for a.stop == "" {
		q := &query{}
		q.add(selectPairs)
		a.window(q, from)
		q.args = append(q.args, int64(pageRows))
		page, err := a.pairs(q)
		if err != nil {
			return err
		}
		for _, p := range page {
			from = p.at
			if err := a.emitPair(p, cursor{stage: stageConversations, pos: p.at}); err != nil || a.stop != "" {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
	}
	return nil
}

// emitPair sends a conversation after its contact, unless that was named before.
func (a *stream) emitPair(p pair, next cursor) error {
	listed := p.contact.Ver > a.after && p.contact.Ver <= a.head // a state answer began with those
	if !listed && !a.contacts[p.contactID] && a.view.Sees(p.contact.Brand) {
		if len(a.contacts) >= maxSeenContacts {
			clear(a.contacts)
		}
		a.contacts[p.contactID] = true
		if err := a.emit(p.contact); err != nil {
			return err
		}
	}
	p.conversation.Cursor = a.cursor(next)
	return a.emit(p.conversation)
}

// messages sends the last messages of the newest conversations, thread by
// thread, each in order.
func (a *stream) messages(at cursor) error {
	for a.stop == "" && at.n < bootstrapThreads {
		q := &query{}
		q.add(`select c.id, c.last_message_at, c.brand_id from conversation c`)
		a.window(q, at.pos)
		q.args = append(q.args, int64(min(pageRows, bootstrapThreads-at.n)))
		var page []thread
		err := a.r.each("conversation", q.text.String(), func(rows *sql.Rows) error {
			var t thread
			err := rows.Scan(&t.id, &t.at, &t.brand)
			page = append(page, t)
			return err
		}, q.args...)
		if err != nil {
			return err
		}
		for _, t := range page {
			at = cursor{stage: stageMessages, pos: position{t.at, t.id.Bytes()}, n: at.n + 1}
			if err := a.thread(t, a.cursor(at)); err != nil || a.stop != "" {
				return err
			}
		}
		if len(page) < pageRows {
			return nil
		}
	}
	return nil
}

type thread struct {
	id    chat.ConversationID
	at    chat.Time
	brand chat.BrandID
}

func (a *stream) thread(t thread, next string) error {
	list, err := a.rows(chat.EntityMessage, `select id, ver, null, data from message where workspace_id = ? and conversation_id = ?
		order by number desc limit ?`, a.r.ws, t.id.Bytes(), int64(bootstrapThreadLength))
	if err != nil || len(list) == 0 {
		return err
	}
	slices.Reverse(list)
	for i := range list {
		list[i].Brand, list[i].Conversation = t.brand, t.id
	}
	list[len(list)-1].Cursor = next
	return a.emitAll(list)
}

// drafts sends the member's own drafts written after ver.
func (a *stream) drafts(ver int64) error {
	return a.own(chat.EntityDraft, stageDrafts, `select d.conversation_id, d.conversation_id, d.ver, c.brand_id, d.data from draft d
		join conversation c on c.workspace_id = d.workspace_id and c.id = d.conversation_id
		where d.workspace_id = ? and d.member_id = ? and d.ver > ? order by d.ver`, ver)
}

// own sends what only the member sees and has written after ver, which the query
// gives: id, conversation, ver, brand and data.
func (a *stream) own(kind chat.EntityKind, stage, query string, ver int64) error {
	var list []Row
	err := a.r.each(string(kind), query, func(rows *sql.Rows) error {
		row := Row{Kind: kind}
		var id chat.ID[any]
		var data []byte
		if err := rows.Scan(&id, &row.Conversation, &row.Ver, &row.Brand, &data); err != nil {
			return err
		}
		row.ID, row.Data = id.String(), data
		if a.view.Sees(row.Brand) {
			row.Cursor = a.cursor(cursor{stage: stage, ver: row.Ver})
			list = append(list, row)
		}
		return nil
	}, a.r.ws, a.view.Member.Bytes(), ver)
	if err != nil {
		return err
	}
	return a.emitAll(list)
}
