package desktop

import (
	"context"
	"sync/atomic"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
)

// searchRest is how long the same words are not asked of the server again.
const searchRest = 30 * time.Second

// searched is the search that the server was asked last.
type searched struct {
	words string
	at    time.Time
}

// serverSearch remembers the last search, so that reading the list again
// because of its results does not search again.
type serverSearch struct{ last atomic.Pointer[searched] }

// searchServer asks the server for conversations that are not cached, brings
// them into the cache, and lets the window read its list again. Offline it
// finds what is cached, and that is all.
func (s *session) searchServer(words string) {
	n := s.net.Load()
	last := s.search.last.Load()
	if n == nil || (last != nil && last.words == words && time.Since(last.at) < searchRest) {
		return
	}
	if !s.search.last.CompareAndSwap(last, &searched{words, time.Now()}) {
		return
	}
	s.spawn(func() {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		found, err := n.client.Search(ctx, words, "")
		if err != nil {
			s.e.log.Debug("search on the server", "error", err)
			return
		}
		var rows []cache.Row
		for _, raw := range found.Contacts {
			rows = append(rows, cache.Row{Kind: chat.EntityContact, ID: raw.ID, Op: chat.OpPut, Data: raw.Data})
		}
		for _, raw := range found.Conversations {
			rows = append(rows, cache.Row{Kind: chat.EntityConversation, ID: raw.ID, Op: chat.OpPut, Data: raw.Data})
		}
		if len(rows) == 0 {
			return
		}
		applied, err := s.cache.PutRows(ctx, rows)
		if err != nil {
			s.e.log.Warn("store search", "error", err)
			return
		}
		s.changed(applied)
	})
}
