package inbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"parley/backend/chat"
)

// touchRest is how long the use of a session waits to be written down with
// others: a crash may take it, and then an hour-old session looks older.
const touchRest = time.Second

// touches are the uses of sessions that are still to be written down. Where
// everybody comes back at once there are as many as sessions, and nobody is to
// wait for a commit because of them.
type touches struct {
	write func(context.Context, chat.WorkspaceID, map[chat.SessionID]chat.Time) error
	log   *slog.Logger
	ctx   context.Context // ends the rest
	end   func()

	mu      sync.Mutex
	due     map[chat.WorkspaceID]map[chat.SessionID]chat.Time
	closed  bool
	writing sync.WaitGroup
}

func newTouches(write func(context.Context, chat.WorkspaceID, map[chat.SessionID]chat.Time) error, log *slog.Logger) *touches {
	t := &touches{write: write, log: log}
	t.ctx, t.end = context.WithCancel(context.Background())
	return t
}

// note notes that a session was used. It does not block.
func (t *touches) note(ws chat.WorkspaceID, id chat.SessionID, at chat.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if t.due == nil {
		t.due = map[chat.WorkspaceID]map[chat.SessionID]chat.Time{}
		t.writing.Go(t.later)
	}
	if t.due[ws] == nil {
		t.due[ws] = map[chat.SessionID]chat.Time{}
	}
	t.due[ws][id] = at
}

// later writes down what has gathered in the meantime.
func (t *touches) later() {
	select {
	case <-time.After(touchRest):
	case <-t.ctx.Done():
	}
	t.mu.Lock()
	due := t.due
	t.due = nil
	t.mu.Unlock()
	for ws, used := range due {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), 10*time.Second)
		if err := t.write(ctx, ws, used); err != nil {
			t.log.Warn("note the use of sessions", "error", err) // noted again with the next use
		}
		cancel()
	}
}

// close writes down what is due. What is used later is not noted.
func (t *touches) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.end()
	t.writing.Wait()
}
