package cache

import (
	"errors"
	"sync/atomic"
	"testing"

	"parley/backend/chat"
)

// TestWordsGoAcrossRestarts ends the program within the merge, which has a good
// deal to do, while messages come that are merged along or not: the words of
// one chat go all the same, and the rest is found.
func TestWordsGoAcrossRestarts(t *testing.T) {
	dir, w := t.TempDir(), world{t}
	set := stock(t, dir, 3000, 6000)
	var brands []chat.BrandID
	for _, b := range set.Brands {
		brands = append(brands, b.ID)
	}
	brands = append(brands, brandID(1))
	ver := int64(1 << 40)
	next := func() int64 { ver++; return ver }
	var steps atomic.Int64 // so many are let through
	start := func() *Cache {
		t.Helper()
		c, err := Open(dir, Options{Disk: func(_, op string, durable bool) error {
			if op != "merge index" || durable {
				return nil
			}
			if steps.Add(-1) < 0 {
				return errors.New("no more steps")
			}
			return nil
		}})
		must(t, err)
		c.writer.waiting.Add(1) // a step ends as soon as it can
		return c
	}
	c := start()
	apply(t, c, w.brand(1, next()), w.contact(1, next(), 1, "Ana"), w.conversation(1, next(), 1, nil),
		w.brand(2, next()), w.contact(2, next(), 2, "wolframina"), w.conversation(2, next(), 2, nil), w.message(2, 1, next(), 2, "kidneystones"))
	indexAll(t, c)
	apply(t, c, w.access(next(), chat.Access{Brands: brands}))
	purged(t, c)
	for n := range int64(3) {
		until(t, "the steps are taken", func() bool { return steps.Load() < 0 })
		s := c.state.Load()
		if begun := s.WordsRound > 0; begun != (n > 0) || !s.wordsOwed() {
			t.Errorf("run %d: round %d, owed %v", n, s.WordsRound, s.wordsOwed())
		}
		must(t, c.Close())
		steps.Store(8)
		c = start()
		apply(t, c, w.message(1, n+1, next(), 1, "gallbladder"))
		indexAll(t, c)
	}
	steps.Store(1 << 20)
	wordless(t, c)
	t.Logf("%d steps", 1<<20-steps.Load())
	checkIndex(t, c)
	if got := find(t, c, FindQuery{Query: parse("gallbladder")}); got != "1.3" {
		t.Errorf("of what came meanwhile is found: %q", got)
	}
	must(t, c.Close())
	if in := inFiles(t, dir, "kidneystones", "wolframina"); len(in) > 0 {
		t.Errorf("it stands in %q", in)
	}
}
