package fanout_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"parley/backend/chat"
	"parley/backend/server/fanout"
)

func TestHintsReachTheirWorkspaceAndWhoeverListensToAll(t *testing.T) {
	l := fanout.NewLocal()
	a, b := chat.NewID[chat.Workspace](), chat.NewID[chat.Workspace]()
	var gotA, gotAll []int64
	cancel := l.Subscribe(a, func(h fanout.Hint) { gotA = append(gotA, h.Head) })
	l.Subscribe(chat.WorkspaceID{}, func(h fanout.Hint) { gotAll = append(gotAll, h.Head) })

	l.Publish(fanout.Hint{Workspace: a, Head: 1})
	l.Publish(fanout.Hint{Workspace: b, Head: 2})
	cancel()
	cancel() // a second call does no harm
	l.Publish(fanout.Hint{Workspace: a, Head: 3})

	if len(gotA) != 1 || gotA[0] != 1 {
		t.Errorf("the workspace's subscriber heard %v, want [1]", gotA)
	}
	if len(gotAll) != 3 {
		t.Errorf("who listens to all heard %v, want three hints", gotAll)
	}
}

func TestNothingIsHeardAfterCancel(t *testing.T) {
	l := fanout.NewLocal()
	ws := chat.NewID[chat.Workspace]()
	stop := make(chan struct{})
	var publishers sync.WaitGroup
	for range 4 {
		publishers.Add(1)
		go func() {
			defer publishers.Done()
			for {
				select {
				case <-stop:
					return
				default:
					l.Publish(fanout.Hint{Workspace: ws, Head: 1})
				}
			}
		}()
	}
	for range 200 {
		var cancelled atomic.Bool
		cancel := l.Subscribe(ws, func(fanout.Hint) {
			if cancelled.Load() {
				t.Error("heard a hint after cancel had returned")
			}
		})
		cancel()
		cancelled.Store(true)
	}
	close(stop)
	publishers.Wait()
}
