package sync

import (
	"context"
	"flag"
	"path/filepath"
	"slices"
	stdsync "sync"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/blob"
	"parley/backend/server/inbox"
	"parley/backend/server/store"
)

var (
	benchConversations = flag.Int("conversations", 20_000, "conversations of the benchmark's data set")
	benchMessages      = flag.Int("messages", 200_000, "messages of the benchmark's data set")
	benchAway          = flag.Int("away", 500_000, "changes of a vacation, over all conversations")
)

// benchDesk is a desk that holds a big house completely, and does not follow
// it just now.
func benchDesk(b *testing.B) (*house, *desk) {
	b.Helper()
	h := newHouse(b, server.Config{Data: b.TempDir()})
	set := demo.Generate(demo.Options{Conversations: *benchConversations, Messages: *benchMessages, Seed: 7, Now: chat.TimeOf(time.Now())})
	h.stop()
	st, err := store.Open(b.Context(), store.Options{Data: h.config.Data})
	if err != nil {
		b.Fatal(err)
	}
	files, err := blob.Open(filepath.Join(h.config.Data, "files"))
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	if err := server.ImportDemo(b.Context(), st, files, set); err != nil {
		b.Fatal(err)
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	h.start()
	imported := time.Since(start)
	d := newDesk(h, h.owner)
	start = time.Now()
	d.start()
	d.current()
	loaded := time.Since(start)
	d.proven()
	d.stop()
	b.Logf("imported in %.1f s, loaded in %.1f s, proven after %.2f s", imported.Seconds(), loaded.Seconds(), (time.Since(start) - loaded).Seconds())
	return h, d
}

// write has customers write, many at once, in so many of the conversations
// that were active last.
func (h *house) write(b *testing.B, messages, among int) {
	b.Helper()
	var list []chat.Conversation
	for cursor := ""; ; {
		page, err := h.srv.Inbox().Conversations(b.Context(), inbox.Principal{Workspace: h.created.Workspace, Member: h.owner.Member}, inbox.ConversationFilter{}, cursor, 200, nil)
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, page.Conversations...)
		if cursor = page.Cursor; cursor == "" || len(list) >= among {
			break
		}
	}
	list = list[:min(len(list), among)]
	work := make(chan int)
	var writers stdsync.WaitGroup
	for range 64 {
		writers.Go(func() {
			for i := range work {
				c := list[i%len(list)]
				_, _, err := h.srv.Inbox().Deliver(context.Background(), inbox.Inbound{Workspace: h.created.Workspace, Channel: h.channel, Conversation: c.ID,
					Address: c.ID.String(), Contact: c.Contact, MessageID: chat.NewID[chat.Message](), Parts: []chat.Part{chat.TextPart("Hello, is my order on its way?")}})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range messages {
		work <- i
	}
	close(work)
	writers.Wait()
}

// BenchmarkBehind is a desk that comes back 20,000 changes behind: how long
// until the page on the screen is right, and until all is here.
func BenchmarkBehind(b *testing.B) {
	comeBack(b, protocol.FarBehind-200, 200)
}

// BenchmarkVacation is a desk that comes back after weeks: every conversation
// has changed, some dozen times, and none is read change by change. How long
// until the page on the screen is right, and until the list is complete; what
// was said meanwhile is loaded behind it.
func BenchmarkVacation(b *testing.B) { comeBack(b, *benchAway, *benchConversations) }

// comeBack lets so much change in so many conversations while the desk is
// away, and takes the time of its return.
func comeBack(b *testing.B, changes, among int) {
	b.Helper()
	h, d := benchDesk(b)
	list := List{Quick: cache.QuickAll, Limit: 50}
	var right, all []time.Duration
	for b.Loop() {
		b.StopTimer()
		from, _ := h.head()
		h.write(b, changes/2, among)
		head, _ := h.head()
		want := h.page(list)
		b.Logf("%d changes behind", head-from)
		b.StartTimer()
		start := time.Now()
		d.start()
		d.Show(list)
		until(b, "the page", func() bool { return slices.Equal(d.page(list), want) })
		right = append(right, time.Since(start))
		until(b, "everything", func() bool {
			at, _ := d.cache.Position()
			return at == head
		})
		all = append(all, time.Since(start))
		b.StopTimer()
		d.current()
		d.stop()
		b.StartTimer()
	}
	slices.Sort(right)
	slices.Sort(all)
	b.ReportMetric(float64(right[len(right)/2].Milliseconds()), "page-ms")
	b.ReportMetric(float64(all[len(all)/2].Milliseconds()), "all-ms")
}

// BenchmarkProof is one proof at rest: reading the cache, and asking the
// server, which has been asked before.
func BenchmarkProof(b *testing.B) {
	_, d := benchDesk(b)
	d.start()
	d.current()
	var hold time.Duration
	n := 0
	for b.Loop() {
		start := time.Now()
		h, err := d.cache.Hold(b.Context(), func() bool { return false })
		if err != nil {
			b.Fatal(err)
		}
		hold += time.Since(start)
		n++
		if ev := d.proof(); ev.At == 0 {
			b.Fatalf("%+v of %d", ev, h.Len())
		}
	}
	b.ReportMetric(float64(hold.Milliseconds())/float64(n), "hold-ms")
}
