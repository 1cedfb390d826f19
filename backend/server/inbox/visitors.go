package inbox

import (
	"context"
	"io"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// Visitors is what a web channel may ask of the inbox: everything a customer
// can do, and nothing else. Every call is scoped by the Visitor it is given,
// so a channel cannot reach another customer's conversation by mistake.
//
// Errors are *chat.Error: CodeUnauthorized for an unknown token, CodeNotFound
// for an unknown channel, CodeInvalid with the field for bad input,
// CodeIDReused when a message id belongs to somebody else's message.
type Visitors interface {
	// ChannelByKey and ChannelBySlug find a web channel by what stands in a
	// page. Answers are cached for a moment, so calling them per request is cheap.
	ChannelByKey(ctx context.Context, key string) (chat.WorkspaceID, chat.Channel, error)
	ChannelBySlug(ctx context.Context, slug string) (chat.WorkspaceID, chat.Channel, error)
	// Settings are the workspace's, among them the largest file.
	Settings(ctx context.Context, ws chat.WorkspaceID) (chat.WorkspaceSettings, error)

	// OpenVisitor gives the visitor of a token, or a new one. newToken is set
	// only when a token was made: the visitor keeps it, the server only its
	// hash. An unknown token, or one of another channel, is not an error: a
	// new one is made. A proven user id finds the same person on every device.
	OpenVisitor(ctx context.Context, open OpenVisitor) (v Visitor, newToken string, err error)
	// Visitor finds the visitor of a token. Cheap: cached in memory.
	Visitor(ctx context.Context, token string) (Visitor, error)

	// Say stores a customer's message, once per id: the same id again by the
	// same visitor answers the same message. The first one makes the contact
	// and the conversation; one in a resolved conversation reopens it. It
	// returns after the commit is durable.
	Say(ctx context.Context, v Visitor, id chat.MessageID, parts []chat.Part) (chat.Message, error)
	// VisitorMessages gives what the visitor may see in (after, to]: messages,
	// never comments or events. Numbers of other rows are jumped over by to.
	// A to before from says that the thread is shorter than the visitor's, as
	// it is when the server was restored from an older backup.
	// Files of deleted messages are gone: they come as stubs without parts.
	VisitorMessages(ctx context.Context, v Visitor, after int64) (from, to int64, msgs []chat.Message, err error)
	// VisitorRead records that the visitor has seen everything up to a number.
	VisitorRead(ctx context.Context, v Visitor, upto int64) error
	// VisitorTyping shows members that the visitor is typing.
	VisitorTyping(ctx context.Context, v Visitor)
	// SubscribeVisitor calls notify whenever something may have changed in the
	// visitor's conversation, or a member is typing there, until cancel is
	// called. notify must not block and may be called at any time, also
	// without a change; also for a conversation that begins later. After
	// cancel has returned, notify is not called again.
	SubscribeVisitor(v Visitor, notify func(VisitorHint)) (cancel func())
	// Standing is how the visitor's conversation stands; zero before the first
	// message.
	Standing(ctx context.Context, v Visitor) (Standing, error)

	// MemberName is the first name of a member, as customers may know it; ""
	// when there is no such member.
	MemberName(ctx context.Context, ws chat.WorkspaceID, id string) string
	// BrandName is what the company calls itself in this channel.
	BrandName(ctx context.Context, ws chat.WorkspaceID, id chat.BrandID) string

	// HasFile reports whether this visitor need not bring a file: they have
	// brought it before, or it is in their own conversation.
	HasFile(ctx context.Context, v Visitor, sha256 string) (bool, error)
	// PutFile stores a piece of a file. done says the file is complete and its
	// hash right; received is how far it has got. A content that does not hash
	// to its name is CodeUnsupported, too large CodeTooLarge.
	PutFile(ctx context.Context, v Visitor, up Upload) (received int64, done bool, err error)
	// FileReceived tells how far the visitor's upload of a file has got.
	FileReceived(ctx context.Context, v Visitor, sha256 string) (int64, error)
	// OpenFile opens a file that is part of a message in the visitor's own
	// conversation; any other is not found. The caller closes it.
	OpenFile(ctx context.Context, v Visitor, sha256 string) (chat.File, io.ReadSeekCloser, error)
}

// Visitor is one customer's browser: a token bound to one identity on one
// web channel.
type Visitor struct {
	Workspace    chat.WorkspaceID
	Channel      chat.Channel
	TokenHash    []byte // SHA-256 of the token; also a key for rate limits
	Contact      chat.ContactID
	Conversation chat.ConversationID // zero before the first message
}

// Standing is what a visitor may know of their conversation as a whole.
type Standing struct {
	Status chat.Status
	// Read is the number up to which the company has read; 0 also where the
	// channel's settings keep that to themselves.
	Read int64
}

// OpenVisitor is what a web channel knows when a page opens the widget.
type OpenVisitor struct {
	Workspace chat.WorkspaceID
	Channel   chat.Channel
	Token     string // the visitor's, "" on the first visit
	Profile   *protocol.VisitorProfile
	// Verified says that Profile.UserHash was right; the channel checks it
	// against Channel.Secret. Without, Profile is only a claim.
	Verified bool
	Origin   *chat.Origin
	Language string
	Timezone string
	Device   string
	Browser  string
}

// HintKind says what a VisitorHint is about.
type HintKind string

// The kinds of hints.
const (
	// HintChanged: read again from the last number known (messages, edits,
	// deletions, status).
	HintChanged HintKind = "changed"
	// HintTyping: a member is typing; Name and TTL are set.
	HintTyping HintKind = "typing"
)

// VisitorHint tells a visitor's socket that something may be new. It carries
// no content: truth is read through VisitorMessages.
type VisitorHint struct {
	Kind         HintKind
	Conversation chat.ConversationID
	Name         string // typing: the member's first name
	TTL          int    // typing: seconds
}

// Upload is one piece of a file.
type Upload struct {
	SHA256 string // 64 lower-case hex digits
	Name   string
	Offset int64
	Length int64 // bytes in Body
	Total  int64 // bytes of the whole file
	Body   io.Reader
}
