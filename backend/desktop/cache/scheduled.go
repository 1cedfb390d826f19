package cache

import (
	"context"
	"encoding/json"

	"parley/backend/chat"
)

// Scheduled gives the member's messages that the server keeps until they are
// due, and those that it refused then, as far as they can be opened now.
func (c *Cache) Scheduled(ctx context.Context) ([]json.RawMessage, error) {
	all, err := list(ctx, c, "read scheduled", "select 'scheduled', s.id, s.data from scheduled s cross join conversation c on c.n = s.conversation where true"+c.seen("c.brand")+" order by s.id", nil, scanOwn)
	var out []json.RawMessage
	for _, o := range all {
		if data, ok := c.openOwn(o.row(), o.stored); ok {
			out = append(out, data)
		}
	}
	return out, err
}

func (t *tx) putScheduled(r Row) error {
	var s struct {
		ID           chat.MessageID      `json:"id"`
		Ver          int64               `json:"ver"`
		Conversation chat.ConversationID `json:"conversation"`
		Problem      json.RawMessage     `json:"problem"`
	}
	if err := json.Unmarshal(r.Data, &s); err != nil || s.ID.IsZero() || s.Conversation.IsZero() {
		return t.skip(r, "not a scheduled message")
	}
	if gone, err := t.buried(chat.EntityScheduled, s.ID.Bytes(), s.Ver); gone || err != nil {
		return err
	}
	conv, err := t.conversation(s.Conversation)
	if err != nil {
		return err
	}
	if conv == nil {
		if conv, err = t.placeholder(s.Conversation, r.Brand); conv == nil || err != nil {
			return err
		}
	}
	var failed *Failed
	refused := len(s.Problem) > 0
	if refused {
		if failed, err = t.refusing(s.ID, r.Data); err != nil {
			return err
		}
	}
	sealed, err := t.w.cache.sealOwn(scheduledOf(s.ID), r.Data)
	if err != nil {
		return err
	}
	changed, err := t.exec(`insert into scheduled (id, conversation, ver, mark, refused, data) values (?, ?, ?, ?, ?, ?)
		on conflict (id) do update set conversation = excluded.conversation, ver = excluded.ver, mark = excluded.mark,
			refused = excluded.refused, data = excluded.data
		where excluded.ver > ver or mark < ?`, s.ID, conv.n, s.Ver, t.state.Mark, refused, sealed, t.state.Floor)
	if err != nil {
		return err
	}
	if changed > 0 {
		t.waits(s.Conversation)
		if failed != nil {
			t.applied.Failed = append(t.applied.Failed, *failed)
		}
		return nil
	}
	if t.naming {
		_, err = t.exec("update scheduled set mark = ? where id = ?", t.state.Mark, s.ID)
	}
	return err
}

// waits notes that what waits in a conversation is another.
func (t *tx) waits(id chat.ConversationID) {
	t.applied.Waiting = true
	t.rows[id], t.threads[id] = struct{}{}, struct{}{}
}

func (t *tx) removeScheduled(id chat.MessageID, ver int64) (kept bool, err error) {
	var than, mark int64
	var conv chat.ConversationID
	found, err := t.one("select s.ver, s.mark, c.id from scheduled s join conversation c on c.n = s.conversation where s.id = ?", []any{id}, &than, &mark, &conv)
	if !found || err != nil {
		return false, err
	}
	if !t.newer(ver, than, mark) {
		return true, nil
	}
	t.waits(conv)
	_, err = t.exec("delete from scheduled where id = ?", id)
	return false, err
}
