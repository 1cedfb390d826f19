package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/backend/chat"
)

// kept is a conversation as pruning looks at it.
type kept struct {
	chat.Conversation
	messages int // of it that are here
}

func allKept(t *testing.T, c *Cache) (all []kept) {
	t.Helper()
	for cursor := ""; ; {
		page, err := c.Conversations(t.Context(), ListQuery{Limit: MaxPage, Cursor: cursor})
		must(t, err)
		for _, row := range page.Rows {
			var k kept
			must(t, json.Unmarshal(row.Conversation, &k.Conversation))
			read, err := c.Thread(t.Context(), k.ID, 0, 0, 0, 1)
			must(t, err)
			k.messages = int(read.Head)
			if len(read.Holes) > 0 {
				k.messages = 0
			}
			all = append(all, k)
		}
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// prune runs to the end.
func prune(t *testing.T, c *Cache, p Pruning) *Pruner {
	t.Helper()
	run := c.Pruner(p)
	for more := true; more; {
		var err error
		more, err = run.Step(t.Context(), time.Millisecond)
		must(t, err)
	}
	return run
}

// whole checks that every span is full of messages and every message in a span.
func whole(t *testing.T, c *Cache) {
	t.Helper()
	if n := rowsOf(t, c, `span s where (select count(*) from message where key between (s.conversation << 24) + s.lo and (s.conversation << 24) + s.hi) <> s.hi - s.lo + 1`); n > 0 {
		t.Errorf("%d spans say that messages are here which are not", n)
	}
	if n := rowsOf(t, c, "span s where not exists (select 1 from conversation where n = s.conversation)"); n > 0 {
		t.Errorf("%d spans of no conversation", n)
	}
}

func used(t *testing.T, c *Cache) int64 {
	t.Helper()
	size, err := c.Size(t.Context())
	must(t, err)
	return size.Used
}

// TestPruneMakesRoom lets a cache have less room than it takes.
func TestPruneMakesRoom(t *testing.T) {
	c, _ := stocked(t, 1000, 8000)
	before := allKept(t, c)
	var done []kept // newest first
	for _, k := range before {
		if k.Status != chat.StatusOpen && k.messages > 0 {
			done = append(done, k)
		}
	}
	if len(done) < 200 {
		t.Fatalf("only %d conversations are done", len(done))
	}
	// Of the oldest, which would go first, one each is kept for every reason.
	oldest := done[len(done)-5:]
	me := chat.MemberID{}
	for _, k := range done[len(done)-60 : len(done)-5] {
		if !k.Assignee.IsZero() && k.Assignee != oldest[2].Assignee {
			me = k.Assignee
		}
	}
	if me.IsZero() {
		t.Fatal("nobody was responsible for one of the oldest")
	}
	waits, opened, opensLongAgo, drafted := oldest[0].ID, oldest[1].ID, oldest[2].ID, oldest[3].ID
	must(t, c.NoteOpened(t.Context(), map[chat.ConversationID]chat.Time{opened: testNow, opensLongAgo: testNow.Add(-40 * 24 * time.Hour)}))
	d := chat.Draft{Conversation: drafted, Ver: 1, Text: "unsent"}
	_, err := c.PutRows(t.Context(), []Row{{Kind: chat.EntityDraft, ID: drafted.String(), Conversation: drafted, Data: encode(t, d)}})
	must(t, err)

	p := Pruning{Bytes: used(t, c) * 3 / 4, OpenedSince: testNow.Add(-30 * 24 * time.Hour), FailedSince: math.MaxInt64, Me: me,
		Keep: func(id chat.ConversationID) bool { return id == waits }}
	run := prune(t, c, p)
	whole(t, c)
	if n := used(t, c); n > p.Bytes || n < p.Bytes/2 {
		t.Errorf("%d bytes are used of the %d there may be", n, p.Bytes)
	}
	after, gone := map[chat.ConversationID]kept{}, 0
	for _, k := range allKept(t, c) {
		after[k.ID] = k
	}
	if len(after) != len(before) {
		t.Errorf("%d conversations are listed, %d before", len(after), len(before))
	}
	newestGone, oldestHere := chat.Time(0), chat.Time(math.MaxInt64)
	for _, k := range before {
		is := after[k.ID].messages == 0 && k.messages > 0
		if is {
			gone++
		}
		protected := k.Status == chat.StatusOpen || k.Assignee == me || k.ID == waits || k.ID == opened || k.ID == drafted
		switch {
		case protected && is:
			t.Errorf("%s (%s) was pruned", k.ID, k.Status)
		case is:
			newestGone = max(newestGone, k.LastMessageAt)
		case !protected && k.messages > 0:
			oldestHere = min(oldestHere, k.LastMessageAt)
		}
	}
	if gone == 0 || gone != run.Pruned() || newestGone > oldestHere {
		t.Errorf("%d are pruned, %d said; pruned up to %d, still here from %d", gone, run.Pruned(), newestGone, oldestHere)
	}
	if after[opensLongAgo].messages > 0 {
		t.Error("what was opened long ago is still here")
	}
	// The background does not load it again, whoever opens it does.
	left, err := c.Headless(t.Context(), 0, HeadlessAt{}, 1<<20)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%d would be loaded again at once", len(left))
	}
	stats, err := c.Stats(t.Context())
	must(t, err)
	if want := int64(len(before) - gone); stats.Readable != want {
		t.Errorf("%d are readable, want %d", stats.Readable, want)
	}
	again := after[opensLongAgo]
	read, err := c.Thread(t.Context(), again.ID, 0, 0, 0, 50)
	must(t, err)
	if len(read.Messages) > 0 || len(read.Holes) != 1 {
		t.Errorf("%d messages, holes %v", len(read.Messages), read.Holes)
	}
	var page []json.RawMessage
	for n := read.From; n <= read.To; n++ {
		page = append(page, encode(t, chat.Message{ID: chat.NewID[chat.Message](), Ver: n, Conversation: again.ID, Number: n}))
	}
	_, err = c.PutMessages(t.Context(), again.ID, read.From, read.To, read.Head, page)
	must(t, err)
	if now, err := c.Stats(t.Context()); err != nil || now.Readable != stats.Readable+1 {
		t.Errorf("%d are readable after opening one, %d before: %v", now.Readable, stats.Readable, err)
	}
	// A customer who writes again brings it back into the background's work.
	for id, k := range after {
		if k.messages > 0 || k.Status == chat.StatusOpen || id == again.ID {
			continue
		}
		k.Conversation.Ver, k.Conversation.Status = 1<<30, chat.StatusOpen
		_, err := c.PutRows(t.Context(), []Row{{Kind: chat.EntityConversation, ID: id.String(), Data: encode(t, k.Conversation)}})
		must(t, err)
		if left, err := c.Headless(t.Context(), 0, HeadlessAt{}, 10); err != nil || len(left) != 1 || left[0].ID != id {
			t.Errorf("reopened, %v would be loaded: %v", left, err)
		}
		break
	}
}

// TestPruneByAge takes messages of what was last active long ago, however much
// room there is, and nothing else.
func TestPruneByAge(t *testing.T) {
	c, _ := stocked(t, 1000, 8000)
	before := allKept(t, c)
	limit := before[len(before)/2].LastMessageAt
	prune(t, c, Pruning{Before: limit, FailedSince: math.MaxInt64})
	whole(t, c)
	gone := 0
	for i, k := range allKept(t, c) {
		if old := before[i].messages > 0 && k.Status != chat.StatusOpen && k.LastMessageAt < limit; old == (k.messages > 0) && before[i].messages > 0 {
			t.Errorf("%s, last active %d, has %d messages; the limit is %d", k.Status, k.LastMessageAt, k.messages, limit)
		} else if old {
			gone++
		}
	}
	if gone == 0 {
		t.Error("nothing was pruned")
	}
}

// TestPruneTakesRowsLast has hardly any room at all: rows go too, but none that
// would be loaded again.
func TestPruneTakesRowsLast(t *testing.T) {
	c, _ := stocked(t, 1000, 8000)
	before := allKept(t, c)
	limit := before[len(before)/2].LastMessageAt
	want := 0
	for _, k := range before {
		if k.Status == chat.StatusOpen || k.LastMessageAt >= limit {
			want++
		}
	}
	prune(t, c, Pruning{Bytes: 1, RowsBefore: limit, FailedSince: math.MaxInt64})
	whole(t, c)
	for _, k := range allKept(t, c) {
		want--
		if open := k.Status == chat.StatusOpen; !open && k.LastMessageAt < limit || open == (k.messages == 0) && k.LastNumber > 0 {
			t.Errorf("%s, last active %d, with %d messages is here", k.Status, k.LastMessageAt, k.messages)
		}
	}
	if want != 0 {
		t.Errorf("%d too few rows are here", want)
	}
	if n := rowsOf(t, c, "contact p where not exists (select 1 from conversation where contact = p.n)"); n > 0 {
		t.Errorf("%d contacts have no conversation", n)
	}
	until(t, "the file takes little more than what is in it", func() bool {
		size, err := c.Size(t.Context())
		must(t, err)
		return size.File <= size.Used*5/4
	})
}

// TestPruneSparesWhatHasNotGoneOut: what waits at the server, or failed, is for
// its author to decide about, and is found only here.
func TestPruneSparesWhatHasNotGoneOut(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	done := func(x *chat.Conversation) {
		x.Status, x.LastMessageAt, x.LastNumber = chat.StatusResolved, testNow.Add(-60*24*time.Hour), 1
	}
	apply(t, c, w.brand(1, 1), w.contact(1, 2, 1, "Ana"), w.contact(2, 3, 1, "Bob"), w.contact(3, 4, 1, "Cem"), w.conversation(1, 5, 1, done), w.conversation(2, 6, 1, done),
		w.conversation(3, 7, 1, done), w.message(1, 1, 8, 1, "hello"), w.failed(2, 1, 9, 1, "lost"), w.message(3, 1, 10, 1, "bye"), w.scheduled(1, 200, 11, 1, "see you in spring"))
	left := func(p Pruning, scheduled, failed, conversations int) {
		t.Helper()
		prune(t, c, p)
		a, err := c.Scheduled(t.Context())
		must(t, err)
		b, err := c.Undelivered(t.Context(), 0)
		must(t, err)
		if all := allKept(t, c); len(a) != scheduled || len(b) != failed || len(all) != conversations {
			t.Errorf("left: %d scheduled, %d failed, %d conversations; want %d, %d, %d", len(a), len(b), len(all), scheduled, failed, conversations)
		}
	}
	p := Pruning{Bytes: 1, RowsBefore: testNow.Add(-31 * 24 * time.Hour), OpenedSince: testNow}
	left(p, 1, 1, 2)
	p.FailedSince = testNow.Add(time.Hour) // long enough ago
	left(p, 1, 0, 1)
}

// pruneAloud prunes everything that may go.
func pruneAloud(dir string) error {
	c, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	run := c.Pruner(Pruning{Bytes: 1, RowsBefore: math.MaxInt64})
	for more := true; more; {
		if more, err = run.Step(context.Background(), time.Nanosecond); err != nil {
			return err
		}
		fmt.Println("pruned", run.Pruned())
	}
	return c.Close()
}

func TestKilledWhilePruning(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, Options{})
	must(t, err)
	fill(t, c, testSet(600, 6000))
	must(t, c.Close())
	for round := range 4 {
		writeAndKill(t, dir, "prune", 10+round*40)
		c, err := Open(dir, Options{})
		must(t, err)
		if c.SetAside() != nil {
			t.Fatal("set aside")
		}
		whole(t, c)
		must(t, c.Close())
	}
}

// TestCheckFindsWhatNoQueryMet damages pages that nobody reads.
func TestCheckFindsWhatNoQueryMet(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, Options{})
	must(t, err)
	fill(t, c, testSet(300, 3000))
	if due, _ := c.CheckDue(testNow); !due {
		t.Error("a cache that was never checked is not due")
	}
	must(t, c.Check(t.Context(), false, testNow))
	if due, _ := c.CheckDue(testNow); due {
		t.Error("due again at once")
	}
	if due, whole := c.CheckDue(testNow.Add(checkEvery)); !due || !whole {
		t.Error("not due after a month")
	}
	must(t, c.Check(t.Context(), true, testNow))
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Check(stopped, true, testNow); err == nil || IsDamaged(err) {
		t.Errorf("broken off: %v", err)
	}
	must(t, c.Close())

	path := filepath.Join(dir, cacheFile)
	data := readAll(t, path)
	for page := len(data) / 4096 / 2; page < len(data)/4096/2+20; page++ {
		for i := range 200 {
			data[page*4096+100+i] ^= 0xa5
		}
	}
	must(t, os.WriteFile(path, data, 0o600))
	told := make(chan error, 1)
	c, err = Open(dir, Options{OnDamage: func(err error) { told <- err }})
	must(t, err)
	if c.SetAside() != nil {
		t.Fatal("found at opening: nothing is left to be checked")
	}
	if due, _ := c.CheckDue(testNow); due {
		t.Error("due after it was closed as it should be")
	}
	if err := c.Check(t.Context(), true, testNow); !IsDamaged(err) {
		t.Errorf("checked: %v", err)
	}
	must(t, c.Close())
	if len(told) != 1 {
		t.Error("nobody was told")
	}
	c = open(t, dir)
	if set := c.SetAside(); set == nil || c.Loaded() {
		t.Errorf("set aside %+v, loaded %v", set, c.Loaded())
	}
}

// TestAKillMakesACheckDue ends a process without closing.
func TestAKillMakesACheckDue(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, Options{})
	must(t, err)
	must(t, c.Check(t.Context(), false, testNow))
	must(t, c.Close())
	writeAndKill(t, dir, "apply for ever", 3)
	c, err = Open(dir, Options{})
	must(t, err)
	if due, whole := c.CheckDue(testNow); !due || whole {
		t.Errorf("after a kill due %v, whole %v", due, whole)
	}
	must(t, c.Close())
}

// TestPruningLooksAgain: what has happened since a victim was found counts.
func TestPruningLooksAgain(t *testing.T) {
	c, _ := stocked(t, 200, 1600)
	p := c.Pruner(Pruning{Before: math.MaxInt64, RowsBefore: math.MaxInt64, OpenedSince: testNow, FailedSince: math.MaxInt64, Me: chat.NewID[chat.Member]()})
	found, err := p.find(t.Context(), math.MaxInt64)
	must(t, err)
	drafted, mine := found[0].ID, found[1].ID
	d := chat.Draft{Conversation: drafted, Ver: 1, Text: "typed on another device"}
	_, err = c.PutRows(t.Context(), []Row{{Kind: chat.EntityDraft, ID: drafted.String(), Conversation: drafted, Data: encode(t, d)}})
	must(t, err)
	raw, err := c.Conversation(t.Context(), mine)
	must(t, err)
	var conv chat.Conversation
	must(t, json.Unmarshal(raw, &conv))
	conv.Ver, conv.Assignee = conv.Ver+1_000_000, p.p.Me
	_, err = c.PutRows(t.Context(), []Row{{Kind: chat.EntityConversation, ID: mine.String(), Brand: conv.Brand, Data: encode(t, conv)}})
	must(t, err)
	p.rows = true
	must(t, p.prune(t.Context(), found, time.Now().Add(time.Minute)))
	if _, err := c.Conversation(t.Context(), mine); err != nil {
		t.Errorf("a chat that was assigned to the member went: %v", err)
	}
	if _, err := c.Draft(t.Context(), drafted); err != nil {
		t.Errorf("the draft went with its conversation: %v", err)
	}
}
