package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/auth"
	"parley/backend/server/store"
)

// desks is how many desktops come back at once.
const desks = 500

// TestFaultsHerd lets five hundred desktops come back at once after the server was killed, while people write: each has
// everything afterwards, once, and in order. Its desks read every packet as desktops do, all in this one process: the
// times say how long that takes it, and BenchmarkHerd how long the server does.
func TestFaultsHerd(t *testing.T) {
	h := herd(t, often(desks, 5*desks), 100, dialDesktop)
	t.Logf("%d desks caught up: half of them after %v, the last one after %v, with %v of the server's processor time",
		len(h.times), h.times[len(h.times)/2], h.times[len(h.times)-1], h.server)
}

// cameBack is what it took until all were back.
type cameBack struct {
	times []time.Duration // of each desk, the quickest first
	// server and clients are processor time until then, of parleyd and of this process; reading is what this process
	// took afterwards to understand what it had kept.
	server, clients, reading time.Duration
	received                 int64 // bytes that were kept
}

// herd connects n desktops to a server, kills it, has something written once it is back, and lets all of them come at
// once.
func herd(t testing.TB, n, changes int, dial dialer) (h cameBack) {
	t.Helper()
	srv, emails := staff(t)
	srv.Stop()
	tokens := sessions(t, srv, emails, n)
	srv.Start()
	owner := personAt(t, srv.URL(), ownerEmail)
	customer := newBuyer(t, srv.URL(), srv.Created.Channel.Key)
	if err := customer.says(t.Context(), "hello"); err != nil {
		t.Fatal(err)
	}
	page, err := owner.client.Changes(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	all := make([]*returning, n)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for i := range all {
		all[i] = &returning{client: owner.client.WithToken(tokens[i]), token: tokens[i], dial: dial, position: page.Head, epoch: page.Epoch,
			news: make(chan struct{}, 1), back: make(chan struct{})}
		running.Go(func() { all[i].run(ctx) })
	}
	reached := func(head int64) {
		t.Helper()
		end := time.NewTimer(longPatience)
		defer end.Stop()
		for i, d := range all {
			for {
				if at, err := d.at(); err != nil {
					t.Fatalf("desk %d: %v", i, err)
				} else if at >= head {
					break
				}
				select {
				case <-d.news:
				case <-end.C:
					at, _ := d.at()
					t.Fatalf("desk %d is still at %d, not %d", i, at, head)
				}
			}
		}
	}
	if err := customer.says(t.Context(), "everybody is here"); err != nil {
		t.Fatal(err)
	}
	if page, err = owner.client.Changes(t.Context(), "", page.To); err != nil {
		t.Fatal(err)
	}
	reached(page.Head)

	srv.Kill()
	forgetUse(t, srv)
	srv.Start()
	for i := range changes {
		if err := customer.says(t.Context(), fmt.Sprint("while you were away ", i)); err != nil {
			t.Fatal(err)
		}
	}
	last, err := owner.client.Changes(t.Context(), "", page.Head)
	if err != nil {
		t.Fatal(err)
	}
	began, served, own := time.Now(), srv.CPU(), ownCPU(t)
	for _, d := range all {
		close(d.back)
	}
	for i, d := range all {
		select {
		case <-d.welcomed(last.Head):
		case <-time.After(longPatience):
			t.Fatalf("desk %d did not catch up", i)
		}
		h.times = append(h.times, d.caughtUp.Sub(began))
	}
	reached(last.Head)
	h.server, h.clients = srv.CPU()-served, ownCPU(t)-own
	own = ownCPU(t)
	for i, d := range all {
		d.understand()
		h.received += d.size
		if _, err := d.at(); err != nil {
			t.Errorf("desk %d: %v", i, err)
		}
		if len(d.messages) != changes+1 {
			t.Errorf("desk %d has heard of %d messages, want %d", i, len(d.messages), changes+1)
		}
		for id, times := range d.messages {
			if times != 1 {
				t.Errorf("desk %d has heard of message %s %d times", i, id, times)
			}
		}
	}
	h.reading = ownCPU(t) - own
	slices.Sort(h.times)
	return h
}

// sessions signs n desktops in, shared out among the members, as a password would: half a thousand of those would take
// longer than everything else.
func sessions(t testing.TB, srv *Server, emails []string, n int) []string {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Data: srv.Data})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	tokens := make([]string, n)
	failed := make(chan error, n)
	var opening sync.WaitGroup
	for i := range tokens {
		opening.Go(func() {
			ws, member, err := st.MemberByEmail(t.Context(), emails[i%len(emails)])
			if err == nil {
				tokens[i] = auth.Token()
				now := chat.TimeOf(time.Now())
				err = st.PutSession(t.Context(), ws, chat.Session{ID: chat.NewID[chat.Session](), Member: member.ID, Device: "desk",
					CreatedAt: now, SeenAt: now, TokenHash: auth.TokenHash(tokens[i])})
			}
			failed <- err
		})
	}
	opening.Wait()
	for range tokens {
		if err := <-failed; err != nil {
			t.Fatalf("open a session: %v", err)
		}
	}
	return tokens
}

// forgetUse makes the sessions look as they do after a night: that they are used has to be written down again.
func forgetUse(t testing.TB, srv *Server) {
	t.Helper()
	db, err := sql.Open("sqlite3", filepath.Join(srv.Data, "parley.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `update session set seen_at = created_at - 36000000000`); err != nil {
		t.Fatalf("forget the use of the sessions: %v", err)
	}
}

// ownCPU is the processor time that this process has taken until now.
func ownCPU(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// returning is a desktop as the server knows one: it follows the log from its position, and comes back when its socket
// ends, the first time when it is told to.
type returning struct {
	client *protocol.Client
	token  string
	dial   dialer
	epoch  string
	news   chan struct{}
	back   chan struct{}

	mu       sync.Mutex
	position int64
	heard    int64 // the head that the last welcome has named; 0 after a loss
	messages map[string]int
	caughtUp time.Time
	waiting  chan struct{} // closed when it has caught up with goal
	goal     int64
	err      error
	kept     [][]byte // packets that were not looked into
	size     int64    // of what was kept, also after it was looked into
}

// dialer opens a desktop's live socket.
type dialer func(ctx context.Context, d *returning, after int64) (line, error)

// line is a live socket, client's side.
type line interface {
	// next gives the next frame. What it gives beside it was not looked into: its changes are to be found there.
	next() (protocol.Frame, []byte, error)
	Abandon()
}

// desktopLine is a line as a desktop has it.
type desktopLine struct{ *protocol.Live }

func (l desktopLine) next() (protocol.Frame, []byte, error) {
	f, err := l.Read()
	return f, nil, err
}

func dialDesktop(ctx context.Context, d *returning, after int64) (line, error) {
	live, err := d.client.Dial(ctx, after, d.epoch)
	return desktopLine{live}, err
}

func (d *returning) at() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.position, d.err
}

// welcomed gives what is closed when the desktop is connected again and at head.
func (d *returning) welcomed(head int64) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting, d.goal = make(chan struct{}), head
		d.check()
	}
	return d.waiting
}

// check notes when the goal is reached.
func (d *returning) check() {
	if d.heard > 0 && d.position >= d.heard && d.caughtUp.IsZero() {
		d.caughtUp = time.Now()
	}
	if d.waiting != nil && !d.caughtUp.IsZero() && d.position >= d.goal {
		select {
		case <-d.waiting:
		default:
			close(d.waiting)
		}
	}
}

func (d *returning) run(ctx context.Context) {
	limit, first := time.Second, true
	for ctx.Err() == nil {
		err := d.follow(ctx)
		if d.broken() {
			return
		}
		if first && d.was() { // the kill: come back when all do
			first = false
			d.mu.Lock()
			d.heard, d.caughtUp = 0, time.Time{}
			d.mu.Unlock()
			select {
			case <-d.back:
			case <-ctx.Done():
			}
			continue
		}
		wait := time.Duration(rand.Int64N(int64(limit)))
		var e *chat.Error
		if errors.As(err, &e) {
			wait = max(wait, e.RetryAfter)
		}
		limit = min(2*limit, 30*time.Second)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (d *returning) broken() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err != nil
}

// was reports whether it has been connected.
func (d *returning) was() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.heard > 0
}

// follow takes what comes through one socket.
func (d *returning) follow(ctx context.Context) error {
	after, _ := d.at()
	live, err := d.dial(ctx, d, after)
	if err != nil {
		return err
	}
	defer live.Abandon()
	defer context.AfterFunc(ctx, live.Abandon)()
	for {
		f, whole, err := live.next()
		if err != nil {
			return err
		}
		d.take(f, whole)
	}
}

func (d *returning) take(f protocol.Frame, whole []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch f.Type {
	case protocol.FrameWelcome:
		d.heard = max(f.Head, 1)
	case protocol.FrameBehind:
		d.err = errors.New("the server thinks that a hundred changes are too many for the socket")
	case protocol.FrameChanges:
		if f.From != d.position {
			d.err = fmt.Errorf("a packet from %d at position %d", f.From, d.position)
			break
		}
		d.position = f.To
		if whole != nil {
			d.kept, d.size = append(d.kept, whole), d.size+int64(len(whole))
			break
		}
		d.count(f.Changes)
	}
	d.check()
	select {
	case d.news <- struct{}{}:
	default:
	}
}

// count notes which messages were heard of.
func (d *returning) count(changes []chat.Change) {
	for _, c := range changes {
		var m chat.Message
		if c.Kind == chat.EntityMessage && json.Unmarshal(c.Data, &m) == nil && m.Kind == chat.MessageKindMessage {
			if d.messages == nil {
				d.messages = map[string]int{}
			}
			d.messages[c.ID]++
		}
	}
}

// understand looks into what was kept.
func (d *returning) understand() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, whole := range d.kept {
		var f protocol.Frame
		if err := json.Unmarshal(whole, &f); err != nil {
			d.err = fmt.Errorf("a packet that cannot be read: %w", err)
			return
		}
		d.count(f.Changes)
	}
	d.kept = nil
}
