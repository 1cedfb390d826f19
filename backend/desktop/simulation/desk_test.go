package simulation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/desktop/secrets"
)

const address1 = "http://127.0.0.1:1" // where the server seems to be

// desk is one desktop with the person in front of it. The person does one thing
// after the other and remembers what the program has promised.
type desk struct {
	w      *world
	name   string
	member chat.Member
	rng    *rand.Rand
	ids    *rand.Rand // of the engine: its backing off
	skew   time.Duration

	mu     gate // the person's own steps hold it
	engine *desktop.Engine
	line   *line
	disk   *disk
	dir    string
	starts int
	said   []*said
	drafts map[string]*drafted          // by conversation
	listed map[chat.ConversationID]bool // when the person looked last
}

// said is a text that its author has sent off.
type said struct {
	token        string
	conversation string
	message      string
	sure         bool // Send has returned: it is safe
	dropped      bool // given up by its author
}

// drafted is what may stand in a composer: more than one text where the
// program was killed before it could answer.
type drafted struct{ texts []string }

// gate is a lock that time may pass at: a bubble's clock stands still while
// somebody waits for a sync.Mutex.
type gate chan struct{}

func (g gate) Lock()   { g <- struct{}{} }
func (g gate) Unlock() { <-g }

type silent struct{}

func (silent) Emit(string, any) {}

type noRing struct{}

func (noRing) Get(string, string) (string, error) { return "", errors.New("no keychain") }
func (noRing) Set(string, string, string) error   { return errors.New("no keychain") }
func (noRing) Delete(string, string) error        { return errors.New("no keychain") }

// signIn signs the person in. The caller holds mu.
func (d *desk) signIn() error {
	return d.engine.SignIn(desktop.SignIn{Server: address1, Email: d.member.Email, Password: "x"})
}

// start opens the program on its folder. The caller holds mu.
func (d *desk) start() {
	d.starts++
	d.listed = nil
	d.line = d.w.newLine(fmt.Sprint(d.name, "/", d.starts))
	d.disk = &disk{dir: d.dir, desk: d, line: d.line}
	e, err := desktop.Open(d.w.t.Context(), desktop.Options{Data: d.dir, Version: "sim", DefaultServer: address1, Window: silent{},
		Secrets: secrets.OpenRing(noRing{}, filepath.Join(d.dir, "secrets")), Log: d.w.log(d.name),
		Dial: d.line.dial, Disk: d.disk.write, Wall: func() time.Time { return time.Now().Add(d.skew) }, Random: d.random,
		Addresses: func() []string { return nil }}) // whatever becomes of the real machine's
	if err != nil {
		d.w.violation("%s does not start again: %v", d.name, err)
		return
	}
	d.engine = e
}

func (d *desk) random() float64 {
	d.w.randoms.Lock()
	defer d.w.randoms.Unlock()
	return d.ids.Float64()
}

// stop ends the program as a person does. The caller holds mu.
func (d *desk) stop() {
	if d.engine == nil {
		return
	}
	if err := d.engine.Close(); err != nil && !d.disk.killed() {
		d.w.violation("%s does not close: %v", d.name, err)
	}
	d.line.set(false)
	d.line.cut()
	d.engine = nil
	if copied := d.disk.remains(); copied != "" {
		d.dir = copied
	}
}

// disk is what the program writes to.
type disk struct {
	dir  string
	desk *desk
	line *line

	mu     sync.Mutex
	full   string // part of the path of what cannot be written; "" for nothing
	killIn int    // writes until the program is killed; 0: never
	before bool   // killed before the write is durable, or right after
	dead   bool
	copied string // what was on the disk when it was killed
}

var errKilled = errors.New("killed")

func (k *disk) write(path, op string, durable bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.dead:
		return errKilled // nothing a dead program does is seen by anybody
	case !durable && k.full != "" && strings.Contains(path, k.full):
		return syscall.ENOSPC
	case k.killIn > 0 && durable != k.before:
		if k.killIn--; k.killIn == 0 {
			k.kill(op)
			return errKilled
		}
	}
	return nil
}

// kill takes the disk as it is now; whatever the program does from here on
// nobody sees. The caller holds mu.
func (k *disk) kill(op string) {
	k.dead = true
	k.line.set(false)
	k.line.cut()
	k.copied = filepath.Join(filepath.Dir(k.dir), fmt.Sprintf("%s.%d", k.desk.name, k.desk.starts))
	if err := copyFolder(k.dir, k.copied); err != nil {
		k.desk.w.violation("copy the disk of %s: %v", k.desk.name, err)
	}
	k.desk.w.note("%s killed at %q", k.desk.name, op)
}

func (k *disk) killed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dead
}

func (k *disk) remains() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.copied
}

func (k *disk) set(full string, killIn int, before bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.full, k.killIn, k.before = full, killIn, before
}

func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		case strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, ".lock"):
			return nil // of a process, not of the disk
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	})
}

// live is the person's shift.
func (d *desk) live(until time.Time) {
	for time.Now().Before(until) {
		time.Sleep(between(d.rng, 50*time.Millisecond, 2500*time.Millisecond))
		d.mu.Lock()
		if d.disk.killed() {
			d.stop()
			d.mu.Unlock()
			time.Sleep(between(d.rng, 0, 8*time.Second))
			d.mu.Lock()
			d.start()
		}
		if d.engine != nil {
			d.step()
			d.w.check(d)
		}
		d.mu.Unlock()
	}
}

// step is one thing that a person does.
func (d *desk) step() {
	list, err := d.engine.List(desktop.ListQuery{Limit: 50})
	if err == nil {
		d.w.checkList(d, list.Rows)
	}
	if err != nil || len(list.Rows) == 0 {
		return
	}
	conv := d.w.read.conversation(list.Rows[d.rng.IntN(len(list.Rows))].Conversation)
	id := conv.ID.String()
	switch n := d.rng.IntN(100); {
	case n < 40:
		d.say(id)
	case n < 55:
		d.type_(id)
	case n < 65:
		d.done("read", d.engine.MarkRead(id, max(1, conv.LastNumber-int64(d.rng.IntN(2)))))
	case n < 70:
		d.done("unread", d.engine.MarkUnread(id))
	case n < 74:
		d.done("resolve", d.engine.Resolve(id))
	case n < 78:
		d.done("reopen", d.engine.Reopen(id))
	case n < 82:
		d.done("assign", d.engine.Assign(id, d.member.ID.String()))
	case n < 94:
		d.repair()
	case n < 96:
		d.stop()
		d.w.note("%s restarts", d.name)
		d.start()
	default:
		d.done("try again", d.engine.Retry())
	}
}

// done takes the answer to something that nothing hangs on.
func (d *desk) done(what string, err error) {
	if err != nil && d.disk.ok() {
		switch chat.ErrorCode(err) {
		case chat.CodeNotFound, chat.CodeUnavailable:
		default:
			d.w.violation("%s: %s: %v", d.name, what, err)
		}
	}
}

func (k *disk) ok() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.dead && k.full == ""
}

// say sends a text off: a message mostly, sometimes a comment.
func (d *desk) say(id string) {
	page, err := d.engine.Thread(id, desktop.ThreadQuery{Limit: 50})
	if err != nil {
		return
	}
	x := &said{token: fmt.Sprintf("tok-%s-%d.", d.name, len(d.said)), conversation: id}
	d.said = append(d.said, x)
	text := d.w.mark(id) + x.token
	var entry desktop.OutboxEntry
	if d.rng.IntN(5) == 0 {
		entry, err = d.engine.Comment(id, desktop.NewComment{Text: text})
	} else {
		entry, err = d.engine.Send(id, desktop.NewMessage{Text: text, Seen: page.Head})
	}
	x.message = entry.Message
	x.sure = err == nil
	d.w.sentBy(d, id)
	if old := d.drafts[id]; old != nil || err == nil {
		next := &drafted{texts: []string{""}}
		if err != nil && old != nil {
			next.texts = append(next.texts, old.texts...)
		}
		d.drafts[id] = next
	}
	d.w.note("%s says %s in %s: %v", d.name, x.token, id[24:], err)
}

// type_ leaves a text in the composer, in chats that are this desk's to draft in.
func (d *desk) type_(id string) {
	if d.w.drafter(d.member.ID, id) != d {
		return
	}
	text := d.w.mark(id) + fmt.Sprintf("draft-%s-%d", id, d.w.serial())
	if d.rng.IntN(6) == 0 {
		text = ""
	}
	err := d.engine.SaveDraft(id, desktop.Draft{Text: text})
	next := &drafted{texts: []string{text}}
	if old := d.drafts[id]; err != nil && old != nil {
		next.texts = append(next.texts, old.texts...)
	} else if err != nil {
		next.texts = append(next.texts, "")
	}
	d.drafts[id] = next
	d.w.note("%s types %q in %s: %v", d.name, text, id[24:], err)
}

// repair decides about a text that was refused.
func (d *desk) repair() {
	unsent, err := d.engine.Unsent()
	if err != nil || len(unsent) == 0 {
		return
	}
	u := unsent[d.rng.IntN(len(unsent))]
	if u.Kind == desktop.KindDraft || !u.Reachable && d.rng.IntN(4) > 0 {
		return
	}
	x := d.saidIn(u.Text)
	if d.rng.IntN(3) == 0 { // the next text is begun before the old one is decided about
		d.type_(u.Conversation)
	}
	switch n := d.rng.IntN(10); {
	case !u.Reachable || n >= 8: // where nothing can be opened, there is nothing to send to
		_, err = d.engine.Drop(u.ID)
		if x != nil && err == nil {
			x.dropped = true
		} else if x != nil && chat.ErrorCode(err) != chat.CodeConflict && chat.ErrorCode(err) != chat.CodeNotFound {
			x.sure = false // nobody knows
		}
	case n < 6:
		_, err = d.engine.Resend(u.ID, desktop.Resend{Force: true})
	default:
		_, err = d.engine.Resend(u.ID, desktop.Resend{})
	}
	d.w.note("%s decides about %s: %v", d.name, u.Text, err)
}

// decide sends every refused text again that can be sent, so that nothing waits
// behind it, and says how many.
func (d *desk) decide() (again int) {
	unsent, err := d.engine.Unsent()
	if err != nil {
		return 0
	}
	for _, u := range unsent {
		if u.Kind != desktop.KindDraft && u.Reachable {
			_, _ = d.engine.Resend(u.ID, desktop.Resend{Force: true}) // what it says is looked at afterwards
			again++
		}
	}
	return again
}

func (d *desk) saidIn(text string) *said {
	for _, x := range d.said {
		if strings.Contains(text, x.token) {
			return x
		}
	}
	return nil
}

// readings are what raw values mean: the same ones are looked at again and again.
type readings struct {
	mu            sync.Mutex
	conversations map[string]chat.Conversation
	messages      map[string]chat.Message
}

func (r *readings) conversation(raw json.RawMessage) chat.Conversation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return reading(r.conversations, raw)
}

func (r *readings) thread(raw []json.RawMessage) []chat.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]chat.Message, len(raw))
	for i := range raw {
		out[i] = reading(r.messages, raw[i])
	}
	return out
}

func reading[T any](known map[string]T, raw json.RawMessage) T {
	v, ok := known[string(raw)]
	if !ok {
		if err := json.Unmarshal(raw, &v); err != nil {
			panic(err)
		}
		known[string(raw)] = v
	}
	return v
}

func between(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(hi-lo)+1))
}

// writer lets the engine's log lines stand in the schedule's trace.
type writer struct {
	w    *world
	name string
}

func (x writer) Write(b []byte) (int, error) {
	x.w.note("%s log: %s", x.name, strings.TrimSpace(string(b)))
	if strings.Contains(string(b), "was not what the server has") && !x.w.server.isLying() {
		x.w.violation("%s held something else than the server, who had told it all", x.name)
	}
	return len(b), nil
}

func (w *world) log(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(writer{w, name}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}
