// Package outbox holds the commands of one account that the server has not
// accepted yet, and hands them in.
//
// What it guarantees: a command is on disk before Add returns; commands of one
// conversation go out one at a time and in order, of several conversations in
// parallel; a command is repeated under the same id until it is judged, for
// ever; a confirmed row is in the cache before its command leaves the outbox;
// a refused text stays, and no later text of the conversation overtakes it, nor
// what was to end the conversation after it.
//
// Queue decides and does nothing; Outbox does what Queue says.
package outbox

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

const (
	maxInFlight  = 8
	firstBackoff = time.Second
	maxBackoff   = 30 * time.Second
)

// Instant is one reading of both clocks: Mono only ever goes on and may stand
// still in sleep, Wall may do anything.
type Instant struct {
	Mono time.Duration
	Wall chat.Time
}

// Entry is one command that waits.
type Entry struct {
	ID           chat.CommandID
	Conversation chat.ConversationID // zero for commands about something else
	Contact      chat.ContactID      // contact.update; zero too: the member's own settings
	Message      chat.MessageID      // of a text: the id it will have; of message.retry: whose delivery failed
	Reply        chat.MessageID      // of a read position that a text moves: that text; zero: it is moved by hand
	Kind         string
	Args         json.RawMessage
	Seen         *int64
	CreatedAt    chat.Time     // when the key was pressed, by the wall clock
	Due          chat.Time     // until then it can be taken back, and is not handed in; zero: at once
	SendAt       chat.Time     // when the server is to send it, by this machine's clock; zero: when it has it
	Elapsed      time.Duration // how long it has waited, as far as it was measured
	Noted        time.Duration // how much of that is on disk
	Attempts     int
	Sending      bool
	Uncertain    bool              // was handed in, and nobody knows whether it arrived
	Problem      *protocol.Problem // refused; nil while it may still go out
}

// Text reports whether the entry is something a person wrote.
func (e Entry) Text() bool { return e.Kind == protocol.MessageSend || e.Kind == protocol.CommentAdd }

// goesOut reports whether somebody waits for what a person wrote until the entry
// is done.
func (e Entry) goesOut() bool { return e.Text() || e.Kind == protocol.MessageRetry }

// Kept reports whether the entry stays for its author when it is refused:
// something a person wrote, be it for the customer or about them.
func (e Entry) Kept() bool { return e.Text() || e.Kind == protocol.ContactUpdate }

// read reports whether the entry moves the read position: the newest counts,
// and it may pass texts that wait, unless it is one of these that moves it.
func (e Entry) read() bool {
	return e.Kind == protocol.ConversationRead || e.Kind == protocol.ConversationUnread
}

// byReply reports whether a text moves the read position: only when it has gone
// out has anybody been answered.
func (e Entry) byReply() bool { return !e.Reply.IsZero() }

// upto is up to which message an entry reads; 0: it moves no position forward.
func (e Entry) upto() int64 {
	var args protocol.ReadArgs
	if e.Kind != protocol.ConversationRead || json.Unmarshal(e.Args, &args) != nil {
		return 0
	}
	return args.Upto
}

// lane names what is handed in in order: a conversation, a contact, or the
// member's own settings.
func (e Entry) lane() string {
	switch {
	case !e.Conversation.IsZero():
		return e.Conversation.String()
	case !e.Contact.IsZero():
		return e.Contact.String()
	}
	return laneMe
}

const laneMe = "me"

type item struct {
	Entry
	added   Instant       // when Elapsed was right
	release time.Duration // not handed in earlier: it can still be taken back
}

// newItem begins to count. The time to take an entry back is counted by the
// clock that nobody sets, and never longer than there may be of it, whatever
// has become of the other clock since.
func newItem(now Instant, e Entry) *item {
	it := &item{Entry: e, added: now}
	if rest := min(e.Due.Sub(now.Wall), chat.MaxUndo); !e.Due.IsZero() && rest > 0 {
		it.release = now.Mono + rest
	}
	return it
}

type lane struct {
	items     []*item
	sending   bool
	attempts  int
	notBefore time.Duration // backoff: nothing goes out earlier
	textAfter time.Duration // pacing: no message goes out earlier
}

// Queue decides what is handed in when. It is used by one goroutine.
type Queue struct {
	random   func() float64
	interval time.Duration // between two messages of a conversation
	lanes    map[string]*lane
	order    []string // lanes in order of their first use: nobody starves
	sending  int
	paused   bool
}

// NewQueue makes an empty queue; random gives numbers in [0, 1).
func NewQueue(random func() float64) *Queue {
	return &Queue{random: random, lanes: map[string]*lane{}}
}

// SetInterval sets the pause between two messages of one conversation.
func (q *Queue) SetInterval(d time.Duration) { q.interval = d }

// Pause stops (or lets go on) handing in: nobody is signed in.
func (q *Queue) Pause(paused bool) { q.paused = paused }

// Add appends an entry and gives those that are superfluous then: earlier moves
// of the same read position, or this one, where another that waits goes further.
func (q *Queue) Add(now Instant, e Entry) (superseded []chat.CommandID) {
	key := e.lane()
	l := q.lanes[key]
	if l == nil {
		l = &lane{}
		q.lanes[key] = l
		q.order = append(q.order, key)
	}
	if e.read() {
		if slices.ContainsFunc(l.items, func(it *item) bool {
			return !it.Sending && (!it.byReply() || e.byReply()) && it.upto() > 0 && it.upto() >= e.upto() && e.upto() > 0
		}) {
			return []chat.CommandID{e.ID}
		}
		l.items = slices.DeleteFunc(l.items, func(it *item) bool {
			old := it.read() && !it.Sending && (!e.byReply() || it.byReply())
			if old {
				superseded = append(superseded, it.ID)
			}
			return old
		})
	}
	l.items = append(l.items, newItem(now, e))
	return superseded
}

// Replace puts an entry in the place of another: the same text, judged anew.
func (q *Queue) Replace(now Instant, old chat.CommandID, e Entry) bool {
	l, i := q.find(old)
	if l == nil || l.items[i].Sending {
		return false
	}
	l.items[i] = newItem(now, e)
	return true
}

// Unsee notes for texts that wait that their author has seen less than they say
// of some conversations: up to there the log is still what it was. It gives them
// by the ids they had, with new ones: they are other commands.
func (q *Queue) Unsee(upto map[chat.ConversationID]int64) map[chat.CommandID]Entry {
	out := map[chat.CommandID]Entry{}
	for _, l := range q.lanes {
		for _, it := range l.items {
			to, changed := upto[it.Conversation]
			if !changed || it.Sending || it.Problem != nil || it.Kind != protocol.MessageSend || it.Seen == nil || *it.Seen <= to {
				continue
			}
			e := it.Entry
			e.ID, e.Seen = chat.NewID[chat.Command](), &to
			out[it.ID] = e
		}
	}
	return out
}

// Remove takes an entry out, unless it is on its way.
func (q *Queue) Remove(id chat.CommandID) bool {
	l, i := q.find(id)
	if l == nil || l.items[i].Sending {
		return false
	}
	q.drop(l, i)
	return true
}

// Get gives an entry.
func (q *Queue) Get(id chat.CommandID) (Entry, bool) {
	l, i := q.find(id)
	if l == nil {
		return Entry{}, false
	}
	return l.items[i].Entry, true
}

// Entries gives all entries, each conversation's in order.
func (q *Queue) Entries() []Entry {
	var out []Entry
	for _, key := range q.order {
		for _, it := range q.lanes[key].items {
			out = append(out, it.Entry)
		}
	}
	return out
}

// Ready takes out what may be handed in now and marks it as being sent; each
// entry is one request.
func (q *Queue) Ready(now Instant) []Entry {
	var out []Entry
	if q.paused {
		return nil
	}
	q.forget(now)
	unsettled := q.unsettled(now)
	for _, key := range q.order {
		if q.sending >= maxInFlight {
			break
		}
		l := q.lanes[key]
		if l.sending || now.Mono < l.notBefore {
			continue
		}
		it := l.next(now, unsettled)
		if it == nil {
			continue
		}
		it.Sending, it.Elapsed, it.added = true, it.age(now), now
		it.Attempts++
		l.sending = true
		q.sending++
		out = append(out, it.Entry)
		it.Noted = it.Elapsed
	}
	return out
}

// PutOff takes back that an entry which Ready gave is handed in.
func (q *Queue) PutOff(now Instant, e Entry) {
	l, i := q.find(e.ID)
	it := l.items[i]
	it.Attempts, it.Noted = it.Attempts-1, e.Noted
	q.landed(l, it)
	q.backOff(now, l, 0)
}

// unsettled reports whether the member's own settings are about to be, or are
// being, changed. Messages wait for that, because what the server does with
// them (mark read by answering) depends on it; they do not wait while the
// change has to back off.
func (q *Queue) unsettled(now Instant) bool {
	l := q.lanes[laneMe]
	return l != nil && len(l.items) > 0 && (l.sending || now.Mono >= l.notBefore)
}

// next gives the first entry of the lane that nothing holds back; unsettled
// holds messages.
func (l *lane) next(now Instant, unsettled bool) *item {
	held, waiting := false, false
	for _, it := range l.items {
		switch {
		case it.Problem != nil:
			held = held || it.Text() // the author decides first
		case it.Text():
			if held {
				continue
			}
			if waiting || now.Mono < it.release || (it.Kind == protocol.MessageSend && (unsettled || now.Mono < l.textAfter)) {
				waiting = true
				continue
			}
			return it
		case it.byReply():
			if !l.holds(it.Reply) {
				return it
			}
		case !waiting || it.read():
			return it
		}
	}
	return nil
}

// holds reports whether a text has not gone out yet, nor been dropped.
func (l *lane) holds(text chat.MessageID) bool {
	return slices.ContainsFunc(l.items, func(it *item) bool { return it.Text() && it.Message == text })
}

// ReadBy gives what moves the read position when a text has gone out.
func (q *Queue) ReadBy(text chat.CommandID) (out []Entry) {
	l, at := q.find(text)
	if l == nil || !l.items[at].Text() {
		return nil
	}
	for _, it := range l.items {
		if it.byReply() && it.Reply == l.items[at].Message {
			out = append(out, it.Entry)
		}
	}
	return out
}

// age is how long the command has waited: by the clock that stands still in
// sleep, or by the one that may be set, whichever says longer. A night with the
// lid closed must count; see docs/decisions/0009-how-age-is-measured.md.
//
// The time to take it back does not count, nor the time until it is to be sent.
func (it *item) age(now Instant) time.Duration {
	if !it.SendAt.IsZero() {
		return max(now.Wall.Sub(it.SendAt), 0)
	}
	return max(it.Elapsed+now.Mono-max(it.added.Mono, it.release), now.Wall.Sub(max(it.CreatedAt, it.Due)), 0)
}

// Next gives when something becomes ready by itself; false: never.
func (q *Queue) Next(now Instant) (time.Duration, bool) {
	var next time.Duration
	found := false
	if q.paused || q.sending >= maxInFlight {
		return 0, false
	}
	unsettled := q.unsettled(now)
	for _, l := range q.lanes {
		if l.sending || len(l.items) == 0 || l.next(Instant{Mono: 1 << 62}, unsettled) == nil { // time alone lets nothing go
			continue
		}
		t := max(l.notBefore, now.Mono)
		if l.next(Instant{Mono: t, Wall: now.Wall}, unsettled) == nil {
			t = l.opens(t, now.Wall, unsettled)
		}
		if !found || t < next {
			next, found = t, true
		}
	}
	return next, found
}

// opens gives the first moment after t at which time lets something of the lane
// go; something goes once all time has passed.
func (l *lane) opens(t time.Duration, wall chat.Time, unsettled bool) time.Duration {
	moments := []time.Duration{l.textAfter}
	for _, it := range l.items {
		moments = append(moments, it.release)
	}
	slices.Sort(moments)
	for _, m := range moments {
		if m > t && l.next(Instant{Mono: m, Wall: wall}, unsettled) != nil {
			return m
		}
	}
	return t
}

// Outcome is what came of handing in one entry.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"    // judged and applied: the entry is gone
	Again   Outcome = "again"   // not judged: it stays and goes out again
	Refused Outcome = "refused" // something written: it stays, with the problem
	Dropped Outcome = "dropped" // refused, and nothing to keep: the entry is gone
)

// Judge takes the verdict on an entry that was handed in. For Done the caller
// has already brought the confirmed row into the cache.
func (q *Queue) Judge(now Instant, id chat.CommandID, res protocol.Result) Outcome {
	l, i := q.find(id)
	if l == nil {
		return Done
	}
	it := l.items[i]
	q.landed(l, it)
	if res.Status == protocol.StatusRefused && res.Problem == nil {
		res.Problem = &protocol.Problem{Code: chat.CodeConflict, Detail: "The server refused this without saying why."}
	}
	switch {
	case res.Problem == nil:
		l.attempts = 0
		if it.Kind == protocol.MessageSend {
			l.textAfter = max(l.textAfter, now.Mono+q.interval)
		}
		q.drop(l, i)
		return Done
	case res.Problem.Code == chat.CodeTooSoon:
		wait := time.Duration(res.Problem.RetryAfter * float64(time.Second))
		l.textAfter = now.Mono + max(wait, 50*time.Millisecond)
		return Again
	case res.Problem.Code == chat.CodeUnavailable, res.Problem.Code == chat.CodeInternal, res.Problem.Code == chat.CodeTooMany:
		q.backOff(now, l, time.Duration(res.Problem.RetryAfter*float64(time.Second)))
		return Again
	}
	l.attempts = 0
	if !it.Kept() {
		q.drop(l, i)
		return Dropped
	}
	l.hold(i)
	it.Problem = res.Problem
	return Refused
}

// Fail takes the error of a request that carried an entry. Whether the server
// has judged it nobody knows, so it goes out again under the same id, unless
// the server refused the request as such.
func (q *Queue) Fail(now Instant, id chat.CommandID, err error) Outcome {
	l, i := q.find(id)
	if l == nil {
		return Done
	}
	switch code := chat.ErrorCode(err); code {
	case chat.CodeInvalid, chat.CodeTooLarge, chat.CodeForbidden, chat.CodeNotFound, chat.CodeUnsupported, chat.CodeIDReused:
		return q.Judge(now, id, protocol.Result{ID: id, Status: protocol.StatusRefused, Problem: protocol.ProblemOf(err)})
	case chat.CodeUnauthorized:
		q.landed(l, l.items[i])
		q.paused = true
	case chat.CodeReset: // not judged: it is of another log
		q.landed(l, l.items[i])
		q.backOff(now, l, retryAfter(err))
	default:
		q.landed(l, l.items[i])
		l.items[i].Uncertain = l.items[i].Uncertain || !protocol.NeverSent(err)
		q.backOff(now, l, retryAfter(err))
	}
	return Again
}

// Wake tries everything that backs off at once: the server was reached again.
func (q *Queue) Wake() {
	for _, l := range q.lanes {
		l.notBefore, l.attempts = 0, 0
	}
}

// Refuse marks entries that may no longer be handed in: texts stay with the
// problem, the rest is dropped. It gives the entries by outcome. A text that may
// have arrived goes out again instead: only the server knows whether it did.
func (q *Queue) Refuse(which func(Entry) bool, p *protocol.Problem) (refused, dropped []Entry) {
	for _, key := range slices.Clone(q.order) {
		l := q.lanes[key]
		for i := 0; i < len(l.items); i++ {
			it := l.items[i]
			if it.Sending || it.Problem != nil || it.Text() && it.Uncertain || !which(it.Entry) {
				continue
			}
			if it.Kept() {
				it.Problem = p
				refused = append(refused, it.Entry)
				continue
			}
			dropped = append(dropped, it.Entry)
			l.items = slices.Delete(l.items, i, i+1)
			i--
		}
	}
	return refused, dropped
}

func (q *Queue) landed(l *lane, it *item) {
	if it.Sending {
		it.Sending, l.sending = false, false
		q.sending--
	}
}

func (q *Queue) backOff(now Instant, l *lane, atLeast time.Duration) {
	limit := min(firstBackoff<<min(l.attempts, 10), maxBackoff)
	l.attempts++
	l.notBefore = now.Mono + max(time.Duration(q.random()*float64(limit)), atLeast, 20*time.Millisecond)
}

func (q *Queue) find(id chat.CommandID) (*lane, int) {
	for _, l := range q.lanes {
		for i, it := range l.items {
			if it.ID == id {
				return l, i
			}
		}
	}
	return nil, 0
}

func (q *Queue) drop(l *lane, i int) { l.items = slices.Delete(l.items, i, i+1) }

// forget drops lanes that are empty and whose pause is over.
func (q *Queue) forget(now Instant) {
	q.order = slices.DeleteFunc(q.order, func(key string) bool {
		l := q.lanes[key]
		idle := len(l.items) == 0 && !l.sending && now.Mono >= l.textAfter
		if idle {
			delete(q.lanes, key)
		}
		return idle
	})
}

// retryAfter is how long the server asks to wait.
func retryAfter(err error) time.Duration {
	var e *chat.Error
	if errors.As(err, &e) {
		return min(e.RetryAfter, 10*time.Minute)
	}
	return 0
}
