package desktop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
	"parley/backend/search"
)

// finder is a server that finds one message, and remembers what it was asked.
type finder struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
	page  protocol.SearchPage
	next  []protocol.SearchPage // the pages after it, each under the cursor of the one before
}

func newFinder(t *testing.T, page protocol.SearchPage) *finder {
	f := &finder{page: page}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(protocol.VersionHeader, protocol.Version)
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/v1/search" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked = append(f.asked, r.URL.Query().Get("q"))
		page := f.page
		for i, next := range f.next {
			if page.Cursor == "" {
				page.Cursor = fmt.Sprint(i + 1)
			}
			if r.URL.Query().Get("cursor") != fmt.Sprint(i+1) {
				continue
			}
			if page = next; i+1 < len(f.next) {
				page.Cursor = fmt.Sprint(i + 2)
			}
			break
		}
		_ = json.NewEncoder(w).Encode(page) // the client has gone: nobody to tell
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *finder) questions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// TestANewWindowIsNotOvertakenByTheOneBefore: whatever has become of the clock
// since, its first question is a later one.
func TestANewWindowIsNotOvertakenByTheOneBefore(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	if o, err := e.Opening(9); err != nil || o.Turn == 0 {
		t.Fatalf("before somebody has signed in it begins at %d, %v", o.Turn, err)
	}
	join(t, e, newFinder(t, protocol.SearchPage{}).URL)
	for _, last := range []int64{1, 5_000} {
		first, err := e.Opening(9)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.List(ListQuery{Limit: 9, Turn: first.Turn + last}); err != nil {
			t.Fatal(err)
		}
		again, err := e.Opening(9)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.List(ListQuery{Limit: 9, Turn: again.Turn + 1}); err != nil {
			t.Errorf("the window after it asks in turn %d: %v", again.Turn+1, err)
		}
		if _, err := e.List(ListQuery{Limit: 9, Turn: first.Turn + last + 1}); chat.ErrorCode(err) != chat.CodeConflict {
			t.Errorf("a late question of the window before ends this one's: %v", err)
		}
	}
}

// TestTheServerFillsInWhatIsNotCached: what it finds comes into the list, once
// it is here, with what was found marked.
func TestTheServerFillsInWhatIsNotCached(t *testing.T) {
	brand := chat.NewID[chat.Brand]()
	contact := chat.Contact{ID: chat.NewID[chat.Contact](), Ver: 1, Brand: brand, Name: "Otto"}
	conv := chat.Conversation{ID: chat.NewID[chat.Conversation](), Ver: 2, Brand: brand, Contact: contact.ID, Channel: chat.NewID[chat.Channel](),
		Status: chat.StatusOpen, LastNumber: 90, LastMessageAt: 1_700_000_000_000_000, Tags: []string{}}
	m := chat.Message{ID: chat.NewID[chat.Message](), Ver: 3, Conversation: conv.ID, Number: 7, Kind: chat.MessageKindMessage,
		Author: chat.CustomerActor(contact.ID), Parts: []chat.Part{chat.TextPart("an old order of mugs")}, StoredAt: 1_600_000_000_000_000}
	f := newFinder(t, protocol.SearchPage{Conversations: []chat.Conversation{conv}, Contacts: []chat.Contact{contact}, Messages: []chat.Message{m}})
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, f.URL)
	s := current(t, e)
	until(t, "the connection", func() bool { return s.net.Load() != nil })
	search := func(words string, turn int64) ListPage {
		t.Helper()
		page, err := e.List(ListQuery{Search: words, Limit: 50, Turn: turn})
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	if page := search("mugs before:2021-01-01", 1); len(page.Rows) != 0 {
		t.Fatalf("%d rows are found before anything is here", len(page.Rows))
	}
	var page ListPage
	until(t, "what the server has found", func() bool {
		page = search("mugs before:2021-01-01", 1)
		return len(page.Rows) == 1
	})
	hit := page.Rows[0].Hit
	if page.Rows[0].Label != "Otto" || hit == nil || hit.Number != 7 || hit.Text != "an old order of mugs" || len(hit.Marks) != 1 || hit.Marks[0] != [2]int{16, 20} {
		t.Errorf("row %s, hit %+v", page.Rows[0].Label, hit)
	}
	if told(e, EventList) == 0 {
		t.Error("the window was not told that more was found")
	}
	asked := f.questions()
	if len(asked) != 1 || !strings.Contains(asked[0], "mugs") || !strings.Contains(asked[0], "T") || strings.Contains(asked[0], "2021-01-01 ") {
		t.Errorf("the server was asked %q: once, with moments instead of this computer's days", asked)
	}
}

// orders is what a server finds: an old message in a chat of Otto's each.
func orders(brand chat.BrandID, ages ...int64) protocol.SearchPage {
	var page protocol.SearchPage
	for _, age := range ages {
		k := chat.Contact{ID: chat.NewID[chat.Contact](), Ver: 1, Brand: brand, Name: fmt.Sprint("Otto ", age)}
		c := chat.Conversation{ID: chat.NewID[chat.Conversation](), Ver: 2, Brand: brand, Contact: k.ID, Channel: chat.NewID[chat.Channel](),
			Status: chat.StatusResolved, LastNumber: 9, LastMessageAt: chat.Time(1_700_000_000_000_000 - age*1_000_000_000), Tags: []string{}}
		m := chat.Message{ID: chat.NewID[chat.Message](), Ver: 3, Conversation: c.ID, Number: 7, Kind: chat.MessageKindMessage,
			Author: chat.CustomerActor(k.ID), Parts: []chat.Part{chat.TextPart("an order of mugs")}, StoredAt: c.LastMessageAt}
		page.Conversations, page.Contacts, page.Messages = append(page.Conversations, c), append(page.Contacts, k), append(page.Messages, m)
	}
	return page
}

// labels reads a list to its end, page by page.
func labels(t *testing.T, e *Engine, q ListQuery) (list []string) {
	t.Helper()
	for {
		page, err := e.List(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Rows {
			if r.Hit == nil || r.Hit.Number != 7 {
				t.Errorf("%s is listed without what was found: %+v", r.Label, r.Hit)
			}
			list = append(list, r.Label)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return list
		}
	}
}

// TestTheServerIsAskedForMoreAtTheEndOfTheList: what is cached ends somewhere,
// and the server's finds come in pages. What was read before keeps its place.
func TestTheServerIsAskedForMoreAtTheEndOfTheList(t *testing.T) {
	brand := chat.NewID[chat.Brand]()
	f := newFinder(t, orders(brand, 3))
	// The last page brings one again, with another message, and one that belongs above.
	f.next = []protocol.SearchPage{orders(brand), orders(brand, 5), orders(brand, 1, 8)}
	again := f.page.Messages[0]
	again.ID, again.Number, again.StoredAt = chat.NewID[chat.Message](), 6, again.StoredAt-1
	f.next[2].Conversations = append(f.next[2].Conversations, f.page.Conversations[0])
	f.next[2].Messages = append(f.next[2].Messages, again)
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, f.URL)
	s := current(t, e)
	until(t, "the connection", func() bool { return s.net.Load() != nil })
	q := ListQuery{Search: "mugs", Limit: 60, Turn: 1}
	if got := labels(t, e, q); fmt.Sprint(got) != "[Otto 3 Otto 5 Otto 1 Otto 8]" {
		t.Errorf("the list goes on with what the server adds: %q", got)
	}
	if n := len(f.questions()); n != 4 {
		t.Errorf("4 pages were asked for %d times", n)
	}
	if got := labels(t, e, q); fmt.Sprint(got) != "[Otto 1 Otto 3 Otto 5 Otto 8]" {
		t.Errorf("read anew from the top: %q", got)
	}
	if got := labels(t, e, ListQuery{Search: "mugs", Limit: 60, Turn: 1, Cursor: "1."}); fmt.Sprint(got) != "[Otto 5 Otto 1 Otto 8]" {
		t.Errorf("read again in its place: %q", got)
	}
	if n := len(f.questions()); n != 4 {
		t.Errorf("what is here was asked for again: %d", n)
	}
}

// TestTheServerIsAskedWithinTheList: for the brand of the tab, and on until
// something fits a quick list, which the server does not know.
func TestTheServerIsAskedWithinTheList(t *testing.T) {
	shop, other := chat.NewID[chat.Brand](), chat.NewID[chat.Brand]()
	f := newFinder(t, orders(shop, 1))
	f.next = []protocol.SearchPage{orders(shop, 2), orders(shop, 3), orders(shop, 4)}
	f.next[1].Conversations[0].Unread = 1
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, f.URL)
	s := current(t, e)
	var rows []cache.Row
	for id, name := range map[chat.BrandID]string{shop: `The "Mug" Shop`, other: "Teas"} {
		rows = append(rows, cache.Row{Kind: chat.EntityBrand, ID: id.String(), Op: chat.OpPut, Data: encode(t, chat.Brand{ID: id, Ver: 1, Name: name})})
	}
	if _, err := s.cache.PutRows(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	until(t, "the connection", func() bool { return s.net.Load() != nil })
	q := ListQuery{Search: "mugs", Quick: string(cache.QuickUnread), Brand: shop.String(), Limit: 60, Turn: 1}
	if page, err := e.List(q); err != nil || len(page.Rows) != 0 {
		t.Fatalf("%d rows are found before anything is here, %v", len(page.Rows), err)
	}
	until(t, "the unread one, though nobody comes to the end of an empty list", func() bool {
		page, err := e.List(q)
		return err == nil && len(page.Rows) == 1 && page.Rows[0].Label == "Otto 3"
	})
	for _, asked := range f.questions() {
		if typed := search.Parse(asked, time.UTC); len(typed.Brand) != 1 || !search.Named(typed.Brand[0], `The "Mug" Shop`) || search.Named(typed.Brand[0], "Teas") {
			t.Errorf("the server was asked %q, and not within the brand", asked)
		}
	}
	before := len(f.questions())
	q.Search, q.Turn = "mugs brand:teas", 2
	if got := labels(t, e, q); len(got) != 0 || len(f.questions()) != before {
		t.Errorf("another brand than the list's: %q, asked %q", got, f.questions()[before:])
	}
}

// TestASearchIsCompletedWhenTheLineIsBack: typed before there was one, it is
// asked of the server as soon as there is.
func TestASearchIsCompletedWhenTheLineIsBack(t *testing.T) {
	f := newFinder(t, orders(chat.NewID[chat.Brand](), 1))
	shown := make(chan struct{})
	e, err := Open(t.Context(), Options{Data: t.TempDir(), DefaultServer: "x", Window: &ear{}, Shown: shown})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	join(t, e, f.URL)
	s := current(t, e)
	q := ListQuery{Search: "mugs", Limit: 60, Turn: 1}
	if got := labels(t, e, q); len(got) != 0 { // and the list has an end
		t.Fatalf("without a line %q is found", got)
	}
	close(shown)
	until(t, "the connection", func() bool { return s.net.Load() != nil })
	told(e, EventList)
	s.online()
	until(t, "that the window reads its list again", func() bool { return told(e, EventList) > 0 })
	if got := labels(t, e, q); len(got) != 1 {
		t.Errorf("with a line %q is found", got)
	}
}

// TestASearchEndsWithTheNextKey: the question of an earlier turn is not
// answered any more, nor does it end a later one.
func TestASearchEndsWithTheNextKey(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	s := current(t, e)
	cached(t, s, chat.NewID[chat.Brand]())
	if page, err := e.List(ListQuery{Search: "zoe", Limit: 9, Turn: 5}); err != nil || len(page.Rows) != 1 {
		t.Fatalf("%d rows, %v", len(page.Rows), err)
	}
	under, err := s.search.turn(s.ctx, ListQuery{Turn: 5})
	if err != nil || under.Err() != nil {
		t.Fatalf("another page of the same question: %v, %v", err, under.Err())
	}
	if _, err := e.List(ListQuery{Search: "zo", Limit: 9, Turn: 4}); chat.ErrorCode(err) != chat.CodeConflict {
		t.Errorf("a question that comes late is answered with %v", err)
	}
	if under.Err() != nil {
		t.Error("a question that comes late ended the newer one")
	}
	if _, err := e.List(ListQuery{Limit: 9, Turn: 6}); err != nil {
		t.Fatal(err)
	}
	if under.Err() == nil {
		t.Error("the search went on after the list was asked for instead")
	}
}
