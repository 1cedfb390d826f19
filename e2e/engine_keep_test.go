package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/desktop"
)

func TestEngineLoadsWhatItGainedAlsoAfterAKill(t *testing.T) {
	b := newBackend(t)
	other := b.addBrand("Another shop")
	ana := b.hire("ana@example.com", other)
	b.visitor().says("written long before")
	line := newGate(t, b.url())
	first := openEngine(t, t.TempDir())
	first.signInAs(line.URL, "ana@example.com", ownerPassword)
	before := first.state().Connection

	// The access comes through, what it opens does not.
	asked := atomic.Int32{}
	line.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/bootstrap" {
			asked.Add(1)
			panic(http.ErrAbortHandler)
		}
		line.through.ServeHTTP(w, r)
	})
	b.setBrands(ana.ID, other, b.created.Brand)
	Until(t, "the fill to be tried", func() bool { return asked.Load() > 0 })
	if c := first.state().Connection; c.Position <= before.Position || c.Status == "live" || c.Progress == nil {
		t.Fatalf("connection %+v, although what was gained is not here", c)
	}
	disk := first.crash()
	first.close()

	line.answer(nil)
	second := openEngine(t, disk)
	c := second.find("written long before")
	second.status("live")
	Until(t, "its thread", func() bool {
		n, _ := times(second.thread(c.ID, desktop.ThreadQuery{}), "written long before")
		return n == 1
	})
	second.close()
	again := asked.Load()
	third := openEngine(t, disk)
	line.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/bootstrap" {
			asked.Add(1)
		}
		line.through.ServeHTTP(w, r)
	})
	third.status("live")
	if asked.Load() != again {
		t.Fatal("what was loaded is loaded again with every start")
	}
}

func TestEngineLoadsTheNewestMessagesOfEveryChat(t *testing.T) {
	b, email := demoBackend(t, 1200, 6000)
	line := newGate(t, b.url())
	// Some pages, then nothing more: the background is cut off in the middle.
	pages := atomic.Int32{}
	line.answer(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/messages") && pages.Add(1) > 20 {
			panic(http.ErrAbortHandler)
		}
		line.through.ServeHTTP(w, r)
	})
	cable := NewProxy(t, line.Listener.Addr().String())
	first := openEngine(t, t.TempDir())
	first.signInFor(cable.URL(), email)
	first.status("live")
	// All messages of 500 come with the bootstrap.
	Until(t, "more than 500 conversations", func() bool { return first.state().Cached.Conversations > 500 })
	Until(t, "some pages", func() bool { return pages.Load() > 20 })
	if s := first.state(); s.Cached.Readable >= s.Cached.Conversations || s.Cached.Readable == 0 {
		t.Fatalf("%+v, although most is missing", s.Cached)
	}
	disk := first.crash()
	first.close()

	line.answer(nil)
	second := openEngine(t, disk)
	Until(t, "everything to be readable", func() bool {
		c := second.state().Cached
		return c.Conversations > 500 && c.Readable == c.Conversations
	})
	cable.Cut()
	second.status("offline")
	cursor, seen := "", 0
	for {
		page, err := second.List(desktop.ListQuery{Quick: "all", Limit: 200, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range page.Rows {
			var c chat.Conversation
			if err := json.Unmarshal(row.Conversation, &c); err != nil {
				t.Fatal(err)
			}
			got := second.thread(c.ID, desktop.ThreadQuery{Limit: 30})
			if got.To != c.LastNumber || got.From != max(1, c.LastNumber-29) || len(got.Messages) == 0 {
				t.Fatalf("offline, a chat of %d messages shows %d–%d", c.LastNumber, got.From, got.To)
			}
			seen++
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	Until(t, "every chat in the list to be counted", func() bool { return second.state().Cached.Conversations == int64(seen) })
}

func TestEngineLoadsNothingBehindWhileTheAgentWorks(t *testing.T) {
	b, email := demoBackend(t, 1200, 3600) // the first load brings the messages of 500
	line := newGate(t, b.url())
	var asked atomic.Int64
	line.answer(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/messages") {
			asked.Add(1)
		}
		line.through.ServeHTTP(w, r)
	})
	e := openEngine(t, t.TempDir())
	e.signInAs(line.URL, email, demo.Password)
	Until(t, "the background to begin", func() bool { return asked.Load() > 0 })
	id := e.list("all")[0].ID.String()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	// work opens chats for some time, and gives the longest pause it made: this machine may be busy.
	work := func(d time.Duration) (pause time.Duration) {
		began := time.Now()
		for last := began; last.Sub(began) < d; <-tick.C {
			if err := e.Viewing(id); err != nil {
				t.Fatal(err)
			}
			pause = max(pause, time.Since(last))
			last = time.Now()
		}
		return pause
	}
	work(300 * time.Millisecond) // what was on its way arrives
	before := asked.Load()
	for work(1500*time.Millisecond) > 500*time.Millisecond { // longer than the background waits; too long a pause, and it may go on
		work(300 * time.Millisecond)
		before = asked.Load()
	}
	if n := asked.Load() - before; n > 0 {
		t.Errorf("%d requests for messages while the agent worked", n)
	}
	Until(t, "the background to go on", func() bool { return asked.Load() > before })
}

func TestEngineSaysSinceWhenItIsOfflineAfterARestart(t *testing.T) {
	b := newBackend(t)
	line := NewProxy(t, b.config.Listen)
	first := openEngine(t, t.TempDir())
	first.signIn(line.URL())
	b.visitor().says("hello?")
	first.find("hello?")
	line.Cut()
	was := first.status("offline").Connection
	first.close()
	second := openEngine(t, first.data)
	got := second.status("offline").Connection
	if got.CheckedAt.IsZero() || got.CheckedAt != was.CheckedAt || got.Since != was.CheckedAt {
		t.Fatalf("after the restart %+v, before %+v", got, was)
	}
}

func TestEngineRebuildsADamagedCacheWhileItRuns(t *testing.T) {
	b, email := demoBackend(t, 300, 6000)
	e := openEngine(t, t.TempDir())
	e.signInFor(b.url(), email)
	e.status("live")
	all := e.list("all")
	e.close()
	file := spoil(t, e.data)
	spoiled, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}

	again := openEngine(t, e.data)
	Until(t, "a read to meet the damage, and the cache to be another file", func() bool {
		for _, r := range all {
			if _, err := again.Thread(r.ID.String(), desktop.ThreadQuery{Limit: 50}); err != nil {
				break
			}
		}
		now, err := os.Stat(file)
		return err == nil && !os.SameFile(spoiled, now)
	})
	Until(t, "everything to be loaded again", func() bool {
		s, err := again.State()
		return err == nil && s.Connection.Status == "live" && len(again.list("all")) == len(all)
	})
}

// spoil overwrites the second half of the account's cache and gives its path.
func spoil(t *testing.T, data string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "accounts", "*", "cache.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("find the cache: %v %v", files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := len(raw) / 8192 * 4096; i < len(raw); i++ {
		raw[i] = 0xa5
	}
	if err := os.WriteFile(files[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// signInFor signs a member of the demonstration in.
func (e *engine) signInFor(address, email string) {
	e.t.Helper()
	if err := e.SignIn(desktop.SignIn{Server: address, Email: email, Password: demo.Password}); err != nil {
		e.t.Fatalf("sign in: %v", err)
	}
}

// TestEngineKeepsOwnWordsSealed: what a member types goes from local.db to the server and comes back into cache.db, as
// does what is to be sent later. In neither may it stand open on the disk.
func TestEngineKeepsOwnWordsSealed(t *testing.T) {
	b, data := newBackend(t), t.TempDir()
	e := openEngine(t, data)
	e.signIn(b.url())
	b.visitor().says("could you help?")
	c := e.find("could you help?")
	const typed, planned = "Hippopotamus of a draft", "Rhododendron of a text"
	if _, err := e.Send(c.ID.String(), desktop.NewMessage{Text: planned, Seen: c.LastNumber, SendAt: chat.TimeOf(time.Now().Add(time.Hour))}); err != nil {
		t.Fatal(err)
	}
	if err := e.SaveDraft(c.ID.String(), desktop.Draft{Text: typed}); err != nil {
		t.Fatal(err)
	}
	folders, err := filepath.Glob(filepath.Join(data, "accounts", "*"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("accounts: %q, %v", folders, err)
	}
	rows := func(file, table string) (n int) {
		db, err := sql.Open("sqlite3", "file:"+filepath.Join(folders[0], file)+"?mode=ro")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if err := db.QueryRow("select count(*) from " + table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	Until(t, "only the cache to have them", func() bool {
		return rows("local.db", "draft") == 0 && rows("local.db", "outbox") == 0 && rows("cache.db", "draft") == 1 && rows("cache.db", "scheduled") == 1
	})
	for _, when := range []string{"while it runs", "after it was closed"} {
		err := filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			for _, words := range []string{typed, planned} {
				if bytes.Contains(content, []byte(words)) {
					t.Errorf("%s, %q stands open in %s", when, words, d.Name())
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		e.close()
	}
	e = openEngine(t, data)
	v, err := e.Conversation(c.ID.String())
	if err != nil || v.Draft == nil || v.Draft.Text != typed {
		t.Errorf("opened again: %+v, %v", v.Draft, err)
	}
	if r := e.list("all"); len(r) != 1 || r[0].shown.Draft != typed {
		t.Errorf("the list shows %+v", r)
	}
}

// TestEngineLoadsDraftsOfALostKeyAnew: the server has them, so nothing that is lost of the key takes a draft away.
func TestEngineLoadsDraftsOfALostKeyAnew(t *testing.T) {
	b, data := newBackend(t), t.TempDir()
	e := openEngine(t, data)
	e.signIn(b.url())
	b.visitor().says("could you help?")
	c := e.find("could you help?")
	if err := e.SaveDraft(c.ID.String(), desktop.Draft{Text: "half a sentence"}); err != nil {
		t.Fatal(err)
	}
	owner := b.owner()
	Until(t, "the server to have the draft", func() bool { return owner.draft(c.ID) == "half a sentence" })
	e.close()
	names, err := filepath.Glob(filepath.Join(data, "accounts", "*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("accounts: %q, %v", names, err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} { // which names the key
		if err := os.Remove(filepath.Join(names[0], "local.db"+suffix)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	e = openEngine(t, data)
	e.status("live")
	Until(t, "the draft to be loaded", func() bool {
		v, err := e.Conversation(c.ID.String())
		return err == nil && v.Draft != nil && v.Draft.Text == "half a sentence"
	})
	if r := e.list("all"); len(r) != 1 || r[0].shown.Draft != "half a sentence" {
		t.Errorf("the list shows %+v", r)
	}
}
