package sync

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

func (f *filler) wanted(want int, why string) {
	f.t.Helper()
	if got := len(f.history.flying); got != want {
		f.t.Fatalf("%s: %d pages on their way, want %d", why, got, want)
	}
}

// pass is time passing on a line that is up.
func (f *filler) pass(d time.Duration) {
	for ; d > 0; d -= time.Second {
		f.handle(Heard{f.m.gen, protocol.Frame{Type: protocol.FrameBeat, Head: f.m.position}})
		f.turn(min(d, time.Second))
	}
}

func TestRefusedHistoryIsTriedAgain(t *testing.T) {
	f := newFiller(t, 2)
	var came []chat.ConversationID
	f.cfg.Changed = func(a cache.Applied) { came = append(came, a.Threads...) }
	f.backfill.count = backfillMost // the background would go on meanwhile
	f.live()
	one, two := Want{Conversation: conversation(1), Limit: 50}, Want{Conversation: conversation(2), Limit: 50}
	f.want(one)
	f.answer(http.StatusTooManyRequests)
	f.want(two)
	f.want(one) // the window asks whenever it draws
	f.wanted(0, "asked to wait")
	f.pass(retryLater - time.Second)
	f.wanted(0, "not yet")
	f.pass(2 * time.Second)
	f.wanted(2, "after what was asked for")
	for n := range 4 { // each time twice as long
		f.answer(http.StatusInternalServerError)
		f.answer(http.StatusInternalServerError)
		f.want(one)
		rest := min(historyRetry<<n, maxBackoff)
		f.pass(rest - time.Second)
		f.wanted(0, "refused again")
		f.pass(2 * time.Second)
		f.wanted(2, "after a rest")
	}
	f.answer(http.StatusOK)
	f.answer(http.StatusOK)
	if len(came) != 2 || f.missing() != 0 {
		t.Fatalf("came for %v, %d threads are missing", came, f.missing())
	}
	f.want(one)
	f.answer(http.StatusInternalServerError)
	f.want(two)
	f.wanted(1, "one that cannot be had keeps no other waiting")
	f.answer(http.StatusOK)
	f.pass(historyRetry)
	f.answer(http.StatusNotFound)
	f.pass(time.Minute)
	f.wanted(0, "gone")
}

func TestHistoryGoesOutWithTheLine(t *testing.T) {
	f := newFiller(t, 1)
	f.live()
	f.want(Want{Conversation: conversation(1), Limit: 50})
	f.answer(http.StatusServiceUnavailable)
	f.wanted(0, "the server is not there")
	f.execute(Online{})
	f.wanted(1, "the server is there again")
	f.answer(http.StatusOK)
}

// full makes the disk of a filler full; nothing is stored until it is emptied.
func (f *filler) full() (empty func()) {
	put := f.put
	f.put = func(context.Context, chat.ConversationID, int64, int64, int64, []json.RawMessage) (cache.Applied, error) {
		return cache.Applied{}, chat.Errorf(chat.CodeUnavailable, "The disk is full.")
	}
	return func() { f.put = put }
}

func (f *filler) said(status Status, problem string) {
	f.t.Helper()
	if r := f.m.Report(); r.Status != status || r.Problem != problem {
		f.t.Fatalf("said %s %q, wanted %s %q", r.Status, r.Problem, status, problem)
	}
}

func TestHistoryOnAFullDiskIsSaidAndWaitedFor(t *testing.T) {
	f := newFiller(t, 2)
	var told []chat.ConversationID
	f.cfg.Changed = func(a cache.Applied) { told = append(told, a.Threads...) }
	f.live()
	empty := f.full()
	f.want(Want{Conversation: conversation(1), Limit: 50})
	f.want(Want{Conversation: conversation(2), Limit: 50})
	f.answer(http.StatusOK)
	f.answer(http.StatusOK)
	f.said(StatusError, "The disk is full.")
	if len(told) != 1 {
		t.Fatalf("told %v: who looks at a thread must hear once that it is not coming", told)
	}
	f.pass(historyRetry - time.Second)
	f.wanted(0, "at once again")
	f.pass(time.Second)
	f.wanted(1, "to see whether the disk is full still")
	f.inFlight(0, "the window waits for something")
	f.answer(http.StatusOK)
	f.said(StatusError, "The disk is full.")
	empty()
	f.pass(historyRetry)
	f.answer(http.StatusOK)
	f.said(StatusLive, "")
	f.wanted(1, "and what else was waited for")
	f.answer(http.StatusOK)
	if f.missing() != 0 {
		t.Fatalf("%d threads are missing", f.missing())
	}
}

// TestAFullDiskIsForgottenWithWhatItKeptOut: what could not be stored came
// another way, so that nothing is left to find out by that there is room again.
func TestAFullDiskIsForgottenWithWhatItKeptOut(t *testing.T) {
	f := newFiller(t, 1)
	f.live()
	empty := f.full()
	f.want(Want{Conversation: conversation(1), Limit: 50})
	f.answer(http.StatusOK)
	f.said(StatusError, "The disk is full.")
	empty()
	f.history.waiting, f.backfill.dirty = nil, false
	f.pass(writeAgain)
	f.said(StatusLive, "")
	if f.history.unwritable {
		t.Error("pages are still tried one at a time")
	}
}

func TestBackfillOnAFullDiskIsSaidAndGoesOn(t *testing.T) {
	f := newFiller(t, 5)
	f.live()
	empty := f.full()
	f.pass(time.Second)
	f.pass(time.Second)
	f.inFlight(2, "as many as there may be")
	f.answer(http.StatusOK)
	f.answer(http.StatusOK)
	f.said(StatusError, "The disk is full.")
	for range 3 {
		f.pass(backfillRest - time.Second)
		f.inFlight(0, "nothing more can be stored")
		f.pass(2 * time.Second)
		f.pass(time.Second)
		f.inFlight(1, "to see whether the disk is full still")
		f.answer(http.StatusOK)
	}
	f.said(StatusError, "The disk is full.")
	if f.backfill.count != 0 {
		t.Fatalf("%d pages count as loaded", f.backfill.count)
	}
	empty()
	f.pass(backfillRest)
	f.answer(http.StatusOK)
	f.said(StatusLive, "")
	for range 4 {
		f.pass(backfillPause)
		f.answer(http.StatusOK)
	}
	if f.missing() != 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		t.Fatalf("%d chats were given up; asked for %v", f.missing(), slices.Compact(f.asked))
	}
}

func TestAPageThatNeverFitsInIsGivenUp(t *testing.T) {
	f := newFiller(t, 1)
	f.live()
	f.put = func(context.Context, chat.ConversationID, int64, int64, int64, []json.RawMessage) (cache.Applied, error) {
		return cache.Applied{}, chat.Invalid("range", "The range makes no sense.")
	}
	f.want(Want{Conversation: conversation(1), Limit: 50})
	f.answer(http.StatusOK)
	f.said(StatusLive, "")
	f.pass(historyRetry)
	f.wanted(0, "the same page again")
}

// TestAPageOfBeforeALossIsAskedForAgain: what happened in a brand while the
// member could not see it is in no packet, so a page that was asked for before
// may be of before an edit, although the chat is here again.
func TestAPageOfBeforeALossIsAskedForAgain(t *testing.T) {
	f := newFiller(t, 1)
	f.cfg.BeforeAccess = func(context.Context, chat.Access) error { return nil }
	f.backfill.count = backfillMost
	f.live()
	f.want(Want{Conversation: conversation(1), Limit: 50})
	f.wanted(1, "before the loss")
	back := chat.Conversation{ID: conversation(1), Ver: 4, Brand: chat.BrandID{0: 1}, Status: chat.StatusOpen, LastNumber: 1, Tags: []string{}}
	data, err := json.Marshal(back)
	if err != nil {
		t.Fatal(err)
	}
	for i, brand := range []chat.BrandID{{0: 2}, {0: 1}} {
		access, err := json.Marshal(chat.Access{Brands: []chat.BrandID{brand}})
		if err != nil {
			t.Fatal(err)
		}
		seq := int64(i) + 2
		if ev := f.apply(protocol.Packet{From: seq - 1, To: seq, Changes: []chat.Change{{Seq: seq, Kind: chat.EntityAccess, Op: chat.OpPut, Data: access}}}); ev.(Applied).Err != nil {
			t.Fatal(ev)
		}
	}
	// As the load of what was gained brings it.
	if _, err := f.cfg.Cache.PutRows(t.Context(), []cache.Row{{Kind: chat.EntityConversation, ID: back.ID.String(), Ver: 4, Data: data}}); err != nil {
		t.Fatal(err)
	}
	f.answer(http.StatusOK)
	if f.missing() != 1 {
		t.Error("a page that was asked for before the loss was taken over")
	}
	f.wanted(1, "it is asked for again")
	f.answer(http.StatusOK)
	if f.missing() != 0 {
		t.Error("the page of now was not taken over")
	}
}

// TestADeadLineEndsAPull: behind a page that never comes no other is asked for.
func TestADeadLineEndsAPull(t *testing.T) {
	f := newFiller(t, 1)
	f.cfg.Abandoned = func() {}
	f.live()
	f.handle(Heard{f.m.gen, protocol.Frame{Type: protocol.FrameBehind, Head: 100}})
	if !f.m.pulling {
		t.Fatal("nothing is asked for")
	}
	f.now.Wall = f.now.Wall.Add(8 * time.Hour)
	f.handle(Ticked{})
	for {
		select {
		case x := <-f.inputs:
			if failed, ok := x.(PullFailed); ok {
				if !protocol.IsUnreachable(failed.Err) {
					t.Errorf("it failed with %v", failed.Err)
				}
				f.take(x)
				if f.m.pulling {
					t.Error("it is waited for still")
				}
				return
			}
		case <-time.After(5 * time.Second):
			t.Fatal("after eight hours of sleep the page is waited for still")
		}
	}
}
