package cache

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"parley/backend/chat"
	"parley/backend/demo"
)

const testNow = chat.Time(1_780_000_000_000_000)

// open opens a cache in a folder and closes it with the test.
func open(t testing.TB, dir string) *Cache {
	t.Helper()
	c, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func encode(t testing.TB, v any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// feeder turns a demo set into bootstrap rows with rising vers.
type feeder struct {
	t     testing.TB
	cache *Cache
	ver   int64
	rows  []Row
}

const feedRows = 2000

func (f *feeder) put(kind chat.EntityKind, v any) {
	f.rows = append(f.rows, Row{Kind: kind, Data: encode(f.t, v)})
	if len(f.rows) >= feedRows {
		f.flush()
	}
}

func (f *feeder) flush() {
	f.t.Helper()
	a, err := f.cache.PutBootstrap(f.t.Context(), f.rows, "")
	if err != nil {
		f.t.Fatal(err)
	}
	if a.Skipped != 0 {
		f.t.Fatalf("%d rows skipped", a.Skipped)
	}
	f.rows = f.rows[:0]
}

func (f *feeder) next() int64 { f.ver++; return f.ver }

// fill loads a demo set into a cache the way a bootstrap does.
func fill(t testing.TB, c *Cache, set *demo.Set) {
	t.Helper()
	if err := c.BeginBootstrap(t.Context(), Bootstrap{Head: 1 << 40, Epoch: "e1", Sweep: true}); err != nil {
		t.Fatal(err)
	}
	f := &feeder{t: t, cache: c}
	set.Workspace.Ver = f.next()
	f.put(chat.EntityWorkspace, set.Workspace)
	for _, v := range set.Brands {
		v.Ver = f.next()
		f.put(chat.EntityBrand, v)
	}
	for _, v := range set.Channels {
		v.Ver = f.next()
		f.put(chat.EntityChannel, v)
	}
	for _, v := range set.Members {
		v.Ver = f.next()
		f.put(chat.EntityMember, v)
	}
	for th := range set.Conversations() {
		if !th.Again {
			th.Contact.Ver = f.next()
			f.put(chat.EntityContact, th.Contact)
		}
		th.Conversation.Ver = f.next()
		f.put(chat.EntityConversation, th.Conversation)
		for _, m := range th.Messages {
			m.Ver = f.next()
			f.put(chat.EntityMessage, m)
		}
	}
	f.flush()
	if _, err := c.FinishBootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// made keeps what many tests begin with, for as long as the test program runs,
// as it is slow to make under the race detector.
var made struct {
	sync.Mutex
	sets   map[size]*demo.Set // they never change
	caches map[size][]byte    // the files of closed caches, filled
}

// size is how many conversations and messages there are in a demo set.
type size struct{ conversations, messages int }

func testSet(conversations, messages int) *demo.Set {
	made.Lock()
	defer made.Unlock()
	n := size{conversations, messages}
	if made.sets[n] == nil {
		if made.sets == nil {
			made.sets = map[size]*demo.Set{}
		}
		made.sets[n] = demo.Generate(demo.Options{Conversations: conversations, Messages: messages, Seed: 1, Now: testNow})
	}
	return made.sets[n]
}

// stock puts a closed cache with a demo set, as fill makes it, into a folder.
func stock(t testing.TB, dir string, conversations, messages int) *demo.Set {
	t.Helper()
	set := testSet(conversations, messages)
	made.Lock()
	defer made.Unlock()
	n := size{conversations, messages}
	if made.caches[n] == nil {
		c, err := Open(t.TempDir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, c, set)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(c.dir, cacheFile))
		if err != nil {
			t.Fatal(err)
		}
		if made.caches == nil {
			made.caches = map[size][]byte{}
		}
		made.caches[n] = content
	}
	if err := os.WriteFile(filepath.Join(dir, cacheFile), made.caches[n], 0o600); err != nil {
		t.Fatal(err)
	}
	return set
}

// stocked is an open cache with a demo set.
func stocked(t testing.TB, conversations, messages int) (*Cache, *demo.Set) {
	t.Helper()
	dir := t.TempDir()
	set := stock(t, dir, conversations, messages)
	return open(t, dir), set
}
