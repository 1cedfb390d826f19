package cache

import (
	"testing"
	"time"

	"parley/backend/chat"
)

// A word in what came long before the rest is found while everything waits to
// be indexed.
func TestALongTailIsSearched(t *testing.T) {
	told := make(chan struct{}, 1)
	c, err := Open(t.TempDir(), Options{OnIndexed: func() { told <- struct{}{} }})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	c.tailTime = time.Hour // here it is not about who is fast
	w := world{t}
	apply(t, c, w.brand(1, 1), w.contact(1, 2, 1, "Ana"), w.contact(2, 3, 1, "Bob"), w.conversation(1, 4, 1, nil), w.conversation(2, 5, 1, nil))
	for from := int64(1); from < 5000; from += 1000 {
		var list []chat.Change
		if from == 1 {
			list = append(list, w.message(1, 1, 6, 1, "the needle"))
		}
		for i := from; i < from+1000; i++ {
			list = append(list, w.messageAt(testNow.Add(time.Duration(i)*time.Second), 2, i, 6+i, 1, "hay"))
		}
		apply(t, c, list...)
	}
	page, err := c.Find(t.Context(), FindQuery{Query: parse("needle")})
	must(t, err)
	if len(page.Rows) != 1 {
		t.Errorf("found %d", len(page.Rows))
	}
	// Whoever had no time for all of it is told when it is in the index, once.
	c.hurried.Store(true)
	apply(t, c, w.message(1, 2, 20_000, 1, "one more"))
	until(t, "it is told that everything is indexed", func() bool { return len(told) > 0 })
	if left, _, err := c.waitingKeys(t.Context(), 1<<62, 1); err != nil || len(left) > 0 {
		t.Errorf("%d wait, %v", len(left), err)
	}
}
