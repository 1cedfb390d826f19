package inbox

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/backend/chat"
)

func TestUsesOfSessionsAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ws, other := chat.NewID[chat.Workspace](), chat.NewID[chat.Workspace]()
		var mu sync.Mutex
		wrote := map[chat.WorkspaceID][]map[chat.SessionID]chat.Time{}
		ts := newTouches(func(_ context.Context, ws chat.WorkspaceID, used map[chat.SessionID]chat.Time) error {
			mu.Lock()
			defer mu.Unlock()
			wrote[ws] = append(wrote[ws], used)
			return nil
		}, slog.Default())
		first := chat.NewID[chat.Session]()
		ts.note(ws, first, 1)
		for i := range 500 {
			ts.note(ws, chat.NewID[chat.Session](), chat.Time(i))
		}
		ts.note(other, first, 7)
		ts.note(ws, first, 2)
		synctest.Wait()
		mu.Lock()
		if len(wrote) > 0 {
			t.Error("something was written at once")
		}
		mu.Unlock()
		time.Sleep(touchRest)
		synctest.Wait()
		if len(wrote[ws]) != 1 || len(wrote[ws][0]) != 501 || wrote[ws][0][first] != 2 {
			t.Errorf("%d writings, want one with every session's last use", len(wrote[ws]))
		}
		if len(wrote[other]) != 1 || len(wrote[other][0]) != 1 || wrote[other][0][first] != 7 {
			t.Errorf("of the other workspace %v was written", wrote[other])
		}

		ts.note(ws, first, 3)
		ts.close()
		if len(wrote[ws]) != 2 || wrote[ws][1][first] != 3 {
			t.Error("the end took a use along that was not written")
		}
		ts.note(ws, first, 4)
		time.Sleep(2 * touchRest)
		if len(wrote[ws]) != 2 {
			t.Error("something was written after the end")
		}
	})
}
