package cache

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parley/backend/chat"
)

func TestPacketOnlyAtItsPosition(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	if err := c.SetPosition(t.Context(), 10, "e1"); err != nil {
		t.Fatal(err)
	}
	packet := []chat.Change{w.contact(1, 12, 1, "Ana"), w.conversation(1, 13, 1, nil)}
	for _, r := range [][2]int64{{0, 13}, {9, 13}, {11, 13}, {10, 9}} {
		_, err := c.Apply(t.Context(), r[0], r[1], packet)
		if chat.ErrorCode(err) != chat.CodeConflict {
			t.Errorf("packet %v at position 10: %v, want a conflict", r, err)
		}
		if s := dump(t, c); s != "" {
			t.Fatalf("packet %v left rows behind:\n%s", r, s)
		}
	}
	a, err := c.Apply(t.Context(), 10, 15, packet)
	if err != nil {
		t.Fatal(err)
	}
	if pos, epoch := c.Position(); pos != 15 || epoch != "e1" {
		t.Errorf("position %d of %q, want 15 of e1", pos, epoch)
	}
	if !slices.Equal(a.Conversations, []chat.ConversationID{conversationID(1)}) || !slices.Equal(a.Contacts, []chat.ContactID{contactID(1)}) {
		t.Errorf("applied %+v", a)
	}
	if _, err := c.Apply(t.Context(), 10, 15, packet); chat.ErrorCode(err) != chat.CodeConflict {
		t.Errorf("the same packet again: %v, want a conflict", err)
	}
}

func TestPositionSurvivesWithItsRows(t *testing.T) {
	dir := t.TempDir()
	w := world{t}
	c, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, c, w.contact(1, 1, 1, "Ana"), w.conversation(1, 2, 1, nil), w.message(1, 1, 3, 1, "hi"))
	want := dump(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir)
	if pos, _ := c.Position(); pos != 3 || dump(t, c) != want || c.SetAside() != nil {
		t.Errorf("after reopening: position %d, set aside %v, rows that differ:\n%s", pos, c.SetAside(), difference(dump(t, c), want))
	}
}

// TestOrderDoesNotMatter gives the same changes in any order, in any batches,
// with repeats, through each of the ways in: the cache ends the same.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		changes := drawChanges(rt, world{t})
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		want := fillInOrder(rt, t, filepath.Join(dir, "a"), changes)
		order := rapid.Permutation(indexes(len(changes))).Draw(rt, "order")
		order = append(order, rapid.SliceOfN(rapid.SampledFrom(order), 0, 5).Draw(rt, "repeats")...)
		var shuffled []chat.Change
		for _, i := range order {
			shuffled = append(shuffled, changes[i])
		}
		if got := fillByRows(rt, t, filepath.Join(dir, "b"), shuffled); got != want {
			rt.Fatalf("in another order:\n%s", difference(got, want))
		}
	})
}

func indexes(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// drawChanges makes a history: each change has the next ver.
func drawChanges(rt *rapid.T, w world) []chat.Change {
	var out []chat.Change
	last := map[byte]int64{}
	for ver, end := int64(1), int64(rapid.IntRange(1, 40).Draw(rt, "changes")); ver <= end; ver++ {
		n := byte(rapid.IntRange(1, 3).Draw(rt, "which"))
		brand := 1 + n%2
		switch rapid.IntRange(0, 7).Draw(rt, "kind") {
		case 0, 1:
			out = append(out, w.conversation(n, ver, brand, func(c *chat.Conversation) { c.Unread = ver % 3; c.Assignee = memberID(byte(ver % 3)) }))
		case 2:
			out = append(out, w.contact(n, ver, brand, rapid.SampledFrom([]string{"Ana", "Jürgen", "山田花子", ""}).Draw(rt, "name")))
		case 3:
			last[n]++
			out = append(out, w.message(n, last[n], ver, brand, "new"))
		case 4:
			if last[n] > 0 {
				out = append(out, w.message(n, rapid.Int64Range(1, last[n]).Draw(rt, "number"), ver, brand, "edited"))
			}
		case 5:
			if last[n] > 0 {
				number := rapid.Int64Range(1, last[n]).Draw(rt, "number")
				out = append(out, w.change(chat.EntityMessage, messageID(n, number).String(), ver, brandID(brand), conversationID(n), nil))
			}
		case 6:
			out = append(out, w.draft(n, ver, brand, rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "draft")))
			out = append(out, w.scheduled(n, 200, ver, brand, rapid.SampledFrom([]string{"", "c", "d"}).Draw(rt, "scheduled")))
		case 7:
			out = append(out, w.brand(n, ver), w.member(n, ver, "Someone"))
		}
	}
	if len(out) == 0 {
		out = append(out, w.brand(1, 1))
	}
	return out
}

func fillInOrder(rt *rapid.T, t *testing.T, dir string, changes []chat.Change) string {
	c, err := Open(dir, Options{})
	if err != nil {
		rt.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	from := int64(0)
	for len(changes) > 0 {
		n := rapid.IntRange(1, len(changes)).Draw(rt, "packet")
		to := changes[n-1].Seq
		if _, err := c.Apply(t.Context(), from, to, changes[:n]); err != nil {
			rt.Fatal(err)
		}
		from, changes = to, changes[n:]
	}
	return dump(t, c)
}

func fillByRows(rt *rapid.T, t *testing.T, dir string, changes []chat.Change) string {
	c, err := Open(dir, Options{})
	if err != nil {
		rt.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for len(changes) > 0 {
		n := rapid.IntRange(1, len(changes)).Draw(rt, "batch")
		var rows []Row
		for _, ch := range changes[:n] {
			rows = append(rows, RowOf(ch))
		}
		if _, err := c.PutRows(t.Context(), rows); err != nil {
			rt.Fatal(err)
		}
		changes = changes[n:]
	}
	return dump(t, c)
}

func TestJSONIsKeptByteForByte(t *testing.T) {
	c := open(t, t.TempDir())
	raw := json.RawMessage(`{ "id":"` + conversationID(1).String() + `", "ver":3, "brand":"` + brandID(1).String() +
		`","status":"open","last_message_at":"2026-01-02T03:04:05.000006Z", "mood" : {"α":[1,2.50,"\u00e9"]} }`)
	if _, err := c.PutRows(t.Context(), []Row{{Kind: chat.EntityConversation, Data: raw}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Conversation(t.Context(), conversationID(1))
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("got %s, %v", got, err)
	}
	page, err := c.Conversations(t.Context(), ListQuery{})
	if err != nil || len(page.Rows) != 1 || !bytes.Equal(page.Rows[0].Conversation, raw) {
		t.Errorf("in the list: %+v, %v", page, err)
	}
}

func TestOneBadRowDoesNotStopTheRest(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	bad := []chat.Change{
		{Seq: 1, Kind: chat.EntityConversation, Op: chat.OpPut, Data: json.RawMessage(`{"id":7}`)},
		{Seq: 2, Kind: chat.EntityMessage, Op: chat.OpPut, Data: json.RawMessage(`[]`)},
		{Seq: 3, Kind: chat.EntityMessage, Op: chat.OpPut, Brand: brandID(1), Data: w.message(1, 0, 3, 1, "number 0").Data},
		{Seq: 4, Kind: chat.EntityContact, Op: "merge", Data: json.RawMessage(`{}`)},
		{Seq: 5, Kind: chat.EntityConversation, ID: "nonsense", Op: chat.OpDelete},
		{Seq: 6, Kind: chat.EntityAccess, Op: chat.OpPut, Data: json.RawMessage(`"x"`)},
		{Seq: 7, Kind: "weather", Op: chat.OpPut, Data: json.RawMessage(`{}`)}, // of a later version: ignored, not bad
		w.contact(1, 8, 1, "Ana"),
	}
	a := apply(t, c, bad...)
	if a.Skipped != 6 {
		t.Errorf("%d rows skipped, want 6", a.Skipped)
	}
	if _, err := c.Contact(t.Context(), contactID(1)); err != nil {
		t.Errorf("the good row: %v", err)
	}
	if pos, _ := c.Position(); pos != 8 {
		t.Errorf("position %d, want 8", pos)
	}
}

func TestDeletedStaysDeleted(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	conv := w.conversation(1, 5, 1, nil)
	apply(t, c, w.contact(1, 1, 1, "Ana"), w.message(1, 1, 2, 1, "hi"), conv)
	gone := w.change(chat.EntityConversation, conv.ID, 6, brandID(1), conversationID(1), nil)
	apply(t, c, gone)
	if _, err := c.PutRows(t.Context(), []Row{RowOf(conv), RowOf(w.message(1, 1, 2, 1, "hi"))}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Conversation(t.Context(), conversationID(1)); chat.ErrorCode(err) != chat.CodeNotFound {
		t.Errorf("an older version brought it back: %v", err)
	}
	if s := dump(t, c); strings.Contains(s, `"message"`) || strings.Contains(s, `"span"`) {
		t.Errorf("rows of the thread are left:\n%s", s)
	}
	if _, err := c.PutRows(t.Context(), []Row{RowOf(w.conversation(1, 7, 1, nil))}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Conversation(t.Context(), conversationID(1)); err != nil {
		t.Errorf("a newer version: %v", err)
	}
}

func TestContactRenamesItsRows(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	apply(t, c, w.conversation(1, 1, 1, nil), w.channel(1, 2), w.member(2, 3, "Lena"))
	row, err := c.Row(t.Context(), conversationID(1))
	if err != nil || !strings.HasPrefix(row.Label, "Visitor ") || row.ChannelKind != chat.KindTelegram || row.Brand != brandID(1) {
		t.Errorf("before the contact: %q %q %s, %v", row.Label, row.ChannelKind, row.Brand, err)
	}
	a := apply(t, c, w.contact(1, 4, 1, "Ana"))
	if !slices.Contains(a.Conversations, conversationID(1)) {
		t.Errorf("a renamed contact does not touch its row: %+v", a)
	}
	apply(t, c, w.conversation(1, 5, 1, func(c *chat.Conversation) { c.Assignee = memberID(2) }), w.draft(1, 6, 1, "Dear Ana"))
	row, err = c.Row(t.Context(), conversationID(1))
	if err != nil || row.Label != "Ana" || row.AssigneeName != "Lena" || row.Draft != "Dear Ana" {
		t.Errorf("row %q %q %q, %v", row.Label, row.AssigneeName, row.Draft, err)
	}
}

// TestWhatComesAheadDoesNotKeepOldThreads: a row fetched ahead of the log is as
// new as the state answer that follows, but its thread has not seen what
// happened in between.
func TestWhatComesAheadDoesNotKeepOldThreads(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 0, Epoch: "e", Sweep: true})
	finish(t, c)
	first := func(c *chat.Conversation) { c.LastNumber = 2 }
	apply(t, c, w.conversation(1, 1, 1, first), w.message(1, 1, 2, 1, "one"), w.message(1, 2, 3, 1, "two"),
		w.conversation(2, 4, 1, first), w.message(2, 1, 5, 1, "one"), w.message(2, 2, 6, 1, "two"))
	holes := func(n byte) int {
		t.Helper()
		page, err := c.Thread(t.Context(), conversationID(n), 0, 0, 0, 50)
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Holes)
	}
	if holes(1) != 0 || holes(2) != 0 {
		t.Fatal("the threads are not here")
	}
	ahead := w.conversation(1, 90, 1, first) // message 1 was edited at 50
	rows := []Row{{Kind: ahead.Kind, ID: ahead.ID, Data: ahead.Data}}
	if _, err := c.PutAhead(t.Context(), c.Era()+1, rows); chat.ErrorCode(err) != chat.CodeConflict {
		t.Errorf("rows of another era: %v", err)
	}
	if _, err := c.PutAhead(t.Context(), c.Era(), rows); err != nil {
		t.Fatal(err)
	}
	if holes(1) != 0 {
		t.Error("the thread has gone before anything is known to be wrong with it")
	}
	begin1(t, c, Bootstrap{Head: 100, Epoch: "e"})
	if _, err := c.PutBootstrap(t.Context(), rows, ""); err != nil {
		t.Fatal(err)
	}
	finish(t, c)
	if holes(1) == 0 {
		t.Error("the thread of before passes for the one of now")
	}
	if holes(2) != 0 {
		t.Error("a thread in which nothing happened is gone")
	}
}
