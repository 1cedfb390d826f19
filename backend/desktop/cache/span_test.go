package cache

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"parley/backend/chat"
)

// TestSpansAgainstBitmap compares span arithmetic with a plain set of numbers.
func TestSpansAgainstBitmap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 60
		var bits [size + 2]bool
		var spans []span
		for range rapid.IntRange(0, 25).Draw(t, "additions") {
			lo := rapid.Int64Range(1, size).Draw(t, "lo")
			hi := rapid.Int64Range(lo-1, min(lo+12, size)).Draw(t, "hi")
			spans = addSpan(spans, span{lo, hi})
			for i := lo; i <= hi; i++ {
				bits[i] = true
			}
		}
		var want []span
		for i := int64(1); i <= size; i++ {
			if bits[i] && !bits[i-1] {
				want = append(want, span{i, i})
			} else if bits[i] {
				want[len(want)-1].hi = i
			}
		}
		if !slices.Equal(spans, want) {
			t.Fatalf("spans %v, want %v", spans, want)
		}
		lo := rapid.Int64Range(1, size).Draw(t, "window from")
		hi := rapid.Int64Range(lo-1, size).Draw(t, "window to")
		missing := map[int64]bool{}
		last := int64(-1)
		for _, h := range holes(spans, span{lo, hi}) {
			if h[0] <= last+1 && last >= 0 || h[0] > h[1] {
				t.Fatalf("hole %v touches the one before or is empty", h)
			}
			last = h[1]
			for i := h[0]; i <= h[1]; i++ {
				missing[i] = true
			}
		}
		for i := int64(0); i <= size+1; i++ {
			if want := i >= lo && i <= hi && !bits[i]; missing[i] != want {
				t.Fatalf("number %d in a hole of [%d,%d]: %v, want %v", i, lo, hi, missing[i], want)
			}
		}
	})
}

func TestWindow(t *testing.T) {
	w := world{t}
	for _, c := range []struct {
		head, before, after, around int64
		want                        span
	}{
		{100, 0, 0, 0, span{91, 100}},
		{4, 0, 0, 0, span{1, 4}},
		{0, 0, 0, 0, span{1, 0}},
		{100, 50, 0, 0, span{40, 49}},
		{100, 5, 0, 0, span{1, 4}},
		{100, 1, 0, 0, span{1, 0}},
		{100, 1 << 62, 0, 0, span{91, 100}},
		{100, 0, 50, 0, span{51, 60}},
		{100, 0, 95, 0, span{96, 100}},
		{100, 0, 100, 0, span{101, 100}},
		{100, 0, 1<<63 - 1, 0, span{101, 100}},
		{100, 0, 0, 50, span{45, 54}},
		{100, 0, 0, 2, span{1, 10}},
		{100, 0, 0, 99, span{91, 100}},
		{100, 0, 0, 1 << 62, span{91, 100}},
		{3, 0, 0, 2, span{1, 3}},
	} {
		x := open(t, t.TempDir())
		apply(t, x, w.conversation(1, 1, 1, func(conv *chat.Conversation) { conv.LastNumber = c.head }))
		page := thread(t, x, 1, c.before, c.after, c.around, 10)
		if got := (span{page.From, page.To}); got != c.want || page.Head != c.head {
			t.Errorf("window of %+v = %v, want %v", c, got, c.want)
		}
	}
}
