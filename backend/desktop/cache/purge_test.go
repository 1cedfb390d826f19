package cache

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
)

// rows counts the rows of a table in the file, whoever may see them.
func rows(dir, table string) (n int, err error) {
	db, err := sql.Open("sqlite3", dsn(filepath.Join(dir, cacheFile), "mode", "ro", "_busy_timeout", "5000"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	err = db.QueryRow("select count(*) from " + table).Scan(&n)
	return n, err
}

func rowsOf(t *testing.T, c *Cache, table string) int {
	t.Helper()
	n, err := rows(c.dir, table)
	must(t, err)
	return n
}

// one is what a member can ask about one conversation.
type one struct {
	conversation chat.ConversationID
	contact      chat.ContactID
	message      chat.MessageID
}

func someOf(t *testing.T, c *Cache, brand chat.BrandID) one {
	t.Helper()
	page, err := c.Conversations(t.Context(), ListQuery{Brand: brand, Limit: 1})
	must(t, err)
	if len(page.Rows) == 0 {
		t.Fatalf("brand %s has no conversation", brand)
	}
	var v struct {
		Contact chat.ContactID `json:"contact"`
	}
	must(t, json.Unmarshal(page.Rows[0].Conversation, &v))
	var m struct {
		ID chat.MessageID `json:"id"`
	}
	read, err := c.Thread(t.Context(), page.Rows[0].ID, 0, 0, 0, 1)
	must(t, err)
	must(t, json.Unmarshal(read.Messages[0], &m))
	return one{page.Rows[0].ID, v.Contact, m.ID}
}

// sees says which reads still answer for something the member may not see.
func (o one) sees(t *testing.T, c *Cache, brand chat.BrandID) (by []string) {
	t.Helper()
	ctx := t.Context()
	for name, read := range map[string]func() (found bool, err error){
		"conversation": func() (bool, error) { _, err := c.Conversation(ctx, o.conversation); return err == nil, err },
		"row":          func() (bool, error) { _, err := c.Row(ctx, o.conversation); return err == nil, err },
		"brand of":     func() (bool, error) { _, err := c.BrandOf(ctx, o.conversation); return err == nil, err },
		"thread":       func() (bool, error) { _, err := c.Thread(ctx, o.conversation, 0, 0, 0, 50); return err == nil, err },
		"contact":      func() (bool, error) { _, err := c.Contact(ctx, o.contact); return err == nil, err },
		"message":      func() (bool, error) { _, err := c.Message(ctx, o.message); return err == nil, err },
		"brand":        func() (bool, error) { _, err := c.entity(ctx, chat.EntityBrand, brand); return err == nil, err },
		"confirmed": func() (bool, error) {
			has, err := c.HasMessages(ctx, []chat.MessageID{o.message})
			return has[o.message], err
		},
		"of contact": func() (bool, error) {
			all, err := c.ConversationsOfContact(ctx, o.contact)
			return len(all) > 0, err
		},
		"list": func() (bool, error) {
			page, err := c.Conversations(ctx, ListQuery{Brand: brand})
			return len(page.Rows) > 0, err
		},
		"counts": func() (bool, error) {
			counts, err := c.Counts(ctx, chat.BrandID{}, chat.MemberID{})
			return counts.Brands[brand.String()] > 0 || counts.Brands[chat.BrandID{}.String()] > 0, err
		},
	} {
		found, err := read()
		if err != nil && chat.ErrorCode(err) != chat.CodeNotFound {
			t.Fatalf("%s: %v", name, err)
		}
		if found {
			by = append(by, name)
		}
	}
	return by
}

// total counts what the lists and the background see of all brands.
func total(t *testing.T, c *Cache) (listed, unread, counted, headless int) {
	t.Helper()
	for cursor := ""; ; {
		page, err := c.Conversations(t.Context(), ListQuery{Limit: MaxPage, Cursor: cursor})
		must(t, err)
		listed += len(page.Rows)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	counts, err := c.Counts(t.Context(), chat.BrandID{}, chat.MemberID{})
	must(t, err)
	stats, err := c.Stats(t.Context())
	must(t, err)
	left, err := c.Headless(t.Context(), 0, HeadlessAt{}, 1<<20)
	must(t, err)
	return listed, int(counts.Quick[QuickUnread]), int(stats.Conversations), len(left)
}

// TestRevokedBrandIsGoneAtOnce takes brands with thousands of conversations
// away: nothing answers for them any more before the first row is removed.
func TestRevokedBrandIsGoneAtOnce(t *testing.T) {
	c := open(t, t.TempDir())
	set := testSet(10_000, 12_000)
	fill(t, c, set)
	keep, lost := set.Brands[0].ID, set.Brands[1].ID
	gone, stays := someOf(t, c, lost), someOf(t, c, keep)
	before := rowsOf(t, c, "message")

	position, _ := c.Position()
	began := time.Now()
	a, err := c.Apply(t.Context(), position, position+1, []chat.Change{world{t}.access(position+1, chat.Access{Brands: []chat.BrandID{keep}})})
	took := time.Since(began)
	must(t, err)
	if !a.Everything || !c.Purging() {
		t.Errorf("applied %+v, purging %v", a, c.Purging())
	}
	if by := gone.sees(t, c, lost); len(by) > 0 {
		t.Errorf("still answered by %q", by)
	}
	if by := stays.sees(t, c, keep); len(by) < 8 {
		t.Errorf("of what stays only %q is answered", by)
	}
	listed, unread, counted, headless := total(t, c)
	left := rowsOf(t, c, "message")
	if !c.Purging() || left == 0 {
		t.Fatal("nothing was left to be hidden")
	}
	purged(t, c)
	if l, u, n, h := total(t, c); l != listed || u != unread || n != counted || h != headless {
		t.Errorf("the rows counted: %d listed, %d unread, %d in all, %d without messages; without them %d, %d, %d, %d",
			listed, unread, counted, headless, l, u, n, h)
	}
	if n := rowsOf(t, c, "conversation"); n != listed {
		t.Errorf("%d conversations are in the file, %d are listed", n, listed)
	}
	if n := rowsOf(t, c, "message m where not exists (select 1 from conversation where n = m.key >> 24)"); n > 0 {
		t.Errorf("%d messages of no conversation", n)
	}
	if n := rowsOf(t, c, "contact"); n == 0 || n > listed {
		t.Errorf("%d contacts are left with %d conversations", n, listed)
	}
	t.Logf("%d of %d messages were left when the member saw nothing any more, after %s", left, before, took)
}

// wordless waits until the words of what was removed have left the index.
func wordless(t testing.TB, c *Cache) {
	t.Helper()
	until(t, "the index is merged", func() bool { return !c.state.Load().wordsOwed() })
}

// TestWhatWasPurgedIsNotInTheFile: a row that was removed leaves its bytes where
// they stood, unless they are overwritten, and its words in the index, unless
// it is merged. Of a small brand nothing else would have it merged.
func TestWhatWasPurgedIsNotInTheFile(t *testing.T) {
	for name, lost := range map[string]func(n byte) bool{
		"half of all":  func(n byte) bool { return n%2 == 1 },
		"a small one":  func(n byte) bool { return n == 30 },
		"the last one": func(n byte) bool { return n == 119 },
		"all but one":  func(n byte) bool { return n != 30 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c, w := open(t, dir), world{t}
			list, ver := []chat.Change{w.brand(1, 1), w.brand(2, 2)}, int64(3)
			add := func(ch chat.Change) { list, ver = append(list, ch), ver+1 }
			for n := byte(1); n < 120; n++ {
				b, word, who := byte(1), "gallbladder", "bartholomea"
				if lost(n) {
					b, word, who = 2, "kidneystones", "wolframina"
				}
				add(w.contact(n, ver, b, fmt.Sprintf("CONTACT%d-%d %s", b, n, who)))
				add(w.conversation(n, ver, b, nil))
				for i := int64(1); i < 6; i++ {
					add(w.message(n, i, ver, b, fmt.Sprintf("TEXTOF%d-%d-%d %s", b, n, i, word)))
				}
				add(w.message(n, 6, ver, b, strings.Repeat(fmt.Sprintf("TEXTOF%d-long ", b), 1000))) // over several pages
				if n%10 == 9 {
					apply(t, c, list...) // so that the index is of several parts
					indexAll(t, c)
					list = nil
				}
			}
			apply(t, c, w.access(ver, chat.Access{Brands: []chat.BrandID{brandID(1)}}))
			purged(t, c)
			wordless(t, c)
			// Folded into the file by somebody else: no page is given back for it.
			db, err := sql.Open("sqlite3", dsn(filepath.Join(dir, cacheFile), "_busy_timeout", "5000"))
			must(t, err)
			_, err = db.Exec("pragma wal_checkpoint(truncate)")
			must(t, err)
			must(t, db.Close())
			for _, said := range []string{"TEXTOF2-", "CONTACT2-", "kidneystones", "wolframina"} {
				if in := inFiles(t, dir, said); len(in) > 0 {
					t.Errorf("%s stands in %q", said, in)
				}
			}
			for _, said := range []string{"TEXTOF1-", "CONTACT1-", "gallbladder", "bartholomea"} {
				if in := inFiles(t, dir, said); len(in) != 1 {
					t.Errorf("of the rest %s stands in %q", said, in)
				}
			}
		})
	}
}

// TestGrantedAgainBeforeItIsGone loads a brand anew while its old rows are
// still being removed.
func TestGrantedAgainBeforeItIsGone(t *testing.T) {
	c, set := stocked(t, 3000, 6000)
	w := world{t}
	apply(t, c, w.brand(1, 1<<40+1), w.contact(1, 1<<40+2, 1, "Ana"), w.conversation(1, 1<<40+3, 1, nil), w.message(1, 1, 1<<40+4, 1, "old"),
		w.message(1, 2, 1<<40+5, 1, "old"))
	apply(t, c, w.access(1<<40+6, chat.Access{Brands: []chat.BrandID{set.Brands[0].ID}}))
	apply(t, c, w.access(1<<40+7, chat.Access{}))
	if !c.Purging() {
		t.Fatal("nothing is being removed")
	}
	// As the server sends it again: with the vers it always had.
	if _, err := c.PutRows(t.Context(), []Row{RowOf(w.brand(1, 1<<40+1)), RowOf(w.contact(1, 1<<40+2, 1, "Ana")), RowOf(w.conversation(1, 1<<40+3, 1, nil)),
		RowOf(w.message(1, 2, 1<<40+5, 1, "old"))}); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		page, err := c.Conversations(t.Context(), ListQuery{Brand: brandID(1)})
		must(t, err)
		if len(page.Rows) != 1 || page.Rows[0].Label != "Ana" {
			t.Errorf("listed %+v", page.Rows)
		}
		if p := thread(t, c, 1, 0, 0, 0, 10); len(p.Messages) != 1 || len(p.Holes) != 1 {
			t.Errorf("%d messages, holes %v: those of before are not loaded anew", len(p.Messages), p.Holes)
		}
	}
	check()
	purged(t, c)
	check()
}

// purgeAloud says how many rows are left until all are gone.
func purgeAloud(dir string) error {
	c, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	for last := 0; c.Purging(); {
		n, err := rows(dir, "conversation")
		if err != nil {
			return err
		}
		if n != last {
			fmt.Println("left", n)
		}
		last = n
	}
	return c.Close()
}

// TestPurgeGoesOnAfterAKill kills a process that removes what is hidden, again
// and again: it is never seen, and goes on where it was.
func TestPurgeGoesOnAfterAKill(t *testing.T) {
	dir := t.TempDir()
	set := stock(t, dir, 3000, 6000)
	c, err := Open(dir, Options{})
	must(t, err)
	keep, lost := set.Brands[0].ID, set.Brands[1].ID
	gone := someOf(t, c, lost)
	position, _ := c.Position()
	_, err = c.Apply(t.Context(), position, position+1, []chat.Change{world{t}.access(position+1, chat.Access{Brands: []chat.BrandID{keep}})})
	must(t, err)
	listed, _, _, _ := total(t, c)
	must(t, c.Close())
	before, err := rows(dir, "conversation")
	must(t, err)
	for round := range 3 {
		writeAndKill(t, dir, "purge", 2) // the second says that something is gone
		now, err := rows(dir, "conversation")
		must(t, err)
		if now >= before {
			t.Errorf("round %d: %d conversations, %d before", round, now, before)
		}
		before = now
		c, err := Open(dir, Options{})
		must(t, err)
		if by := gone.sees(t, c, lost); len(by) > 0 || !c.Purging() || c.SetAside() != nil {
			t.Errorf("round %d: still answered by %q, purging %v, set aside %v", round, by, c.Purging(), c.SetAside())
		}
		must(t, c.Close())
	}
	c = open(t, dir)
	purged(t, c)
	if n := rowsOf(t, c, "conversation"); n != listed {
		t.Errorf("%d conversations are left, %d are listed", n, listed)
	}
}
