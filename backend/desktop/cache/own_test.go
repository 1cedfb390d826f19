package cache

import (
	"strings"
	"testing"

	"parley/backend/chat"
)

// openBoth opens both files of a folder, with the keys if there are any.
func openBoth(t *testing.T, dir string, keys ...Key) (*Cache, *Local) {
	t.Helper()
	l, err := OpenLocal(dir)
	must(t, err)
	for _, key := range keys {
		hand := l.Seal
		if l.SealedFor() == key.ID() {
			hand = l.Unlock
		}
		must(t, hand(t.Context(), key))
	}
	c, err := Open(dir, Options{Keys: l})
	must(t, err)
	return c, l
}

func closeBoth(t *testing.T, c *Cache, l *Local) {
	t.Helper()
	must(t, c.Close())
	must(t, l.Close())
}

// ownWords gives the drafts of chat 1 and 2, what the list shows of them, and
// what is scheduled.
func ownWords(t *testing.T, c *Cache) string {
	t.Helper()
	var out []string
	for n := range byte(2) {
		data, err := c.Draft(t.Context(), conversationID(n+1))
		row, rowErr := c.Row(t.Context(), conversationID(n+1))
		must(t, rowErr)
		switch {
		case err == nil && strings.Contains(string(data), `"`+row.Draft+`"`):
			out = append(out, row.Draft)
		case err == nil:
			out = append(out, "not as in the list: "+string(data))
		default:
			out = append(out, row.Draft+string(chat.ErrorCode(err)))
		}
	}
	all, err := c.Scheduled(t.Context())
	must(t, err)
	for _, data := range all {
		_, text, _ := strings.Cut(string(data), `"text":"`)
		text, _, _ = strings.Cut(text, `"`)
		out = append(out, text)
	}
	return strings.Join(out, "|")
}

var ownSaid = []string{"Hippopotamus", "Rhododendron", "Quetzalcoatl"}

func putOwn(t *testing.T, c *Cache) {
	t.Helper()
	w := world{t}
	apply(t, c, w.conversation(1, 1, 1, nil), w.conversation(2, 2, 1, nil),
		w.draft(1, 3, 1, ownSaid[0]), w.draft(2, 4, 1, ownSaid[1]+strings.Repeat(" and so on", 2000)), w.draft(2, 5, 1, ownSaid[1]),
		w.scheduled(1, 7, 6, 1, ownSaid[2]))
}

const ownRead = "Hippopotamus|Rhododendron|Quetzalcoatl"

func sealedOwn(t *testing.T, c *Cache, want int) {
	t.Helper()
	if n, err := c.Sealed(t.Context()); n != want || err != nil {
		t.Errorf("%d rows are sealed (%v), want %d", n, err, want)
	}
}

func TestOwnWordsAreNotOpenInTheCache(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	c, l := openBoth(t, dir, key)
	putOwn(t, c)
	if got := ownWords(t, c); got != ownRead {
		t.Errorf("read %s", got)
	}
	if in := inFiles(t, dir, ownSaid...); len(in) > 0 {
		t.Errorf("%q is in the files", in)
	}
	closeBoth(t, c, l)
	if in := inFiles(t, dir, ownSaid...); len(in) > 0 {
		t.Errorf("after closing %q is in the files", in)
	}

	c, l = openBoth(t, dir) // the keychain is locked
	sealedOwn(t, c, 3)
	if got := ownWords(t, c); got != "unavailable|unavailable" {
		t.Errorf("without the key %s was read", got)
	}
	if all, err := c.Drafts(t.Context()); len(all) > 0 || err != nil {
		t.Errorf("without the key there are %d drafts, %v", len(all), err)
	}
	w := world{t}
	apply(t, c, w.draft(2, 7, 1, "Zwetschgenkuchen"), w.scheduled(2, 8, 8, 1, "Axolotl"))
	const now = "Zwetschgenkuchen|Axolotl" // of this run
	if got := ownWords(t, c); got != "unavailable|"+now {
		t.Errorf("written while locked, %s was read", got)
	}
	must(t, l.Unlock(t.Context(), key))
	sealedOwn(t, c, 0)
	if got := ownWords(t, c); got != "Hippopotamus|Zwetschgenkuchen|Quetzalcoatl|Axolotl" {
		t.Errorf("with the key %s was read", got)
	}
	closeBoth(t, c, l)
	if in := inFiles(t, dir, "Zwetschgenkuchen", "Axolotl"); len(in) > 0 {
		t.Errorf("written while locked, %q is in the files", in)
	}
}

// TestOwnWordsThatStoodOpenAreSealed: there was no key when they came.
func TestOwnWordsThatStoodOpenAreSealed(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	c, l := openBoth(t, dir)
	putOwn(t, c)
	closeBoth(t, c, l)
	if in := inFiles(t, dir, ownSaid...); len(in) == 0 {
		t.Fatal("nothing stands open: this test cannot fail")
	}
	c, l = openBoth(t, dir, key)
	must(t, c.Reseal(t.Context()))
	if got := ownWords(t, c); got != ownRead {
		t.Errorf("read %s", got)
	}
	closeBoth(t, c, l)
	if in := inFiles(t, dir, ownSaid...); len(in) > 0 {
		t.Errorf("%q is in the files", in)
	}
	if _, more := c.Gained(); more {
		t.Error("it is loaded anew")
	}
}

// TestOwnWordsOfALostKeyAreLoadedAnew: the server has them.
func TestOwnWordsOfALostKeyAreLoadedAnew(t *testing.T) {
	dir := t.TempDir()
	c, l := openBoth(t, dir, newKey(t))
	putOwn(t, c)
	closeBoth(t, c, l)

	c, l = openBoth(t, dir)
	w := world{t}
	apply(t, c, w.draft(2, 7, 1, "of this run"))
	must(t, l.Seal(t.Context(), newKey(t)))
	must(t, c.Reseal(t.Context()))
	if got := ownWords(t, c); got != "not_found|of this run" {
		t.Errorf("%s was read", got)
	}
	if _, more := c.Gained(); !more {
		t.Error("it is not loaded anew")
	}
	begin1(t, c, Bootstrap{Head: 8, Epoch: "e1"})
	put(t, c, "", w.draft(1, 3, 1, ownSaid[0]), w.scheduled(1, 7, 6, 1, ownSaid[2]))
	if got := ownWords(t, c); got != "Hippopotamus|of this run|Quetzalcoatl" {
		t.Errorf("%s was read", got)
	}
	closeBoth(t, c, l)
}

// TestOwnWordsAreBoundToTheirRow moves one to another.
func TestOwnWordsAreBoundToTheirRow(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	c, l := openBoth(t, dir, key)
	putOwn(t, c)
	must(t, c.writer.do(t.Context(), "move", func(x *tx) error {
		_, err := x.exec("update draft set data = (select max(data) from draft)")
		return err
	}))
	closeBoth(t, c, l)
	c, l = openBoth(t, dir, key)
	defer closeBoth(t, c, l)
	sealedOwn(t, c, 1)
}

// TestNothingVanishesUnread: a restored server has lost what only this cache
// still has, and the keychain is locked.
func TestNothingVanishesUnread(t *testing.T) {
	dir, key := t.TempDir(), newKey(t)
	c, l := openBoth(t, dir, key)
	begin1(t, c, Bootstrap{Head: 6, Epoch: "e1", Sweep: true})
	w := world{t}
	put(t, c, "", w.brand(1, 1), w.conversation(1, 2, 1, nil), w.conversation(2, 2, 1, nil), w.draft(1, 3, 1, ownSaid[0]), w.draft(2, 4, 1, ownSaid[1]), w.scheduled(1, 7, 5, 1, ownSaid[2]))
	_, err := c.FinishBootstrap(t.Context())
	must(t, err)
	closeBoth(t, c, l)
	c, l = openBoth(t, dir)
	begin1(t, c, Bootstrap{Head: 2, Epoch: "e2", Sweep: true})
	if _, err := c.Vanished(t.Context()); chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Errorf("locked: %v", err)
	}
	must(t, l.Unlock(t.Context(), key))
	if v, err := c.Vanished(t.Context()); len(v.Drafts) != 2 || len(v.Scheduled) != 1 || err != nil {
		t.Errorf("with the key %+v, %v", v, err)
	}
	closeBoth(t, c, l)
}
