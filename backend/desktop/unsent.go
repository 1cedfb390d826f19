package desktop

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
)

// draftPrefix stands before the conversation in the id of a kept draft.
const draftPrefix = "draft:"

// Unsent gives every text and every change of a contact that was refused, every
// text that has waited for too long, every message whose delivery failed in the
// last days, and every text and draft whose conversation cannot be opened here
// any more, oldest first. Nothing that somebody has typed is out of reach.
func (e *Engine) Unsent() ([]UnsentEntry, error) {
	ctx, cancel := e.reading()
	defer cancel()
	s, err := e.session()
	if err != nil {
		return nil, err
	}
	return s.unsent(ctx)
}

// counts says how many wait: of what Unsent lists, and of what still goes out.
func (s *session) counts(ctx context.Context) (OutboxCounts, error) {
	out := OutboxCounts{Queued: s.outbox.Snapshot().Queued}
	all, err := s.unsent(ctx)
	for _, x := range all {
		if x.Unconfirmed {
			out.Unconfirmed++
			continue
		}
		_, kept := elsewhere(x.ID, scheduledPrefix)
		_, undelivered := elsewhere(x.ID, undeliveredPrefix)
		if kept || undelivered {
			out.Failed++
			continue
		}
		out.Refused++
		if x.Problem == nil && x.Kind != KindDraft { // on its way to a chat that cannot be opened
			out.Queued--
		}
	}
	return out, err
}

func (s *session) unsent(ctx context.Context) ([]UnsentEntry, error) {
	out := []UnsentEntry{}
	loaded := s.cache.Loaded()
	waiting := s.outbox.Snapshot()
	for _, c := range waiting.Conversations() {
		label, reachable, err := s.placeOf(ctx, c)
		if err != nil {
			return nil, s.fault(err)
		}
		for _, w := range waiting.Of(c) {
			// One that is on its way stands in its thread, if there is one.
			gone, late := loaded && !reachable, s.unconfirmed(w)
			if w.Text() && (w.Problem != nil || gone || late) {
				x := entryAmong(waiting.Of(c), w)
				x.Problem = s.withWords(ctx, x.Problem, reachable)
				out = append(out, UnsentEntry{OutboxEntry: x, Label: label, Reachable: reachable, Unconfirmed: late && !gone})
			}
		}
	}
	later := s.laterNow()
	var kept []UnsentEntry
	for c := range later.scheduled {
		for _, x := range s.scheduledOf(c, waiting.Of(c)) {
			if x.Problem != nil {
				kept = append(kept, UnsentEntry{OutboxEntry: x})
			}
		}
	}
	for _, m := range later.undelivered {
		w, again := retryOf(waiting.Of(m.Conversation), m.ID)
		if late := again && s.unconfirmed(w); late || !again {
			kept = append(kept, UnsentEntry{OutboxEntry: undeliveredEntry(m), Unconfirmed: late})
		}
	}
	for _, x := range kept {
		c, err := chat.ParseID[chat.Conversation](x.Conversation)
		if err != nil {
			return nil, err
		}
		if x.Label, x.Reachable, err = s.placeOf(ctx, c); err != nil {
			return nil, s.fault(err)
		}
		out = append(out, x)
	}
	for _, c := range waiting.Contacts() {
		for _, w := range waiting.OfContact(c) {
			if w.Problem == nil {
				continue
			}
			x, err := s.unsentEdit(ctx, w)
			if err != nil {
				return nil, s.fault(err)
			}
			out = append(out, x)
		}
	}
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

// unsentEdit makes the entry of a change of a contact that was refused. It
// leads to a chat of theirs, if there is one here.
func (s *session) unsentEdit(ctx context.Context, w outbox.Entry) (UnsentEntry, error) {
	out := UnsentEntry{OutboxEntry: entryOf(w), Label: s.contactLabel(w.Contact)}
	out.Conversation = ""
	chats, err := s.cache.ConversationsOfContact(ctx, w.Contact)
	if err != nil || len(chats) == 0 {
		return out, err
	}
	var c chat.Conversation
	if err := json.Unmarshal(chats[0], &c); err != nil {
		return out, fmt.Errorf("read conversation: %w", err)
	}
	out.Conversation, out.Reachable = c.ID.String(), true
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
	if id, ok := elsewhere(entry, scheduledPrefix); ok {
		return s.unschedule(id)
	}
	if id, ok := elsewhere(entry, undeliveredPrefix); ok {
		return s.giveUp(id)
	}
	id, err := chat.ParseID[chat.Command](entry)
	if err != nil {
		return Dropped{}, err
	}
	if err := s.unscheduleRefused(id); err != nil {
		return Dropped{}, err
	}
	old, err := s.outbox.Drop(id)
	if err != nil {
		return Dropped{}, err
	}
	return Dropped{Text: textOf(old)}, nil
}
