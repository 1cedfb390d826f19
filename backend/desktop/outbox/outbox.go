package outbox

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// Store is where entries survive: local.db. Each method is durable when it
// returns.
type Store interface {
	Load(ctx context.Context) ([]Entry, error)
	// Insert adds an entry; clearDraft drops the conversation's draft in the
	// same transaction.
	Insert(ctx context.Context, e Entry, clearDraft bool) error
	// Replace puts an entry in the place, and at the place, of another.
	Replace(ctx context.Context, old chat.CommandID, e Entry) error
	Remove(ctx context.Context, id chat.CommandID) error
	Refuse(ctx context.Context, id chat.CommandID, p *protocol.Problem) error
	// Attempted notes that an entry is handed in once more, and its age. Without
	// that note it is not handed in.
	Attempted(ctx context.Context, e Entry) error
	// NotSent notes that no attempt so far can have arrived.
	NotSent(ctx context.Context, id chat.CommandID) error
}

// Config is what an outbox works with. The functions are called by several
// goroutines and must not call back into the outbox.
type Config struct {
	Store Store
	// Submit hands one command to the server.
	Submit func(ctx context.Context, cmd chat.Command) (Answer, error)
	// Confirm brings what an accepted command made into the cache.
	Confirm func(ctx context.Context, e Entry, a Answer) error
	// Changed says that what waits in a conversation is another now (zero:
	// somewhere else).
	Changed func(conversation chat.ConversationID)
	// Judge looks at a text before it is handed in: a problem that is known
	// here already needs no server. nil: nothing is known here.
	Judge func(ctx context.Context, e Entry) *protocol.Problem
	// Refused says that something more waits for its author: Snapshot has it.
	// nil: nobody wants to know.
	Refused func()
	// Undone says that something shown early was refused and is gone.
	Undone func(e Entry, p *protocol.Problem)
	// Failed says that a request failed, so that the connection may be doubted.
	Failed func(err error)
	Clock  func() Instant
	Random func() float64
	Log    *slog.Logger
}

// Answer is the verdict on a command, and the cache's era in which it was
// asked for: an answer of another one is asked for again.
type Answer struct {
	protocol.Result
	Era int64
}

// Outbox hands in what waits. One goroutine owns the queue and all its writes.
type Outbox struct {
	cfg    Config
	ops    chan op
	view   atomic.Pointer[Snapshot]
	cancel context.CancelFunc
	ending <-chan struct{} // nothing is taken any more
	done   chan struct{}
}

// Snapshot is what waits, at one moment; it never changes.
type Snapshot struct {
	byConversation map[chat.ConversationID][]Entry
	byContact      map[chat.ContactID][]Entry
	me             []Entry
	refused        []Entry
	Queued         int // texts that will still go out, those whose delivery is tried again among them
}

// Refused gives the texts and changes of contacts that wait for their author.
func (s *Snapshot) Refused() []Entry { return s.refused }

// Waiting gives the texts that were to be out by a moment, and are not: none
// that can still be taken back, is to be sent later, or waits for what becomes of
// a refused one.
func (s *Snapshot) Waiting(now chat.Time) (texts []Entry) {
	for _, entries := range s.byConversation {
		for _, w := range entries {
			if w.Problem != nil {
				break
			}
			// A time to take it back that is longer than there may be is of a clock that was set back.
			held := w.Due > now && w.Due.Sub(now) <= chat.MaxUndo
			if w.goesOut() && !held && w.SendAt <= now {
				texts = append(texts, w)
			}
		}
	}
	return texts
}

// Of gives what waits in a conversation, in order.
func (s *Snapshot) Of(c chat.ConversationID) []Entry { return s.byConversation[c] }

// OfContact gives the changes of a contact that wait.
func (s *Snapshot) OfContact(c chat.ContactID) []Entry { return s.byContact[c] }

// Contacts gives the contacts of which changes wait.
func (s *Snapshot) Contacts() []chat.ContactID { return slices.Collect(maps.Keys(s.byContact)) }

// OfMe gives the changes of the member's own settings that wait.
func (s *Snapshot) OfMe() []Entry { return s.me }

// Conversations gives the conversations in which something waits.
func (s *Snapshot) Conversations() []chat.ConversationID {
	return slices.Collect(maps.Keys(s.byConversation))
}

type op interface{ op() }

type (
	addOp struct {
		entry      Entry
		clearDraft bool
		reply      chan error
	}
	resendOp struct {
		id    chat.CommandID
		build func(Entry) (Entry, error)
		reply chan resent
	}
	resent struct {
		entry Entry
		err   error
	}
	dropOp struct {
		id    chat.CommandID
		reply chan resent
	}
	unseeOp struct {
		upto  map[chat.ConversationID]int64
		reply chan error
	}
	refuseOp struct {
		which   func(Entry) bool
		problem *protocol.Problem
		reply   chan error
	}
	confirmedOp struct{ ids []chat.CommandID }
	wakeOp      struct{}
	pauseOp     struct{ paused bool }
	intervalOp  struct{ d time.Duration }
	answerOp    struct {
		id  chat.CommandID
		res Answer
		err error
	}
)

func (addOp) op()       {}
func (resendOp) op()    {}
func (dropOp) op()      {}
func (unseeOp) op()     {}
func (refuseOp) op()    {}
func (confirmedOp) op() {}
func (wakeOp) op()      {}
func (pauseOp) op()     {}
func (intervalOp) op()  {}
func (answerOp) op()    {}

// errClosed says that the account has just been closed.
var errClosed = chat.Errorf(chat.CodeUnavailable, "This account is being closed.")

// Open loads what waits and starts paused: nobody is signed in yet.
func Open(ctx context.Context, cfg Config) (*Outbox, error) {
	entries, err := cfg.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	q := NewQueue(cfg.Random)
	q.Pause(true)
	for _, e := range entries {
		q.Add(cfg.Clock(), e)
	}
	q.ReleaseAlone()
	run, cancel := context.WithCancel(context.Background())
	o := &Outbox{cfg: cfg, ops: make(chan op, 16), cancel: cancel, ending: run.Done(), done: make(chan struct{})}
	o.view.Store(snapshot(q))
	go o.run(run, q)
	return o, nil
}

// Close stops handing in and waits. What waits is on disk.
func (o *Outbox) Close() {
	o.cancel()
	<-o.done
}

// Snapshot gives what waits now. An entry is in it when Add has returned.
func (o *Outbox) Snapshot() *Snapshot { return o.view.Load() }

// Add puts an entry at the end of its conversation; it is on disk on return.
func (o *Outbox) Add(e Entry, clearDraft bool) error {
	reply := make(chan error, 1)
	return o.ask(addOp{e, clearDraft, reply}, reply)
}

// Resend puts what build makes of a refused entry in its place.
func (o *Outbox) Resend(id chat.CommandID, build func(Entry) (Entry, error)) (Entry, error) {
	reply := make(chan resent, 1)
	return o.await(resendOp{id, build, reply}, reply)
}

// Drop gives an entry up and hands it back. One that may already have arrived
// cannot be given up.
func (o *Outbox) Drop(id chat.CommandID) (Entry, error) {
	reply := make(chan resent, 1)
	return o.await(dropOp{id, reply}, reply)
}

// ask posts what is answered with nothing but an error.
func (o *Outbox) ask(x op, reply chan error) error {
	if !o.post(x) {
		return errClosed
	}
	select {
	case err := <-reply:
		return err
	case <-o.done:
		return errClosed
	}
}

func (o *Outbox) await(x op, reply chan resent) (Entry, error) {
	if !o.post(x) {
		return Entry{}, errClosed
	}
	select {
	case r := <-reply:
		return r.entry, r.err
	case <-o.done:
		return Entry{}, errClosed
	}
}

// Refuse moves texts that may no longer be handed in to "could not send" and
// drops other entries; on disk on return.
func (o *Outbox) Refuse(which func(Entry) bool, p *protocol.Problem) error {
	reply := make(chan error, 1)
	return o.ask(refuseOp{which, p, reply}, reply)
}

// Unsee notes that of what authors had in view in some conversations only what
// is numbered up to there is what it was; on disk on return.
func (o *Outbox) Unsee(upto map[chat.ConversationID]int64) error {
	reply := make(chan error, 1)
	return o.ask(unseeOp{upto, reply}, reply)
}

func (o *Outbox) unsee(ctx context.Context, q *Queue, now Instant, upto map[chat.ConversationID]int64) error {
	for old, e := range q.Unsee(upto) {
		if err := o.cfg.Store.Replace(ctx, old, e); err != nil {
			return err
		}
		q.Replace(now, old, e)
		o.publish(q, e.Conversation)
	}
	return nil
}

// Confirmed takes out refused texts that the server turned out to have: their
// author has sent them from elsewhere. It does not wait.
func (o *Outbox) Confirmed(ids []chat.CommandID) { o.post(confirmedOp{ids}) }

// Wake tries everything at once: the server was reached again.
func (o *Outbox) Wake() { o.post(wakeOp{}) }

// Pause stops handing in, or goes on with it.
func (o *Outbox) Pause(paused bool) { o.post(pauseOp{paused}) }

// SetInterval sets the pause between two messages of one conversation.
func (o *Outbox) SetInterval(d time.Duration) { o.post(intervalOp{d}) }

func (o *Outbox) post(x op) bool {
	select {
	case o.ops <- x:
		return true
	case <-o.ending:
		return false
	}
}

func (o *Outbox) run(ctx context.Context, q *Queue) {
	var flying sync.WaitGroup
	answers := make(chan answerOp, maxInFlight)
	defer close(o.done)
	defer flying.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case x := <-o.ops:
			o.take(ctx, q, x)
		case a := <-answers:
			o.take(ctx, q, a)
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		for _, e := range q.Ready(o.cfg.Clock()) {
			if err := o.cfg.Store.Attempted(ctx, e); err != nil {
				// After a crash nobody would know that it may have arrived: it waits.
				o.cfg.Log.Warn("note attempt", "command", e.ID, "error", err)
				q.PutOff(o.cfg.Clock(), e)
				continue
			}
			flying.Go(func() { answers <- o.submit(ctx, e) })
			o.cfg.Changed(e.Conversation)
		}
		o.view.Store(snapshot(q))
		now := o.cfg.Clock()
		if at, ok := q.Next(now); ok {
			timer.Reset(max(at-now.Mono, time.Millisecond))
		}
	}
}

// submit hands in one entry and, if it was accepted, brings the confirmed row
// into the cache.
func (o *Outbox) submit(ctx context.Context, e Entry) answerOp {
	if o.cfg.Judge != nil && e.Text() && !e.Uncertain { // one that may have arrived only the server can judge
		if p := o.cfg.Judge(ctx, e); p != nil {
			return answerOp{e.ID, Answer{Result: protocol.Result{ID: e.ID, Status: protocol.StatusRefused, Problem: p}}, nil}
		}
	}
	cmd := chat.Command{ID: e.ID, Kind: e.Kind, Args: e.Args, Seen: e.Seen, AgeMS: max(e.Elapsed.Milliseconds(), 0)}
	res, err := o.cfg.Submit(ctx, cmd)
	if err == nil && res.Problem == nil && res.Status != protocol.StatusRefused {
		if err := o.cfg.Confirm(ctx, e, res); err != nil {
			return answerOp{e.ID, res, &chat.Error{Code: chat.CodeUnavailable, Message: "The answer could not be stored.", Cause: err}}
		}
	}
	return answerOp{e.ID, res, err}
}

func (o *Outbox) take(ctx context.Context, q *Queue, x op) {
	now := o.cfg.Clock()
	switch x := x.(type) {
	case addOp:
		x.reply <- o.add(ctx, q, now, x)
	case resendOp:
		e, err := o.resend(ctx, q, now, x)
		x.reply <- resent{e, err}
	case dropOp:
		e, err := o.drop(ctx, q, x.id)
		x.reply <- resent{e, err}
	case refuseOp:
		x.reply <- o.refuse(ctx, q, x)
	case unseeOp:
		x.reply <- o.unsee(ctx, q, now, x.upto)
	case confirmedOp:
		o.confirmed(ctx, q, x.ids)
	case wakeOp:
		q.Wake()
	case pauseOp:
		q.Pause(x.paused)
	case intervalOp:
		q.SetInterval(x.d)
	case releaseOp:
		q.Release(now)
		x.reply <- q.Going(now)
	case answerOp:
		o.answer(ctx, q, now, x)
	}
}

func (o *Outbox) add(ctx context.Context, q *Queue, now Instant, x addOp) error {
	if err := o.cfg.Store.Insert(ctx, x.entry, x.clearDraft); err != nil {
		return err
	}
	for _, id := range q.Add(now, x.entry) {
		if err := o.cfg.Store.Remove(ctx, id); err != nil {
			o.cfg.Log.Warn("remove superseded command", "command", id, "error", err) // sent again after a restart: harmless
		}
	}
	o.publish(q, x.entry.Conversation)
	return nil
}

func (o *Outbox) resend(ctx context.Context, q *Queue, now Instant, x resendOp) (Entry, error) {
	old, ok := q.Get(x.id)
	if !ok {
		return Entry{}, chat.Errorf(chat.CodeNotFound, "This text is no longer waiting.")
	}
	if old.Problem == nil {
		return Entry{}, chat.Errorf(chat.CodeConflict, "This text is still on its way.")
	}
	e, err := x.build(old)
	if err != nil {
		return Entry{}, err
	}
	if err := o.cfg.Store.Replace(ctx, x.id, e); err != nil {
		return Entry{}, err
	}
	following := q.Following(x.id)
	q.Replace(now, x.id, e)
	o.releaseFollowing(ctx, q, following, e.Seen)
	o.publish(q, e.Conversation)
	return e, nil
}

func (o *Outbox) releaseFollowing(ctx context.Context, q *Queue, following []Entry, seen *int64) {
	for _, f := range following {
		released, _ := q.ReleaseFollowing(f.ID, seen)
		if err := o.cfg.Store.Replace(ctx, f.ID, released); err != nil {
			o.cfg.Log.Warn("release what follows a text", "command", f.ID, "error", err) // released after a restart too
		}
	}
}

func (o *Outbox) confirmed(ctx context.Context, q *Queue, ids []chat.CommandID) {
	for _, id := range ids {
		e, ok := q.Get(id)
		if !ok || e.Problem == nil {
			continue
		}
		if err := o.cfg.Store.Remove(ctx, id); err != nil {
			o.cfg.Log.Warn("remove confirmed text", "command", id, "error", err) // with the next change
			continue
		}
		following := q.Following(id)
		q.Remove(id)
		o.releaseFollowing(ctx, q, following, nil)
		o.publish(q, e.Conversation)
	}
}

func (o *Outbox) drop(ctx context.Context, q *Queue, id chat.CommandID) (Entry, error) {
	e, ok := q.Get(id)
	switch {
	case !ok:
		return Entry{}, chat.Errorf(chat.CodeNotFound, "This text is no longer waiting.")
	case e.Sending || (e.Problem == nil && e.Uncertain):
		return Entry{}, chat.Errorf(chat.CodeConflict, "This text may already have been delivered. Parley is finding out.")
	}
	following := slices.Concat(q.Following(id), q.TakenBackWith(id), q.ReadBy(id)) // first, so that a crash leaves it with its text
	for _, f := range following {
		if err := o.cfg.Store.Remove(ctx, f.ID); err != nil {
			return Entry{}, err
		}
		q.Remove(f.ID)
	}
	if err := o.cfg.Store.Remove(ctx, id); err != nil {
		return Entry{}, err
	}
	q.Remove(id)
	o.publish(q, e.Conversation)
	return e, nil
}

func (o *Outbox) refuse(ctx context.Context, q *Queue, x refuseOp) error {
	refused, dropped := q.Refuse(x.which, x.problem)
	var errs []error
	for _, e := range refused {
		errs = append(errs, o.cfg.Store.Refuse(ctx, e.ID, x.problem))
	}
	for _, e := range dropped {
		errs = append(errs, o.cfg.Store.Remove(ctx, e.ID))
	}
	for _, e := range append(refused, dropped...) {
		o.publish(q, e.Conversation)
	}
	if len(refused) > 0 {
		o.refused()
	}
	return errors.Join(errs...)
}

func (o *Outbox) answer(ctx context.Context, q *Queue, now Instant, a answerOp) {
	e, ok := q.Get(a.id)
	if !ok || ctx.Err() != nil {
		return
	}
	var outcome Outcome
	problem := a.res.Problem
	if a.err != nil {
		if ours := protocol.ProblemOf(a.err); problem == nil {
			problem = ours
		}
		outcome = q.Fail(now, a.id, a.err)
		o.cfg.Failed(a.err)
	} else {
		outcome = q.Judge(now, a.id, a.res.Result)
	}
	var err error
	switch outcome {
	case Again:
		if now, _ := q.Get(a.id); a.err != nil && !now.Uncertain {
			err = o.cfg.Store.NotSent(ctx, a.id)
		}
	case Done, Dropped:
		err = o.cfg.Store.Remove(ctx, a.id)
	case Refused:
		var errs []error
		for _, f := range q.Following(a.id) { // first, so that a crash lets nothing pass the text
			errs = append(errs, o.cfg.Store.Refuse(ctx, f.ID, f.Problem))
		}
		err = errors.Join(append(errs, o.cfg.Store.Refuse(ctx, a.id, problem))...)
	}
	if err != nil {
		// Nothing is lost: after a restart it goes out again under the same id.
		o.cfg.Log.Error("note verdict", "command", a.id, "error", err)
	}
	o.publish(q, e.Conversation)
	switch outcome {
	case Dropped:
		o.cfg.Undone(e, problem)
	case Refused:
		o.refused()
	}
}

func (o *Outbox) refused() {
	if o.cfg.Refused != nil {
		o.cfg.Refused()
	}
}

// publish makes the queue visible before anybody is told to look.
func (o *Outbox) publish(q *Queue, c chat.ConversationID) {
	o.view.Store(snapshot(q))
	o.cfg.Changed(c)
}

func snapshot(q *Queue) *Snapshot {
	s := &Snapshot{byConversation: map[chat.ConversationID][]Entry{}, byContact: map[chat.ContactID][]Entry{}}
	for _, e := range q.Entries() {
		switch {
		case e.Problem != nil && e.Kept():
			s.refused = append(s.refused, e)
		case e.Problem == nil && e.goesOut():
			s.Queued++
		}
		switch e.lane() {
		case laneMe:
			s.me = append(s.me, e)
		case e.Contact.String():
			s.byContact[e.Contact] = append(s.byContact[e.Contact], e)
		default:
			s.byConversation[e.Conversation] = append(s.byConversation[e.Conversation], e)
		}
	}
	return s
}
