package desktop

import (
	"sync"
	"time"
)

// Window hears what happens without being asked. Emit is called by one
// goroutine at a time.
type Window interface {
	Emit(name string, payload any)
}

// nobody is the window of an engine without one.
type nobody struct{}

func (nobody) Emit(string, any) {}

// The names of the events, each with its payload.
const (
	EventState   = "state"   // {}
	EventList    = "list"    // {conversations: [...] | null for all}
	EventThread  = "thread"  // {conversation}, of those whose thread was read
	EventTyping  = "typing"  // Typing
	EventCounts  = "counts"  // {}
	EventProblem = "problem" // Problem: something shown early was refused
	// EventUndelivered tells, once for each, of a message of this member's that
	// has not gone out and waits for them: its payload is Undelivered.
	EventUndelivered = "undelivered"
)

// ListChanged is the payload of EventList; nil means any conversation.
type ListChanged struct {
	Conversations []string `json:"conversations"`
}

// ThreadChanged is the payload of EventThread.
type ThreadChanged struct {
	Conversation string `json:"conversation"`
}

// Typing is the payload of EventTyping: it ends by itself after TTL seconds.
type Typing struct {
	Conversation string `json:"conversation"`
	Kind         string `json:"kind"` // member or customer
	Member       string `json:"member,omitempty"`
	Name         string `json:"name"`
	TTL          int    `json:"ttl"`
}

// Problem is the payload of EventProblem.
type Problem struct {
	Account      string `json:"account"` // its id: not always the one on the screen
	Code         string `json:"code"`
	Message      string `json:"message"`
	Conversation string `json:"conversation"`
}

// Undelivered is the payload of EventUndelivered.
type Undelivered struct {
	Account      string `json:"account"` // its id: not always the one on the screen
	Entry        string `json:"entry"`   // what Resend and Drop take
	Conversation string `json:"conversation"`
	Message      string `json:"message"`
	Label        string `json:"label"`  // of the customer; empty when not known here
	Code         string `json:"code"`   // of the problem; "undelivered": the channel could not deliver it; "unconfirmed": it still waits to go out
	Reason       string `json:"reason"` // a sentence, or what the channel said
}

const (
	announceEvery = 16 * time.Millisecond // a frame of the screen
	manyChanged   = 200                   // conversations named in one event; more are "all"
)

// announcer tells the window what changed, at most about sixty times a second
// for each kind: the first change at once, what follows collected.
type announcer struct {
	window Window
	notes  chan note
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
}

// note is one thing to tell; which fields are set follows from name.
type note struct {
	name         string
	conversation string // list, thread; "" with list: everything
	payload      any    // typing, problem
}

func newAnnouncer(w Window) *announcer {
	a := &announcer{window: w, notes: make(chan note, 256), stop: make(chan struct{}), done: make(chan struct{})}
	go a.run()
	return a
}

func (a *announcer) tell(n note) {
	select {
	case a.notes <- n:
	case <-a.done:
	}
}

func (a *announcer) state()      { a.tell(note{name: EventState}) }
func (a *announcer) counts()     { a.tell(note{name: EventCounts}) }
func (a *announcer) everything() { a.tell(note{name: EventList}); a.counts() }
func (a *announcer) list(conversation string) {
	a.tell(note{name: EventList, conversation: conversation})
}
func (a *announcer) thread(conversation string) {
	a.tell(note{name: EventThread, conversation: conversation})
}
func (a *announcer) typing(t Typing)   { a.tell(note{name: EventTyping, payload: t}) }
func (a *announcer) problem(p Problem) { a.tell(note{name: EventProblem, payload: p}) }
func (a *announcer) undelivered(u Undelivered) {
	a.tell(note{name: EventUndelivered, payload: u})
}

// close ends the announcer after what it was told so far.
func (a *announcer) close() {
	a.once.Do(func() { close(a.stop) })
	<-a.done
}

// collected is what waits to be told.
type collected struct {
	state, counts, all bool
	list, threads      map[string]bool
	order              []string // of threads
	payloads           []note
}

func (c *collected) add(n note) {
	switch n.name {
	case EventState:
		c.state = true
	case EventCounts:
		c.counts = true
	case EventList:
		if n.conversation == "" || len(c.list) >= manyChanged {
			c.all = true
			return
		}
		if c.list == nil {
			c.list = map[string]bool{}
		}
		c.list[n.conversation] = true
	case EventThread:
		if c.threads == nil {
			c.threads = map[string]bool{}
		}
		if !c.threads[n.conversation] {
			c.threads[n.conversation] = true
			c.order = append(c.order, n.conversation)
		}
	default:
		c.payloads = append(c.payloads, n)
	}
}

func (a *announcer) run() {
	defer close(a.done)
	var wait collected
	var last time.Time
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	armed := false
	for {
		select {
		case n := <-a.notes:
			wait.add(n)
			a.drain(&wait)
			if rest := announceEvery - time.Since(last); rest > 0 {
				if !armed {
					timer.Reset(rest)
					armed = true
				}
				continue
			}
		case <-timer.C:
			armed = false
		case <-a.stop:
			a.drain(&wait)
			a.flush(wait)
			return
		}
		a.flush(wait)
		wait, last = collected{}, time.Now()
	}
}

func (a *announcer) drain(wait *collected) {
	for {
		select {
		case n := <-a.notes:
			wait.add(n)
		default:
			return
		}
	}
}

// flush tells threads before lists, so that what is open is right first.
func (a *announcer) flush(c collected) {
	for _, id := range c.order {
		a.window.Emit(EventThread, ThreadChanged{id})
	}
	switch {
	case c.all:
		a.window.Emit(EventList, ListChanged{})
	case len(c.list) > 0:
		ids := make([]string, 0, len(c.list))
		for id := range c.list {
			ids = append(ids, id)
		}
		a.window.Emit(EventList, ListChanged{ids})
	}
	if c.counts {
		a.window.Emit(EventCounts, struct{}{})
	}
	if c.state {
		a.window.Emit(EventState, struct{}{})
	}
	for _, n := range c.payloads {
		a.window.Emit(n.name, n.payload)
	}
}
