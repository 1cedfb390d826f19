package cache

import (
	"context"
	"encoding/json"

	"parley/backend/chat"
)

// Drafts gives the member's drafts as the server has them, by conversation;
// emptied ones, and those that cannot be opened now, are not among them.
func (c *Cache) Drafts(ctx context.Context) (map[chat.ConversationID]json.RawMessage, error) {
	all, err := list(ctx, c, "read drafts", "select 'draft', c.id, d.data from draft d cross join conversation c on c.n = d.conversation where d.filled"+c.seen("c.brand"), nil, scanOwn)
	if err != nil {
		return nil, err
	}
	out := make(map[chat.ConversationID]json.RawMessage, len(all))
	for _, o := range all {
		if data, ok := c.openOwn(o.row(), o.stored); ok {
			out[o.id] = data
		}
	}
	return out, nil
}

// Draft gives the member's draft of a conversation as the server has it. One
// that is there and cannot be opened now is CodeUnavailable.
func (c *Cache) Draft(ctx context.Context, id chat.ConversationID) (json.RawMessage, error) {
	stored, err := raw(ctx, c, "draft", "select data from draft where conversation = (select n from conversation where id = ?"+c.seen("brand")+")", id)
	if err != nil {
		return nil, err
	}
	data, ok := c.openOwn(draftOf(id), stored)
	if !ok {
		return nil, errSealed
	}
	return data, nil
}
