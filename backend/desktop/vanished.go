package desktop

import (
	"context"
	"encoding/json"
	"fmt"

	"parley/backend/chat"
	"parley/backend/desktop/outbox"
	"parley/backend/protocol"
)

const vanishedText = "The server was restored from an older backup and no longer has this text. The customer may have received it. Send it again, or drop it."

const vanishedLaterText = "The server was restored from an older backup and no longer has this text, which it was to send later. If its time has come, the customer may have received it. Send it again, or drop it."

// beforeSweep saves what the member has written and a restored server has
// forgotten, before the cache forgets it too: texts, also those that were to go
// out later, move to "could not send", for their author to decide, since a
// customer may have them already; drafts stay on this device. What others wrote
// is told in a number.
func (s *session) beforeSweep(ctx context.Context) error {
	gone, err := s.cache.Vanished(ctx)
	if err != nil || len(gone.Messages)+len(gone.Drafts)+len(gone.Scheduled) == 0 {
		return err
	}
	waiting := s.outbox.Snapshot()
	for c, raw := range gone.Drafts {
		if err := s.keepDraft(c, raw, waiting); err != nil {
			return err
		}
	}
	mine, others := 0, 0
	same := map[chat.ConversationID]int64{} // up to where threads are what they were
	for _, raw := range gone.Messages {
		var m chat.Message
		if json.Unmarshal(raw, &m) == nil {
			if to, ok := same[m.Conversation]; !ok || m.Number <= to {
				same[m.Conversation] = max(m.Number-1, 0)
			}
		}
		if m.ID.IsZero() || m.Kind == chat.MessageKindEvent || m.DeletedAt != 0 {
			continue
		}
		if m.Author.Kind != chat.ActorMember || m.Author.ID != s.me.String() {
			others++
			continue
		}
		mine++
		if err := s.keepVanished(m, waiting); err != nil {
			return err
		}
	}
	if err := s.outbox.Unsee(same); err != nil { // whoever had more in view has not seen what stands there now
		return err
	}
	for _, raw := range gone.Scheduled {
		var x chat.Scheduled
		if json.Unmarshal(raw, &x) != nil || x.Member != s.me {
			continue
		}
		mine++
		if err := s.keepScheduled(x, waiting); err != nil {
			return err
		}
	}
	if mine+others > 0 {
		s.e.log.Warn("the server was restored from an older backup", "lost_own", mine, "lost_others", others)
		return s.warnVanished(ctx, vanished{mine, others})
	}
	return nil
}

// settingVanished is the setting that keeps how much a restored server has
// lost, until the member has seen it; the era of the cache before it follows, so
// that what is counted twice is kept once.
const settingVanished = "warning.server_restored."

// vanished is how many messages a restored server has lost.
type vanished struct {
	Mine   int `json:"mine"`
	Others int `json:"others"`
}

func (s *session) warnVanished(ctx context.Context, v vanished) error {
	b, err := json.Marshal(v)
	if err == nil {
		err = s.local.PutSetting(ctx, fmt.Sprintf("%s%d", settingVanished, s.cache.Era()), b)
	}
	if err != nil {
		return fmt.Errorf("keep what vanished: %w", err)
	}
	s.e.tell.state()
	return nil
}

// vanishedWarning says what restored servers have lost and the member has not
// seen yet.
func (s *session) vanishedWarning(ctx context.Context) ([]Warning, error) {
	all, err := s.local.Settings(ctx, settingVanished)
	if err != nil {
		return nil, err
	}
	sum := vanished{}
	for _, raw := range all {
		var v vanished
		if json.Unmarshal(raw, &v) == nil {
			sum.Mine, sum.Others = sum.Mine+v.Mine, sum.Others+v.Others
		}
	}
	if sum == (vanished{}) {
		return nil, nil
	}
	return []Warning{{Code: warningRestored, Message: vanishedWords(sum.Mine, sum.Others)}}, nil
}

const warningRestored = "server_restored"

// DismissWarning takes a warning off that stays until its reader has seen it.
// The others are conditions: they end when the condition does.
func (e *Engine) DismissWarning(code string) error {
	ctx, cancel := e.reading()
	defer cancel()
	s, err := e.session()
	if err != nil {
		return err
	}
	switch code {
	case warningAside:
		err = s.local.DropSetting(ctx, settingAside)
		e.tell.state()
		return err
	case warningRestored:
	default:
		return nil
	}
	all, err := s.local.Settings(ctx, settingVanished)
	if err != nil {
		return s.fault(err)
	}
	for key := range all {
		if err := s.local.DropSetting(ctx, key); err != nil {
			return err
		}
	}
	e.tell.state()
	return nil
}

// keepVanished puts a text that the server has forgotten into the outbox as one
// that could not be sent.
func (s *session) keepVanished(m chat.Message, waiting *outbox.Snapshot) error {
	e := outbox.Entry{Conversation: m.Conversation, Message: m.ID, CreatedAt: m.SentAt}
	if m.Kind == chat.MessageKindComment {
		e.Kind = protocol.CommentAdd
		return s.keepForgotten(e, protocol.CommentAddArgs{Conversation: m.Conversation, Message: m.ID, Text: m.Text(), Mentions: m.Mentions}, vanishedText, waiting)
	}
	seen := max(m.Number-1, 0)
	e.Kind, e.Seen = protocol.MessageSend, &seen
	return s.keepForgotten(e, protocol.MessageSendArgs{Conversation: m.Conversation, Message: m.ID, Parts: m.Parts, ReplyTo: m.ReplyTo}, vanishedText, waiting)
}

// keepScheduled is keepVanished for what was to go out later. Sent again, it
// still waits for its time, if that is to come.
func (s *session) keepScheduled(x chat.Scheduled, waiting *outbox.Snapshot) error {
	e := outbox.Entry{Conversation: x.Conversation, Message: x.ID, Kind: protocol.MessageSend, Seen: x.Seen, CreatedAt: x.CreatedAt, SendAt: x.SendAt.Add(-s.ahead())}
	return s.keepForgotten(e, protocol.MessageSendArgs{Conversation: x.Conversation, Message: x.ID, Parts: x.Parts, ReplyTo: x.ReplyTo, SendAt: x.SendAt}, vanishedLaterText, waiting)
}

// keepForgotten puts a text into the outbox as one that could not be sent,
// unless it is there already.
func (s *session) keepForgotten(e outbox.Entry, args any, why string, waiting *outbox.Snapshot) error {
	for _, w := range waiting.Of(e.Conversation) {
		if w.Message == e.Message {
			return nil
		}
	}
	b, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("keep text: %w", err)
	}
	e.ID, e.Args, e.Problem = chat.NewID[chat.Command](), b, protocol.ProblemOf(chat.Errorf(chat.CodeReset, "%s", why))
	if err := s.outbox.Add(e, false); err != nil {
		return fmt.Errorf("keep text: %w", err)
	}
	return nil
}

func vanishedWords(mine, others int) string {
	words := "The server was restored from an older backup."
	switch {
	case mine == 1:
		words += " One text of yours is no longer there: you find it in its chat and under what could not be sent."
	case mine > 1:
		words += fmt.Sprintf(" %d texts of yours are no longer there: you find them in their chats and under what could not be sent.", mine)
	}
	switch {
	case others == 1:
		words += " One message that somebody else wrote is gone."
	case others > 1:
		words += fmt.Sprintf(" %d messages that others wrote are gone.", others)
	}
	return words
}
