package cache

import (
	"encoding/json"
	"log/slog"

	"parley/backend/chat"
)

// Options are how a cache is opened.
type Options struct {
	Log *slog.Logger // nil: nothing is logged
	// OnDamage is called once, when a read or a write first meets a damaged
	// page: the cache should then be closed and opened again, which begins it
	// anew. It runs in a goroutine of its own that Close waits for, so it must
	// not close the cache itself and must give up when that is about to happen.
	OnDamage func(error)
	// OnIndexed is called when everything is in the index and a search since has
	// not had the time to read all that was not. It must not wait for the cache.
	OnIndexed func()
	Disk      Disk // nil: the disk does as it likes
	// Keys has the key that what the member has written is sealed with; nil: it
	// is kept open.
	Keys *Local
}

// Disk is asked before a write to a database becomes durable, and may refuse
// it, and told when it is. Tests stand in for a disk that is full with it, and
// for a program that is killed in between.
type Disk func(path, op string, durable bool) error

// before asks whether a write may become durable.
func (d Disk) before(path, op string) error {
	if d == nil {
		return nil
	}
	return d(path, op, false)
}

// after says that it is.
func (d Disk) after(path, op string) {
	if d != nil {
		_ = d(path, op, true) // too late to refuse
	}
}

// SetAside tells that the file found at opening could not be used and was
// renamed, so that the cache begins empty.
type SetAside struct {
	Reason string // a sentence
	Kept   string // where the old file is now
}

// Row is one entity as bootstrap lines and command answers carry it. Data is
// kept byte for byte, with whatever fields it has.
type Row struct {
	Kind chat.EntityKind
	ID   string  // of a draft: its conversation
	Ver  int64   // 0: as in Data
	Op   chat.Op // "" means put
	// Brand and Conversation place a message whose conversation is not cached
	// yet; where they follow from Data they may be zero.
	Brand        chat.BrandID
	Conversation chat.ConversationID
	Data         json.RawMessage
}

// Bootstrap is a first load or a reload of what the member may see.
type Bootstrap struct {
	Head  int64  `json:"head"`  // the position afterwards
	Epoch string `json:"epoch"` // of the log
	// Access is what the member may see; nil leaves it as it is.
	Access *chat.Access `json:"access,omitempty"`
	// Sweep removes at the end what was not named and has ver <= Head. It is
	// set for a whole bootstrap, not for a delta of state.
	Sweep bool `json:"sweep"`
	// Since is when the window begins that is loaded; 0: not known.
	Since chat.Time `json:"since,omitempty"`
	// Cursor is where to go on after a break; "" at the beginning.
	Cursor string `json:"cursor"`
	// Pages are the conversations of which pages of history came meanwhile.
	// They may be older than the bootstrap and are asked for again after it.
	Pages []chat.ConversationID `json:"pages,omitempty"`
}

// Applied says what a write has changed, for whoever shows it.
type Applied struct {
	// Conversations whose list row changed: themselves, their contact's label
	// or their draft.
	Conversations []chat.ConversationID
	// Threads whose messages changed.
	Threads  []chat.ConversationID
	Contacts []chat.ContactID
	// Directory: the workspace, a brand, a channel or a member changed.
	Directory bool
	// Access is set when what the member may see changed.
	Access *chat.Access
	// Gained says that the member sees more than before, which is not cached
	// yet: see Cache.Gained.
	Gained bool
	// Everything: so much changed (a purge, a sweep) that all must be read again.
	Everything bool
	// Unknown: a conversation came whose contact is not here; see Cache.Unknown.
	Unknown bool
	// Waiting: what the server is to send later is another.
	Waiting bool
	// Failed is what turned out with this write not to have gone out.
	Failed []Failed
	// Skipped rows could not be understood and were left out.
	Skipped int
}

// Quick names one of the lists every inbox has.
type Quick string

// The quick lists.
const (
	QuickAll        Quick = "all"
	QuickUnread     Quick = "unread"     // customer messages above the read position
	QuickMine       Quick = "mine"       // assigned to me, whatever the status
	QuickUnassigned Quick = "unassigned" // assigned to nobody, whatever the status
	QuickUnresolved Quick = "unresolved" // status open
	QuickResolved   Quick = "resolved"   // status resolved or closed
)

// ListQuery asks for one page of a list.
type ListQuery struct {
	Brand  chat.BrandID // zero: all brands
	Quick  Quick        // "": all
	Oldest bool         // oldest first
	Me     chat.MemberID
	Cursor string // of the page before; "": the first
	Limit  int    // at most MaxPage
}

// MaxPage is the most rows or messages one page holds.
const MaxPage = 200

// ListPage is one page of a list.
type ListPage struct {
	Rows []ListRow
	Next string // cursor of the next page; "" on the last
}

// ListRow is what a list shows of one conversation.
type ListRow struct {
	ID           chat.ConversationID `json:"-"`
	Conversation json.RawMessage     `json:"conversation"`
	Label        string              `json:"label"`
	ChannelKind  chat.ChannelKind    `json:"channel_kind"`
	Brand        chat.BrandID        `json:"brand"`
	AssigneeName string              `json:"assignee_name"`
	Draft        string              `json:"draft"` // as synced from the server
	Hit          *Hit                `json:"-"`     // what a search has found in it
}

// ThreadPage is a window on a thread: the messages numbered From to To as far
// as they are cached, in order.
type ThreadPage struct {
	Messages []json.RawMessage
	Numbers  []int64 // of Messages; a deleted one may be missing without a hole
	// From and To are the window's numbers; From is 1 + To when it is empty.
	From, To int64
	// Head is the newest number known of the conversation.
	Head int64
	// Holes are the ranges inside the window that are not cached.
	Holes [][2]int64
}

// Counts are the unread conversations per brand and per quick list.
type Counts struct {
	Brands map[string]int64 `json:"brands"` // by brand id
	Quick  map[Quick]int64  `json:"quick"`  // within the asked brand
}

// Stats say how much is cached.
type Stats struct {
	Conversations int64
	Readable      int64 // of them, those whose newest messages are here
}
