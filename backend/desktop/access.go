package desktop

import (
	"context"
	"encoding/json"
	"fmt"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/protocol"
)

// beforeAccess saves what the member has written where they may no longer
// read, before the cache forgets those conversations: texts move to "could not
// send", and drafts that only the server and the cache have are kept here.
func (s *session) beforeAccess(ctx context.Context, a chat.Access) error {
	drafts, err := s.cache.Drafts(ctx)
	if err != nil {
		return err
	}
	waiting := s.outbox.Snapshot()
	concerned := waiting.Conversations()
	for c := range drafts {
		if len(waiting.Of(c)) == 0 {
			concerned = append(concerned, c)
		}
	}
	lost, err := s.cache.ConversationsOutside(ctx, a, concerned)
	if err != nil || len(lost) == 0 {
		return err
	}
	gone := map[chat.ConversationID]bool{}
	for _, c := range lost {
		gone[c] = true
		if err := s.keepDraft(c, drafts[c], waiting); err != nil {
			return err
		}
	}
	return s.outbox.Refuse(func(e outbox.Entry) bool { return gone[e.Conversation] }, protocol.ProblemOf(
		chat.Errorf(chat.CodeForbidden, "You may no longer write here: your access to this brand was taken away.")))
}

// keepDraft keeps the server's draft of a conversation on this device, unless
// this device has a newer one, or the text waits in the outbox anyway.
func (s *session) keepDraft(c chat.ConversationID, raw json.RawMessage, waiting *outbox.Snapshot) error {
	var x chat.Draft
	if raw == nil || json.Unmarshal(raw, &x) != nil || x.Text == "" {
		return nil
	}
	if _, ok := s.drafts.local(c); ok {
		return nil
	}
	for _, w := range waiting.Of(c) {
		if textOf(w) == x.Text {
			return nil
		}
	}
	if err := s.drafts.save(cache.Draft{Conversation: c, Text: x.Text, Comment: x.Comment, UpdatedAt: s.e.now(), Synced: true}); err != nil {
		return fmt.Errorf("keep draft: %w", err)
	}
	return nil
}
