// Package desktop is the engine of the desktop app: everything behind the
// window. It reads only the cache, writes only through the outbox, and keeps
// the cache true through sync; it knows accounts, drafts, settings and files.
//
// One goroutine owns the engine's state (which accounts there are, which one
// is open) and takes typed events. What the window asks is answered in the
// caller's goroutine from an immutable view of that state and from SQLite, so
// no answer ever waits for the network. State, List, Thread and the other
// reads may be called by any number of goroutines.
package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	stdsync "sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/secrets"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

// Embedded is a backend inside this program. Only main knows what it is.
type Embedded interface {
	// Start starts it, or gives the address of the one that runs.
	Start(ctx context.Context) (url string, err error)
	// Session signs its owner in, making the workspace if there is none.
	Session(ctx context.Context, device string) (protocol.SignedIn, error)
	// Moved reports whether it had to take another address than the one that
	// its links were shared with.
	Moved() bool
	// Close drains and stops it.
	Close(ctx context.Context) error
}

// Options say how an engine is opened.
type Options struct {
	Data          string // folder; everything of this program is in it
	Version       string
	Embedded      Embedded // nil: remote servers only
	DefaultServer string   // proposed in the sign-in form
	Window        Window
	Secrets       *secrets.Store // nil: the keychain, with files in Data as fallback
	Log           *slog.Logger   // nil: nothing is logged
	// Shown is closed when the window can be seen: connecting waits for it, so
	// that what is on this computer is on the screen first. Nil: it never waits.
	Shown <-chan struct{}

	// What a simulation puts in the place of the world; nil: the world.
	Dial      protocol.Dial
	Disk      cache.Disk
	Wall      func() time.Time // the wall clock
	Random    func() float64   // in [0, 1)
	Addresses func() []string  // of this machine, in an order that stays
}

// complete fills in what was left out.
func (o *Options) complete() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Window == nil {
		o.Window = nobody{}
	}
	if o.Dial == nil {
		o.Dial = protocol.DialNet
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Addresses == nil {
		o.Addresses = addresses
	}
}

// Engine is everything behind the window.
type Engine struct {
	opt     Options
	log     *slog.Logger
	device  *cache.Local // settings and the list of accounts; nil when unusable
	secrets *secrets.Store
	tell    *announcer
	started time.Time
	name    string // of this device, in the list of sessions
	// downloads are the files being fetched, each once whoever wants it.
	downloads singleflight.Group
	// keys are those that the keychain has given, by account and id.
	keys stdsync.Map
	// handedIn is when what was held was last handed in, monotonic; 0: never.
	handedIn atomic.Int64

	ctx     context.Context
	cancel  context.CancelFunc
	events  chan event
	done    chan struct{}
	helpers stdsync.WaitGroup
	closing stdsync.Once
	view    atomic.Pointer[view]
}

// view is the engine's state as everybody may read it; it never changes.
type view struct {
	accounts []record
	session  *session
	behind   []*session // of accounts that are not on the screen: see behind.go
	warnings []Warning
	problem  string // why there is no account although there should be one
	damaged  bool   // that is because what only this device knows is damaged
	starting bool   // the embedded backend is being started
}

// record is an account as it is kept.
type record struct {
	ID        string          `json:"id"`
	Server    string          `json:"server"`
	Kind      AccountKind     `json:"kind"`
	Member    chat.MemberID   `json:"member"`
	Email     string          `json:"email"`
	Name      string          `json:"workspace"`
	Me        json.RawMessage `json:"me"` // as of sign-in, until the cache knows better
	SignedOut bool            `json:"signed_out"`
	// Revoked: the server took this device's access away. What was not sent
	// waits in local.db until the same member signs in again.
	Revoked bool `json:"revoked,omitempty"`
	// Wiped: all else is gone from the disk.
	Wiped bool `json:"wiped,omitempty"`
	// TokenLeft: the keychain would not let go of the token of a session that
	// has ended. It is asked again at the next start.
	TokenLeft bool `json:"token_left,omitempty"`
	// Waits: something may wait in it to go out; see behind.go.
	Waits bool `json:"waits,omitempty"`
	// Outbox is how much that was when it was last open.
	Outbox OutboxCounts `json:"outbox"`
}

const (
	settingAccounts = "engine.accounts"
	settingActive   = "engine.active"
	settingWarnings = "engine.warnings"
)

// Open opens the data folder and the account that was open last. It needs no
// network. A folder that cannot be used is an error with a sentence; nothing
// in it has been changed then.
func Open(ctx context.Context, opt Options) (*Engine, error) {
	opt.complete()
	device, err := cache.OpenLocalOn(opt.Disk, opt.Data) // locked: no second engine on this folder
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	if opt.Secrets == nil {
		opt.Secrets = secrets.Open(secretsFolder(opt.Data))
	}
	host, err := os.Hostname()
	if err != nil {
		host = "desktop"
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e := &Engine{opt: opt, log: opt.Log, device: device, secrets: opt.Secrets, tell: newAnnouncer(opt.Window),
		started: time.Now(), name: "Parley on " + host, ctx: run, cancel: cancel,
		events: make(chan event), done: make(chan struct{})}
	st, err := e.restore(ctx)
	if err != nil {
		cancel()
		e.tell.close()
		return nil, errors.Join(err, device.Close())
	}
	left := tokensLeft(st.accounts) // before the state has another owner
	go e.run(st)
	if len(left) > 0 {
		e.helpers.Go(func() { e.forgetTokens(left) })
	}
	if len(st.accounts) == 0 && opt.Embedded != nil && opt.DefaultServer == "" {
		e.helpers.Go(e.begin)
	}
	return e, nil
}

// InUse reports whether another program has the data folder open.
func InUse(data string) bool { return cache.InUse(data) }

// Close ends everything and waits for it. What waits to be sent is on disk.
// Closing twice is closing once.
func (e *Engine) Close() (err error) {
	e.closing.Do(func() { err = e.close() })
	return err
}

func (e *Engine) close() error {
	// Not once more if the window has just done it: closing takes as long as it
	// has to, and no longer.
	if last := e.handedIn.Load(); last == 0 || int64(e.clock().Mono)-last > int64(partingPatience) {
		ctx, cancel := context.WithTimeout(e.ctx, partingPatience)
		if left := e.HandIn(ctx); left > 0 {
			e.log.Info("texts wait for the next start", "texts", left)
		}
		cancel()
	}
	e.cancel()
	<-e.done
	e.helpers.Wait()
	e.tell.close()
	var errs []error
	if e.opt.Embedded != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		errs = append(errs, e.opt.Embedded.Close(ctx))
	}
	if e.device != nil {
		errs = append(errs, e.device.Close())
	}
	return errors.Join(errs...)
}

// Unusable makes an engine for a data folder that Open has refused: it can do
// nothing but say why, so that the window can show it. Trying again is opening
// the folder again, which is for whoever opened it.
func Unusable(cause error, opt Options) *Engine {
	opt.complete()
	opt.Embedded = nil
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e := &Engine{opt: opt, log: opt.Log, secrets: secrets.Open(secretsFolder(opt.Data)), tell: newAnnouncer(opt.Window), started: time.Now(),
		ctx: ctx, cancel: cancel, events: make(chan event), done: make(chan struct{})}
	close(e.done)
	e.view.Store(&view{problem: chat.ErrorMessage(cause)})
	return e
}

// unusable gives the error of an engine that can do nothing, nil of any other.
func (e *Engine) unusable() error {
	if e.device != nil {
		return nil
	}
	return chat.Errorf(chat.CodeUnavailable, "%s", e.view.Load().problem)
}

func secretsFolder(data string) string { return filepath.Join(data, "secrets") }

// clock reads both clocks for the parts that must tell them apart.
func (e *Engine) clock() sync.Instant {
	return sync.Instant{Mono: time.Since(e.started), Wall: e.now()}
}

// now is the wall clock, for what is shown.
func (e *Engine) now() chat.Time { return chat.TimeOf(e.opt.Wall().Round(0)) }

// event is what the engine's goroutine takes: a closed set.
type event interface{ event() }

type (
	// signedIn: somebody has signed in; the token is kept already.
	signedIn struct {
		account record
		reply   chan error
	}
	switched struct {
		id    string
		reply chan error
	}
	// left: the person signed out of the open account.
	left struct {
		tokenLeft bool
		reply     chan error
	}
	// forgotten: the keychain has let go of a token that was left in it.
	forgotten struct{ id string }
	// ended: the server says that a session is no more.
	ended struct {
		session *session
		wipe    bool
	}
	// retried: the person wants the account opened that could not be.
	retried struct{ reply chan error }
	// damaged: a session's cache must be opened anew.
	damaged struct{ session *session }
	// unlocked: the keychain has given the key to what was not sent.
	unlocked struct{ session *session }
	// moved: an embedded backend has another address than last time.
	moved struct {
		id  string
		url string
	}
	// embedding: the embedded backend is being started, or could not be.
	embedding struct {
		under   bool
		problem string
		reply   chan error
	}
)

func (signedIn) event()  {}
func (switched) event()  {}
func (left) event()      {}
func (forgotten) event() {}
func (ended) event()     {}
func (damaged) event()   {}
func (unlocked) event()  {}
func (retried) event()   {}
func (moved) event()     {}
func (embedding) event() {}

// state is owned by the engine's goroutine.
type state struct {
	accounts []record
	session  *session
	behind   []*session  // each of another account
	resumes  *time.Timer // for those that are to be open behind
	warnings []Warning
	problem  string
	damaged  bool
	starting bool
	wanted   string      // the account that could not be opened, and is tried again
	tries    int         // how often that has failed
	due      *time.Timer // for the next try
}

// restore reads the accounts and opens the one that was open last.
func (e *Engine) restore(ctx context.Context) (*state, error) {
	st := &state{due: time.NewTimer(0), resumes: time.NewTimer(0)} // once the one on the screen is open
	st.due.Stop()
	raw, ok, err := e.device.Setting(ctx, settingAccounts)
	if err != nil {
		return nil, err
	}
	if ok {
		if err := json.Unmarshal(raw, &st.accounts); err != nil {
			return nil, fmt.Errorf("read accounts: %w", err)
		}
	}
	var active string
	if raw, ok, err = e.device.Setting(ctx, settingActive); err != nil {
		return nil, err
	} else if ok {
		if err := json.Unmarshal(raw, &active); err != nil {
			return nil, fmt.Errorf("read active account: %w", err)
		}
	}
	if raw, ok, err = e.device.Setting(ctx, settingWarnings); err != nil {
		return nil, err
	} else if ok {
		if err := json.Unmarshal(raw, &st.warnings); err != nil {
			return nil, fmt.Errorf("read warnings: %w", err)
		}
	}
	e.forgetRevoked(st)
	for i := range st.accounts {
		st.admit(i)
	}
	if i := st.find(active); i >= 0 && !st.accounts[i].Revoked {
		e.open(st, st.accounts[i])
	}
	e.publish(st)
	return st, nil
}

func (e *Engine) run(st *state) {
	defer close(e.done)
	defer st.due.Stop()
	defer st.resumes.Stop()
	for {
		select {
		case ev := <-e.events:
			answer := e.take(st, ev)
			e.publish(st)
			answer()
			e.tell.state()
		case <-st.due.C:
			if e.reopen(st) {
				e.publish(st)
				e.tell.everything()
			}
			e.tell.state()
		case <-st.resumes.C:
			if e.resume(st) {
				e.publish(st)
				e.tell.state()
			}
		case <-e.ctx.Done():
			if st.session != nil {
				st.session.close()
			}
			for _, s := range st.behind {
				s.close()
			}
			return
		}
	}
}

// publish makes the state readable for everybody.
func (e *Engine) publish(st *state) {
	v := &view{accounts: append([]record(nil), st.accounts...), session: st.session, problem: st.problem, damaged: st.damaged, starting: st.starting}
	v.behind = append(v.behind, st.behind...)
	v.warnings = append(v.warnings, st.warnings...)
	e.view.Store(v)
}

// post hands an event to the engine's goroutine.
func (e *Engine) post(ev event) bool {
	select {
	case e.events <- ev:
		return true
	case <-e.ctx.Done():
		return false
	}
}

// ask posts an event and waits for the answer to it.
func (e *Engine) ask(ev event, reply chan error) error {
	if err := e.unusable(); err != nil {
		return err
	}
	if !e.post(ev) {
		return errClosing
	}
	select {
	case err := <-reply:
		return err
	case <-e.done:
		return errClosing
	}
}

var errClosing = chat.Errorf(chat.CodeUnavailable, "This account is being closed.")
