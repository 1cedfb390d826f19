package desktop

import (
	"context"
	"slices"
	"strings"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
)

// draftPrefix stands before the conversation in the id of a kept draft.
const draftPrefix = "draft:"

// Unsent gives every text of the account that was refused, and every draft
// whose conversation cannot be opened here any more, oldest first. Nothing that
// somebody has typed is out of reach.
func (e *Engine) Unsent() ([]UnsentEntry, error) {
	ctx, cancel := e.reading()
	defer cancel()
	s, err := e.session()
	if err != nil {
		return nil, err
	}
	out := []UnsentEntry{}
	for _, w := range s.outbox.Snapshot().RefusedTexts() {
		label, reachable, err := s.placeOf(ctx, w.Conversation)
		if err != nil {
			return nil, s.fault(err)
		}
		out = append(out, UnsentEntry{entryOf(w), label, reachable})
	}
	loaded := s.cache.Loaded()
	for c, x := range *s.drafts.view.Load() {
		if x.Text == "" || (!loaded && !x.Synced) { // while loading, what is not here yet may still come
			continue
		}
		_, reachable, err := s.placeOf(ctx, c)
		if err != nil {
			return nil, s.fault(err)
		}
		if !reachable {
			out = append(out, UnsentEntry{OutboxEntry: draftEntry(x)})
		}
	}
	slices.SortFunc(out, func(a, b UnsentEntry) int {
		if a.CreatedAt != b.CreatedAt {
			return int(a.CreatedAt - b.CreatedAt)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

func draftEntry(x cache.Draft) OutboxEntry {
	c := x.Conversation.String()
	return OutboxEntry{ID: draftPrefix + c, Conversation: c, Kind: KindDraft, Text: x.Text, Comment: x.Comment,
		State: string(cache.StateRefused), CreatedAt: x.UpdatedAt}
}

// placeOf says whose conversation it is and whether it can be opened.
func (s *session) placeOf(ctx context.Context, c chat.ConversationID) (label string, reachable bool, err error) {
	row, err := s.cache.Row(ctx, c)
	switch {
	case err == nil:
		return row.Label, true, nil
	case chat.ErrorCode(err) == chat.CodeNotFound:
		return "", false, nil
	}
	return "", false, err
}

// Drop gives a text up that was not sent and hands it back.
func (e *Engine) Drop(entry string) (Dropped, error) {
	s, err := e.session()
	if err != nil {
		return Dropped{}, err
	}
	if c, ok := strings.CutPrefix(entry, draftPrefix); ok {
		conv, err := chat.ParseID[chat.Conversation](c)
		if err != nil {
			return Dropped{}, err
		}
		text, err := s.drafts.drop(conv)
		return Dropped{Text: text}, err
	}
	id, err := chat.ParseID[chat.Command](entry)
	if err != nil {
		return Dropped{}, err
	}
	old, err := s.outbox.Drop(id)
	if err != nil {
		return Dropped{}, err
	}
	return Dropped{Text: textOf(old)}, nil
}
