package store

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"parley/backend/chat"
)

// Options say where the data are.
type Options struct {
	// Data is the folder of the SQLite database, Data/parley.db. Unused with Database.
	Data string
	// Database is a postgres:// URL; empty means SQLite.
	Database string
	// MustExist refuses to make a database where there is none.
	MustExist bool
	// ReadOnly opens a database that is there without writing anything, so that
	// it works in a folder that is read-only or full; it is not migrated.
	ReadOnly bool
	// AnyVersion also opens what an older program wrote, with ReadOnly: a backup
	// of it is good.
	AnyVersion bool
	// Scratch is the folder for a copy, where ReadOnly cannot read the database
	// in its place; empty means the system's for temporary files.
	Scratch string
	// Now is the clock; nil means the system's.
	Now func() chat.Time
	// Log receives what an operator should know; nil means slog's default.
	Log *slog.Logger

	wholeBytes int64 // in place of the constant, for tests
}

// Meta says who caused a change and with which command.
type Meta struct {
	Actor chat.Actor
	Cause chat.CommandID
}

// Verdict is how a command was judged; a repeat of the command gets it again.
type Verdict struct {
	Actor   chat.MemberID
	ID      chat.CommandID
	Hash    []byte // of the command's body: the same id with another body is refused
	Seq     int64
	Status  string
	Data    json.RawMessage
	Problem json.RawMessage
	At      chat.Time
}

// Visitor is what a visitor's token stands for.
type Visitor struct {
	Workspace    chat.WorkspaceID
	TokenHash    []byte // SHA-256 of the token, which is stored nowhere
	Channel      chat.ChannelID
	Contact      chat.ContactID
	Conversation chat.ConversationID // zero before the first message
	CreatedAt    chat.Time
	// Arrival is what is known of the visitor before the first message makes
	// contact and conversation. The store only keeps it.
	Arrival json.RawMessage
}

// Row is one entity of a bootstrap or state answer. Cursor, when set, is where
// to continue after this row.
type Row struct {
	Kind         chat.EntityKind
	ID           string
	Ver          int64
	Brand        chat.BrandID
	Conversation chat.ConversationID
	Op           chat.Op
	Data         json.RawMessage
	Cursor       string
}

// Stream is a request for a bootstrap or state answer.
type Stream struct {
	// Days is the window: conversations that are open or were active in the
	// last Days days; 0 means all.
	Days int
	// Cursor continues an earlier answer; empty starts anew.
	Cursor string
	// MaxRows stops the answer at the first safe place after so many rows; 0
	// means everything in one answer.
	MaxRows int
	// Since is when the window begins; zero: Days before now.
	Since chat.Time
	// Buckets restricts a state answer to parts of a digest; nil does not.
	Buckets []int
	// Begin is called once, before the first row, with the head that the reader
	// catches up from afterwards, and with when the window begins. It may be nil.
	Begin func(head int64, epoch string, since chat.Time) error
	// Emit is called for each row; its error ends the answer and is returned.
	Emit func(Row) error
}

// ConversationFilter picks conversations; zero fields do not filter.
type ConversationFilter struct {
	Brand      chat.BrandID
	Channel    chat.ChannelID
	Contact    chat.ContactID
	Status     chat.Status
	State      chat.HandoffState
	Assignee   chat.MemberID
	Unread     bool
	Unassigned bool
	// Done picks those that are resolved or closed.
	Done bool
	// Oldest gives those with the oldest last message first.
	Oldest bool
	// Query are beginnings of words of the contact's name, e-mail or phone; all must match.
	Query string
	// called is Query as the package search has read it; see search.Beginnings.
	called [][]string
	// Brands and Channels are one of several; nil is any.
	Brands   []chat.BrandID
	Channels []chat.ChannelID
}

// Difference is one place where the database is not what it should be. It
// names no message text.
type Difference struct {
	Workspace chat.WorkspaceID
	Kind      string // an entity kind, or "log"
	ID        string
	Field     string
	Stored    string
	Want      string
}

// String words the difference for the output of parleyd check.
func (d Difference) String() string {
	return fmt.Sprintf("workspace %s: %s %s: %s is %s, should be %s", d.Workspace, d.Kind, d.ID, d.Field, d.Stored, d.Want)
}
