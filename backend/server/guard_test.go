package server_test

import (
	"fmt"
	"testing"

	"parley/backend/chat"
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
