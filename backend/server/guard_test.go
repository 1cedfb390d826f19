package server_test

import (
	"fmt"
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// However much the author has written in between, a colleague's answer that
// they have not seen is found; and a refusal stays small.
func TestCompareAndSendLooksBehindOwnMessages(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.unpaced()
		conv, v := r.conversation()
		ana := r.member("Ana", chat.RoleAgent)
		r.apply(r.owner.Token, text(conv, "I am on it"), nil) // 2
		for range 11 {
			cmds := make([]chat.Command, 92)
			for i := range cmds {
				cmds[i] = text(conv, fmt.Sprint("update ", i))
			}
			for _, res := range r.send(ana.Token, cmds...) {
				if res.Problem != nil {
					t.Fatalf("problem %+v", res.Problem)
				}
			}
		}
		r.apply(ana.Token, seen(text(conv, "I know"), 2), nil)
		p := r.refuse(ana.Token, seen(text(conv, "Me too"), 1), chat.CodeNewerMessages)
		if len(p.Messages) != 1 || p.Messages[0].Number != 2 {
			t.Fatalf("%d messages", len(p.Messages))
		}
		for i := range 60 {
			v.say(fmt.Sprint("more ", i))
		}
		p = r.refuse(ana.Token, seen(text(conv, "Me three"), 1), chat.CodeNewerMessages)
		if len(p.Messages) != 50 || p.Messages[0].Number != 2 {
			t.Fatalf("%d messages from %d", len(p.Messages), p.Messages[0].Number)
		}
	})
}

// followed wants each change of a message in the log to be followed by one of
// its conversation before anything else was done.
func (r *rig) followed() {
	r.Helper()
	var page protocol.ChangesPage
	r.get("/v1/changes?after=0&limit=1000", r.owner.Token, &page)
	if page.More {
		r.Fatal("this looks at one page of the log only")
	}
	ahead := map[chat.ConversationID]int64{}
	messages := 0
	var before chat.Change
	for _, c := range append(page.Changes, chat.Change{}) {
		if c.At != before.At || c.Cause != before.Cause {
			for conv, seq := range ahead {
				r.Errorf("change %d of a message is not followed by conversation %s", seq, conv)
			}
			clear(ahead)
		}
		switch before = c; c.Kind {
		case chat.EntityMessage:
			ahead[c.Conversation] = c.Seq
			messages++
		case chat.EntityConversation:
			delete(ahead, c.Conversation)
		}
	}
	if messages == 0 {
		r.Error("no message has changed")
	}
}
