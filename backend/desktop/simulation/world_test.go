package simulation

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/backend/chat"
)

const (
	brands     = 3
	customers  = 6 // who have written before
	newcomers  = 2
	settleTime = 8 * time.Minute // at most, once everything is whole again
)

// world is one schedule: a server, desks, customers, and everything that goes
// wrong, all from one seed.
type world struct {
	t       testing.TB
	seed    uint64
	dir     string
	began   time.Time
	server  *server
	http    *http.Server
	accept  *listener
	desks   []*desk
	read    readings
	randoms sync.Mutex            // of random numbers that several goroutines draw
	chances map[string]*rand.Rand // of requests, by who asks
	guests  []*visitor
	sending sync.WaitGroup // of customers

	mu       sync.Mutex
	whole    bool // nothing goes wrong any more
	down     bool // the server
	slow     time.Duration
	trace    []string
	broken   []string
	marks    map[string]string // by conversation: of its texts
	brandOf  map[string]int    // of a conversation
	erased   map[string]bool
	sends    map[string]int // by member, conversation and desk
	serials  int
	arrivals int
}

func source(seed uint64, part string) *rand.Rand {
	h := seed
	for _, b := range []byte(part) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// run plays one schedule and gives what was broken in it.
func run(t testing.TB, seed uint64, dir string) (broken, trace []string) {
	w := &world{t: t, seed: seed, dir: dir, began: time.Now(), server: newServer(), accept: newListener(),
		chances: map[string]*rand.Rand{}, marks: map[string]string{}, brandOf: map[string]int{},
		erased: map[string]bool{}, sends: map[string]int{},
		read: readings{conversations: map[string]chat.Conversation{}, messages: map[string]chat.Message{}}}
	w.server.faults, w.server.noted, w.server.greeted = w.fault, w.note, w.greet
	w.http = &http.Server{Handler: w.server, ErrorLog: nil}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = w.http.Serve(w.accept) // ends with the schedule
	}()
	w.play()
	w.settle()
	for _, d := range w.desks {
		d.mu.Lock()
		d.stop()
		d.mu.Unlock()
	}
	for _, v := range w.guests {
		v.line.cut()
		v.http.CloseIdleConnections()
	}
	w.server.restart(false)
	_ = w.http.Close() // what is left of connections
	<-served
	w.server.busy.Wait()
	return w.broken, w.trace
}

func (w *world) play() {
	r := source(w.seed, "cast")
	w.server.found(brands)
	ana, ben := w.server.hire("Ana"), w.server.hire("Ben")
	w.chances[ana.ID.String()], w.chances[ben.ID.String()] = source(w.seed, "ana/requests"), source(w.seed, "ben/requests")
	w.addDesk("ana1", ana)
	if r.IntN(2) == 0 {
		w.addDesk("ana2", ana)
	}
	w.addDesk("ben1", ben)
	for i := range customers + newcomers {
		w.guests = append(w.guests, w.newVisitor(i))
	}
	for _, v := range w.guests[:customers] {
		w.wrote(v)
	}
	if r.IntN(6) == 0 { // a thread that is longer than what is loaded by itself
		for v := w.guests[r.IntN(customers)]; w.arrivals < customers+40; {
			w.wrote(v)
		}
	}
	for _, d := range w.desks {
		d.mu.Lock()
		d.start()
		if err := d.signIn(); err != nil {
			w.violation("%s cannot sign in: %v", d.name, err)
		}
		d.mu.Unlock()
	}
	// Short ones find more in the same time; some faults need a long one.
	until := w.began.Add(between(r, *shift/4, *shift))
	var all sync.WaitGroup
	for _, d := range w.desks {
		all.Go(func() { d.live(until) })
	}
	all.Go(func() { w.customersWrite(until) })
	for _, v := range w.guests {
		w.sending.Go(func() { v.live(until) })
	}
	all.Go(func() { w.administer(until, ben.ID) })
	all.Go(func() { w.backUp(until) })
	for _, d := range w.desks {
		all.Go(func() { w.breakLine(d, until) })
		all.Go(func() { w.breakDisk(d, until) })
	}
	all.Go(func() { w.breakServer(until) })
	all.Wait()
}

func (w *world) addDesk(name string, m chat.Member) {
	r := source(w.seed, name)
	d := &desk{w: w, name: name, member: m, rng: r, ids: source(w.seed, name+"/engine"), mu: make(gate, 1), dir: filepath.Join(w.dir, name),
		drafts: map[string]*drafted{}}
	switch r.IntN(6) { // clocks lie
	case 0:
		d.skew = 24 * time.Hour
	case 1:
		d.skew = -24 * time.Hour
	}
	w.desks = append(w.desks, d)
}

// text is what a customer writes next.
func (w *world) text(v *visitor) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrivals++
	return fmt.Sprintf("<b%d>tok-customer-%d.", v.brand, w.arrivals)
}

// wrote makes what was written before anybody looked.
func (w *world) wrote(v *visitor) {
	text := w.text(v)
	w.server.arrive(v.id, chat.NewID[chat.Message](), text)
	v.heard = append(v.heard, text)
}

// brandOf gives the number of the brand that a customer writes to, always the same.
func brandOf(c chat.ContactID) int { return (int(c[15]) - 1) % brands }

// greet takes note of a new conversation. The server is locked.
func (w *world) greet(conv chat.ConversationID, brand int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.brandOf[conv.String()] = brand
	w.marks[conv.String()] = fmt.Sprintf("<b%d><%s>", brand, conv)
}

func (w *world) customersWrite(until time.Time) {
	r := source(w.seed, "customers")
	write := func() {
		v := w.guests[r.IntN(len(w.guests))]
		v.write(w.text(v))
	}
	for time.Now().Before(until) {
		time.Sleep(between(r, 100*time.Millisecond, 3*time.Second))
		switch n := r.IntN(24); {
		case n == 0: // many at once
			for range 10 + r.IntN(80) {
				write()
			}
		case n < 3:
			if conv := w.pick(r); conv != nil {
				w.server.edit(conv.ID, r.IntN(100), "*")
			}
		default:
			write()
		}
	}
}

// pick gives one of the server's conversations.
func (w *world) pick(r *rand.Rand) *thread {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	m := &chat.Member{}
	all := w.server.visible(m)
	if len(all) == 0 {
		return nil
	}
	return all[r.IntN(len(all))]
}

// administer takes brands away from a member and gives them back, forgets the
// log's beginning, erases conversations, begins another log, and lets it lie.
func (w *world) administer(until time.Time, who chat.MemberID) {
	r := source(w.seed, "admin")
	for time.Now().Before(until) {
		time.Sleep(between(r, time.Second, 14*time.Second))
		switch n := r.IntN(20); {
		case n < 11:
			var seen []chat.BrandID
			for _, b := range w.server.brands {
				if r.IntN(2) == 0 {
					seen = append(seen, b.ID)
				}
			}
			w.note("access of %d brands", len(seen))
			w.server.grant(who, append([]chat.BrandID{}, seen...))
		case n < 16:
			keep, deletions := int64(r.IntN(60)), r.IntN(3) == 0
			w.note("trim to %d, deletions too: %v", keep, deletions)
			w.server.trim(keep, deletions)
		case n < 18:
			if conv := w.pick(r); conv != nil {
				w.note("erase %s", conv.ID.String()[24:])
				w.mu.Lock()
				w.erased[conv.ID.String()] = true
				w.mu.Unlock()
				w.server.erase(conv.ID)
			}
		case n < 19:
			w.note("another epoch")
			w.server.beginEpoch()
		case w.seed%3 == 0: // the day until everybody has compared takes long
			w.note("the log hides a change")
			w.server.hide(true)
		}
	}
}

// backUp makes backups of the server, in some schedules, and restores them.
func (w *world) backUp(until time.Time) {
	r := source(w.seed, "backup")
	if r.IntN(4) > 0 {
		return
	}
	for time.Now().Before(until) {
		time.Sleep(between(r, time.Second, 8*time.Second))
		w.note("a backup is made")
		backup := w.server.snapshot()
		time.Sleep(between(r, time.Second, 8*time.Second))
		w.note("restored from the backup")
		w.server.restore(backup)
	}
}

// breakLine cuts a desk's line, makes it silent or slow, and mends it again.
func (w *world) breakLine(d *desk, until time.Time) {
	r := source(w.seed, d.name+"/line")
	for time.Now().Before(until) {
		time.Sleep(between(r, 500*time.Millisecond, 10*time.Second))
		d.mu.Lock()
		l := d.line
		d.mu.Unlock()
		switch n := r.IntN(10); {
		case n < 3:
			w.note("cut %s", d.name)
			l.cut()
		case n < 6:
			up, down := r.IntN(2) == 0, r.IntN(2) == 0
			w.note("hush %s %v %v", d.name, up, down || !up)
			l.hush(up, down || !up)
		case n < 8:
			w.note("%s offline", d.name)
			l.set(false)
			l.cut()
			time.Sleep(between(r, time.Second, 30*time.Second))
			l.set(!d.disk.killed())
			w.note("%s online", d.name)
		case n < 9: // the lid is closed: nothing arrives, and the clock has jumped afterwards
			w.note("%s sleeps", d.name)
			l.hush(true, true)
			l.set(false)
			time.Sleep(between(r, 5*time.Second, 30*time.Second))
			d.mu.Lock()
			d.skew += time.Hour
			d.mu.Unlock()
			l.set(!d.disk.killed())
		default:
			w.mu.Lock()
			w.slow = between(r, 0, 3*time.Second)
			w.mu.Unlock()
		}
	}
}

// breakDisk fills a desk's disk, or kills the program in the middle of a write.
func (w *world) breakDisk(d *desk, until time.Time) {
	r := source(w.seed, d.name+"/disk")
	for time.Now().Before(until) {
		time.Sleep(between(r, 500*time.Millisecond, 18*time.Second))
		d.mu.Lock()
		k := d.disk
		d.mu.Unlock()
		if r.IntN(3) == 0 {
			full := []string{"cache.db", "local.db", ".db"}[r.IntN(3)]
			w.note("%s: no room for %s", d.name, full)
			k.set(full, 0, false)
			time.Sleep(between(r, 100*time.Millisecond, 8*time.Second))
			k.set("", 0, false)
			continue
		}
		k.set("", 1+r.IntN(12), r.IntN(2) == 0)
	}
}

func (w *world) breakServer(until time.Time) {
	r := source(w.seed, "server")
	for time.Now().Before(until) {
		time.Sleep(between(r, 3*time.Second, 30*time.Second))
		polite := r.IntN(2) == 0
		w.note("server restarts, polite: %v", polite)
		w.setDown(true)
		w.server.restart(polite)
		if !polite {
			for _, d := range w.desks {
				d.mu.Lock()
				d.line.cut()
				d.mu.Unlock()
			}
		}
		time.Sleep(between(r, 0, 6*time.Second))
		w.setDown(false)
	}
}

func (w *world) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// fault decides what becomes of one request with commands.
func (w *world) fault(from string) (f requestFault) {
	w.mu.Lock()
	whole := w.whole
	w.mu.Unlock()
	if whole {
		return f
	}
	w.randoms.Lock()
	defer w.randoms.Unlock()
	r := w.chances[from]
	switch n := r.IntN(100); {
	case n < 12:
		f.lostAnswer = true
	case n < 17:
		f.late, f.lostAnswer = between(r, time.Second, 20*time.Second), r.IntN(2) == 0
	case n < 24:
		f.twice = true
	case n < 28:
		f.refuse = chat.CodeUnavailable
	case n < 30:
		f.refuse = chat.CodeTooMany
	}
	return f
}

func (w *world) newLine(name string) *line {
	return &line{server: w.accept, up: true, conns: map[*conn]struct{}{}, closed: w.isDown, delays: func(n int) func() time.Duration {
		// A source for each connection: what one draws changes nothing for others.
		r := source(w.seed, fmt.Sprint(name, "/wire/", n))
		return func() time.Duration {
			w.mu.Lock()
			slow := w.slow
			w.mu.Unlock()
			w.randoms.Lock()
			defer w.randoms.Unlock()
			return between(r, 200*time.Microsecond, 30*time.Millisecond+slow)
		}
	}}
}

func (w *world) isDown() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, fmt.Sprintf("%9.3f ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) violation(format string, args ...any) {
	w.note("BROKEN: "+format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// mark is what every text of a conversation begins with.
func (w *world) mark(conversation string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.marks[conversation]
}

func (w *world) serial() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serials++
	return w.serials
}

// drafter is the one desk of a member that keeps drafts of a conversation.
func (w *world) drafter(m chat.MemberID, conversation string) *desk {
	var mine []*desk
	for _, d := range w.desks {
		if d.member.ID == m {
			mine = append(mine, d)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return mine[w.brandOf[conversation]%len(mine)]
}

func (w *world) sentBy(d *desk, conversation string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sends[strings.Join([]string{d.member.ID.String(), conversation, d.name}, "/")]++
}

// sendsElsewhere counts what a member's other desks have sent off in a
// conversation: that drops the member's draft.
func (w *world) sendsElsewhere(d *desk, conversation string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for k, count := range w.sends {
		if strings.HasPrefix(k, d.member.ID.String()+"/"+conversation+"/") && !strings.HasSuffix(k, "/"+d.name) {
			n += count
		}
	}
	return n
}
