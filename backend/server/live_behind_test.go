package server_test

import (
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// TestManyComeBackFromBeforeTheTail has desks of two members, who see different brands, come back from further behind
// than what the sockets' hub keeps: they share the reading of the log, and each still gets exactly what its member sees.
func TestManyComeBackFromBeforeTheTail(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	second := r.addBrand("Second")
	ana := r.member("Ana", chat.RoleAgent, second.Brand)
	conv, _ := r.conversation()
	hers := r.visit(second.Key)
	hers.say("for Ana")
	for r.head() < 2500 {
		var cmds []chat.Command
		for i := range protocol.MaxCommands {
			where := conv
			if i%3 == 0 {
				where = hers.conv
			}
			cmds = append(cmds, cmd(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: where, Message: chat.NewID[chat.Message](), Text: "x"}))
		}
		for _, res := range r.send(r.owner.Token, cmds...) {
			if res.Status != protocol.StatusApplied {
				t.Fatalf("comment: %+v", res.Problem)
			}
		}
	}
	end := r.head()
	tokens := []string{r.owner.Token, ana.Token}
	var sockets []*live
	for i := range 8 {
		sockets = append(sockets, r.join(tokens[i%2], int64(i/4))) // from two positions
	}
	for i, l := range sockets {
		from := l.pos
		got, want := l.upto(end), r.changes(tokens[i%2], from, end)
		if len(got) != len(want) || len(want) == 0 {
			t.Fatalf("socket %d: %d changes, the log has %d", i, len(got), len(want))
		}
		for j := range got {
			if got[j].Seq != want[j].Seq || got[j].ID != want[j].ID {
				t.Fatalf("socket %d: change %d is %d, want %d", i, j, got[j].Seq, want[j].Seq)
			}
			if i%2 == 1 && got[j].Brand != second.Brand && !got[j].Brand.IsZero() {
				t.Fatalf("socket %d: change %d is of a foreign brand", i, got[j].Seq)
			}
		}
	}
}
