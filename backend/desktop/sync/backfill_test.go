package sync

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// filler is a Sync whose goroutine is the test, beside a server that answers
// for messages only when it is let to.
type filler struct {
	*Sync
	t     *testing.T
	now   Instant
	mu    stdsync.Mutex
	asked []string // conversations, in the order they were asked for
	let   chan int // the status to answer with
}

// retryLater is how long a server that was asked too often wants to be left alone.
const retryLater = 12 * time.Second

func conversation(n byte) chat.ConversationID { return chat.ConversationID{0: 1, 15: n} }

// newFiller has conversations 1 to n in its cache, each with one message on
// the server only; a higher number wrote later.
func newFiller(t *testing.T, n byte) *filler {
	t.Helper()
	f := &filler{t: t, now: Instant{Mono: time.Hour, Wall: 1_780_000_000_000_000}, let: make(chan int)}
	server := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(server.Close)
	client, err := protocol.NewClient(server.URL, "token", "test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(t.TempDir(), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var changes []chat.Change
	for i := byte(1); i <= n; i++ {
		conv := chat.Conversation{ID: conversation(i), Ver: int64(i), Brand: chat.BrandID{0: 1}, Status: chat.StatusOpen, LastNumber: 1,
			LastMessageAt: f.now.Wall + chat.Time(i), Tags: []string{}}
		data, err := json.Marshal(conv)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, chat.Change{Seq: conv.Ver, Kind: chat.EntityConversation, ID: conv.ID.String(), Op: chat.OpPut,
			Brand: conv.Brand, Conversation: conv.ID, Data: data})
	}
	if _, err := c.Apply(t.Context(), 0, int64(n), changes); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.Sync = &Sync{cfg: Config{Client: client, Cache: c, Days: 30, Changed: func(cache.Applied) {}, Reported: func(Report) {}, Online: func() {},
		Clock: func() Instant { return f.now }, Log: slog.New(slog.DiscardHandler)}, m: NewMachine(func() float64 { return 0.5 }), put: c.PutMessages,
		inputs: make(chan any, 64), ctx: ctx, cancel: cancel, history: newHistory(), backfill: newBackfill()}
	t.Cleanup(func() {
		cancel()
		f.flying.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	f.m.Handle(f.now, Started{Position: int64(n), Epoch: "e", Loaded: true})
	return f
}

func (f *filler) serve(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) < 4 { // no messages: never answered
		<-r.Context().Done()
		return
	}
	id := parts[3]
	f.mu.Lock()
	f.asked = append(f.asked, id)
	f.mu.Unlock()
	var status int
	select {
	case status = <-f.let:
	case <-r.Context().Done():
		return
	}
	w.Header().Set(protocol.VersionHeader, "test")
	if status != http.StatusOK {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		p := protocol.Problem{Code: map[int]chat.Code{http.StatusNotFound: chat.CodeNotFound, http.StatusServiceUnavailable: chat.CodeUnavailable,
			http.StatusTooManyRequests: chat.CodeTooMany, http.StatusInternalServerError: chat.CodeInternal}[status]}
		if p.Code == chat.CodeTooMany {
			p.RetryAfter = retryLater.Seconds()
		}
		_ = json.NewEncoder(w).Encode(p) // the client may have gone
	} else {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"range":[1,1],"head":1,"messages":[{"id":%q,"ver":1,"conversation":%q,"number":1}]}`, id, id)
	}
}

func (f *filler) live() {
	f.m.Handle(f.now, Opened{1})
	f.m.Handle(f.now, Heard{1, protocol.Frame{Type: protocol.FrameWelcome, Head: f.m.position, Beat: 20, Epoch: "e"}})
}

// turn is one round of Sync's goroutine, some time later.
func (f *filler) turn(later time.Duration) {
	f.now.Mono += later
	f.now.Wall = f.now.Wall.Add(later)
	f.handle(Ticked{})
	f.flyHistory()
	f.flyBackfill()
}

// answer lets one request through and takes what came of it.
func (f *filler) answer(status int) {
	f.t.Helper()
	f.let <- status
	f.take(<-f.inputs)
}

func (f *filler) inFlight(want int, why string) {
	f.t.Helper()
	if got := len(f.backfill.flying); got != want {
		f.t.Fatalf("%s: %d requests in flight, want %d", why, got, want)
	}
}

func (f *filler) missing() int {
	f.t.Helper()
	s, err := f.cfg.Cache.Stats(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return int(s.Conversations - s.Readable)
}

func TestBackfillComesLast(t *testing.T) {
	f := newFiller(t, 6)
	f.turn(time.Second)
	f.inFlight(0, "not connected")
	f.live()
	f.turn(time.Second)
	f.turn(0)
	f.inFlight(1, "at once after another")
	f.turn(backfillPause)
	f.turn(time.Second)
	f.inFlight(2, "as many as there may be")
	f.answer(http.StatusOK)
	f.want(Want{Conversation: conversation(9), Limit: 50})
	f.turn(time.Second)
	f.inFlight(1, "the window waits for something")
	for len(f.history.flying) > 0 || len(f.backfill.flying) > 0 {
		f.answer(http.StatusOK)
	}
	f.m.Handle(f.now, Heard{1, protocol.Frame{Type: protocol.FrameBeat, Head: 99}})
	f.turn(time.Millisecond * 50)
	f.inFlight(0, "changes are on their way")
	f.m.Handle(f.now, Applied{Position: 99})
	for f.missing() > 0 {
		f.turn(backfillPause)
		f.answer(http.StatusOK)
	}
	f.turn(backfillRest + time.Second)
	f.inFlight(0, "all is here")
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) != 7 {
		t.Errorf("asked %d times for 6 conversations and the window's page", len(f.asked))
	}
}

func TestBackfillWaitsForAPauseOfTheAgent(t *testing.T) {
	f := newFiller(t, 3)
	f.live()
	f.turn(time.Second)
	f.inFlight(1, "nobody works")
	f.answer(http.StatusOK)
	for range 5 {
		f.Working()
		f.turn(backfillYield / 2)
		f.inFlight(0, "the agent works")
		if next, want := f.nextBackfill(), f.now.Mono+backfillYield/2; next != want {
			t.Fatalf("looks again at %s, want at %s, when the pause is long enough", next, want)
		}
	}
	f.turn(backfillYield / 2)
	f.inFlight(1, "the agent pauses")
}

func TestBackfillIsNewestFirst(t *testing.T) {
	f := newFiller(t, 4)
	f.live()
	for range 4 {
		f.turn(time.Second)
		f.answer(http.StatusOK)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	want := []string{conversation(4).String(), conversation(3).String(), conversation(2).String(), conversation(1).String()}
	if !slices.Equal(f.asked, want) {
		t.Errorf("asked for %v, want %v", f.asked, want)
	}
}

func TestBackfillRestsAfterAFailureAndGoesOn(t *testing.T) {
	f := newFiller(t, 2)
	f.live()
	f.turn(time.Second)
	f.answer(http.StatusServiceUnavailable)
	f.turn(backfillRest - time.Second)
	f.inFlight(0, "just failed")
	f.turn(2 * time.Second)
	f.inFlight(1, "after a rest")
	f.answer(http.StatusNotFound) // one that is gone is not asked for again
	f.turn(time.Second)
	f.answer(http.StatusOK)
	f.turn(backfillPause)
	f.backfill.dirty = true // as after any change
	f.turn(backfillRest + time.Second)
	f.inFlight(0, "nothing left to ask for")
	f.take(Filled{Gen: -1}) // a fill may have changed everything
	f.turn(backfillRest + time.Second)
	f.inFlight(1, "after a fill")
}

func TestBackfillHasAnEnd(t *testing.T) {
	f := newFiller(t, 3)
	f.live()
	f.backfill.count = backfillMost - 1
	f.turn(time.Second)
	f.answer(http.StatusOK)
	f.turn(time.Second)
	f.inFlight(0, "as many as one run may load")
}
