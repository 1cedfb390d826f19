package cache

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"parley/backend/chat"
)

func never() bool { return false }

// holding is a cache that has loaded three conversations at position 10: an
// open one, one resolved within the window and one before it.
func holding(t *testing.T) (*Cache, world) {
	t.Helper()
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 0, Epoch: "e", Sweep: true, Since: testNow})
	finish(t, c)
	apply(t, c,
		w.conversation(1, 1, 1, func(c *chat.Conversation) { c.LastMessageAt = testNow - 5 }),
		w.conversation(2, 2, 1, func(c *chat.Conversation) { c.Status = chat.StatusResolved }),
		w.conversation(3, 3, 1, func(c *chat.Conversation) { c.Status, c.LastMessageAt = chat.StatusClosed, testNow-5 }),
		w.brand(1, 10))
	return c, w
}

func hold(t *testing.T, c *Cache) *Holding {
	t.Helper()
	h, err := c.Hold(t.Context(), never)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func sumOf(vers map[byte]int64) (d chat.Digest) {
	for n, ver := range vers {
		d.Add(conversationID(n), chat.DigestHash(conversationID(n), ver))
	}
	return d
}

func TestHoldSumsUpTheWindowAtThePosition(t *testing.T) {
	c, w := holding(t)
	h := hold(t, c)
	if h.Sum != sumOf(map[byte]int64{1: 1, 2: 2}) || h.Position != 10 || h.Epoch != "e" || h.Since != testNow || h.Len() != 2 {
		t.Errorf("holds %+v", h)
	}
	if without := h.Without([]chat.ConversationID{conversationID(2), conversationID(3), conversationID(2), conversationID(9)}); without != sumOf(map[byte]int64{1: 1}) {
		t.Error("what has changed is not left out, once")
	}
	ahead := w.conversation(4, 12, 1, nil)
	if _, err := c.PutRows(t.Context(), []Row{{Kind: ahead.Kind, ID: ahead.ID, Data: ahead.Data}}); err != nil {
		t.Fatal(err)
	}
	if hold(t, c).Sum != h.Sum {
		t.Error("what is ahead of the position is summed")
	}
	if _, err := c.Hold(t.Context(), func() bool { return true }); !errors.Is(err, ErrYield) {
		t.Errorf("did not give way: %v", err)
	}
}

func TestHoldIsReadFromAnIndex(t *testing.T) {
	c, _ := holding(t)
	err := c.read.glance(t.Context(), func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(context.Background(), "explain query plan "+holdingQuery, 0)
		if err != nil {
			return err
		}
		plan, err := collect(rows, func(rows *sql.Rows) (s string, err error) {
			var a, b, c int
			err = rows.Scan(&a, &b, &c, &s)
			return s, err
		})
		if n := strings.Count(strings.Join(plan, "\n"), "USING COVERING INDEX holding"); n != 2 {
			t.Errorf("the plan is %q", plan)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsProvenIsOfThisCache: a proof of what was before counts for nothing.
func TestWhatIsProvenIsOfThisCache(t *testing.T) {
	for name, change := range map[string]func(*Cache, world){
		"far behind": func(c *Cache, _ world) {
			begin1(t, c, Bootstrap{Head: 20, Epoch: "e", Since: testNow + 1})
			finish(t, c)
		},
		"being loaded":  func(c *Cache, _ world) { begin1(t, c, Bootstrap{Head: 20, Epoch: "e"}) },
		"another epoch": func(c *Cache, _ world) { begin1(t, c, Bootstrap{Head: 5, Epoch: "f", Sweep: true}) },
		"other access":  func(c *Cache, w world) { apply(t, c, w.access(11, seesBrands(1))) },
	} {
		c, w := holding(t)
		h := hold(t, c)
		if err := c.NoteProven(t.Context(), h, testNow); err != nil || c.Proven() != (Proof{10, testNow}) {
			t.Fatalf("proven %+v, %v", c.Proven(), err)
		}
		change(c, w)
		if name != "other access" && name != "being loaded" && c.Proven() != (Proof{}) {
			t.Errorf("%s: still proven", name)
		}
		if err := c.NoteProven(t.Context(), h, testNow); chat.ErrorCode(err) != chat.CodeConflict {
			t.Errorf("%s: proven by what was held before: %v", name, err)
		}
		if _, _, err := c.Repair(t.Context(), h, []int{1}, 10, nil); chat.ErrorCode(err) != chat.CodeConflict {
			t.Errorf("%s: repaired by what was held before: %v", name, err)
		}
	}
}

// TestRepairLeavesWhatCameMeanwhile: between the question and the answer the
// cache goes on; what it has learned since is newer than the answer.
func TestRepairLeavesWhatCameMeanwhile(t *testing.T) {
	c, w := holding(t)
	h := hold(t, c)
	apply(t, c, w.conversation(2, 14, 1, nil), w.conversation(5, 15, 1, nil)) // after we asked
	old := w.conversation(2, 2, 1, func(c *chat.Conversation) { c.Status = chat.StatusResolved })
	rows := []Row{{Kind: old.Kind, ID: old.ID, Ver: 2, Data: old.Data}}
	var buckets []int
	for n := range chat.DigestBuckets {
		buckets = append(buckets, n)
	}
	_, repaired, err := c.Repair(t.Context(), h, buckets, 12, rows)
	if err != nil {
		t.Fatal(err)
	}
	if got := hold(t, c); got.Sum != sumOf(map[byte]int64{2: 14, 5: 15}) || repaired != 1 || c.Repaired() != 1 {
		t.Errorf("%d repaired; 1 was not named and should be gone, 2 and 5 as they came", repaired)
	}
}
