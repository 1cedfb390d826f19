// Package protocol is what crosses the wire between parleyd and everything
// that speaks to it: commands and their results, packets of the change log,
// frames of the live sockets, problem documents, requests and answers. It also
// holds the Go client that the desktop uses.
//
// Shapes here are a contract with other programs: fields and kinds are added,
// never renamed or removed. docs/protocol.md describes each of them.
package protocol

import (
	"encoding/json"

	"parley/backend/chat"
)

// Version is the protocol's number, sent as Parley-Protocol in both directions.
const Version = "1"

// VersionHeader carries Version.
const VersionHeader = "Parley-Protocol"

// The limits that both sides keep.
const (
	MaxBody        = 1 << 20   // bytes of a JSON request
	MaxFrame       = 1 << 20   // bytes of a frame on a socket
	MaxPacketBytes = 512 << 10 // bytes of one packet of changes, roughly
	MaxCommands    = 100       // commands in one request
	MaxChanges     = 1000      // changes in one page
	FarBehind      = 20_000    // changes; further behind, GET /v1/state answers
	BeatSeconds    = 20        // between two beats of a socket
)

// Packet is everything the receiver may see in (From, To]. A client applies it
// only if From is its own position, in one transaction with the new position.
type Packet struct {
	From    int64         `json:"from"`
	To      int64         `json:"to"`
	Changes []chat.Change `json:"changes"`
}

// ChangesPage answers GET /v1/changes.
type ChangesPage struct {
	Packet
	Head  int64  `json:"head"`
	More  bool   `json:"more"`
	Epoch string `json:"epoch"`
}

// BootstrapHead is the first line of a bootstrap or state answer.
type BootstrapHead struct {
	Head   int64        `json:"head"`
	Epoch  string       `json:"epoch"`
	Access *chat.Access `json:"access,omitempty"` // what the member may see
	Since  chat.Time    `json:"since,omitzero"`   // conversations are in it that are open or were active since
	Total  int64        `json:"total,omitempty"`  // conversations to come, for a progress bar; 0: not known
}

// BootstrapLine is one entity of a bootstrap or state answer. Cursor, when
// set, is where to continue after a break.
type BootstrapLine struct {
	Kind         chat.EntityKind     `json:"kind"`
	ID           string              `json:"id"`
	Op           chat.Op             `json:"op"`
	Ver          int64               `json:"ver"`
	Brand        chat.BrandID        `json:"brand,omitzero"`
	Conversation chat.ConversationID `json:"conversation,omitzero"`
	Data         json.RawMessage     `json:"data,omitempty"`
	Cursor       string              `json:"cursor,omitempty"`
}

// BootstrapEnd is the last line: a cut-off answer lacks it.
type BootstrapEnd struct {
	End    bool           `json:"end"`
	Counts map[string]int `json:"counts"` // per kind, of this answer
	More   bool           `json:"more"`   // continue from Cursor
	Cursor string         `json:"cursor,omitempty"`
}

// Commands is the body of POST /v1/commands.
type Commands struct {
	Commands []chat.Command `json:"commands"`
}

// Results is its answer, in order.
type Results struct {
	Results []Result `json:"results"`
}

// Status says how a command was judged.
type Status string

// The statuses.
const (
	StatusApplied   Status = "applied"
	StatusDuplicate Status = "duplicate" // judged before: same seq, data or problem
	StatusRefused   Status = "refused"
)

// Result is the verdict on one command.
type Result struct {
	ID      chat.CommandID  `json:"id"`
	Status  Status          `json:"status"`
	Seq     int64           `json:"seq,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"` // the entity the command made or changed
	Problem *Problem        `json:"problem,omitempty"`
}

// Problem is an RFC 9457 problem document with Parley's members.
type Problem struct {
	Type       string         `json:"type"`
	Title      string         `json:"title"`
	Status     int            `json:"status"`
	Code       chat.Code      `json:"code"`
	Detail     string         `json:"detail"`
	Field      string         `json:"field,omitempty"`
	RetryAfter float64        `json:"retry_after,omitempty"` // seconds
	Messages   []chat.Message `json:"messages,omitempty"`    // newer_messages
	Holder     *chat.Holder   `json:"holder,omitempty"`      // held_by_other
	By         *chat.Actor    `json:"by,omitempty"`          // resolved: who did it
	At         chat.Time      `json:"at,omitzero"`           // resolved, window_closed: when
	Wipe       bool           `json:"wipe,omitempty"`        // unauthorized: the device must forget everything
}

// Error makes a Problem usable as a Go error.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// The kinds of commands.
const (
	MessageSend         = "message.send"
	MessageUnschedule   = "message.unschedule"
	MessageRetry        = "message.retry"
	CommentAdd          = "comment.add"
	ConversationRead    = "conversation.read"
	ConversationUnread  = "conversation.unread"
	ConversationResolve = "conversation.resolve"
	ConversationReopen  = "conversation.reopen"
	ConversationAssign  = "conversation.assign"
	HandoffAccept       = "handoff.accept"
	HandoffRelease      = "handoff.release"
	ContactUpdate       = "contact.update"
	DraftPut            = "draft.put"
	DraftDrop           = "draft.drop"
	SettingsPut         = "settings.put"
	ChannelPut          = "channel.put"
	MePut               = "me.put"
)

// MessageSendArgs are the args of message.send. The answer's data is the
// message, or what is scheduled.
type MessageSendArgs struct {
	Conversation chat.ConversationID `json:"conversation"`
	Message      chat.MessageID      `json:"message"`
	Parts        []chat.Part         `json:"parts"`
	ReplyTo      chat.MessageID      `json:"reply_to,omitzero"`
	Force        bool                `json:"force,omitempty"`
	// Over is the colleague whose firm hold does not count, as its author was
	// told of it; all else that Force passes still counts.
	Over chat.MemberID `json:"over,omitzero"`
	// SendAt is when the message is to go out; absent, or just past: at once. One
	// long past is refused: that was not what its author wanted. With a moment to
	// come the server keeps it and sends it then; the same message id
	// again, with a new command, puts another moment or text in its place.
	SendAt chat.Time `json:"send_at,omitzero"`
	// Draft is how far the author's device had followed the log when the text was
	// made: a draft that is newer is another text and stays. Absent: the draft of
	// the same kind goes, whichever it is.
	Draft *int64 `json:"draft,omitempty"`
}

// MessageArgs are the args of message.unschedule, whose answer's data is what
// was scheduled, and of message.retry, whose answer's data is the message.
type MessageArgs struct {
	Conversation chat.ConversationID `json:"conversation"`
	Message      chat.MessageID      `json:"message"`
}

// CommentAddArgs are the args of comment.add. The answer's data is the message.
type CommentAddArgs struct {
	Conversation chat.ConversationID `json:"conversation"`
	Message      chat.MessageID      `json:"message"`
	Text         string              `json:"text"`
	Mentions     []chat.MemberID     `json:"mentions,omitempty"`
	Draft        *int64              `json:"draft,omitempty"` // as in MessageSendArgs
}

// ConversationArgs are the args of the commands that need only the
// conversation: resolve, reopen, handoff.accept, handoff.release.
type ConversationArgs struct {
	Conversation chat.ConversationID `json:"conversation"`
	Force        bool                `json:"force,omitempty"`
}

// ReadArgs are the args of conversation.read (Upto) and conversation.unread
// (From: this message and later ones are unread again; absent: the newest
// customer message).
type ReadArgs struct {
	Conversation chat.ConversationID `json:"conversation"`
	Upto         int64               `json:"upto,omitempty"`
	From         int64               `json:"from,omitempty"`
}

// AssignArgs are the args of conversation.assign. A null member unassigns; an
// absent one is refused.
type AssignArgs struct {
	Conversation chat.ConversationID `json:"conversation"`
	Member       chat.MemberID       `json:"member"`
}

// ContactUpdateArgs are the args of contact.update; absent fields stay.
type ContactUpdateArgs struct {
	Contact chat.ContactID `json:"contact"`
	Name    *string        `json:"name,omitempty"`
	Email   *string        `json:"email,omitempty"`
	Phone   *string        `json:"phone,omitempty"`
}

// DraftPutArgs are the args of draft.put.
type DraftPutArgs struct {
	Conversation chat.ConversationID `json:"conversation"`
	Text         string              `json:"text"`
	Comment      bool                `json:"comment,omitempty"`
	// Base is how far the device had followed the log: a draft that was put or
	// dropped after that is not replaced. Absent: whichever it is.
	Base *int64 `json:"base,omitempty"`
	// Device tells the member's devices apart, by a name that each gives itself.
	Device string `json:"device,omitempty"`
}

// DraftDropArgs are the args of draft.drop.
type DraftDropArgs struct {
	Conversation chat.ConversationID `json:"conversation"`
	Base         *int64              `json:"base,omitempty"` // as in DraftPutArgs
}

// FrameType names a frame of a live socket.
type FrameType string

// The frame types.
const (
	FrameHello    FrameType = "hello"
	FrameWelcome  FrameType = "welcome"
	FrameChanges  FrameType = "changes"
	FrameBehind   FrameType = "behind"
	FrameBeat     FrameType = "beat"
	FrameTyping   FrameType = "typing"
	FrameViewing  FrameType = "viewing"
	FramePresence FrameType = "presence"
	// Visitors' sockets only.
	FrameMessage FrameType = "message"
	FrameRead    FrameType = "read"
	FrameState   FrameType = "state"
)

// Frame is any frame of the members' live socket, both directions; which
// fields are set follows from Type.
type Frame struct {
	Type FrameType `json:"type"`
	// hello
	After  *int64 `json:"after,omitempty"`
	Client string `json:"client,omitempty"`
	Token  string `json:"token,omitempty"` // browsers, which cannot set headers
	Epoch  string `json:"epoch,omitempty"` // also in welcome
	// welcome, behind, beat
	Head int64     `json:"head,omitempty"`
	Beat float64   `json:"beat,omitempty"` // seconds
	At   chat.Time `json:"at,omitzero"`
	// changes
	From    int64         `json:"from,omitempty"`
	To      int64         `json:"to,omitempty"`
	Changes []chat.Change `json:"changes,omitempty"`
	// ephemera
	Conversation chat.ConversationID `json:"conversation,omitzero"`
	Member       chat.MemberID       `json:"member,omitzero"`
	Contact      chat.ContactID      `json:"contact,omitzero"`
	Status       string              `json:"status,omitempty"` // presence: online, away, offline
	TTL          int                 `json:"ttl,omitempty"`    // seconds
}

// The closing codes of live sockets.
const (
	CloseSignedOut  = 4001
	CloseRevoked    = 4002 // wipe
	CloseTooOld     = 4003
	CloseTooSlow    = 4008
	CloseRestarting = 1012
)

// SignIn is the body of POST /v1/session.
type SignIn struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Device   string `json:"device"`
	OTP      string `json:"otp,omitempty"`
}

// SignedIn is its answer.
type SignedIn struct {
	Token     string         `json:"token"`
	Member    chat.Member    `json:"member"`
	Workspace chat.Workspace `json:"workspace"`
	Session   chat.SessionID `json:"session"`
}

// Setup is the body of POST /v1/setup.
type Setup struct {
	Token     string `json:"token"` // printed in the log of an empty backend
	Workspace string `json:"workspace"`
	Email     string `json:"email"`
	Name      string `json:"name,omitempty"`
	Password  string `json:"password"`
}

// Created names what setup made; `parleyd init --json` prints it.
type Created struct {
	Workspace chat.WorkspaceID `json:"workspace"`
	Member    chat.MemberID    `json:"member"`
	Brand     chat.BrandID     `json:"brand"`
	Channel   CreatedChannel   `json:"channel"`
}

// CreatedChannel is the web channel that setup made.
type CreatedChannel struct {
	ID   chat.ChannelID `json:"id"`
	Key  string         `json:"key"`
	Slug string         `json:"slug"`
}

// MessagesPage answers GET /v1/conversations/{id}/messages. Range is what the
// page covers without holes, [0,0] when nothing.
type MessagesPage struct {
	Range    [2]int64       `json:"range"`
	Head     int64          `json:"head"`
	Messages []chat.Message `json:"messages"`
}

// ConversationsPage answers GET /v1/conversations, with the contacts its rows
// point to.
type ConversationsPage struct {
	Conversations []chat.Conversation `json:"conversations"`
	Contacts      []chat.Contact      `json:"contacts"`
	Cursor        string              `json:"cursor,omitempty"` // absent on the last page
	// With are the conversations asked for by id, as far as they can be seen.
	With []chat.Conversation `json:"with,omitempty"`
}

// SearchPage answers GET /v1/search: conversations found by their contact, and
// messages with their conversations, the newest first and one of each
// conversation. On a later page a conversation may come again with an older one.
type SearchPage struct {
	Conversations []chat.Conversation `json:"conversations"`
	Contacts      []chat.Contact      `json:"contacts"`
	Messages      []chat.Message      `json:"messages"`
	Cursor        string              `json:"cursor,omitempty"` // absent on the last page
}

// ContactsPage answers GET /v1/contacts, the newest first.
type ContactsPage struct {
	Contacts []chat.Contact `json:"contacts"`
	Cursor   string         `json:"cursor,omitempty"` // absent on the last page
}

// VisitorSession is the body of POST /v1/visitor/session.
type VisitorSession struct {
	Channel      string            `json:"channel"` // key of the web channel
	VisitorToken string            `json:"visitor_token,omitempty"`
	Profile      *VisitorProfile   `json:"profile,omitempty"`
	Page         string            `json:"page,omitempty"`
	Referrer     string            `json:"referrer,omitempty"`
	UTM          map[string]string `json:"utm,omitempty"`
	Language     string            `json:"language,omitempty"`
	Timezone     string            `json:"timezone,omitempty"`
}

// VisitorProfile is what the embedding page says about the visitor. With
// UserID and a right UserHash (hex HMAC-SHA256 of UserID under the channel's
// secret) it is proven; without, it is only a claim.
type VisitorProfile struct {
	UserID   string `json:"user_id,omitempty"`
	UserHash string `json:"user_hash,omitempty"`
	Name     string `json:"name,omitempty"`
	Email    string `json:"email,omitempty"`
	Phone    string `json:"phone,omitempty"`
}

// VisitorSessionAnswer is its answer.
type VisitorSessionAnswer struct {
	VisitorToken string              `json:"visitor_token"`
	Conversation chat.ConversationID `json:"conversation,omitzero"`
	Settings     VisitorSettings     `json:"settings"`
}

// VisitorSettings is what the widget needs to know about its channel.
type VisitorSettings struct {
	Title        string   `json:"title"`
	Greeting     string   `json:"greeting,omitempty"`
	Color        string   `json:"color,omitempty"`
	Language     string   `json:"language,omitempty"`
	Theme        string   `json:"theme,omitempty"`
	AskName      bool     `json:"ask_name,omitempty"`
	AskEmail     bool     `json:"ask_email,omitempty"`
	Suggested    []string `json:"suggested,omitempty"`
	MaxFileBytes int64    `json:"max_file_bytes"`
}

// VisitorSend is the body of POST /v1/visitor/messages, idempotent by ID.
type VisitorSend struct {
	ID    chat.MessageID `json:"id"`
	Text  string         `json:"text"`
	Files []VisitorFile  `json:"files,omitempty"`
}

// VisitorFile names a file the visitor has uploaded.
type VisitorFile struct {
	SHA256 string `json:"sha256"`
	Name   string `json:"name"`
}

// VisitorMessage is a message as the visitor may see it: no internal ids but
// the message's own, the author as "you", a first name or the brand.
type VisitorMessage struct {
	ID        chat.MessageID `json:"id"`
	Number    int64          `json:"number"`
	Author    VisitorAuthor  `json:"author"`
	Parts     []chat.Part    `json:"parts"`
	SentAt    chat.Time      `json:"sent_at"`
	EditedAt  chat.Time      `json:"edited_at,omitzero"`
	DeletedAt chat.Time      `json:"deleted_at,omitzero"`
}

// VisitorAuthor is who wrote, as a visitor may know it.
type VisitorAuthor struct {
	Kind chat.ActorKind `json:"kind"`
	Name string         `json:"name,omitempty"`
}

// VisitorMessages answers GET /v1/visitor/messages?after=NUMBER: everything
// the visitor may see in (From, To]. A To before From says that the thread ends
// there: the visitor has more than the server, which was restored from an older
// backup, and begins again from 0.
type VisitorMessages struct {
	From     int64            `json:"from"`
	To       int64            `json:"to"`
	Messages []VisitorMessage `json:"messages"`
}

// VisitorSent answers POST /v1/visitor/messages.
type VisitorSent struct {
	Message VisitorMessage `json:"message"`
}

// VisitorMessageFrame is the frame "message" as the server writes it: its own
// type, as a number counts also when it is 0. From is the number before the
// message that the visitor knows of. A To before From, without a message, says
// that the thread ends there: the visitor has more than the server, which was
// restored from an older backup, and begins again from 0.
type VisitorMessageFrame struct {
	Type    FrameType       `json:"type"`
	From    int64           `json:"from"`
	To      int64           `json:"to"`
	Message *VisitorMessage `json:"message,omitempty"`
}

// VisitorFrame is any frame of a visitor's socket, both directions, as it is
// read; a "message" is written as VisitorMessageFrame.
// Client first: hello with token and after (a message number).
type VisitorFrame struct {
	Type    FrameType       `json:"type"`
	Token   string          `json:"token,omitempty"`
	After   int64           `json:"after,omitempty"`
	Message *VisitorMessage `json:"message,omitempty"` // message
	From    int64           `json:"from,omitempty"`    // message: the number before it that the visitor knows of
	To      int64           `json:"to,omitempty"`
	Name    string          `json:"name,omitempty"`   // typing: who
	TTL     int             `json:"ttl,omitempty"`    // typing, seconds
	Upto    int64           `json:"upto,omitempty"`   // read: up to this number
	Status  chat.Status     `json:"status,omitempty"` // state
	Beat    int             `json:"beat,omitempty"`   // welcome, seconds
	At      chat.Time       `json:"at,omitzero"`
}
