// Package fanout tells the parts of a server that hold sockets that something
// happened. Its messages are hints and ephemera: "workspace W reached change
// N", "Ana is typing". Truth is always the change log, so a lost hint costs
// latency and never data, and nothing here waits, stores or retries.
//
// Local serves one process. A second implementation carries the same hints
// between nodes.
package fanout

import (
	"encoding/json"
	"sync"

	"parley/backend/chat"
)

// Hint is one piece of news. Which fields are set follows from what it is
// about: Head for the log, Ephemeral or Name for what is never stored, Kick
// for sockets that must close.
type Hint struct {
	Workspace chat.WorkspaceID
	// Head is the log's newest number, 0 when the hint is not about the log.
	Head int64
	// Conversation and Contact say whom the hint concerns; zero: everybody.
	Conversation chat.ConversationID
	Contact      chat.ContactID
	// Brand limits an ephemeral frame to who sees the brand.
	Brand chat.BrandID
	// Ephemeral is a whole frame for members' sockets; the newest per Key wins.
	Ephemeral json.RawMessage
	Key       string
	// From is the member who sent the ephemeral: it does not go back to them.
	From chat.MemberID
	// Name and TTL (seconds) tell a visitor which colleague is typing.
	Name string
	TTL  int
	// Kick closes sockets.
	Kick *Kick
}

// Kick names sockets that must close: one session, or, with a zero session,
// all of the member's.
type Kick struct {
	Member  chat.MemberID
	Session chat.SessionID
	Code    int // closing code
}

// Local is the fan-out of one process. The zero value is not usable; use
// NewLocal.
type Local struct {
	mu   sync.RWMutex
	next int
	byWS map[chat.WorkspaceID]map[int]func(Hint) // the zero id: every workspace
}

// NewLocal makes an empty fan-out.
func NewLocal() *Local {
	return &Local{byWS: map[chat.WorkspaceID]map[int]func(Hint){}}
}

// Publish hands the hint to every subscriber of its workspace, in the caller's
// goroutine. Subscribers do not block, so neither does Publish.
func (l *Local) Publish(h Hint) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, fn := range l.byWS[h.Workspace] {
		fn(h)
	}
	if !h.Workspace.IsZero() {
		for _, fn := range l.byWS[chat.WorkspaceID{}] {
			fn(h)
		}
	}
}

// Subscribe calls fn with every hint of a workspace (zero: of all workspaces)
// until cancel is called; after cancel has returned fn is not called again.
// fn must not block, and must call neither Publish, Subscribe nor cancel.
func (l *Local) Subscribe(ws chat.WorkspaceID, fn func(Hint)) (cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	n := l.next
	if l.byWS[ws] == nil {
		l.byWS[ws] = map[int]func(Hint){}
	}
	l.byWS[ws][n] = fn
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.byWS[ws], n)
		if len(l.byWS[ws]) == 0 {
			delete(l.byWS, ws)
		}
	}
}
