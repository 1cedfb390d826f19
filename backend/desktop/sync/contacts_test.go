package sync

import (
	"context"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/inbox"
)

func TestMissingContactsAreAskedForOnce(t *testing.T) {
	w := online(t)
	w.want(w.packet(10, 12), apply(10, 12))
	w.want(w.event(Applied{Position: 12, Unknown: true}), Introduce{})
	w.want(w.packet(12, 13), apply(12, 13))
	w.want(w.event(Applied{Position: 13}))
	w.want(w.event(Introduced{}))

	// Others that come meanwhile are asked for afterwards.
	w.packet(13, 14)
	w.want(w.event(Applied{Position: 14, Unknown: true}), Introduce{})
	w.packet(14, 15)
	w.want(w.event(Applied{Position: 15, Unknown: true}))
	w.want(w.event(Introduced{}), Introduce{})

	// What fails is tried again, and what is not taken is not.
	w.want(w.event(Introduced{Err: chat.Errorf(chat.CodeTooMany, "Later.")}))
	w.want(w.pass(time.Second), Introduce{})
	w.want(w.event(Introduced{Err: chat.Errorf(chat.CodeInvalid, "No.")}))
	w.want(w.pass(time.Second))
}

func TestMissingContactsWaitForALoad(t *testing.T) {
	w := newWorld(t)
	w.event(Started{Position: 10, Epoch: "e", Loaded: true, Gained: true, Unknown: true})
	w.event(Opened{1})
	w.want(w.frame(protocol.Frame{Type: protocol.FrameWelcome, Head: 10, Epoch: "e"}), Online{})
	w.want(w.event(Filled{Gen: 1, Position: 10, Epoch: "e"})) // has brought them
	w.want(w.event(Applied{Position: 10, Unknown: true}), Introduce{})
}

// A conversation from before what was loaded comes back: its customer has a
// name at once, as has one whose contact was still missing when the program
// ended.
func TestACustomerOfLongAgoHasAName(t *testing.T) {
	h := newHouse(t, server.Config{Data: t.TempDir()})
	old := h.say(chat.ConversationID{}, "long ago")
	h.do(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: old})
	me := inbox.Principal{Workspace: h.created.Workspace, Member: h.owner.Member}
	c, err := h.srv.Inbox().Conversation(context.Background(), me, old)
	if err != nil {
		t.Fatal(err)
	}
	name := "Ada Lovelace"
	h.do(protocol.ContactUpdate, protocol.ContactUpdateArgs{Contact: c.Contact, Name: &name})
	h.behind("update conversation set last_message_at = 1")

	d := newDesk(h, h.owner)
	label := func() string {
		t.Helper()
		page, err := d.cache.Conversations(context.Background(), cache.ListQuery{Limit: 2})
		if err != nil || len(page.Rows) > 1 {
			t.Fatalf("%d rows, %v", len(page.Rows), err)
		}
		if len(page.Rows) == 0 {
			return "nobody"
		}
		return page.Rows[0].Label
	}
	d.start()
	d.current()
	if got := label(); got != "nobody" {
		t.Fatalf("%s of long ago was loaded", got)
	}
	h.say(old, "here I am again")
	until(t, "the name", func() bool { return label() == name })
	if raw, err := d.cache.Contact(context.Background(), c.Contact); err != nil || len(raw) == 0 {
		t.Errorf("the contact: %s, %v", raw, err)
	}

	d.damage("update contact set ver = 0, data = null, label = 'Somebody'", "update conversation set label = 'Somebody'")
	d.start()
	until(t, "the name after a start", func() bool { return label() == name })
}
