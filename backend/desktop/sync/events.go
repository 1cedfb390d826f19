package sync

import (
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// Status is how fresh the cache is, in one word.
type Status string

// The statuses.
const (
	StatusConnecting Status = "connecting"  // not there yet, and not worth a word yet
	StatusLive       Status = "live"        // everything there is has been applied
	StatusCatchingUp Status = "catching_up" // connected, with more to come
	StatusOffline    Status = "offline"
	StatusSignedOut  Status = "signed_out"
	StatusError      Status = "error" // the cache cannot be written
)

// Report is what the window may say about the connection.
type Report struct {
	Status    Status
	Since     chat.Time // with offline: when the trouble began; 0: always, as far as known
	CheckedAt chat.Time // when we last knew that nothing was missing
	Position  int64
	Head      int64
	Done      int64 // of a fill under way; both 0: none
	Total     int64
	Filling   bool
	Problem   string // a sentence, when there is more to say than "offline"
	Proven    bool   // that nothing is missing as of CheckedAt was compared with the server, not only concluded
}

// Event is something that happened to the machine.
type Event interface{ event() }

// The events.
type (
	// Started says what the cache holds. Loaded is false for an empty cache.
	Started struct {
		Position  int64
		Epoch     string
		Loaded    bool
		Gained    bool      // what the member was let to see is not loaded yet
		Unknown   bool      // contacts are missing
		CheckedAt chat.Time // when nothing was missing last; 0: never
		ProvenAt  chat.Time // when the cache was last compared with the server; 0: not since it could have been damaged
	}
	// Ticked is time passing. It must come at least every two seconds.
	Ticked struct{}
	// Woken is a reason to try at once: unlock, a new network, the user.
	Woken struct{}
	// Doubted says that another request to the server just failed.
	Doubted struct{}
	// Opened says that dial Gen has connected.
	Opened struct{ Gen int }
	// Lost says that dial Gen failed, or its socket ended.
	Lost struct {
		Gen int
		Err error
		// Code and RetryAfter are of the closing frame, if there was one.
		Code       int
		RetryAfter time.Duration
	}
	// Heard is a frame of socket Gen.
	Heard struct {
		Gen   int
		Frame protocol.Frame
	}
	// Ponged is an answer to Ping.
	Ponged struct{ Gen int }
	// Applied answers Apply: where the cache is now.
	Applied struct {
		Position int64
		Gained   bool // the member sees more than before: it must be loaded
		Unknown  bool // a conversation came without its contact
		Err      error
	}
	// Stored says whether a page of history could be written. What could not be
	// is fetched again without being asked for.
	Stored struct{ Err error }
	// Pulled and PullFailed answer Pull.
	Pulled     struct{ Page protocol.ChangesPage }
	PullFailed struct{ Err error }
	// Filling is progress of fill Gen; Filled and FillFailed answer it.
	Filling struct {
		Gen         int
		Done, Total int64
	}
	Filled struct {
		Gen      int
		Position int64
		Epoch    string
		Gained   bool // more was gained that this fill does not hold
		Unknown  bool // contacts are missing
	}
	FillFailed struct {
		Gen   int
		Err   error
		Local bool // the cache could not be written
	}
	// Shown says which list the window shows now.
	Shown struct{ List List }
	// Peeked answers Peek.
	Peeked struct {
		Gen int
		Err error
	}
	// Introduced answers Introduce.
	Introduced struct{ Err error }
	// Rested says that nobody needs anything just now.
	Rested struct{}
	// Proved answers Prove: with At the cache held at that moment what the
	// server has. Differs: it did not, and conversations were Repaired, all but
	// those in what is Left. Neither, nor Err: it gave way, and is to be tried
	// again.
	Proved struct {
		Gen      int
		At       chat.Time
		Differs  bool
		Repaired int
		Left     int // buckets that differ still
		Err      error
	}
)

func (Started) event()    {}
func (Ticked) event()     {}
func (Woken) event()      {}
func (Doubted) event()    {}
func (Opened) event()     {}
func (Lost) event()       {}
func (Heard) event()      {}
func (Ponged) event()     {}
func (Applied) event()    {}
func (Stored) event()     {}
func (Pulled) event()     {}
func (PullFailed) event() {}
func (Filling) event()    {}
func (Filled) event()     {}
func (FillFailed) event() {}
func (Shown) event()      {}
func (Peeked) event()     {}
func (Introduced) event() {}
func (Rested) event()     {}
func (Proved) event()     {}

// Action is something the machine wants done.
type Action interface{ action() }

// FillKind says how the cache is to be filled.
type FillKind string

// The kinds of fills.
const (
	FillBootstrap FillKind = "bootstrap" // empty, or another epoch: everything, then sweep
	FillState     FillKind = "state"     // far behind: what changed, without each step
	FillGained    FillKind = "gained"    // the member sees more: load it, keep the position
)

// The actions.
type (
	// Dial opens a socket; it answers with Opened or Lost of the same Gen.
	Dial struct {
		Gen   int
		After int64
		Epoch string
	}
	// Abandon drops a socket without waiting for anything.
	Abandon struct{ Gen int }
	// Ping asks for a sign of life.
	Ping struct{ Gen int }
	// Apply writes a packet; answered by Applied before any other event.
	Apply struct{ Packet protocol.Packet }
	// Pull fetches one page of the change log.
	Pull struct {
		After int64
		Epoch string
	}
	// GiveUp ends the pull under way, which answers with PullFailed.
	GiveUp struct{}
	// Fill loads the cache in bulk; a fill before it is given up. Another says
	// that the log is another than the one the cache has followed.
	Fill struct {
		Gen     int
		Kind    FillKind
		After   int64
		Epoch   string
		Another bool
	}
	// SignOut ends everything: the session is no more.
	SignOut struct{ Wipe bool }
	// Online says that the server was reached again: what waited may go out.
	Online struct{}
	// Peek brings the first page of a list into the cache, beside whatever
	// catches up; answered by Peeked.
	Peek struct {
		Gen  int
		List List
	}
	// Introduce loads the contacts of conversations that came without them;
	// answered by Introduced.
	Introduce struct{}
	// Prove compares the cache with the server; answered by Proved.
	Prove struct{ Gen int }
	// Write tries whether the cache can be written again; answered by Stored,
	// unless something that is to be written tells it anyway.
	Write struct{}
)

func (Dial) action()      {}
func (Abandon) action()   {}
func (Ping) action()      {}
func (Apply) action()     {}
func (Pull) action()      {}
func (GiveUp) action()    {}
func (Fill) action()      {}
func (SignOut) action()   {}
func (Online) action()    {}
func (Write) action()     {}
func (Peek) action()      {}
func (Introduce) action() {}
func (Prove) action()     {}
