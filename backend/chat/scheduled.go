package chat

import (
	"encoding/json"
	"time"
)

// Scheduled is a message that its author wants sent later. The server keeps it
// and sends it when it is due; then it is gone and the message is there, with
// the same id. Where the message is refused, Problem says why, and it waits for
// its author.
type Scheduled struct {
	ID           MessageID      `json:"id"` // of the message
	Ver          int64          `json:"ver"`
	Conversation ConversationID `json:"conversation"`
	Member       MemberID       `json:"member"` // the author; nobody else sees it
	Parts        []Part         `json:"parts"`
	ReplyTo      MessageID      `json:"reply_to,omitzero"`
	SendAt       Time           `json:"send_at"`
	// Seen is the highest number the author had in view; nil switches the guard
	// off, as in a command.
	Seen      *int64   `json:"seen,omitempty"`
	Force     bool     `json:"force,omitempty"`
	Over      MemberID `json:"over,omitzero"` // whose firm hold does not count
	CreatedAt Time     `json:"created_at"`
	// Problem is the protocol's problem document of a refusal.
	Problem json.RawMessage `json:"problem,omitempty"`
}

// MaxSchedule is how far ahead a message may be scheduled.
const MaxSchedule = 366 * 24 * time.Hour

// ScheduleGrace is how long after its moment a message that was to go out later
// may still be handed in, to go out at once.
const ScheduleGrace = time.Minute

// Text gives the text of what is scheduled, parts joined by a newline.
func (s Scheduled) Text() string { return Message{Parts: s.Parts}.Text() }

// MaxUndo is the longest time a member may have to take a message back before
// it is handed in.
const MaxUndo = 30 * time.Second
