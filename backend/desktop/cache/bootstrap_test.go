package cache

import (
	"strings"
	"testing"

	"parley/backend/chat"
)

func begin1(t *testing.T, c *Cache, b Bootstrap) {
	t.Helper()
	if err := c.BeginBootstrap(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, c *Cache, cursor string, changes ...chat.Change) {
	t.Helper()
	var rows []Row
	for _, ch := range changes {
		rows = append(rows, RowOf(ch))
	}
	if _, err := c.PutBootstrap(t.Context(), rows, cursor); err != nil {
		t.Fatal(err)
	}
}

func finish(t *testing.T, c *Cache) {
	t.Helper()
	if _, err := c.FinishBootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// has reports which of the conversations 1 to 9 are cached.
func has(t *testing.T, c *Cache) string {
	t.Helper()
	var b strings.Builder
	for n := byte(1); n <= 9; n++ {
		_, err := c.Conversation(t.Context(), conversationID(n))
		if err == nil {
			b.WriteByte('0' + n)
		} else if chat.ErrorCode(err) != chat.CodeNotFound {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestBootstrapSweepsWhatWasNotNamed(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 5, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.contact(1, 2, 1, "Ana"), w.conversation(1, 3, 1, nil), w.conversation(2, 4, 1, nil), w.message(2, 1, 4, 1, "stale text"))
	finish(t, c)
	if pos, epoch := c.Position(); pos != 5 || epoch != "e1" || has(t, c) != "12" {
		t.Fatalf("position %d of %s, conversations %s", pos, epoch, has(t, c))
	}

	// The answer to a command overtakes that of the bootstrap, which was made
	// before it.
	if _, err := c.PutRows(t.Context(), []Row{RowOf(w.conversation(4, 24, 1, nil))}); err != nil {
		t.Fatal(err)
	}
	begin1(t, c, Bootstrap{Head: 20, Epoch: "e1", Sweep: true})
	put(t, c, "", w.brand(1, 1), w.contact(1, 2, 1, "Ana"), w.conversation(1, 3, 1, nil))
	if has(t, c) != "124" {
		t.Errorf("while it runs: %s, want the old rows too", has(t, c))
	}
	// Another one arrives meanwhile.
	if _, err := c.PutRows(t.Context(), []Row{RowOf(w.conversation(3, 25, 1, nil))}); err != nil {
		t.Fatal(err)
	}
	finish(t, c)
	if pos, _ := c.Position(); pos != 20 || has(t, c) != "134" {
		t.Errorf("position %d, conversations %s, want 20 and 134", pos, has(t, c))
	}
	if s := dump(t, c); strings.Contains(s, "stale text") {
		t.Errorf("the swept conversation's message is still there:\n%s", s)
	}
}

func TestDeltaOfStateSweepsNothing(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 5, Epoch: "e1", Sweep: true})
	put(t, c, "", w.conversation(1, 3, 1, nil), w.conversation(2, 4, 1, nil))
	finish(t, c)
	begin1(t, c, Bootstrap{Head: 50, Epoch: "e1"})
	put(t, c, "", w.conversation(1, 40, 1, nil))
	finish(t, c)
	if pos, _ := c.Position(); pos != 50 || has(t, c) != "12" {
		t.Errorf("position %d, conversations %s", pos, has(t, c))
	}
}

func TestChangedConversationLosesItsSpans(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c, w.conversation(1, 1, 1, func(c *chat.Conversation) { c.LastNumber = 2 }), w.conversation(2, 2, 1, func(c *chat.Conversation) { c.LastNumber = 1 }),
		w.message(1, 1, 3, 1, "a"), w.message(1, 2, 4, 1, "b"), w.message(2, 1, 5, 1, "c"))
	begin1(t, c, Bootstrap{Head: 90, Epoch: ""})
	put(t, c, "", w.conversation(1, 80, 1, func(c *chat.Conversation) { c.LastNumber = 3 }), w.conversation(2, 2, 1, nil), w.message(1, 3, 80, 1, "d"))
	finish(t, c)
	page, err := c.Thread(t.Context(), conversationID(1), 0, 0, 0, 10)
	if err != nil || len(page.Holes) != 1 || page.Holes[0] != [2]int64{1, 2} || len(page.Messages) != 3 {
		t.Errorf("changed: holes %v, %d messages, %v; want [1 2] and all three readable", page.Holes, len(page.Messages), err)
	}
	page, err = c.Thread(t.Context(), conversationID(2), 0, 0, 0, 10)
	if err != nil || len(page.Holes) != 0 {
		t.Errorf("unchanged: holes %v, %v", page.Holes, err)
	}
}

func TestBootstrapGoesOnAfterABreak(t *testing.T) {
	dir, w := t.TempDir(), world{t}
	c, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	begin1(t, c, Bootstrap{Head: 10, Epoch: "e1", Sweep: true})
	put(t, c, "p1", w.conversation(1, 3, 1, nil))
	if err := c.Close(); err != nil { // the program ends
		t.Fatal(err)
	}

	c = open(t, dir)
	b, under := c.Bootstrapping()
	if !under || b.Cursor != "p1" || b.Head != 10 || b.Epoch != "e1" {
		t.Fatalf("bootstrapping: %v, %+v", under, b)
	}
	begin1(t, c, Bootstrap{Head: 30, Epoch: "e1", Sweep: true, Cursor: "p1"})
	put(t, c, "p2", w.conversation(2, 4, 1, nil))
	finish(t, c)
	if pos, _ := c.Position(); pos != 10 || has(t, c) != "12" {
		t.Errorf("position %d, conversations %s; want the first head, 10, and both", pos, has(t, c))
	}
	if _, under := c.Bootstrapping(); under {
		t.Error("still bootstrapping")
	}
	if _, err := c.PutBootstrap(t.Context(), nil, ""); chat.ErrorCode(err) != chat.CodeConflict {
		t.Errorf("lines without a bootstrap: %v", err)
	}
}

func TestStaleCursorBeginsAnew(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 10, Epoch: "e1", Sweep: true})
	put(t, c, "p1", w.conversation(1, 3, 1, nil))
	begin1(t, c, Bootstrap{Head: 30, Epoch: "e1", Sweep: true})
	put(t, c, "", w.conversation(2, 4, 1, nil))
	finish(t, c)
	if pos, _ := c.Position(); pos != 30 || has(t, c) != "2" {
		t.Errorf("position %d, conversations %s, want 30 and 2", pos, has(t, c))
	}
}

// TestAnotherEpoch is a server restored from a backup: its numbers are lower
// than those cached, and what was written after the backup is gone.
func TestAnotherEpoch(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 100, Epoch: "e1", Sweep: true})
	put(t, c, "", w.contact(1, 90, 1, "New name"), w.conversation(1, 91, 1, nil), w.message(1, 1, 92, 1, "lost"),
		w.message(1, 2, 93, 1, "lost"), w.conversation(2, 95, 1, nil), w.draft(1, 96, 1, "lost"), w.scheduled(1, 200, 97, 1, "lost"))
	finish(t, c)
	apply(t, c, w.change(chat.EntityConversation, conversationID(5).String(), 101, brandID(1), conversationID(5), nil))

	begin1(t, c, Bootstrap{Head: 40, Epoch: "e2"})
	if has(t, c) != "12" {
		t.Errorf("while it runs: %s, want the old rows", has(t, c))
	}
	put(t, c, "", w.contact(1, 20, 1, "Old name"), w.conversation(1, 30, 1, nil), w.message(1, 1, 31, 1, "kept"), w.conversation(5, 35, 1, nil))
	finish(t, c)
	if pos, epoch := c.Position(); pos != 40 || epoch != "e2" || has(t, c) != "15" {
		t.Errorf("position %d of %s, conversations %s", pos, epoch, has(t, c))
	}
	s := dump(t, c)
	if strings.Contains(s, "lost") || strings.Contains(s, "New name") || !strings.Contains(s, "kept") {
		t.Errorf("rows of the other epoch are left:\n%s", s)
	}
}

func TestAccessPurges(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c, w.brand(1, 1), w.brand(2, 2), w.channel(1, 3), w.channel(2, 4), w.contact(1, 5, 1, "Ana Secret"), w.contact(2, 6, 2, "Bert"),
		w.conversation(1, 7, 1, func(c *chat.Conversation) { c.Unread = 1 }), w.conversation(2, 8, 2, nil),
		w.message(1, 1, 9, 1, "secret"), w.message(2, 1, 10, 2, "visible text"), w.draft(1, 11, 1, "secret draft"), w.scheduled(1, 200, 11, 1, "secret, later"), w.message(3, 1, 12, 1, "secret, no conversation yet"))
	outside, err := c.ConversationsOutside(t.Context(), chat.Access{Brands: []chat.BrandID{brandID(2)}},
		[]chat.ConversationID{conversationID(1), conversationID(2), conversationID(8)})
	if err != nil || len(outside) != 1 || outside[0] != conversationID(1) {
		t.Errorf("outside: %v, %v", outside, err)
	}

	a := apply(t, c, w.access(13, chat.Access{Member: memberID(1), Role: chat.RoleAgent, Brands: []chat.BrandID{brandID(2)}}),
		w.conversation(1, 14, 1, nil), w.contact(1, 15, 1, "Ana Secret"), w.message(1, 2, 16, 1, "secret"), w.scheduled(1, 201, 16, 1, "secret"), w.conversation(2, 17, 2, nil))
	if a.Access == nil || !a.Everything {
		t.Errorf("applied %+v", a)
	}
	// What was asked for before arrives after.
	if _, err := c.PutRows(t.Context(), []Row{RowOf(w.conversation(1, 18, 1, nil)), RowOf(w.message(1, 1, 9, 1, "secret")), RowOf(w.channel(1, 20))}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutMessages(t.Context(), conversationID(1), 1, 1, 1, data(w.message(1, 1, 9, 1, "secret"))); chat.ErrorCode(err) != chat.CodeNotFound {
		t.Errorf("a late page of history: %v, want not found", err)
	}
	s := dump(t, c)
	if strings.Contains(strings.ToLower(s), "secret") || strings.Contains(s, brandID(1).String()) {
		t.Errorf("something of the lost brand is left:\n%s", s)
	}
	if page, err := c.Find(t.Context(), FindQuery{Query: parse("secret")}); err != nil || len(page.Rows) != 0 {
		t.Errorf("search finds %d rows, %v", len(page.Rows), err)
	}
	if has(t, c) != "2" || !strings.Contains(s, "visible text") {
		t.Errorf("conversations %s, want 2 with its message", has(t, c))
	}
	if got, ok := c.Access(); !ok || len(got.Brands) != 1 {
		t.Errorf("access %+v, %v", got, ok)
	}
	if counts, err := c.Counts(t.Context(), chat.BrandID{}, memberID(1)); err != nil || counts.Quick[QuickUnread] != 0 {
		t.Errorf("counts %+v, %v", counts, err)
	}
}

func TestRevokedAccessLeavesNothing(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c, w.brand(1, 1), w.member(1, 2, "Lena"), w.contact(1, 3, 1, "Ana"), w.conversation(1, 4, 1, nil), w.message(1, 1, 5, 1, "x"), w.draft(1, 6, 1, "y"))
	apply(t, c, w.access(7, chat.Access{Member: memberID(1), Revoked: true}), w.conversation(1, 8, 1, nil))
	if s := dump(t, c); s != "" {
		t.Errorf("left:\n%s", s)
	}
	if pos, _ := c.Position(); pos != 8 {
		t.Errorf("position %d", pos)
	}
}
