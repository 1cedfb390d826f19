package cache

import (
	"context"
	"encoding/json"
	"fmt"

	"parley/backend/chat"
)

// A server that was restored from an older backup has forgotten what came
// after it. What this device knew of that is in no log any more, and leaves the
// cache with the sweep; until then it can be read here, so that whoever wrote
// it can be told.

// Vanished is what a restored server no longer has.
type Vanished struct {
	Messages []json.RawMessage
	// Drafts are the member's own, by conversation; emptied ones are not among
	// them.
	Drafts map[chat.ConversationID]json.RawMessage
	// Scheduled are the member's own messages that the server was to send later,
	// or has refused when they were due.
	Scheduled []json.RawMessage
}

// Vanished gives what the bootstrap of another log, under way and completely
// read, has not named although it names everything of its kind: messages
// newer than the oldest it gave of their conversation, or than its newest
// number; those of conversations it did not name, if they are of the time from
// when on it names every conversation that was active; drafts; and what was
// scheduled, unless it is known to have gone out. What the member has written
// and cannot be opened yet is not passed over: it is the only copy.
func (c *Cache) Vanished(ctx context.Context) (Vanished, error) {
	st := c.state.Load()
	v := Vanished{Drafts: map[chat.ConversationID]json.RawMessage{}}
	if st.Boot == nil || !st.replacing() {
		return v, nil
	}
	var err error
	if v.Messages, err = list(ctx, c, "read what vanished", vanishedMessages, []any{st.Floor, int64(st.Boot.Since)}, scan1[json.RawMessage]); err != nil {
		return v, err
	}
	all, err := list(ctx, c, "read what vanished", vanishedOwn, []any{st.Floor}, scanOwn)
	for _, o := range all {
		data, ok := c.openOwn(o.row(), o.stored)
		switch {
		case !ok:
			return v, fmt.Errorf("read what vanished: %w", errSealed)
		case o.kind == chat.EntityDraft:
			v.Drafts[o.id] = data
		default:
			v.Scheduled = append(v.Scheduled, data)
		}
	}
	return v, err
}

const vanishedOwn = `select 'draft', c.id, d.data from draft d cross join conversation c on c.n = d.conversation where d.mark < ?1 and d.filled
	union all select 'scheduled', s.id, s.data from scheduled s where s.mark < ?1
		and not exists (select 1 from message m where m.id = s.id) and not exists (select 1 from displaced d where d.id = s.id)
	order by 1, 2`

// withNamed begins a query with the oldest number that the bootstrap under way
// has named, or given since, of each conversation.
const withNamed = `with named as (
		select key >> 24 as conversation, min(key & 16777215) as lo from message where mark >= ?1 group by 1)`

const vanishedMessages = withNamed + `,
	since as (select iif(?2 > 0, ?2, coalesce(min(last_at), 0)) as at from conversation where shown = 1 and mark >= ?1)
	select m.data from message m
		join conversation c on c.n = m.key >> 24
		left join named on named.conversation = c.n
		where m.mark < ?1 and not exists (select 1 from message x where x.id = m.id and x.mark >= ?1)
		and case when c.mark >= ?1 then (m.key & 16777215) > c.last_number or (m.key & 16777215) >= named.lo
			else unixepoch(cast(m.data as text) ->> 'sent_at', 'subsec') * 1000000 >= (select at from since) - 1000 end
	union all
	select d.data from displaced d where not exists (select 1 from message x where x.id = d.id and x.mark >= ?1)`

// replacing reports whether a bootstrap of another log is under way: rows below
// Floor are of the one before.
func (s *state) replacing() bool { return s.Boot != nil && s.Boot.Sweep && s.Floor == s.Mark }

func (t *tx) replacing() bool { return t.state.replacing() }

// doubt notes that a conversation of the log before has gone on since, or back:
// what is cached of its thread may be what the server has, or not.
func (t *tx) doubt(row *conversationRef, c conversationJSON) error {
	if !t.replacing() || row.mark >= t.state.Floor {
		return nil
	}
	_, err := t.exec("insert or ignore into doubtful select n from conversation where n = ? and (last_at <> ? or last_number <> ?)",
		row.n, int64(c.LastAt), c.LastNumber)
	return err
}

// Doubtful gives the conversations of which it is not known yet, with the
// bootstrap of another log completely read, what has vanished from them: they
// changed, and nothing that was named tells up to where they are what they
// were. Newest first.
func (c *Cache) Doubtful(ctx context.Context) ([]chat.ConversationID, error) {
	st := c.state.Load()
	if !st.replacing() {
		return nil, nil
	}
	return list(ctx, c, "read what is doubtful", withNamed+`,
		old as (select m.key >> 24 as conversation, min(m.key & 16777215) as lo from message m
			where m.mark < ?1 and m.key >> 24 in (select conversation from doubtful) group by 1)
		select c.id from doubtful d
			join conversation c on c.n = d.conversation
			join old on old.conversation = c.n
			left join named on named.conversation = c.n
			where c.mark >= ?1 and old.lo <= c.last_number and (named.lo is null or old.lo < named.lo)
		order by c.last_at desc`, []any{st.Floor}, scan1[chat.ConversationID])
}

// Shared reports whether any of these messages of a conversation is, under its
// number, also one of the log before: up to there the thread is what it was.
// What came with a log that was never here whole is no sign of that.
func (c *Cache) Shared(ctx context.Context, conversation chat.ConversationID, messages []json.RawMessage) (bool, error) {
	whole := c.state.Load().Whole
	for _, raw := range messages {
		var m struct {
			ID     chat.MessageID `json:"id"`
			Number int64          `json:"number"`
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return false, fmt.Errorf("decode message: %w", err)
		}
		same, err := single[bool](ctx, c, "message", `select exists (select 1 from message m join conversation c on c.n = m.key >> 24
			where m.id = ? and m.mark <= ? and m.key & 16777215 = ? and c.id = ?)`, m.ID, whole, m.Number, conversation)
		if same || err != nil {
			return same, err
		}
	}
	return false, nil
}
