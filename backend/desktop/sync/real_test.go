package sync

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/inbox"
	"parley/backend/server/store/pgtest"
)

const patience = 90 * time.Second

// house is a real server with a workspace, on a port of its own.
type house struct {
	t       testing.TB
	srv     *server.Server
	config  server.Config
	created protocol.Created
	owner   protocol.SignedIn
	channel chat.Channel
	n       int
	front   string // where desks find the server; "" is itself
}

func newHouse(t testing.TB, c server.Config) *house {
	t.Helper()
	c.Listen, c.Version, c.Log, c.Beat = "127.0.0.1:0", "test", slog.New(slog.DiscardHandler), 100*time.Millisecond
	h := &house{t: t, config: c}
	h.start()
	t.Cleanup(h.stop)
	ctx := context.Background()
	var err error
	if h.created, err = h.srv.Setup(ctx, protocol.Setup{Workspace: "Lindqvist", Email: "maja@lindqvist.example", Name: "Maja", Password: "correct horse battery"}); err != nil {
		t.Fatal(err)
	}
	if h.owner, err = h.srv.OwnerSession(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	h.do(protocol.SettingsPut, map[string]any{"send_interval_seconds": 0})
	if _, h.channel, err = h.srv.Inbox().ChannelByKey(ctx, h.created.Channel.Key); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) start() {
	h.t.Helper()
	var err error
	if h.srv, err = server.New(context.Background(), h.config); err != nil {
		h.t.Fatal(err)
	}
	if err := h.srv.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.config.Listen = h.srv.Addr() // where it comes back
}

func (h *house) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		h.t.Errorf("stop server: %v", err)
	}
}

// inBoth runs a test against a server on each database.
func inBoth(t *testing.T, test func(t *testing.T, h *house)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newHouse(t, server.Config{Data: t.TempDir()})) })
	t.Run("postgres", func(t *testing.T) {
		test(t, newHouse(t, server.Config{Data: t.TempDir(), Database: pgtest.URL(t)}))
	})
}

// do carries a command of the owner out.
func (h *house) do(kind string, args any) {
	h.t.Helper()
	data, err := json.Marshal(args)
	if err != nil {
		h.t.Fatal(err)
	}
	res, err := h.srv.Inbox().Do(context.Background(), h.created.Workspace, h.owner.Member.ID, []chat.Command{{ID: chat.NewID[chat.Command](), Kind: kind, Args: data}})
	if err != nil || res[0].Problem != nil {
		h.t.Fatalf("%s: %v %v", kind, err, res)
	}
}

// say is a message of a customer, who is new where no conversation is given.
func (h *house) say(conv chat.ConversationID, text string) chat.ConversationID {
	h.t.Helper()
	h.n++
	in := inbox.Inbound{Workspace: h.created.Workspace, Channel: h.channel, Conversation: conv, MessageID: chat.NewID[chat.Message](),
		Address: fmt.Sprint("customer-", h.n), Contact: chat.NewID[chat.Contact](), Parts: []chat.Part{chat.TextPart(text)}}
	_, c, err := h.srv.Inbox().Deliver(context.Background(), in)
	if err != nil {
		h.t.Fatal(err)
	}
	return c.ID
}

func (h *house) head() (head int64, epoch string) {
	h.t.Helper()
	head, epoch, err := h.srv.Inbox().Head(context.Background(), h.created.Workspace)
	if err != nil {
		h.t.Fatal(err)
	}
	return head, epoch
}

// behind runs statements behind the server's back, while it is stopped.
func (h *house) behind(statements ...string) {
	h.t.Helper()
	h.stop()
	db, err := sql.Open("sqlite3", filepath.Join(h.config.Data, "parley.db"))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.start()
}

// desk is a member's cache that follows the house.
type desk struct {
	*Sync
	t       testing.TB
	dir     string
	cache   *cache.Cache
	me      protocol.SignedIn
	h       *house
	running bool
	reports stdsync.Mutex // of report
	report  Report
	log     *lines
}

// lines is a log that a test may read while it is written.
type lines struct {
	mu stdsync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func newDesk(h *house, me protocol.SignedIn) *desk {
	h.t.Helper()
	d := &desk{t: h.t, dir: h.t.TempDir(), me: me, h: h, log: &lines{}}
	d.open()
	h.t.Cleanup(d.close)
	return d
}

func (d *desk) open() {
	d.t.Helper()
	var err error
	if d.cache, err = cache.Open(d.dir, cache.Options{}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) close() {
	if d.cache == nil {
		return
	}
	d.stop()
	if err := d.cache.Close(); err != nil {
		d.t.Errorf("close cache: %v", err)
	}
	d.cache = nil
}

// start begins to follow. Nothing is spread by chance.
func (d *desk) start() {
	d.t.Helper()
	url := d.h.front
	if url == "" {
		url = d.h.srv.URL()
	}
	client, err := protocol.NewClient(url, d.me.Token, "test")
	if err != nil {
		d.t.Fatal(err)
	}
	begin := time.Now()
	d.reports.Lock()
	d.report = Report{}
	d.reports.Unlock()
	d.Sync = Start(Config{Client: client, Cache: d.cache, Me: d.me.Member.ID, Days: 30,
		Changed: func(cache.Applied) {}, Heard: func(protocol.Frame) {}, Online: func() {}, Ended: func(bool) {},
		BeforeAccess: func(context.Context, chat.Access) error { return nil },
		BeforeSweep:  func(context.Context) error { return nil },
		Abandoned:    func() {},
		Reported: func(r Report) {
			d.reports.Lock()
			defer d.reports.Unlock()
			d.report = r
		},
		Clock:  func() Instant { return Instant{Mono: time.Hour + time.Since(begin), Wall: chat.TimeOf(time.Now())} },
		Random: func() float64 { return 0 }, Log: slog.New(slog.NewTextHandler(d.log, nil))})
	d.running = true
}

func (d *desk) stop() {
	if d.running {
		d.Stop()
		d.running = false
	}
}

func (d *desk) said() Report {
	d.reports.Lock()
	defer d.reports.Unlock()
	return d.report
}

// until waits for something that other goroutines do.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-end.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// current waits until the cache has all that the house has.
func (d *desk) current() {
	d.t.Helper()
	head, epoch := d.h.head()
	until(d.t, "the cache to be current", func() bool {
		at, of := d.cache.Position()
		return at == head && of == epoch && d.said().Status == StatusLive
	})
}

func (d *desk) proven() {
	d.t.Helper()
	until(d.t, "the proof", func() bool { return d.said().Proven && d.said().Status == StatusLive })
}

// same fails unless the cache holds the house's conversations as they are.
func (d *desk) same() {
	d.t.Helper()
	page, err := d.h.srv.Inbox().Conversations(context.Background(), inbox.Principal{Workspace: d.h.created.Workspace, Member: d.me.Member}, inbox.ConversationFilter{}, "", 200, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	list, err := d.cache.Conversations(context.Background(), cache.ListQuery{Limit: 200})
	if err != nil {
		d.t.Fatal(err)
	}
	var want, got []string
	for _, c := range page.Conversations {
		want = append(want, fmt.Sprint(c.ID, " ", c.Ver, " ", c.Unread, " ", c.Status, " ", c.Preview))
	}
	for _, r := range list.Rows {
		var c chat.Conversation
		if err := json.Unmarshal(r.Conversation, &c); err != nil {
			d.t.Fatal(err)
		}
		got = append(got, fmt.Sprint(c.ID, " ", c.Ver, " ", c.Unread, " ", c.Status, " ", c.Preview))
	}
	if !slices.Equal(got, want) {
		d.t.Errorf("the cache has %d conversations, the server %d:\n%s\nand\n%s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// damage changes the closed cache behind its back.
func (d *desk) damage(statements ...string) {
	d.t.Helper()
	d.close()
	db, err := sql.Open("sqlite3", filepath.Join(d.dir, "cache.db"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, s := range statements {
		res, err := db.Exec(s)
		if err != nil {
			d.t.Fatalf("%s: %v", s, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			d.t.Fatalf("touched nothing: %s (%v)", s, err)
		}
	}
	if err := db.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

// unclean lets the cache look as after a kill.
const unclean = `update meta set value = json_set(value, '$.Running', json('true')) where key = 'state'`

func TestFirstLoadIsProven(t *testing.T) {
	inBoth(t, func(t *testing.T, h *house) {
		for i := range 30 {
			h.say(chat.ConversationID{}, fmt.Sprint("Hello ", i))
		}
		d := newDesk(h, h.owner)
		d.start()
		d.current()
		d.proven()
		d.same()
		if d.cache.Repaired() != 0 {
			t.Errorf("%d conversations differed after a first load", d.cache.Repaired())
		}
		at := d.cache.Proven().At
		d.close()
		d.open()
		if d.cache.Proven().At != at {
			t.Error("the proof did not survive an orderly end")
		}
		d.damage(unclean)
		if d.cache.Proven().At != 0 {
			t.Error("the proof survived a kill")
		}
		d.start()
		d.proven()
	})
}

// TestDamageRepairsItself: rows lost, made older, newer, other and foreign
// behind the cache's back become what the server has.
func TestDamageRepairsItself(t *testing.T) {
	const one = `(select n from conversation where shown = 1 order by n limit 1 offset 3)`
	const lose = `delete from conversation where id in (select id from tombstone)`
	inBoth(t, func(t *testing.T, h *house) {
		for i := range 30 {
			h.say(chat.ConversationID{}, fmt.Sprint("Hello ", i))
		}
		d := newDesk(h, h.owner)
		d.start()
		d.current()
		d.proven()
		for name, damage := range map[string][]string{
			"lost":        {`delete from conversation where n = ` + one},
			"many lost":   {`delete from conversation where n % 2 = 0`},
			"all lost":    {`delete from conversation`},
			"older":       {`update conversation set ver = 1 where n = ` + one},
			"never to be": {`update conversation set ver = 1000000 where n = ` + one},
			"closed":      {`update conversation set done = 1, last_at = 5 where n = ` + one},
			"invented": {`insert into conversation (id, ver, mark, shown, brand, done, unread, last_at, last_number, label, data)
				select x'00000000000070008000000000000007', 3, mark, 1, brand, 0, 9, last_at, last_number, 'Nobody', data from conversation where n = ` + one},
			"buried": {`insert into tombstone select 'conversation', id, 2 from conversation where n = ` + one, lose},
		} {
			t.Run(name, func(t *testing.T) {
				d.t = t
				before, logged := d.cache.Repaired(), d.log.count("the cache was not what the server has")
				d.damage(append(damage, unclean)...)
				d.start()
				d.proven()
				d.same()
				if d.cache.Repaired() == before || d.log.count("the cache was not what the server has") == logged {
					t.Error("the difference was not counted and logged")
				}
			})
		}
		d.t = t
	})
}

// TestProofUnderTraffic: proofs run all the while as customers write, members
// answer and conversations are resolved; none may find a difference.
func TestProofUnderTraffic(t *testing.T) {
	inBoth(t, func(t *testing.T, h *house) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		var convs []chat.ConversationID
		for i := range 20 {
			convs = append(convs, h.say(chat.ConversationID{}, fmt.Sprint("Hello ", i)))
		}
		d := newDesk(h, h.owner)
		d.start()
		d.current()
		stop, done := make(chan struct{}), make(chan struct{})
		var fine, gave atomic.Int64
		go func() { // what the machine would ask for once a day
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch ev := d.proof(); {
				case ev.Differs:
					t.Errorf("seed %d: a false alarm", seed)
					return
				case ev.At > 0:
					fine.Add(1)
				default:
					gave.Add(1)
				}
			}
		}()
		end := time.Now().Add(patience)
		for i := 0; (i < 250 || fine.Load() < 20) && time.Now().Before(end); i++ {
			c := convs[r.IntN(len(convs))]
			switch r.IntN(6) {
			case 0:
				convs = append(convs, h.say(chat.ConversationID{}, "New here"))
			case 1, 2:
				h.say(c, fmt.Sprint("More ", i))
			case 3:
				h.do(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: c, Message: chat.NewID[chat.Message](), Text: "hm"})
			case 4:
				h.do(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: c})
			case 5:
				h.do(protocol.ConversationReopen, protocol.ConversationArgs{Conversation: c})
			}
		}
		close(stop)
		<-done
		t.Logf("%d proofs, %d gave way", fine.Load(), gave.Load())
		if fine.Load() == 0 {
			t.Error("no proof came through")
		}
		d.current()
		if d.cache.Repaired() != 0 {
			t.Errorf("%d conversations were repaired", d.cache.Repaired())
		}
	})
}

// TestProofGivesWay: whoever works is never made to wait for it.
func TestProofGivesWay(t *testing.T) {
	h := newHouse(t, server.Config{Data: t.TempDir()})
	h.say(chat.ConversationID{}, "Hello")
	d := newDesk(h, h.owner)
	d.start()
	d.current()
	d.proven()
	if d.busy() {
		t.Error("busy although nobody works")
	}
	d.Working()
	if !d.busy() {
		t.Error("not busy although somebody works")
	}
	if ev := d.proof(); ev != (Proved{}) {
		t.Errorf("a proof went on while somebody worked: %+v", ev)
	}
}
