package inbox

import (
	"sync"
	"time"

	"parley/backend/chat"
)

// memo remembers answers for a moment, at most max of them. It spares the
// database the same question on every request; what must be true at once is
// dropped from it by whoever changes it.
type memo[K comparable, V any] struct {
	max int
	ttl time.Duration
	now func() chat.Time
	mu  sync.Mutex
	m   map[K]memoItem[V]
}

type memoItem[V any] struct {
	value V
	until chat.Time
}

func newMemo[K comparable, V any](max int, ttl time.Duration, now func() chat.Time) *memo[K, V] {
	return &memo[K, V]{max: max, ttl: ttl, now: now, m: map[K]memoItem[V]{}}
}

func (c *memo[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	item, ok := c.m[k]
	if !ok || c.now() >= item.until {
		var zero V
		return zero, false
	}
	return item.value, true
}

func (c *memo[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.m[k]; !ok && len(c.m) >= c.max {
		c.makeRoom()
	}
	c.m[k] = memoItem[V]{value: v, until: c.now().Add(c.ttl)}
}

// makeRoom drops what has expired, else a sixteenth of everything at random:
// a forgotten answer is only asked again.
func (c *memo[K, V]) makeRoom() {
	now := c.now()
	for k, item := range c.m {
		if now >= item.until {
			delete(c.m, k)
		}
	}
	drop := len(c.m) - c.max + c.max/16 + 1
	for k := range c.m {
		if drop <= 0 {
			return
		}
		delete(c.m, k)
		drop--
	}
}

func (c *memo[K, V]) drop(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, k)
}

func (c *memo[K, V]) dropIf(match func(V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, item := range c.m {
		if match(item.value) {
			delete(c.m, k)
		}
	}
}
