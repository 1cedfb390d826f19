package desktop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

// beforeAccess saves what the member has written where they may no longer
// read, before the cache forgets those conversations: texts move to "could not
// send", and drafts and scheduled messages that only the server and the cache
// have are kept here as drafts.
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
	scheduled := s.laterNow().scheduled
	for c := range scheduled {
		concerned = append(concerned, c)
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
		for _, x := range scheduled[c] {
			if err := s.keepText(c, x.Text()); err != nil {
				return err
			}
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

// missingAtOnce is how many chats are asked for at once: the most a list takes
// along.
const missingAtOnce = 200

// lookForMissing has the chats asked for that are not cached and in which
// something waits that was typed here. It does not wait for the answer.
func (s *session) lookForMissing() {
	select {
	case s.missing <- struct{}{}:
	default: // is about to
	}
}

// findMissing asks for such chats until the session is closed: a cache that was
// made anew holds only what was active of late, and what is not in it is not
// gone. Only the server can say that.
func (s *session) findMissing() {
	m := missing{s: s}
	for failed := 0; ; {
		select {
		case <-s.missing:
		case <-s.ctx.Done():
			return
		}
		err := m.find(s.ctx)
		if err == nil {
			failed = 0
			continue
		}
		if s.ctx.Err() == nil && !protocol.IsUnreachable(err) {
			s.e.log.Warn("ask for chats in which something waits", "error", err)
		}
		timer := time.NewTimer(s.e.backoff(failed))
		failed++
		select {
		case <-timer.C:
			s.lookForMissing()
		case <-s.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// missing knows which chats are gone: the server has said so, of the log of an
// era and to a member who could see what they had gained by then.
type missing struct {
	s          *session
	gone       map[chat.ConversationID]bool
	era, gains int64
}

// find brings chats in which something waits into the cache. Texts whose chat
// does not exist any more, deleted or out of reach in a way that no change of
// access has told, move to "could not send": they would wait for ever behind a
// text that their author has not decided about.
func (m *missing) find(ctx context.Context) error {
	s := m.s
	net, era := s.net.Load(), s.cache.Era()
	gains, loading := s.cache.Gained()
	if net == nil || loading || !s.cache.Loaded() {
		return nil // what is not here yet may still come
	}
	if m.gone == nil || era != m.era || gains != m.gains {
		m.gone, m.era, m.gains = map[chat.ConversationID]bool{}, era, gains
	}
	wanted, err := m.wanted(ctx)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(wanted, missingAtOnce) {
		if err := m.ask(ctx, net.client, some); err != nil {
			return err
		}
	}
	if s.outbox.Snapshot().Queued == 0 || len(m.gone) == 0 {
		return nil
	}
	return s.outbox.Refuse(func(e outbox.Entry) bool { return m.gone[e.Conversation] }, protocol.ProblemOf(
		chat.Errorf(chat.CodeNotFound, "This chat does not exist any more, so your text was not sent. It is kept here.")))
}

// wanted gives the chats that hold texts or drafts, are not cached and not gone.
func (m *missing) wanted(ctx context.Context) (ids []chat.ConversationID, err error) {
	all := m.s.outbox.Snapshot().Conversations()
	for c, x := range *m.s.drafts.view.Load() {
		if x.Text != "" && !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	for _, c := range all {
		if m.gone[c] {
			continue
		}
		_, reachable, err := m.s.placeOf(ctx, c)
		if err != nil {
			return nil, err
		}
		if !reachable {
			ids = append(ids, c)
		}
	}
	return ids, nil
}

// ask takes over those of some chats that there are, each with its contact, and
// notes the others.
func (m *missing) ask(ctx context.Context, client *protocol.Client, ids []chat.ConversationID) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	with := make([]string, len(ids))
	for i, id := range ids {
		with[i] = id.String()
	}
	found, err := client.List(ctx, url.Values{"limit": {"1"}, "with": {strings.Join(with, ",")}})
	if err != nil {
		return err
	}
	rows := sync.RowsOf(found)
	for i, id := range with {
		if slices.ContainsFunc(found.With, func(x protocol.Raw) bool { return x.ID == id }) {
			continue
		}
		raw, err := client.Conversation(ctx, ids[i])
		switch {
		case err == nil:
			rows = append(rows, cache.Row{Kind: chat.EntityConversation, ID: id, Op: chat.OpPut, Data: raw})
		case chat.ErrorCode(err) == chat.CodeNotFound:
			m.gone[ids[i]] = true
		default:
			return err
		}
	}
	applied, err := m.s.cache.PutRowsOf(ctx, m.era, rows)
	if err != nil {
		return fmt.Errorf("store chats: %w", err)
	}
	m.s.changed(applied)
	return nil
}

// keepText keeps a text on this device below the conversation's draft, once.
func (s *session) keepText(c chat.ConversationID, text string) error {
	old, _ := s.drafts.local(c)
	switch {
	case text == "" || strings.Contains(old.Text, text):
		return nil
	case old.Text != "":
		text = old.Text + "\n\n" + text
	}
	if err := s.drafts.save(cache.Draft{Conversation: c, Text: text, UpdatedAt: s.e.now(), Comment: old.Comment, Synced: true}); err != nil {
		return fmt.Errorf("keep scheduled message: %w", err)
	}
	return nil
}
