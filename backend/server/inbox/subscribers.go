package inbox

import (
	"sync"

	"parley/backend/chat"
)

// subscribers are the visitors' sockets of this process, by person.
type subscribers struct {
	mu   sync.RWMutex
	next int
	m    map[person]map[int]func(VisitorHint)
}

type person struct {
	workspace chat.WorkspaceID
	contact   chat.ContactID
}

func newSubscribers() *subscribers {
	return &subscribers{m: map[person]map[int]func(VisitorHint){}}
}

func (s *subscribers) add(ws chat.WorkspaceID, contact chat.ContactID, fn func(VisitorHint)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	n, p := s.next, person{ws, contact}
	if s.m[p] == nil {
		s.m[p] = map[int]func(VisitorHint){}
	}
	s.m[p][n] = fn
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.m[p], n)
		if len(s.m[p]) == 0 {
			delete(s.m, p)
		}
	}
}

func (s *subscribers) notify(ws chat.WorkspaceID, contact chat.ContactID, h VisitorHint) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, fn := range s.m[person{ws, contact}] {
		fn(h)
	}
}
