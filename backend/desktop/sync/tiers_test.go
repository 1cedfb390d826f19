package sync

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/inbox"
)

// line is what lies between a desk and the server: it counts what is asked
// for, can hold answers back and cut them off.
type line struct {
	h      *house
	asked  map[string]*atomic.Int64
	held   atomic.Pointer[chan struct{}] // answers that load much wait for it
	cut    atomic.Int64                  // how many of them still to cut off
	behind string                        // paths that are held or cut
}

var counted = []string{"/v1/changes", "/v1/state", "/v1/bootstrap", "/v1/conversations", "/v1/digest"}

func (h *house) through(paths string) *line {
	l := &line{h: h, asked: map[string]*atomic.Int64{}, behind: paths}
	for _, path := range counted {
		l.asked[path] = &atomic.Int64{}
	}
	s := httptest.NewServer(l)
	h.front = s.URL
	h.t.Cleanup(func() {
		l.release()
		s.CloseClientConnections()
		s.Close()
	})
	return l
}

func (l *line) hold() {
	c := make(chan struct{})
	l.held.Store(&c)
}

func (l *line) release() {
	if c := l.held.Swap(nil); c != nil {
		close(*c)
	}
}

func (l *line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n := l.asked[r.URL.Path]; n != nil {
		n.Add(1)
	}
	if strings.Contains(l.behind, r.URL.Path) {
		if c := l.held.Load(); c != nil {
			select {
			case <-*c:
			case <-r.Context().Done():
				return
			}
		}
		if l.cut.Add(-1) >= 0 {
			w = &cutter{ResponseWriter: w, left: 20_000}
		}
	}
	l.h.srv.Handler().ServeHTTP(w, r)
}

// cutter breaks the connection in the middle of an answer.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cutter) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(b)
}

// trim takes the log away up to its head, as if too much had happened.
func (h *house) trim() {
	h.behind(`update counter set floor = head`, `delete from change`)
}

// live brings some life into a house: new customers, more from known ones, and
// what members do.
func (h *house) live(convs []chat.ConversationID, n int) []chat.ConversationID {
	for i := range n {
		c := convs[i*7%len(convs)]
		switch i % 7 {
		case 0:
			convs = append(convs, h.say(chat.ConversationID{}, fmt.Sprint("New ", i)))
		case 1, 2:
			h.say(c, fmt.Sprint("More ", i))
		case 3:
			h.do(protocol.ConversationRead, protocol.ReadArgs{Conversation: c, Upto: 1000})
		case 4:
			h.do(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: c})
		case 5:
			h.do(protocol.ConversationAssign, protocol.AssignArgs{Conversation: c, Member: h.owner.Member.ID})
		case 6:
			h.do(protocol.MessageSend, protocol.MessageSendArgs{Conversation: c, Message: chat.NewID[chat.Message](), Parts: []chat.Part{chat.TextPart("Hi")}, Force: true})
		}
	}
	return convs
}

func begun(h *house) []chat.ConversationID {
	var convs []chat.ConversationID
	for i := range 20 {
		convs = append(convs, h.say(chat.ConversationID{}, fmt.Sprint("Hello ", i)))
	}
	return convs
}

// settled waits until the desk has and proves what the house has, and fails if
// anything had to be repaired.
func (d *desk) settled() {
	d.t.Helper()
	d.current()
	d.proven()
	d.same()
	if n := d.cache.Repaired(); n != 0 {
		d.t.Errorf("%d conversations were not what the server has", n)
	}
}

func TestCatchingUpByTheLog(t *testing.T) {
	inBoth(t, func(t *testing.T, h *house) {
		convs := begun(h)
		l := h.through("")
		d := newDesk(h, h.owner)
		d.start()
		d.settled()
		for range 3 { // away, back, and away again before all is here
			d.stop()
			h.live(convs, 70)
			d.start()
			before, _ := d.cache.Position()
			until(t, "something to arrive", func() bool {
				at, _ := d.cache.Position()
				return at > before
			})
		}
		d.settled()
		if l.asked["/v1/bootstrap"].Load() != 1 || l.asked["/v1/state"].Load() != 0 {
			t.Errorf("loaded %d times anew and %d times by state", l.asked["/v1/bootstrap"].Load()-1, l.asked["/v1/state"].Load())
		}
	})
}

func TestFarBehindGoesByStateAndGoesOnAfterABreak(t *testing.T) {
	h := newHouse(t, server.Config{Data: t.TempDir()})
	convs := begun(h)
	l := h.through("/v1/state")
	d := newDesk(h, h.owner)
	d.start()
	d.settled()
	d.stop()
	h.live(convs, 120)
	h.trim()
	l.cut.Store(2)
	d.start()
	d.settled()
	if got := l.asked["/v1/state"].Load(); got < 3 || l.asked["/v1/bootstrap"].Load() != 1 {
		t.Errorf("%d answers of state after two breaks, loaded %d times anew", got, l.asked["/v1/bootstrap"].Load()-1)
	}
}

func TestFirstLoadGoesOnAfterABreak(t *testing.T) {
	h := newHouse(t, server.Config{Data: t.TempDir()})
	h.live(begun(h), 60)
	l := h.through("/v1/bootstrap")
	l.cut.Store(2)
	d := newDesk(h, h.owner)
	d.start()
	d.settled()
	if l.asked["/v1/bootstrap"].Load() < 3 {
		t.Errorf("%d answers after two breaks", l.asked["/v1/bootstrap"].Load())
	}
}

// TestARestoredBackupIsLoadedAnew: the server goes back in time under another
// epoch. What was only after the backup goes, what comes afterwards is there.
func TestARestoredBackupIsLoadedAnew(t *testing.T) {
	h := newHouse(t, server.Config{Data: t.TempDir()})
	convs := begun(h)
	db := filepath.Join(h.config.Data, "parley.db")
	h.stop()
	backup, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	h.start()
	d := newDesk(h, h.owner)
	d.start()
	h.live(convs, 40)
	d.settled()

	h.stop()
	if err := os.WriteFile(db, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.behind(`update counter set epoch = 'another'`)
	h.live(convs[:10], 14) // fewer than were lost: vers are used a second time
	d.settled()
}

// TestTheScreenIsRightBeforeTheRest: while all that catches up is held back,
// the lists that the window shows are as the server has them.
func TestTheScreenIsRightBeforeTheRest(t *testing.T) {
	h := newHouse(t, server.Config{Data: t.TempDir()})
	convs := begun(h)
	for range 2 {
		convs = append(convs, begun(h)...)
	}
	h.live(convs, 40)
	l := h.through("/v1/state /v1/changes")
	d := newDesk(h, h.owner)
	d.start()
	d.settled()
	d.stop()
	// Everything that was unread on the first pages is read meanwhile, and more.
	for _, c := range convs[len(convs)-35:] {
		h.do(protocol.ConversationRead, protocol.ReadArgs{Conversation: c, Upto: 1000})
	}
	h.live(convs, 90)
	h.trim()
	lists := []List{}
	for _, quick := range []cache.Quick{cache.QuickUnread, cache.QuickAll, cache.QuickMine, cache.QuickUnassigned, cache.QuickUnresolved, cache.QuickResolved} {
		lists = append(lists, List{Quick: quick, Limit: 10}, List{Quick: quick, Limit: 10, Oldest: true}, List{Quick: quick, Limit: 10, Brand: h.created.Brand})
	}
	want := map[List][]string{}
	for _, list := range lists {
		want[list] = h.page(list)
	}
	wrong := 0
	for _, list := range lists {
		if !slices.Equal(d.page(list), want[list]) {
			wrong++
		}
	}
	if wrong < len(lists)/2 {
		t.Fatalf("only %d lists are out of date: this test tests nothing", wrong)
	}
	l.release()
	l.hold()
	d.start()
	for _, list := range lists {
		d.Show(list)
		until(t, fmt.Sprintf("the page of %+v", list), func() bool { return slices.Equal(d.page(list), want[list]) })
	}
	if at, _ := d.cache.Position(); at == d.said().Head {
		t.Error("everything was here before: this test tests nothing")
	}
	l.release()
	d.settled()
}

// page is the first page of a list as the server has it.
func (h *house) page(l List) (out []string) {
	h.t.Helper()
	f := inbox.ConversationFilter{Brand: l.Brand, Oldest: l.Oldest}
	switch l.Quick {
	case cache.QuickUnread:
		f.Unread = true
	case cache.QuickMine:
		f.Assignee = h.owner.Member.ID
	case cache.QuickUnassigned:
		f.Unassigned = true
	case cache.QuickUnresolved:
		f.Status = chat.StatusOpen
	case cache.QuickResolved:
		f.Done = true
	}
	page, err := h.srv.Inbox().Conversations(context.Background(), inbox.Principal{Workspace: h.created.Workspace, Member: h.owner.Member}, f, "", l.Limit, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, c := range page.Conversations {
		out = append(out, fmt.Sprint(c.ID, " ", c.Ver))
	}
	return out
}

// page is the first page of a list as the window would show it.
func (d *desk) page(l List) (out []string) {
	d.t.Helper()
	page, err := d.cache.Conversations(context.Background(), cache.ListQuery{Quick: l.Quick, Brand: l.Brand, Oldest: l.Oldest, Me: d.me.Member.ID, Limit: l.Limit})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, r := range page.Rows {
		var c chat.Conversation
		if err := json.Unmarshal(r.Conversation, &c); err != nil {
			d.t.Fatal(err)
		}
		out = append(out, fmt.Sprint(c.ID, " ", c.Ver))
	}
	return out
}
