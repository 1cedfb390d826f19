package cache

import (
	"context"
	"database/sql"
	"encoding/json"

	"parley/backend/chat"
)

// Drafts gives the member's drafts as the server has them, by conversation;
// emptied ones are not among them.
func (c *Cache) Drafts(ctx context.Context) (map[chat.ConversationID]json.RawMessage, error) {
	type draft struct {
		id   chat.ConversationID
		data json.RawMessage
	}
	all, err := list(ctx, c, "read drafts", "select c.id, d.data from draft d join conversation c on c.n = d.conversation where d.text <> ''", nil,
		func(rows *sql.Rows) (d draft, err error) {
			err = rows.Scan(&d.id, (*[]byte)(&d.data))
			return d, err
		})
	if err != nil {
		return nil, err
	}
	out := make(map[chat.ConversationID]json.RawMessage, len(all))
	for _, d := range all {
		out[d.id] = d.data
	}
	return out, nil
}
