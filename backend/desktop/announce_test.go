package desktop

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type ear struct {
	mu    sync.Mutex
	heard []string
}

func (e *ear) Emit(name string, payload any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, fmt.Sprintf("%s %v", name, payload))
}

// take gives what was heard since the last take.
func (e *ear) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	got := e.heard
	e.heard = nil
	return got
}

func TestAnnouncerTellsTheFirstAtOnceAndCollectsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{}
		a := newAnnouncer(e)
		defer a.close()
		a.thread("c1")
		synctest.Wait()
		if got := e.take(); !slices.Equal(got, []string{"thread {c1}"}) {
			t.Fatalf("at once: %v", got)
		}
		for range 1000 {
			a.thread("c1")
			a.thread("c2")
			a.state()
		}
		a.typing(Typing{Conversation: "c1"})
		synctest.Wait()
		if got := e.take(); len(got) != 0 {
			t.Fatalf("too early: %v", got)
		}
		time.Sleep(announceEvery)
		synctest.Wait()
		want := []string{"thread {c1}", "thread {c2}", "state {}", "typing {c1    0}"}
		if got := e.take(); !slices.Equal(got, want) {
			t.Fatalf("collected %q, wanted %q", got, want)
		}
	})
}

func TestAnnouncerIsNotAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{}
		a := newAnnouncer(e)
		defer a.close()
		for range 1000 { // a second of steady change
			a.list("c")
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := len(e.take()); n < 40 || n > 65 {
			t.Fatalf("%d events in a second", n)
		}
	})
}

func TestAnnouncerKeepsASteadyStreamWaitingForAFrameAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{}
		a := newAnnouncer(e)
		defer a.close()
		for i := range 50 { // a second of customers who write in turns
			a.thread(fmt.Sprint(i))
			time.Sleep(17 * time.Millisecond)
			synctest.Wait()
			if got, want := e.take(), []string{fmt.Sprintf("thread {%d}", i)}; !slices.Equal(got, want) {
				t.Fatalf("a frame later: %v, wanted %v", got, want)
			}
			time.Sleep(3 * time.Millisecond)
		}
	})
}

func TestAnnouncerSaysAllInsteadOfVeryMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ear{}
		a := newAnnouncer(e)
		a.state()
		synctest.Wait()
		e.take()
		for i := range manyChanged + 1 {
			a.list(fmt.Sprint(i))
		}
		a.close()
		if got := e.take(); !slices.Equal(got, []string{"list {[]}"}) {
			t.Fatalf("got %v", got)
		}
		a.state() // after the end nobody waits
	})
}
