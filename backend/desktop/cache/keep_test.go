package cache

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"parley/backend/chat"
)

func seesBrands(n ...byte) chat.Access {
	a := chat.Access{Member: memberID(1), Role: chat.RoleAgent}
	for _, b := range n {
		a.Brands = append(a.Brands, brandID(b))
	}
	return a
}

// reopen closes a cache and opens it again, as a restart does.
func reopen(t *testing.T, c *Cache) *Cache {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := Open(c.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestGainIsKeptUntilItIsLoaded(t *testing.T) {
	w := world{t}
	c, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	open := func(want bool) int64 {
		t.Helper()
		n, got := c.Gained()
		if got != want {
			t.Fatalf("gained %v, want %v", got, want)
		}
		return n
	}
	if a := apply(t, c, w.access(1, seesBrands(1))); a.Gained { // the first word on it
		t.Error("told first, taken for a gain")
	}
	open(false)
	if a := apply(t, c, w.access(2, seesBrands(1, 2))); !a.Gained {
		t.Error("the answer does not say so")
	}
	c = reopen(t, c)
	first := open(true)
	apply(t, c, w.access(3, seesBrands(2)))       // less
	apply(t, c, w.access(4, seesBrands(1, 2, 3))) // and more, while it is being loaded
	if err := c.LoadedGained(t.Context(), first, 0); err != nil {
		t.Fatal(err)
	}
	second := open(true)
	if err := c.LoadedGained(t.Context(), second, 0); err != nil {
		t.Fatal(err)
	}
	c = reopen(t, c)
	open(false)

	// A whole bootstrap holds what was gained before it began, but not what is
	// gained while it goes on after a break.
	apply(t, c, w.access(5, seesBrands()))
	open(true)
	all, less := seesBrands(), seesBrands(1)
	begin1(t, c, Bootstrap{Head: 9, Epoch: "e", Sweep: true, Access: &less})
	open(false)
	put(t, c, "p1")
	begin1(t, c, Bootstrap{Head: 12, Epoch: "e", Sweep: true, Access: &all, Cursor: "p1"})
	finish(t, c)
	open(true)
}

func TestStateDoesNotLoadWhatWasGained(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	begin1(t, c, Bootstrap{Head: 5, Epoch: "e", Sweep: true})
	finish(t, c)
	apply(t, c, w.access(6, seesBrands(1)))
	more := seesBrands(1, 2)
	begin1(t, c, Bootstrap{Head: 9, Epoch: "e", Access: &more})
	finish(t, c)
	if _, open := c.Gained(); !open {
		t.Error("a state answer is taken for all that was gained")
	}
}

func TestLoadedSaysWhenTheFirstLoadIsComplete(t *testing.T) {
	c := open(t, t.TempDir())
	loaded := func(when string, want bool) {
		t.Helper()
		if c.Loaded() != want {
			t.Errorf("%s: loaded %v", when, !want)
		}
	}
	loaded("empty", false)
	begin1(t, c, Bootstrap{Head: 5, Epoch: "e", Sweep: true})
	loaded("first load", false)
	finish(t, c)
	loaded("complete", true)
	begin1(t, c, Bootstrap{Head: 9, Epoch: "e"})
	loaded("far behind", true)
	finish(t, c)
	begin1(t, c, Bootstrap{Head: 3, Epoch: "f", Sweep: true})
	loaded("another epoch", false)
}

func TestTimeOfCheckIsKept(t *testing.T) {
	w := world{t}
	c, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if c.CheckedAt() != 0 {
		t.Error("an empty cache was checked")
	}
	c.NoteChecked(testNow)
	apply(t, c, w.brand(1, 1)) // goes with any write
	if c = reopen(t, c); c.CheckedAt() != testNow {
		t.Errorf("checked at %v, want %v", c.CheckedAt(), testNow)
	}
	apply(t, c, w.brand(2, 2))
	c.NoteChecked(testNow + 1)
	if c.CheckedAt() != testNow+1 {
		t.Error("what was noted is not given")
	}
	if err := c.SaveChecked(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c = reopen(t, c); c.CheckedAt() != testNow+1 {
		t.Errorf("checked at %v, want %v", c.CheckedAt(), testNow+1)
	}
}

// TestReadableAgainstBitmap does everything that touches spans, and compares
// what is called readable with the messages that are there.
func TestReadableAgainstBitmap(t *testing.T) {
	w := world{t}
	rapid.Check(t, func(rt *rapid.T) {
		c, err := Open(t.TempDir(), Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		const convs, most = 3, 80
		var last [convs + 1]int64
		var have [convs + 1][most + 2]bool
		ver := int64(0)
		row := func(n byte) chat.Change {
			ver++
			return w.conversation(n, ver, 1, func(c *chat.Conversation) { c.LastNumber = last[n] })
		}
		begin1(t, c, Bootstrap{Head: 0, Epoch: "e", Sweep: true})
		for n := byte(1); n <= convs; n++ {
			last[n] = rapid.Int64Range(0, most/2).Draw(rt, "last")
			put(t, c, "", row(n))
		}
		finish(t, c)
		for range rapid.IntRange(0, 12).Draw(rt, "steps") {
			n := byte(rapid.IntRange(1, convs).Draw(rt, "conversation"))
			switch rapid.SampledFrom([]string{"live", "row", "page", "state", "epoch", "delete"}).Draw(rt, "step") {
			case "live":
				if last[n] < most {
					last[n]++
					ver++
					apply(t, c, w.message(n, last[n], ver, 1, "live"), row(n))
					have[n][last[n]] = true
				}
			case "row": // its messages come later
				last[n] = min(most, last[n]+rapid.Int64Range(0, 3).Draw(rt, "more"))
				apply(t, c, row(n))
			case "page":
				hi := rapid.Int64Range(0, last[n]).Draw(rt, "to")
				lo := max(1, hi-rapid.Int64Range(0, 40).Draw(rt, "length"))
				if hi == 0 {
					lo = 0
				}
				var page []json.RawMessage
				for i := lo; i <= hi && i > 0; i++ {
					page = append(page, w.message(n, i, 1, 1, "old").Data)
					have[n][i] = true
				}
				if _, err := c.PutMessages(t.Context(), conversationID(n), lo, hi, last[n], page); err != nil && chat.ErrorCode(err) != chat.CodeNotFound {
					rt.Fatal(err)
				}
			case "state":
				last[n] = min(most, last[n]+rapid.Int64Range(0, 3).Draw(rt, "more"))
				_, epoch := c.Position()
				begin1(t, c, Bootstrap{Head: ver + 1, Epoch: epoch})
				put(t, c, "", row(n))
				finish(t, c)
				have[n] = [most + 2]bool{}
			case "epoch":
				_, epoch := c.Position()
				begin1(t, c, Bootstrap{Head: ver + convs, Epoch: epoch + "'", Sweep: true})
				none := map[chat.ConversationID]bool{} // no number means anything any more
				for n := byte(1); n <= convs; n++ {
					if last[n] > 0 {
						none[conversationID(n)] = true
					}
				}
				compareHeadless(rt, t.Context(), c, none, convs)
				for n := byte(1); n <= convs; n++ {
					put(t, c, "", row(n))
				}
				finish(t, c)
				have = [convs + 1][most + 2]bool{}
			case "delete": // and come again
				ver++
				apply(t, c, w.change(chat.EntityConversation, conversationID(n).String(), ver, brandID(1), conversationID(n), nil))
				apply(t, c, row(n))
				have[n] = [most + 2]bool{}
			}
			want := map[chat.ConversationID]bool{}
			for n := byte(1); n <= convs; n++ {
				for i := last[n]; i > 0 && i > last[n]-30; i-- {
					if !have[n][i] {
						want[conversationID(n)] = true
					}
				}
			}
			compareHeadless(rt, t.Context(), c, want, convs)
		}
	})
}

func compareHeadless(rt *rapid.T, ctx context.Context, c *Cache, want map[chat.ConversationID]bool, convs int) {
	got, err := c.Headless(ctx, 0, HeadlessAt{}, 100)
	if err != nil {
		rt.Fatal(err)
	}
	if len(got) != len(want) {
		rt.Fatalf("to be loaded: %v, want %v", got, want)
	}
	for _, h := range got {
		if !want[h.ID] {
			rt.Fatalf("to be loaded: %v, want %v", got, want)
		}
	}
	s, err := c.Stats(ctx)
	if err != nil || s.Readable != int64(convs-len(want)) || s.Conversations != int64(convs) {
		rt.Fatalf("stats %+v, %v, want %d readable", s, err, convs-len(want))
	}
}

func TestHeadlessGoesOnNewestFirstWithinTheWindow(t *testing.T) {
	c, w := open(t, t.TempDir()), world{t}
	for n := byte(1); n <= 6; n++ {
		apply(t, c, w.conversation(n, int64(n), 1, func(c *chat.Conversation) {
			c.LastNumber = 1
			if n == 2 || n == 3 {
				c.Status = chat.StatusResolved
			}
		}))
	}
	var got []byte
	var after HeadlessAt
	for {
		list, err := c.Headless(t.Context(), testNow+3, after, 2) // 1 and 2 are older; 1 is open
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, h := range list {
			got = append(got, '0'+h.ID[15])
			after = h
		}
	}
	if string(got) != "65431" {
		t.Errorf("in the order %s, want 65431", got)
	}
	db := readOnly(t, c)
	checkPlan(t, db, "COVERING INDEX headless", fmt.Sprintf(headlessList, ""), 1, []byte{}, 1, 1)
	checkPlan(t, db, "COVERING INDEX headless", headlessCount)
}

// TestDamageIsToldOnce spoils a cache in use: whoever can open it anew hears
// of it from a read, once.
func TestDamageIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	usedCache(t, dir)
	path := filepath.Join(dir, cacheFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	half := info.Size() / 8192 * 4096
	overwrite(t, path, half, int(info.Size()-half))
	told := make(chan error, 10)
	c, err := Open(dir, Options{OnDamage: func(err error) { told <- err }})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := c.Conversations(t.Context(), ListQuery{Limit: 200}); !IsDamaged(err) {
			t.Fatalf("a list from a damaged cache: %v", err)
		}
	}
	if err := c.Close(); err != nil {
		t.Logf("close: %v", err) // it may well complain
	}
	close(told)
	var all []error
	for err := range told {
		all = append(all, err)
	}
	if len(all) != 1 || !IsDamaged(all[0]) {
		t.Errorf("told %v, want the damage, once", all)
	}
}

// TestLocalIsCheckedInItsOwnFolder takes the system's temporary folder away.
func TestLocalIsCheckedInItsOwnFolder(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLocal(dir)
	must(t, err)
	must(t, l.PutSetting(t.Context(), "k", []byte("1")))
	must(t, l.Close())
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, filepath.Join(dir, "missing"))
	}
	// What a check that was killed has left does not stop the next one.
	must(t, os.Mkdir(filepath.Join(dir, checkFolder), 0o700))
	write(t, filepath.Join(dir, checkFolder, localFile), []byte("half a copy"))
	l, err = OpenLocal(dir)
	must(t, err)
	must(t, l.Close())
	if exists(filepath.Join(dir, checkFolder)) {
		t.Error("the copy is left behind")
	}
}
