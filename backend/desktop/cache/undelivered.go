package cache

import (
	"bytes"
	"context"
	"encoding/json"

	"parley/backend/chat"
)

// Failed is something of a member's that turned out not to have gone out: a
// message whose delivery failed, or a scheduled one that was refused.
type Failed struct {
	Kind chat.EntityKind // message or scheduled
	Data json.RawMessage
	// Seen: it failed before the eyes of this cache, by a change of the log, or of
	// a message that was here and had not failed. Otherwise it came as failed, and
	// may have been so for long.
	Seen bool
}

// Undelivered gives the messages stored since a moment whose delivery has
// failed, whoever wrote them, oldest first.
func (c *Cache) Undelivered(ctx context.Context, since chat.Time) ([]json.RawMessage, error) {
	return list(ctx, c, "read undelivered", `select m.data from message m cross join conversation c on c.n = m.key >> 24
		where m.undelivered_at > 0 and m.undelivered_at >= ?`+c.seen("c.brand")+" order by m.undelivered_at, m.key", []any{int64(since)}, scan1[json.RawMessage])
}

var failedMark = []byte(`"` + string(chat.DeliveryFailed) + `"`)

// undeliveredAt is when a message was stored whose delivery has failed; 0 for
// any other. Hardly any has, so the bytes are looked at first.
func undeliveredAt(data []byte) int64 {
	if !bytes.Contains(data, failedMark) {
		return 0
	}
	var m struct {
		StoredAt  chat.Time      `json:"stored_at"`
		DeletedAt chat.Time      `json:"deleted_at"`
		Delivery  *chat.Delivery `json:"delivery"`
	}
	if json.Unmarshal(data, &m) != nil || m.Delivery == nil || m.Delivery.State != chat.DeliveryFailed || !m.DeletedAt.IsZero() {
		return 0
	}
	return max(int64(m.StoredAt), 1)
}

// failing notes a message that is about to be written with a failed delivery, if
// it was not here as such.
func (t *tx) failing(key int64, data []byte) (f *Failed, err error) {
	var before int64
	known, err := t.one("select undelivered_at from message where key = ?", []any{key}, &before)
	if before > 0 || err != nil {
		return nil, err
	}
	return &Failed{Kind: chat.EntityMessage, Data: data, Seen: known || t.live}, nil
}

// refusing is failing for a scheduled message with the problem of its refusal.
func (t *tx) refusing(id chat.MessageID, data []byte) (f *Failed, err error) {
	var before bool
	known, err := t.one("select refused from scheduled where id = ?", []any{id}, &before)
	if before || err != nil {
		return nil, err
	}
	return &Failed{Kind: chat.EntityScheduled, Data: data, Seen: known || t.live}, nil
}
