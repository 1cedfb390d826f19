package desktop

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"parley/backend/desktop/cache"
)

// window makes a cached window from..to with holes.
func window(from, to int64, holes ...[2]int64) cache.ThreadPage {
	p := cache.ThreadPage{From: from, To: to, Head: to, Holes: holes}
	for n := from; n <= to; n++ {
		if !inHole(holes, n) {
			p.Messages = append(p.Messages, json.RawMessage(fmt.Sprint(n)))
			p.Numbers = append(p.Numbers, n)
		}
	}
	return p
}

func TestRunIsWhatIsNextToTheQuestion(t *testing.T) {
	for name, test := range map[string]struct {
		page     cache.ThreadPage
		q        ThreadQuery
		from, to int64
	}{
		"no holes":                     {window(1, 9), ThreadQuery{}, 1, 9},
		"newest, hole in the middle":   {window(1, 9, [2]int64{3, 5}), ThreadQuery{}, 6, 9},
		"newest, the newest missing":   {window(1, 9, [2]int64{8, 9}), ThreadQuery{}, 1, 7},
		"newest, two holes":            {window(1, 9, [2]int64{2, 3}, [2]int64{8, 9}), ThreadQuery{}, 4, 7},
		"newest, nothing":              {window(1, 9, [2]int64{1, 9}), ThreadQuery{}, 0, 0},
		"before, next to it missing":   {window(1, 9, [2]int64{7, 9}), ThreadQuery{Before: 10}, 0, 0},
		"before, further up missing":   {window(1, 9, [2]int64{1, 4}), ThreadQuery{Before: 10}, 5, 9},
		"after, next to it missing":    {window(11, 19, [2]int64{11, 12}), ThreadQuery{After: 10}, 0, 0},
		"after, further down missing":  {window(11, 19, [2]int64{15, 15}), ThreadQuery{After: 10}, 11, 14},
		"around, both sides missing":   {window(1, 9, [2]int64{2, 3}, [2]int64{7, 8}), ThreadQuery{Around: 5}, 4, 6},
		"around, itself missing":       {window(1, 9, [2]int64{5, 5}), ThreadQuery{Around: 5}, 0, 0},
		"around, only further missing": {window(1, 9, [2]int64{9, 9}), ThreadQuery{Around: 5}, 1, 8},
		"empty thread":                 {cache.ThreadPage{From: 1}, ThreadQuery{}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			messages, from, to := run(test.page, test.q)
			if from != test.from || to != test.to {
				t.Fatalf("got %d–%d, wanted %d–%d", from, to, test.from, test.to)
			}
			if messages == nil {
				t.Fatal("no list at all: the window needs an empty one")
			}
			want := int64(0)
			if to > 0 {
				want = to - from + 1
			}
			if int64(len(messages)) != want {
				t.Fatalf("%d messages for %d–%d", len(messages), from, to)
			}
			for i, m := range messages {
				if string(m) != fmt.Sprint(from+int64(i)) {
					t.Fatalf("message %d is %s", i, m)
				}
			}
		})
	}
}

func inHole(holes [][2]int64, n int64) bool {
	return slices.ContainsFunc(holes, func(h [2]int64) bool { return h[0] <= n && n <= h[1] })
}

// A deleted message may be missing without a hole: what stands around it must
// not be taken for its neighbour.
func TestRunDoesNotCountWhatIsDeleted(t *testing.T) {
	page := cache.ThreadPage{From: 1, To: 9, Head: 9, Holes: [][2]int64{{1, 3}}, Numbers: []int64{4, 6, 9},
		Messages: []json.RawMessage{json.RawMessage("4"), json.RawMessage("6"), json.RawMessage("9")}}
	if got, from, to := run(page, ThreadQuery{}); len(got) != 3 || from != 4 || to != 9 {
		t.Fatalf("%s %d–%d", got, from, to)
	}
	page.Holes = [][2]int64{{4, 5}}
	page.Numbers, page.Messages = []int64{2, 6, 9}, []json.RawMessage{json.RawMessage("2"), json.RawMessage("6"), json.RawMessage("9")}
	if got, from, to := run(page, ThreadQuery{}); len(got) != 2 || string(got[0]) != "6" || from != 6 || to != 9 {
		t.Fatalf("%s %d–%d", got, from, to)
	}
}
