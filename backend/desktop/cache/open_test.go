package cache

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"parley/backend/chat"
)

// childEnv tells the test program, started again as another process, what to do.
const childEnv = "PARLEY_CACHE_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		if err := child(what, os.Args[len(os.Args)-1]); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is what the other process does with a folder.
func child(what, dir string) error {
	switch what {
	case "open cache":
		c, err := Open(dir, Options{})
		if err != nil {
			return err
		}
		return c.Close()
	case "open local":
		l, err := OpenLocal(dir)
		if err != nil {
			return err
		}
		return l.Close()
	case "write for ever":
		return writeForEver(dir)
	case "apply for ever":
		return applyForEver(dir)
	case "prune":
		return pruneAloud(dir)
	case "seal":
		return sealAloud(dir)
	case "purge":
		return purgeAloud(dir)
	}
	return errors.New("unknown task " + what)
}

func runChild(t *testing.T, what, dir string, edit func(*exec.Cmd)) (output string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	if edit != nil {
		edit(cmd)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	openLocalFor(t, dir)
	for _, what := range []string{"open cache", "open local"} {
		out, err := runChild(t, what, dir, nil)
		if err == nil || !strings.Contains(out, "already running with the folder "+dir) {
			t.Errorf("%s: %v, said %q", what, err, out)
		}
	}
	if _, err := Open(dir, Options{}); chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Errorf("a second time in this process: %v", err)
	}
}

func TestLockEndsWithTheCache(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := runChild(t, "open cache", dir, nil); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// foreignDB makes an SQLite file of somebody else.
func foreignDB(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append([]string{"create table diary (text text)", "insert into diary values ('mine')"}, statements...) {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// usedCache leaves a closed cache with some rows in dir.
func usedCache(t *testing.T, dir string) {
	t.Helper()
	stock(t, dir, 100, 2000)
}

func TestUnusableCacheIsSetAside(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir, path string){
		"not a database": func(t *testing.T, dir, path string) { write(t, path, bytes.Repeat([]byte("hello "), 3000)) },
		"cut off": func(t *testing.T, dir, path string) {
			usedCache(t, dir)
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		},
		"overwritten header": func(t *testing.T, dir, path string) {
			usedCache(t, dir)
			overwrite(t, path, 0, 4096)
		},
		"foreign": func(t *testing.T, dir, path string) { foreignDB(t, path) },
		"another schema": func(t *testing.T, dir, path string) {
			usedCache(t, dir)
			spoilMeta(t, path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, cacheFile)
			spoil(t, dir, path)
			c := open(t, dir)
			aside := c.SetAside()
			if aside == nil || aside.Reason == "" || !exists(aside.Kept) {
				t.Fatalf("set aside: %+v", aside)
			}
			if pos, epoch := c.Position(); pos != 0 || epoch != "" {
				t.Errorf("the new cache is at %d of %q", pos, epoch)
			}
			fill(t, c, testSet(10, 50)) // it works
		})
	}
}

func overwrite(t *testing.T, path string, at int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, n), at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func spoilMeta(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("update meta set value = 'of tomorrow' where key = 'schema'"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamageAnywhereKeepsNobodyOut spoils one page after the other: whichever
// it is, the cache opens, as it was or begun anew.
func TestDamageAnywhereKeepsNobodyOut(t *testing.T) {
	sound := t.TempDir()
	c, err := Open(sound, Options{})
	must(t, err)
	fill(t, c, testSet(10, 50))
	must(t, c.Close())
	content := readAll(t, filepath.Join(sound, cacheFile))
	const page = 4096
	for at := 0; at < len(content); at += page {
		dir := t.TempDir()
		path := filepath.Join(dir, cacheFile)
		write(t, path, content)
		overwrite(t, path, int64(at), page)
		c, err := Open(dir, Options{})
		if err != nil {
			t.Errorf("page %d: %v", at/page+1, err)
			continue
		}
		must(t, c.Close())
	}
}

// TestDamageMetLaterIsRemembered spoils the middle of the file: opening does
// not see it, the query that meets it does, and the next opening begins anew.
func TestDamageMetLaterIsRemembered(t *testing.T) {
	dir := t.TempDir()
	usedCache(t, dir)
	path := filepath.Join(dir, cacheFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	half := info.Size() / 8192 * 4096 // opening reads only the beginning
	overwrite(t, path, half, int(info.Size()-half))
	c, err := Open(dir, Options{})
	if err != nil || c.SetAside() != nil {
		t.Fatalf("open: %v, set aside %v", err, c.SetAside())
	}
	_, err = c.Conversations(t.Context(), ListQuery{Limit: 200})
	if !IsDamaged(err) || chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Errorf("a list from a damaged cache: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Logf("close: %v", err) // it may well complain
	}
	c = open(t, dir)
	if c.SetAside() == nil {
		t.Error("the damaged cache was not set aside")
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	w := world{t}
	apply(t, c, w.contact(1, 1, 1, "Ana"), w.conversation(1, 2, 1, nil))
	want := dump(t, c)
	limit(t, c, 0)
	big := strings.Repeat("x", 100<<10)
	for i := int64(1); ; i++ {
		pos, _ := c.Position()
		_, err := c.Apply(t.Context(), pos, pos+1, []chat.Change{w.message(1, i, pos+1, 1, big)})
		if err != nil {
			if chat.ErrorCode(err) != chat.CodeUnavailable || !strings.Contains(err.Error(), "disk is full") {
				t.Errorf("on a full disk: %v", err)
			}
			if now, _ := c.Position(); now != pos {
				t.Errorf("position %d after a failed packet, want %d", now, pos)
			}
			break
		}
		want = dump(t, c)
	}
	if got := dump(t, c); got != want {
		t.Errorf("a failed packet left something:\n%s", difference(got, want))
	}
	limit(t, c, 1<<30)
	pos, _ := c.Position()
	apply(t, c, w.message(1, 99, pos+1, 1, big)) // space again
}

// limit makes the database's file unable to grow by more than some pages.
func limit(t *testing.T, c *Cache, more int) {
	t.Helper()
	if err := c.writer.do(t.Context(), "limit", func(x *tx) error {
		var pages int
		if _, err := x.one("pragma page_count", nil, &pages); err != nil {
			return err
		}
		_, err := c.writer.conn.ExecContext(x.ctx, fmt.Sprintf("pragma max_page_count=%d", pages+60+more))
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestFolderThatIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	if _, err := Open(file, Options{}); chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Errorf("cache: %v", err)
	}
	if _, err := OpenLocal(file); chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Errorf("local: %v", err)
	}
}

func TestPathWithOddCharacters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%41é")
	open(t, dir)
	openLocalFor(t, dir)
	if !exists(filepath.Join(dir, cacheFile)) || !exists(filepath.Join(dir, localFile)) {
		t.Error("the files are somewhere else")
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := open(t, dir)
	apply(t, c, world{t}.contact(1, 1, 1, "Ana"))
	openLocalFor(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", e.Name(), info.Mode())
		}
	}
}

func TestClosedCacheSaysSo(t *testing.T) {
	c, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.SetPosition(context.Background(), 1, "e"); chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Errorf("a write after closing: %v", err)
	}
}

func TestWipeLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	usedCache(t, dir)
	l, err := OpenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Close(), Wipe(dir), WipeLocal(dir)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

func TestLogStaysSmall(t *testing.T) {
	c := open(t, t.TempDir())
	fill(t, c, testSet(2000, 20_000))
	info, err := os.Stat(filepath.Join(c.dir, cacheFile+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 24<<20 {
		t.Errorf("the log has %d MiB after a bootstrap", info.Size()>>20)
	}
}

// TestFreedPagesGoBack purges everything and lets the writer tidy up.
func TestFreedPagesGoBack(t *testing.T) {
	c := open(t, t.TempDir())
	fill(t, c, testSet(300, 6000))
	full := onDisk(t, c)
	pos, _ := c.Position()
	if _, err := c.Apply(t.Context(), pos, pos+1, []chat.Change{world{t}.access(pos+1, chat.Access{Revoked: true})}); err != nil {
		t.Fatal(err)
	}
	purged(t, c)
	until(t, "three quarters have gone back", func() bool { return onDisk(t, c) <= full/4 })
}

// onDisk is how much a cache takes with its log, bytes.
func onDisk(t *testing.T, c *Cache) int64 {
	t.Helper()
	var sum int64
	for _, end := range []string{"", "-wal"} {
		info, err := os.Stat(filepath.Join(c.dir, cacheFile+end))
		if err != nil {
			t.Fatal(err)
		}
		sum += info.Size()
	}
	return sum
}

// applyForEver applies packets without end and says each position it reached.
func applyForEver(dir string) error {
	c, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	for {
		pos, _ := c.Position()
		next := pos + 1
		message := fmt.Sprintf(`{"id":"%s","ver":%d,"conversation":"%s","number":%d}`, messageID(1, next), next, conversationID(1), next)
		conversation := fmt.Sprintf(`{"id":"%s","ver":%d,"brand":"%s","status":"open","last_number":%d}`, conversationID(1), next, brandID(1), next)
		_, err := c.Apply(context.Background(), pos, next, []chat.Change{
			{Seq: next, Kind: chat.EntityMessage, Op: chat.OpPut, Brand: brandID(1), Data: []byte(message)},
			{Seq: next, Kind: chat.EntityConversation, Op: chat.OpPut, Brand: brandID(1), Data: []byte(conversation)},
		})
		if err != nil {
			return err
		}
		fmt.Println("applied", next)
	}
}

// TestKilledInTheMiddleOfPackets kills a process that applies packets: rows
// and position are always those of the same packet.
func TestKilledInTheMiddleOfPackets(t *testing.T) {
	dir := t.TempDir()
	for round := range 6 {
		_, said := writeAndKill(t, dir, "apply for ever", 5+round*11)
		c, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		pos, _ := c.Position()
		if pos < int64(said) || c.SetAside() != nil {
			t.Errorf("round %d: at %d, but %d was said to be applied; set aside %v", round, pos, said, c.SetAside())
		}
		if s := strings.Count(dump(t, c), `"message"`); int64(s) != pos {
			t.Errorf("round %d: %d messages at position %d", round, s, pos)
		}
		page := thread(t, c, 1, 0, 0, 0, MaxPage)
		if page.Head != pos || len(page.Holes) != 0 {
			t.Errorf("round %d: head %d, holes %v at position %d", round, page.Head, page.Holes, pos)
		}
		must(t, c.Close())
	}
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestWhatWasSetAsideIsACopyOfEverything: it goes when it is of no use any more,
// and with the right to read it.
func TestWhatWasSetAsideIsACopyOfEverything(t *testing.T) {
	w := world{t}
	aside := func(t *testing.T) (c *Cache, path string) {
		t.Helper()
		dir := t.TempDir()
		c, err := Open(dir, Options{})
		must(t, err)
		apply(t, c, w.brand(1, 1), w.brand(2, 2), w.contact(2, 3, 2, "Bob"), w.conversation(2, 4, 2, nil), w.message(2, 1, 5, 2, "secret"))
		must(t, c.writer.do(t.Context(), "another version", func(x *tx) error {
			_, err := x.exec("update meta set value = 'older' where key = 'schema'")
			return err
		}))
		must(t, c.Close())
		c, err = Open(dir, Options{}) // closed by whom it is given to
		must(t, err)
		path = filepath.Join(dir, asideFile)
		if c.SetAside() == nil || !exists(path) {
			t.Fatal("not set aside")
		}
		info, err := os.Stat(path)
		must(t, err)
		if size, err := c.Size(t.Context()); err != nil || size.File < info.Size()+size.Used {
			t.Errorf("%d bytes lie aside, and the cache says that it takes %d: %v", info.Size(), size.File, err)
		}
		return c, path
	}
	t.Run("loaded", func(t *testing.T) {
		c, path := aside(t)
		begin1(t, c, Bootstrap{Head: 9, Epoch: "e", Sweep: true})
		put(t, c, "", w.brand(1, 1))
		if !exists(path) {
			t.Error("gone before the cache is loaded anew")
		}
		finish(t, c)
		if exists(path) {
			t.Error("it is there beside the cache that was loaded")
		}
		must(t, c.Close())
	})
	t.Run("access", func(t *testing.T) {
		c, path := aside(t)
		apply(t, c, w.access(9, chat.Access{Brands: []chat.BrandID{brandID(1)}}))
		if exists(path) {
			t.Error("it is there after access was lost")
		}
		must(t, c.Close())
	})
	t.Run("crash", func(t *testing.T) {
		c, path := aside(t)
		begin1(t, c, Bootstrap{Head: 9, Epoch: "e", Sweep: true})
		finish(t, c)
		must(t, os.WriteFile(path, []byte("secret"), 0o600)) // as if it had not been deleted
		must(t, c.Close())
		if c, err := Open(filepath.Dir(path), Options{}); err != nil || exists(path) {
			t.Errorf("it is there at the next opening, %v", err)
		} else {
			must(t, c.Close())
		}
	})
}
