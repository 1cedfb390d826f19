package cache

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
)

func vanished(t *testing.T, c *Cache) (texts []string, drafts, scheduled int) {
	t.Helper()
	v, err := c.Vanished(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range v.Messages {
		var m chat.Message
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, m.Text())
	}
	slices.Sort(texts)
	return texts, len(v.Drafts), len(v.Scheduled)
}

// saidAt is a message with the time at which it was said.
func (w world) saidAt(conv byte, number, ver int64, at chat.Time, text string) chat.Change {
	m := chat.Message{ID: messageID(conv, number), Ver: ver, Conversation: conversationID(conv), Number: number, SentAt: at,
		Kind: chat.MessageKindMessage, Parts: []chat.Part{chat.TextPart(text)}}
	return w.change(chat.EntityMessage, m.ID.String(), ver, brandID(1), m.Conversation, m)
}

func TestVanishedIsWhatARestoredServerForgot(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	at := func(days int) chat.Time {
		return testNow + chat.TimeOf(time.UnixMicro(0).Add(time.Duration(days)*24*time.Hour))
	}
	conversation := func(n byte, ver int64, last chat.Time, number int64) chat.Change {
		return w.conversation(n, ver, 1, func(x *chat.Conversation) { x.LastMessageAt, x.LastNumber = last, number })
	}
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1),
		conversation(1, 2, at(10), 4), w.saidAt(1, 1, 3, at(0), "old"), w.saidAt(1, 2, 4, at(1), "kept"), w.saidAt(1, 3, 5, at(9), "its number is given away"), w.saidAt(1, 4, 6, at(10), "beyond the end"),
		conversation(2, 7, at(10), 1), w.saidAt(2, 1, 8, at(10), "its conversation is gone"),
		conversation(3, 9, at(-90), 1), w.saidAt(3, 1, 10, at(-90), "too old to be named"),
		conversation(4, 11, at(8), 2), w.saidAt(4, 1, 12, at(7), "not given along"), w.saidAt(4, 2, 13, at(8), "sent again meanwhile"),
		w.draft(1, 14, 1, "half a sen"),
		w.scheduled(1, 200, 15, 1, "kept for spring"), w.scheduled(1, 201, 16, 1, "planned after the backup"), w.scheduled(2, 202, 17, 1, "in a chat that is gone"),
		w.scheduled(4, 2, 18, 1, "sent again meanwhile"))
	if got, drafts, scheduled := vanished(t, c); len(got)+drafts+scheduled > 0 {
		t.Fatalf("during a first load %q vanished", got)
	}
	finish(t, c)

	begin1(t, c, Bootstrap{Head: 9, Epoch: "e2", Sweep: true})
	other := w.saidAt(1, 3, 9, at(11), "another")
	other.Data = []byte(`{"id":"` + messageID(9, 9).String() + `","ver":9,"conversation":"` + conversationID(1).String() + `","number":3,"kind":"message","parts":[]}`)
	again := w.saidAt(4, 5, 8, at(11), "sent again meanwhile") // under its id, with another number
	again.Data = []byte(`{"id":"` + messageID(4, 2).String() + `","ver":8,"conversation":"` + conversationID(4).String() + `","number":5,"kind":"message","parts":[]}`)
	put(t, c, "", w.brand(1, 1), conversation(1, 2, at(11), 3), w.saidAt(1, 2, 4, at(1), "kept"), other,
		conversation(4, 7, at(0), 5), again, w.scheduled(1, 200, 8, 1, "kept for spring"))
	want := []string{"beyond the end", "its conversation is gone", "its number is given away"}
	if got, drafts, scheduled := vanished(t, c); !slices.Equal(got, want) || drafts != 1 || scheduled != 2 {
		t.Fatalf("vanished: %q, %d drafts and %d scheduled messages; want %q, 1 and 2", got, drafts, scheduled, want)
	}
	finish(t, c)
	if got, drafts, scheduled := vanished(t, c); len(got)+drafts+scheduled > 0 {
		t.Fatalf("after the sweep %q vanished", got)
	}

	// A load of the same log takes nothing for vanished.
	begin1(t, c, Bootstrap{Head: 20, Epoch: "e2", Sweep: true})
	put(t, c, "", w.brand(1, 1), conversation(1, 12, at(12), 3))
	if got, drafts, scheduled := vanished(t, c); len(got)+drafts+scheduled > 0 {
		t.Fatalf("in the same log %q vanished", got)
	}
}

// TestDoubtsEndWhereBothLogsAreTheSame: a thread that has gone on is doubtful
// until it was read back to a message that both logs have there.
func TestDoubtsEndWhereBothLogsAreTheSame(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	conversation := func(n byte, ver, number int64) chat.Change {
		return w.conversation(n, ver, 1, func(x *chat.Conversation) {
			x.LastMessageAt, x.LastNumber = testNow+chat.Time(number), number
		})
	}
	said := func(conv byte, number, ver int64, id byte, text string) chat.Change {
		m := chat.Message{ID: messageID(id, number), Ver: ver, Conversation: conversationID(conv), Number: number, SentAt: testNow,
			Kind: chat.MessageKindMessage, Parts: []chat.Part{chat.TextPart(text)}}
		return w.change(chat.EntityMessage, m.ID.String(), ver, brandID(1), m.Conversation, m)
	}
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), conversation(1, 2, 3), said(1, 1, 3, 1, "kept"), said(1, 2, 4, 1, "lost"), said(1, 3, 5, 1, "lost as well"),
		conversation(2, 6, 1), said(2, 1, 7, 2, "as it was"))
	finish(t, c)

	begin1(t, c, Bootstrap{Head: 9, Epoch: "e2", Sweep: true})
	put(t, c, "", w.brand(1, 1), conversation(1, 8, 4), conversation(2, 6, 1))
	doubtful := func() []chat.ConversationID {
		t.Helper()
		all, err := c.Doubtful(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got := doubtful(); !slices.Equal(got, []chat.ConversationID{conversationID(1)}) {
		t.Fatalf("doubtful: %v", got)
	}
	if got, _, _ := vanished(t, c); len(got) > 0 {
		t.Fatalf("%q has vanished, and nobody has looked", got)
	}
	page := func(shares bool, from int64, list ...chat.Change) {
		t.Helper()
		var raw []json.RawMessage
		for _, x := range list {
			raw = append(raw, x.Data)
		}
		shared, err := c.Shared(t.Context(), conversationID(1), raw)
		if err != nil || shared != shares {
			t.Fatalf("from %d both are the same: %v %v", from, shared, err)
		}
		if _, err := c.PutMessages(t.Context(), conversationID(1), from, from+int64(len(list))-1, 4, raw); err != nil {
			t.Fatal(err)
		}
	}
	page(false, 3, said(1, 3, 6, 9, "another"), said(1, 4, 7, 9, "and another"))
	page(true, 1, said(1, 1, 3, 1, "kept"), said(1, 2, 5, 9, "the first after it"))
	if got, _, _ := vanished(t, c); !slices.Equal(got, []string{"lost", "lost as well"}) {
		t.Fatalf("vanished: %q", got)
	}
	if got := doubtful(); len(got) > 0 {
		t.Fatalf("still doubtful: %v", got)
	}
}

// TestALogThatWasPutBackUnderItsEpoch is a database that was put back as it had
// been, without parleyd restore: the epoch is the same, the head is lower, and
// the numbers after it are given away once more.
func TestALogThatWasPutBackUnderItsEpoch(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1),
		w.conversation(1, 40, 1, func(x *chat.Conversation) { x.LastNumber = 2 }),
		w.message(1, 1, 5, 1, "kept"), w.message(1, 2, 39, 1, "forgotten by the server"),
		w.conversation(2, 45, 1, func(x *chat.Conversation) { x.LastNumber = 1 }), w.saidAt(2, 1, 44, testNow, "a chat that is gone"))
	finish(t, c)

	era := c.Era()
	begin1(t, c, Bootstrap{Head: 20, Epoch: "e1", Sweep: true})
	if c.Era() == era {
		t.Error("answers of before would be taken for answers of now")
	}
	put(t, c, "", w.brand(1, 1), w.conversation(1, 6, 1, func(x *chat.Conversation) { x.LastNumber = 1 }), w.message(1, 1, 5, 1, "kept"))
	want := []string{"a chat that is gone", "forgotten by the server"}
	if texts, _, _ := vanished(t, c); !slices.Equal(texts, want) {
		t.Errorf("vanished: %q, want %q", texts, want)
	}
	finish(t, c)
	if got := has(t, c); got != "1" {
		t.Errorf("the server has chat 1, here are %s", got)
	}

	other := w.message(1, 2, 22, 1, "the customer has written since")
	other.ID = messageID(9, 9).String()
	other.Data = []byte(strings.ReplaceAll(string(other.Data), messageID(1, 2).String(), other.ID))
	if _, err := c.Apply(t.Context(), 20, 22, []chat.Change{other, w.conversation(1, 21, 1, func(x *chat.Conversation) { x.LastNumber = 2 })}); err != nil {
		t.Fatal(err)
	}
	page, err := c.Thread(t.Context(), conversationID(1), 0, 0, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprintf("%s", page.Messages); !strings.Contains(all, "the customer has written since") {
		t.Errorf("what the customer wrote is not shown: %s", all)
	}
}

// TestALogThatWasPutBackAndHasGrownSince is noticed by who asks for a position
// that is not there; by the time everything is loaded the head may be above
// what was known. Nothing of this is forgotten with the program.
func TestALogThatWasPutBackAndHasGrownSince(t *testing.T) {
	dir, w := t.TempDir(), world{t}
	c, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.conversation(1, 40, 1, nil), w.conversation(2, 45, 1, func(x *chat.Conversation) { x.LastNumber = 1 }), w.saidAt(2, 1, 44, testNow, "gone"))
	finish(t, c)
	if err := c.BeginEra(t.Context()); err != nil {
		t.Fatal(err)
	}
	if has(t, c) != "12" || c.Loaded() {
		t.Errorf("before there is an answer: conversations %s, loaded %v", has(t, c), c.Loaded())
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	c = open(t, dir)
	begin1(t, c, Bootstrap{Head: 60, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.conversation(1, 30, 1, nil))
	if texts, _, _ := vanished(t, c); !slices.Equal(texts, []string{"gone"}) {
		t.Errorf("vanished: %q", texts)
	}
	finish(t, c)
	if pos, _ := c.Position(); pos != 60 || has(t, c) != "1" {
		t.Errorf("position %d, conversations %s", pos, has(t, c))
	}
}

// TestALogThatEndsBeforeAnInterruptedLoad was put back while it was read.
func TestALogThatEndsBeforeAnInterruptedLoad(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 10, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.conversation(1, 5, 1, nil))
	finish(t, c)
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1", Sweep: true})
	put(t, c, "p1", w.conversation(1, 45, 1, func(x *chat.Conversation) { x.Subject = "as it never was" }))
	begin1(t, c, Bootstrap{Head: 20, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.conversation(1, 15, 1, func(x *chat.Conversation) { x.Subject = "as it is" }))
	finish(t, c)
	if s := dump(t, c); strings.Contains(s, "as it never was") || !strings.Contains(s, "as it is") {
		t.Errorf("left of the log before:\n%s", s)
	}
}

// TestAnAnswerOfBeforeBringsNothingBack: a command that was judged before is
// answered with what was true then, also where the chat is gone by now.
func TestAnAnswerOfBeforeBringsNothingBack(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.conversation(1, 40, 1, nil), w.conversation(2, 45, 1, nil))
	finish(t, c)

	begin1(t, c, Bootstrap{Head: 60, Epoch: "e2", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.conversation(2, 52, 1, nil))
	answer := func(ver int64, n byte) {
		t.Helper()
		row := w.conversation(n, ver, 1, nil)
		if _, err := c.PutAnswer(t.Context(), c.Era(), Row{Kind: row.Kind, ID: row.ID, Ver: ver, Data: row.Data}); err != nil {
			t.Fatal(err)
		}
	}
	answer(12, 1) // the bootstrap names it, if it is there
	answer(13, 3)
	answer(61, 4) // has been made since
	finish(t, c)
	if got := has(t, c); got != "24" {
		t.Errorf("the server has the chats 2 and 4, here are %s", got)
	}
	answer(59, 1)
	answer(62, 5)
	if got := has(t, c); got != "245" {
		t.Errorf("the server has the chats 2, 4 and 5, here are %s", got)
	}
	put := func(number, ver int64, id string) error {
		row := w.message(2, number, ver, 1, "said")
		row.Data = []byte(strings.ReplaceAll(string(row.Data), row.ID, id))
		_, err := c.PutAnswer(t.Context(), c.Era(), Row{Kind: row.Kind, ID: id, Ver: ver, Conversation: conversationID(2), Data: row.Data})
		return err
	}
	if err := put(1, 63, messageID(2, 1).String()); err != nil {
		t.Fatal(err)
	}
	if err := put(1, 70, messageID(2, 2).String()); chat.ErrorCode(err) != chat.CodeConflict {
		t.Errorf("a number is given twice, so it is another log: %v", err)
	}
	if _, err := c.PutAnswer(t.Context(), c.Era()-1, Row{}); chat.ErrorCode(err) != chat.CodeConflict {
		t.Errorf("an answer of another era: %v", err)
	}
}

// TestATextIsDisplacedTwice by servers that were restored in turns: it is kept
// all the same, and what takes its place is written.
func TestATextIsDisplacedTwice(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	chat2 := w.conversation(1, 45, 1, func(x *chat.Conversation) { x.LastNumber = 2 })
	said := func(id, ver int64, text string) chat.Change {
		m := w.message(1, 2, ver, 1, text)
		m.Data = []byte(strings.ReplaceAll(string(m.Data), m.ID, messageID(9, id).String()))
		m.ID = messageID(9, id).String()
		return m
	}
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), chat2, said(1, 44, "mine"))
	finish(t, c)
	for n, head := range []int64{60, 70, 80} {
		begin1(t, c, Bootstrap{Head: head, Epoch: fmt.Sprint("e", n+2), Sweep: true})
		put(t, c, "", w.brand(1, 1), w.conversation(1, head-5, 1, func(x *chat.Conversation) { x.LastNumber = 2 }), said(int64(2-n%2), head-6, "in turns"))
	}
	if texts, _, _ := vanished(t, c); !slices.Equal(texts, []string{"mine"}) {
		t.Errorf("vanished: %q", texts)
	}
	finish(t, c)
}

// TestAPageOfAnotherLogTakesNoTextAway: whoever comes back to a restored server
// may have read a page before anything has told that the log is another. What is
// in it has the number of one that the server has lost, and by now a higher ver.
func TestAPageOfAnotherLogTakesNoTextAway(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	conversation := func(ver, number int64) chat.Change {
		return w.conversation(1, ver, 1, func(x *chat.Conversation) { x.LastMessageAt, x.LastNumber = testNow, number })
	}
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), conversation(40, 2), w.saidAt(1, 1, 5, testNow, "kept"), w.saidAt(1, 2, 39, testNow, "lost by the server"))
	finish(t, c)

	queued := w.saidAt(1, 2, 60, testNow, "had waited")
	queued.ID = messageID(9, 9).String()
	queued.Data = []byte(strings.ReplaceAll(string(queued.Data), messageID(1, 2).String(), queued.ID))
	if _, err := c.PutMessages(t.Context(), conversationID(1), 2, 2, 2, []json.RawMessage{queued.Data}); err != nil {
		t.Fatal(err)
	}
	if err := c.BeginEra(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin1(t, c, Bootstrap{Head: 60, Epoch: "e2", Sweep: true})
	put(t, c, "", w.brand(1, 1), conversation(61, 2), w.saidAt(1, 1, 5, testNow, "kept"), queued)
	if got, _, _ := vanished(t, c); !slices.Equal(got, []string{"lost by the server"}) {
		t.Errorf("vanished: %q", got)
	}
	finish(t, c)
	if got, _, _ := vanished(t, c); len(got) > 0 {
		t.Errorf("after the sweep %q vanished", got)
	}
}

// TestALogThatWasNeverHereWhole proves nothing about the one before it: what of
// it was written before the next log began may be newer than a text that is lost.
func TestALogThatWasNeverHereWhole(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.conversation(1, 45, 1, func(x *chat.Conversation) { x.LastNumber = 2 }), w.message(1, 1, 5, 1, "kept"), w.message(1, 2, 44, 1, "mine"))
	finish(t, c)
	begin1(t, c, Bootstrap{Head: 30, Epoch: "e2", Sweep: true}) // and is broken off
	third := w.message(1, 3, 20, 1, "the customer's")
	put(t, c, "", w.conversation(1, 21, 1, func(x *chat.Conversation) { x.LastNumber = 3 }), third)
	begin1(t, c, Bootstrap{Head: 40, Epoch: "e3", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.conversation(1, 31, 1, func(x *chat.Conversation) { x.LastNumber = 3 }))
	for text, want := range map[string]bool{string(third.Data): false, string(w.message(1, 1, 5, 1, "kept").Data): true} {
		if shared, err := c.Shared(t.Context(), conversationID(1), []json.RawMessage{[]byte(text)}); err != nil || shared != want {
			t.Errorf("shared: %v %v, want %v: %s", shared, err, want, text)
		}
	}
}
