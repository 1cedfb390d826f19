package cache

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"parley/backend/chat"
)

func numbers(t testing.TB, messages []json.RawMessage) []int64 {
	t.Helper()
	out := []int64{}
	for _, data := range messages {
		var m chat.Message
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m.Number)
	}
	return out
}

func thread(t testing.TB, c *Cache, conv byte, before, after, around int64, limit int) ThreadPage {
	t.Helper()
	page, err := c.Thread(t.Context(), conversationID(conv), before, after, around, limit)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestThreadShowsItsHoles(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c, w.conversation(1, 1, 1, func(c *chat.Conversation) { c.LastNumber = 20 }))
	if _, err := c.PutMessages(t.Context(), conversationID(1), 5, 7, 20,
		data(w.message(1, 5, 1, 1, "5"), w.message(1, 6, 1, 1, "6"), w.message(1, 7, 1, 1, "7"))); err != nil {
		t.Fatal(err)
	}
	page := thread(t, c, 1, 0, 0, 0, 18)
	if !slices.Equal(numbers(t, page.Messages), []int64{5, 6, 7}) || !slices.Equal(page.Holes, [][2]int64{{3, 4}, {8, 20}}) ||
		page.From != 3 || page.To != 20 || page.Head != 20 {
		t.Errorf("page %v %v %d–%d of %d", numbers(t, page.Messages), page.Holes, page.From, page.To, page.Head)
	}
	// The live message after the newest known one extends; it also tells of a newer head.
	apply(t, c, w.message(1, 8, 2, 1, "8"), w.message(1, 22, 3, 1, "22"))
	page = thread(t, c, 1, 0, 4, 0, 10)
	if !slices.Equal(numbers(t, page.Messages), []int64{5, 6, 7, 8}) || !slices.Equal(page.Holes, [][2]int64{{9, 14}}) || page.Head != 22 {
		t.Errorf("after 4: %v %v of %d", numbers(t, page.Messages), page.Holes, page.Head)
	}
	page = thread(t, c, 1, 7, 0, 0, 2)
	if !slices.Equal(numbers(t, page.Messages), []int64{5, 6}) || len(page.Holes) != 0 {
		t.Errorf("before 7: %v %v", numbers(t, page.Messages), page.Holes)
	}
	if _, err := c.Thread(t.Context(), conversationID(9), 0, 0, 0, 10); chat.ErrorCode(err) != chat.CodeNotFound {
		t.Errorf("unknown conversation: %v", err)
	}
}

func TestPageNotWholeIsNotASpan(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c, w.conversation(1, 1, 1, func(c *chat.Conversation) { c.LastNumber = 3 }))
	messages := append(data(w.message(1, 1, 1, 1, "1")), json.RawMessage(`{"number":2}`))
	if _, err := c.PutMessages(t.Context(), conversationID(1), 1, 2, 3, messages); err != nil {
		t.Fatal(err)
	}
	if page := thread(t, c, 1, 0, 0, 0, 10); !slices.Equal(page.Holes, [][2]int64{{2, 3}}) {
		t.Errorf("holes %v, want the unreadable message's among them", page.Holes)
	}
	for _, r := range [][2]int64{{3, 2}, {-1, 5}, {1, maxNumber + 1}} {
		if _, err := c.PutMessages(t.Context(), conversationID(1), r[0], r[1], 3, nil); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("range %v: %v, want invalid", r, err)
		}
	}
	if _, err := c.PutMessages(t.Context(), conversationID(1), 0, 0, 3, nil); err != nil {
		t.Errorf("an empty page: %v", err)
	}
}

// TestHistoryAgainstBitmap mixes live messages and history pages and compares
// what the thread shows with the set of numbers that were given.
func TestHistoryAgainstBitmap(t *testing.T) {
	w := world{t}
	rapid.Check(t, func(rt *rapid.T) {
		const conv = 1
		c, err := Open(t.TempDir(), Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		const head = 40
		have := [head + 1]bool{}
		pos, _ := c.Position()
		apply(t, c, w.conversation(conv, pos+1, 1, func(c *chat.Conversation) { c.LastNumber = head }))
		for range rapid.IntRange(0, 8).Draw(rt, "steps") {
			lo := rapid.Int64Range(1, head).Draw(rt, "from")
			if rapid.Bool().Draw(rt, "live") {
				pos, _ := c.Position()
				apply(t, c, w.message(conv, lo, pos+1, 1, "live"))
				have[lo] = true
				continue
			}
			hi := min(head, lo+rapid.Int64Range(0, 10).Draw(rt, "length"))
			var page []json.RawMessage
			for n := lo; n <= hi; n++ {
				page = append(page, w.message(conv, n, 1, 1, "old").Data)
				have[n] = true
			}
			if _, err := c.PutMessages(t.Context(), conversationID(conv), lo, hi, head, page); err != nil {
				rt.Fatal(err)
			}
		}
		page := thread(t, c, conv, 0, 0, 0, head)
		var want []int64
		for n := int64(1); n <= head; n++ {
			inHole := slices.ContainsFunc(page.Holes, func(h [2]int64) bool { return h[0] <= n && n <= h[1] })
			if inHole == have[n] {
				rt.Fatalf("number %d: cached %v, in a hole %v", n, have[n], inHole)
			}
			if have[n] {
				want = append(want, n)
			}
		}
		if got := numbers(t, page.Messages); !slices.Equal(got, want) && len(want) > 0 {
			rt.Fatalf("messages %v, want %v", got, want)
		}
	})
}

// TestHugeNumbersStayInTheirThread: a number no thread can have must not reach
// into the keys of the next conversation.
func TestHugeNumbersStayInTheirThread(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c, w.conversation(1, 1, 1, func(c *chat.Conversation) { c.LastNumber = 1 << 40 }), w.conversation(2, 2, 1, nil), w.message(2, 1, 3, 1, "of another"))
	for _, page := range []ThreadPage{thread(t, c, 1, 0, 0, 0, 100), thread(t, c, 1, 0, maxNumber-10, 0, 100), thread(t, c, 1, 1<<60, 0, 0, 100)} {
		if len(page.Messages) != 0 || page.Head != maxNumber {
			t.Errorf("%d messages, head %d", len(page.Messages), page.Head)
		}
	}
}

func TestMessagesAreConfirmed(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c, w.conversation(1, 1, 1, nil), w.message(1, 1, 2, 1, "hi"))
	got, err := c.HasMessages(t.Context(), []chat.MessageID{messageID(1, 1), messageID(1, 2)})
	if err != nil || !got[messageID(1, 1)] || got[messageID(1, 2)] {
		t.Errorf("confirmed: %v, %v", got, err)
	}
	if _, err := c.Message(t.Context(), messageID(1, 2)); chat.ErrorCode(err) != chat.CodeNotFound {
		t.Errorf("unknown message: %v", err)
	}
	position, _ := c.Position()
	if err := c.SetPosition(t.Context(), position, "before"); err != nil {
		t.Fatal(err)
	}
	// The server was restored, and it is not known yet what it still has.
	begin1(t, c, Bootstrap{Head: 1, Epoch: "restored", Sweep: true})
	if got, err = c.HasMessages(t.Context(), []chat.MessageID{messageID(1, 1)}); err != nil || got[messageID(1, 1)] {
		t.Errorf("confirmed by another log: %v, %v", got, err)
	}
}

func TestEndedContextReadsAndWritesNothing(t *testing.T) {
	c := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Conversations(ctx, ListQuery{}); !errors.Is(err, context.Canceled) {
		t.Errorf("list: %v", err)
	}
	if _, err := c.Thread(ctx, conversationID(1), 0, 0, 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("thread: %v", err)
	}
}
