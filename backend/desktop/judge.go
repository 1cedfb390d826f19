package desktop

import (
	"context"
	"encoding/json"

	"parley/backend/chat"
	"parley/backend/desktop/outbox"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

// judgeDepth bounds how many newer messages are looked at here; the server
// looks at all.
const judgeDepth = 50

// judge applies the domain's own rules to a text with what the cache knows,
// before it is handed in: on coming back the answer of a colleague is often
// here before the text is there. That somebody wrote stays true; who holds the
// chat, or that it was resolved, counts only while nothing is missing here.
// Until when the channel takes answers is for the server to say: it would be a
// comparison of this machine's clock with the server's.
func (s *session) judge(ctx context.Context, e outbox.Entry) *protocol.Problem {
	var args protocol.MessageSendArgs
	if e.Kind != protocol.MessageSend || json.Unmarshal(e.Args, &args) != nil || args.Force || e.Seen == nil || e.SendAt > s.e.now() {
		return nil
	}
	raw, err := s.cache.Conversation(ctx, e.Conversation)
	if err != nil {
		return nil // not here: the server knows
	}
	var c chat.Conversation
	if json.Unmarshal(raw, &c) != nil {
		return nil
	}
	a := chat.Attempt{Author: s.me, Seen: e.Seen, Age: e.Elapsed, Over: args.Over, Now: s.e.now()}
	page, err := s.cache.Thread(ctx, e.Conversation, 0, max(*e.Seen, 0), 0, judgeDepth)
	if err != nil {
		return nil
	}
	for _, raw := range page.Messages {
		var m chat.Message
		if json.Unmarshal(raw, &m) != nil {
			continue
		}
		if m.Event != nil && m.Event.Name == "resolved" {
			a.Resolved = &m
		}
		a.Newer = append(a.Newer, m)
	}
	if s.report.Load().Status == sync.StatusLive {
		a.Blocked = s.blocked(ctx, c.Contact)
	} else {
		c.Status, c.Holder = chat.StatusOpen, nil
	}
	if err := c.CheckSend(a); err != nil {
		return protocol.ProblemOf(err)
	}
	return nil
}

// blocked reports whether a contact is.
func (s *session) blocked(ctx context.Context, id chat.ContactID) bool {
	raw, err := s.cache.Contact(ctx, id)
	var x chat.Contact
	return err == nil && json.Unmarshal(raw, &x) == nil && x.Blocked
}
