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

// tx is one write transaction: what it has looked up, what it has touched.
type tx struct {
	ctx   context.Context
	w     *writer
	state state // as it will be after the commit

	conversations map[chat.ConversationID]*conversationRef
	contacts      map[chat.ContactID]*contactRef
	spans         map[int64]*spanEdit
	heads         map[int64]struct{} // conversations whose headless must be found out anew

	unindexed []keyRange // messages that the index is to take in or to forget

	applied    Applied
	rows       map[chat.ConversationID]struct{} // see Applied.Conversations
	threads    map[chat.ConversationID]struct{}
	people     map[chat.ContactID]struct{}
	tombstoned bool
	refsGrew   bool
	naming     bool // rows come from a bootstrap that will sweep
	live       bool // changes come in the order of the log
	reloading  bool // rows come from a bootstrap: what lies between was not seen
}

// conversationRef is what the transaction knows of a conversation's row.
type conversationRef struct {
	n, ver, mark int64
	shown        bool
	brand        int64
}

type contactRef struct {
	n, ver, mark, brand int64
	label               string
}

// spanEdit is a conversation's spans, before and after.
type spanEdit struct {
	before, after []span
}

func newTx(ctx context.Context, w *writer) *tx {
	return &tx{
		ctx: ctx, w: w, state: *w.cache.state.Load(),
		conversations: map[chat.ConversationID]*conversationRef{}, contacts: map[chat.ContactID]*contactRef{},
		spans: map[int64]*spanEdit{}, heads: map[int64]struct{}{}, rows: map[chat.ConversationID]struct{}{},
		threads: map[chat.ConversationID]struct{}{}, people: map[chat.ContactID]struct{}{},
	}
}

func (t *tx) exec(query string, args ...any) (affected int64, err error) {
	s, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// insert gives the row's number.
func (t *tx) insert(query string, args ...any) (n int64, err error) {
	s, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// one reads one row; found is false where there is none.
func (t *tx) one(query string, args []any, dest ...any) (found bool, err error) {
	s, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return false, err
	}
	err = s.QueryRowContext(t.ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// each reads all rows of a query before it calls fn, so that fn may write.
func each[T any](t *tx, query string, args []any, scan func(*sql.Rows) (T, error), fn func(T) error) error {
	s, err := t.w.stmt(t.ctx, query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	list, err := collect(rows, scan)
	if err != nil {
		return err
	}
	for _, v := range list {
		if err := fn(v); err != nil {
			return err
		}
	}
	return nil
}

// collect reads and closes rows.
func collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	defer rows.Close()
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// scan1 reads rows of one column.
func scan1[T any](rows *sql.Rows) (v T, err error) {
	err = rows.Scan(&v)
	return v, err
}

// ref gives the small number of a brand, channel or member; 0 for none.
func ref[E any](t *tx, id chat.ID[E]) (int64, error) {
	if id.IsZero() {
		return 0, nil
	}
	if n, ok := t.w.refs[id]; ok {
		return n, nil
	}
	n, err := t.insert("insert into ref (id) values (?)", id)
	if err != nil {
		return 0, err
	}
	t.w.refs[id], t.w.refIDs[n] = n, id // taken back by undo
	t.refsGrew = true
	return n, nil
}

// conversation looks a conversation up; nil where it is unknown.
func (t *tx) conversation(id chat.ConversationID) (*conversationRef, error) {
	if r, ok := t.conversations[id]; ok {
		return r, nil
	}
	r := &conversationRef{}
	found, err := t.one("select n, ver, mark, shown, brand from conversation where id = ?", []any{id},
		&r.n, &r.ver, &r.mark, &r.shown, &r.brand)
	if err != nil {
		return nil, err
	}
	if found && t.state.hides(r.brand) { // of before the member lost it
		return nil, t.dropConversation(r.n, id)
	}
	if !found {
		r = nil
	}
	t.conversations[id] = r
	return r, nil
}

// contact looks a contact up; nil where it is unknown.
func (t *tx) contact(id chat.ContactID) (*contactRef, error) {
	if r, ok := t.contacts[id]; ok {
		return r, nil
	}
	r := &contactRef{}
	found, err := t.one("select n, ver, mark, brand, label from contact where id = ?", []any{id}, &r.n, &r.ver, &r.mark, &r.brand, &r.label)
	if err != nil {
		return nil, err
	}
	if found && t.state.hides(r.brand) {
		return nil, t.dropContact(r, id)
	}
	if !found {
		r = nil
	}
	t.contacts[id] = r
	return r, nil
}

// spansOf gives a conversation's spans to edit; flush writes them.
func (t *tx) spansOf(conversation int64) (*spanEdit, error) {
	if e, ok := t.spans[conversation]; ok {
		return e, nil
	}
	s, err := t.w.stmt(t.ctx, "select lo, hi from span where conversation = ? order by lo")
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.ctx, conversation)
	if err != nil {
		return nil, err
	}
	before, err := collect(rows, scanSpan)
	if err != nil {
		return nil, err
	}
	e := &spanEdit{before: before, after: slices.Clone(before)}
	t.spans[conversation] = e
	return e, nil
}

func scanSpan(rows *sql.Rows) (s span, err error) {
	err = rows.Scan(&s.lo, &s.hi)
	return s, err
}

// headlessQuery finds out whether a conversation's newest messages are here:
// thirty of them, which is what a bootstrap sends, or all there are. What was
// pruned stays so until it is opened, in the window or by the customer.
const headlessQuery = `update conversation set headless = found.headless from (
	select case
		when shown = 0 or last_number = 0 or exists (select 1 from span
			where span.conversation = ?1 and hi >= last_number and lo <= max(1, last_number - 29)) then 0
		when done = 1 and headless = 2 then 2
		else 1 end as headless
	from conversation where n = ?1) as found
	where n = ?1 and conversation.headless <> found.headless`

// flush writes what was gathered: spans and the state.
func (t *tx) flush() error {
	for conversation, e := range t.spans {
		if err := t.writeSpans(conversation, e); err != nil {
			return fmt.Errorf("write spans: %w", err)
		}
		t.heads[conversation] = struct{}{}
	}
	for conversation := range t.heads {
		if _, err := t.exec(headlessQuery, conversation); err != nil {
			return fmt.Errorf("write headless: %w", err)
		}
	}
	if err := t.noteUnindexed(); err != nil {
		return fmt.Errorf("write what to index: %w", err)
	}
	if at := chat.Time(t.w.cache.checked.Load()); at > 0 {
		t.state.Checked = at
	}
	t.state.Running = !t.w.closing
	text, err := json.Marshal(t.state)
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	if _, err := t.exec("insert into meta values ('state', ?) on conflict (key) do update set value = excluded.value", string(text)); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	t.gather()
	return nil
}

func (t *tx) writeSpans(conversation int64, e *spanEdit) error {
	for _, s := range e.before {
		if !slices.ContainsFunc(e.after, func(x span) bool { return x.lo == s.lo }) {
			if _, err := t.exec("delete from span where conversation = ? and lo = ?", conversation, s.lo); err != nil {
				return err
			}
		}
	}
	for _, s := range e.after {
		if !slices.Contains(e.before, s) {
			if _, err := t.exec("insert into span values (?, ?, ?) on conflict do update set hi = excluded.hi", conversation, s.lo, s.hi); err != nil {
				return err
			}
		}
	}
	return nil
}

// gather turns what was touched into the answer.
func (t *tx) gather() {
	for id := range t.rows {
		t.applied.Conversations = append(t.applied.Conversations, id)
	}
	for id := range t.threads {
		t.applied.Threads = append(t.applied.Threads, id)
	}
	for id := range t.people {
		t.applied.Contacts = append(t.applied.Contacts, id)
	}
}
