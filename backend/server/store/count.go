package store

import (
	"context"
	"time"

	"parley/backend/chat"
)

// CountConversations counts the conversations that a bootstrap of so many days
// will send, for a progress bar; 0 days: all.
func (s *Store) CountConversations(ctx context.Context, ws chat.WorkspaceID, view chat.View, days int) (int64, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return 0, err
	}
	q := &query{}
	q.add(`select count(*) from conversation c where c.workspace_id = ?`, r.ws)
	if days > 0 {
		q.add(" and (c.last_message_at >= ? or c.status = 'open')", int64(s.now().Add(-time.Duration(days)*24*time.Hour)))
	}
	q.brands(view, "c.brand_id")
	var n int64
	err = r.row("conversation", q.text.String(), []any{&n}, q.args...)
	return n, err
}
