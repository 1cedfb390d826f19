package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	stdsync "sync"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
	"parley/backend/search"
)

const (
	// searchRest is how long a list has no end to load after the server could not be asked.
	searchRest = 30 * time.Second
	// searchPause is after a key before the server is asked: who types on asks for something else.
	searchPause = 200 * time.Millisecond
	// searchPatience is how long the window waits at most for what the server adds.
	searchPatience = 10 * time.Second
	// searchPages are read of the server at once, as long as none holds anything
	// for the list: it does not know the quick lists.
	searchPages = 10
)

// searching is the search under way. It ends when the window asks for something
// else, wherever it is: in the cache or on the server.
type searching struct {
	mu      stdsync.Mutex
	at      int64 // the turn
	windows int64 // that were told where to begin
	ctx     context.Context
	cancel  context.CancelFunc
	now     *question // nil: nothing is searched
}

// question is what the server is asked for a search, and what it has found.
// A page of its finds is brought into the cache when the window has come to the
// end of what is cached, and stands below: rows that were read keep their place.
type question struct {
	words string
	era   int64         // of the cache that has the finds
	busy  chan struct{} // holds one value while the server is asked

	mu     stdsync.Mutex
	pages  [][]chat.ConversationID // what each page of the server's added
	shown  map[chat.ConversationID]bool
	cursor string    // of the server's next page
	over   bool      // there is none
	failed time.Time // when the server could not be asked; zero: it could
}

// errOvertaken answers a search that nobody waits for any more.
var errOvertaken = chat.Errorf(chat.CodeConflict, "Another search has begun since.")

var errNoLine = errors.New("there is no line")

// turnsOfAWindow is how many questions one window may ask.
const turnsOfAWindow = 1 << 32

// begin gives the turn at which a new window begins to count: later than any
// of the window before, which no clock could promise.
func (s *searching) begin() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.windows = max(s.windows, s.at/turnsOfAWindow) + 1
	return s.windows * turnsOfAWindow
}

// turn gives the context of a question's turn and ends those before it.
func (s *searching) turn(parent context.Context, q ListQuery) (context.Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case q.Turn != 0 && q.Turn < s.at:
		return nil, errOvertaken // it was asked before, and comes late
	case q.Turn > s.at || s.ctx == nil:
		if s.cancel != nil {
			s.cancel()
		}
		s.at = q.Turn
		s.ctx, s.cancel = context.WithCancel(parent)
	}
	if strings.TrimSpace(q.Search) == "" {
		s.now = nil
	}
	return s.ctx, nil
}

// question gives what the server is asked for these words. Without words it is
// asked nothing.
func (s *searching) question(words string, era int64) *question {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || s.now.words != words || s.now.era != era {
		s.now = &question{words: words, era: era, busy: make(chan struct{}, 1), shown: map[chat.ConversationID]bool{}, over: words == ""}
	}
	return s.now
}

// place reads a cursor: in the cache, or behind it at a page of the server's.
// Behind it are the pages that were not in the cache when the first page of the
// list was read.
func (a *question) place(cursor string) (cached string, page int, behind bool, err error) {
	if cursor == "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		return "", len(a.pages), false, nil
	}
	n, cached, ok := strings.Cut(cursor, ".")
	if page, err = strconv.Atoi(n); err != nil || !ok || page < 0 {
		return "", 0, false, chat.Invalid("cursor", "The cursor is not one of this list.")
	}
	return cached, page, cached == "", nil
}

// show notes what the window has.
func (a *question) show(rows []cache.ListRow) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range rows {
		a.shown[r.ID] = true
	}
}

// more reports whether the server has or may have a page.
func (a *question) more(page int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return page < len(a.pages) || !a.over && (a.failed.IsZero() || time.Since(a.failed) > searchRest)
}

// page gives one that is here already.
func (a *question) page(n int) (ids []chat.ConversationID, here bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n < len(a.pages) {
		return a.pages[n], true
	}
	return nil, false
}

// next gives the cursor of the server's next page, and whether it is the first.
func (a *question) next() (cursor string, first, over bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cursor, len(a.pages) == 0, a.over
}

// took notes the server's next page.
func (a *question) took(found []protocol.Raw, cursor string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	page := []chat.ConversationID{}
	for _, raw := range found {
		id, err := chat.ParseID[chat.Conversation](raw.ID)
		if err == nil && !a.shown[id] {
			a.shown[id] = true
			page = append(page, id)
		}
	}
	a.pages, a.cursor, a.over, a.failed = append(a.pages, page), cursor, cursor == "", time.Time{}
}

// fail notes that the server could not be asked.
func (a *question) fail() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = time.Now()
}

// again reports whether something was not asked for want of a line, and forgets that.
func (a *question) again() (failed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	failed, a.failed = !a.failed.IsZero(), time.Time{}
	return failed
}

// find answers a search from the cache, and below from what the server has found.
func (s *session) find(ctx context.Context, q ListQuery, want cache.ListQuery) (cache.ListPage, error) {
	typed := search.Parse(q.Search, time.Local)
	asked := s.search.question(s.words(ctx, typed, want.Brand), s.cache.Era())
	cached, n, behind, err := asked.place(q.Cursor)
	if err != nil {
		return cache.ListPage{}, err
	}
	look := cache.FindQuery{Query: typed, Quick: want.Quick, Brand: want.Brand, Me: s.me,
		Best: q.Best, Oldest: want.Oldest, Cursor: cached, Limit: want.Limit}
	if behind {
		page, err := s.findBehind(ctx, asked, look, n)
		return page, s.overtaken(ctx, err)
	}
	page, err := s.findCached(ctx, look)
	if err != nil {
		return page, s.overtaken(ctx, err)
	}
	asked.show(page.Rows)
	if q.Cursor == "" {
		s.searchServer(ctx, asked, look, len(page.Rows) == 0)
	}
	switch {
	case page.Next != "":
		page.Next = strconv.Itoa(n) + "." + page.Next
	case asked.more(n):
		page.Next = strconv.Itoa(n) + "."
	}
	return page, nil
}

func (s *session) findCached(ctx context.Context, look cache.FindQuery) (cache.ListPage, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return s.cache.Find(ctx, look)
}

// overtaken says so of a search that has ended because another one has begun.
func (s *session) overtaken(ctx context.Context, err error) error {
	if ctx.Err() != nil && s.ctx.Err() == nil {
		return errOvertaken
	}
	return err
}

// words writes what the server is asked: what was typed, within the brand of
// the list. "" where nothing can fit, or nothing is looked for.
func (s *session) words(ctx context.Context, typed search.Query, brand chat.BrandID) string {
	if typed.Blank() {
		return ""
	}
	if !brand.IsZero() {
		name := s.brandName(ctx, brand)
		switch {
		case !search.Named(name, name): // none, or none that can be typed
		case len(typed.Brand) > 0 && !slices.ContainsFunc(typed.Brand, func(t string) bool { return search.Named(t, name) }):
			return ""
		default:
			typed.Brand = []string{name}
		}
	}
	return typed.String()
}

func (s *session) brandName(ctx context.Context, id chat.BrandID) string {
	all, err := s.cache.Brands(ctx)
	if err != nil {
		return "" // the server then finds more than the list shows
	}
	for _, raw := range all {
		var b chat.Brand
		if json.Unmarshal(raw, &b) == nil && b.ID == id {
			return b.Name
		}
	}
	return ""
}

// searchServer has the server asked while nobody waits. Where nothing is cached
// it goes on until something fits the list: an empty list has no end to come to.
func (s *session) searchServer(ctx context.Context, asked *question, look cache.FindQuery, empty bool) {
	if _, first, over := asked.next(); over || !first && !empty || len(asked.busy) > 0 {
		return // it is known, or on its way
	}
	if s.net.Load() == nil {
		asked.fail()
		return
	}
	s.spawn(func() {
		ctx, cancel := context.WithTimeout(ctx, searchPatience)
		defer cancel()
		if !empty {
			s.serverPage(ctx, asked, 0)
			return
		}
		if _, _, err := s.nextFinds(ctx, asked, look, 0); err != nil {
			s.e.log.Debug("search behind the cache", "error", err)
		}
	})
}

// findBehind gives the first page of the server's finds from one on that has
// something for the list. Without a line, what is cached is all there is.
func (s *session) findBehind(ctx context.Context, asked *question, look cache.FindQuery, n int) (cache.ListPage, error) {
	ctx, cancel := context.WithTimeout(ctx, searchPatience)
	defer cancel()
	page, next, err := s.nextFinds(ctx, asked, look, n)
	page.Next = ""
	if len(page.Rows) > 0 && asked.more(next) {
		page.Next = strconv.Itoa(next) + "."
	}
	return page, err
}

// nextFinds gives the rows of the first of the server's pages that has some, and
// the number of the page after it.
func (s *session) nextFinds(ctx context.Context, asked *question, look cache.FindQuery, n int) (page cache.ListPage, next int, err error) {
	look.Limit = cache.MaxPage // all that a page of the server's holds
	for next = n; next < n+searchPages; next++ {
		ids, here := s.serverPage(ctx, asked, next)
		if !here {
			return page, next, nil
		}
		if len(ids) == 0 {
			continue
		}
		look.Among = ids
		if page, err = s.findCached(s.ctx, look); err != nil || len(page.Rows) > 0 {
			return page, next + 1, err
		}
	}
	return page, next, nil
}

// serverPage gives the conversations of one of the server's pages, which it
// brings into the cache if it is not here yet; not here where there is none or
// no line.
func (s *session) serverPage(ctx context.Context, asked *question, n int) (ids []chat.ConversationID, here bool) {
	select {
	case asked.busy <- struct{}{}:
		defer func() { <-asked.busy }()
	case <-ctx.Done():
		return nil, false
	}
	if ids, here = asked.page(n); here {
		return ids, true
	}
	if err := s.askServer(ctx, asked); err != nil {
		if !errors.Is(err, context.Canceled) { // the window has asked for something else
			asked.fail()
		}
		s.e.log.Debug("search on the server", "error", err)
		return nil, false
	}
	return asked.page(n)
}

// askServer brings the server's next finds into the cache, and lets the window
// read its list again.
func (s *session) askServer(ctx context.Context, asked *question) error {
	n := s.net.Load()
	if n == nil {
		return errNoLine
	}
	cursor, first, over := asked.next()
	if over {
		return nil
	}
	if first {
		select {
		case <-time.After(searchPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	found, err := n.client.Search(ctx, asked.words, cursor)
	if err != nil {
		return err
	}
	rows := sync.RowsOf(found)
	if len(rows) == 0 {
		asked.took(nil, found.Cursor)
		return nil
	}
	applied, err := s.cache.PutRowsOf(s.ctx, asked.era, rows) // once here, it is kept
	if err != nil {
		return err
	}
	asked.took(found.Conversations, found.Cursor)
	s.changed(applied)
	// A message that was found changes the list of what was found, though its
	// conversation's row is the same.
	for _, c := range applied.Threads {
		s.e.tell.list(c.String())
	}
	return nil
}

// searchAgain lets the window ask once more what the server could not be asked.
func (s *session) searchAgain() {
	s.search.mu.Lock()
	asked := s.search.now
	s.search.mu.Unlock()
	if asked != nil && asked.again() {
		s.e.tell.list("")
	}
}
