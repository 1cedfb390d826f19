package desktop

import (
	"encoding/json"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// AppState is everything the window knows outside lists and threads.
type AppState struct {
	Accounts   []Account       `json:"accounts"`
	Account    *string         `json:"account"`
	Me         json.RawMessage `json:"me"`
	Workspace  json.RawMessage `json:"workspace"`
	Brands     any             `json:"brands"`
	Channels   any             `json:"channels"`
	Members    any             `json:"members"`
	Connection Connection      `json:"connection"`
	Warnings   []Warning       `json:"warnings"`
	ShareLinks []ShareLink     `json:"share_links"`
	Loaded     bool            `json:"loaded"` // the first load of this account's cache is complete
	Cached     Cached          `json:"cached"`
	Outbox     OutboxCounts    `json:"outbox"`
	Version    string          `json:"version"`
}

// AccountKind says where an account's server is.
type AccountKind string

// The kinds of accounts.
const (
	AccountEmbedded AccountKind = "embedded" // inside this program
	AccountRemote   AccountKind = "remote"
)

// Account is a workspace this program is, or was, signed in to.
type Account struct {
	ID        string      `json:"id"`
	Server    string      `json:"server"`
	Email     string      `json:"email"`
	Workspace string      `json:"workspace"` // its name
	Kind      AccountKind `json:"kind"`
	Active    bool        `json:"active"`
	SignedOut bool        `json:"signed_out"`
	// Outbox is how much waits in it; of an account that is not open, as it was left.
	Outbox OutboxCounts `json:"outbox"`
}

// Connection is how fresh what the window shows is.
type Connection struct {
	Status    string    `json:"status"`
	Since     chat.Time `json:"since"`      // offline: since when
	CheckedAt chat.Time `json:"checked_at"` // when we last knew that nothing was missing
	Proven    bool      `json:"proven"`     // and what is here was compared with the server
	Position  int64     `json:"position"`
	Head      int64     `json:"head"`
	Progress  *Progress `json:"progress"`
	Problem   *string   `json:"problem"`
	Remedy    string    `json:"remedy,omitempty"` // what helps against the problem: see RemedySetAside
}

// Progress is how far a first load has got; a total of 0 is not known.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// Warning is a condition the agent must know about.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// ShareLink is the page of a web channel that customers can write from.
type ShareLink struct {
	Channel string `json:"channel"`
	Name    string `json:"name"`
	Brand   string `json:"brand"`
	URL     string `json:"url"`
}

// Cached says how much can be read without a line.
type Cached struct {
	Conversations int64 `json:"conversations"`
	Readable      int64 `json:"readable"` // of them, whose newest messages are here
}

// OutboxCounts says how much is on its way. Refused and failed is what Unsent
// lists.
type OutboxCounts struct {
	Queued  int `json:"queued"`
	Refused int `json:"refused"` // what this device keeps and waits for its author: texts, changes, drafts
	Failed  int `json:"failed"`  // on the server: refused when due, or not delivered
	// Unconfirmed are those of Queued that have waited for too long; Unsent lists them too.
	Unconfirmed int `json:"unconfirmed"`
}

// Counts are the unread conversations of each brand and each quick list.
type Counts struct {
	Brands map[string]int64 `json:"brands"`
	Quick  map[string]int64 `json:"quick"`
}

// ListQuery asks for one page of the chat list.
type ListQuery struct {
	Brand string `json:"brand"` // empty: all
	Quick string `json:"quick"` // all, unread, mine, unassigned, unresolved, resolved
	// Search is what was typed, in the language of the package search; empty: the list.
	Search string `json:"search"`
	Best   bool   `json:"best"` // of a search: what fits best first, else by time
	Oldest bool   `json:"oldest"`
	// Turn grows with every question the window asks: a search is over as soon as
	// something else is asked. 0 ends no other.
	Turn   int64  `json:"turn"`
	Cursor string `json:"cursor"`
	Limit  int    `json:"limit"`
}

// ListPage is its answer; an empty Next says that it was the last page.
type ListPage struct {
	Rows []ListRow `json:"rows"`
	Next string    `json:"next"`
}

// ListRow is one entry of the chat list.
type ListRow struct {
	Conversation json.RawMessage `json:"conversation"`
	Label        string          `json:"label"`
	ChannelKind  string          `json:"channel_kind"`
	Brand        string          `json:"brand"`
	AssigneeName string          `json:"assignee_name"`
	Draft        string          `json:"draft"`
	Pending      int             `json:"pending"`       // texts still on their way out
	Refused      int             `json:"refused"`       // texts that were refused and wait for their author
	Hit          *cache.Hit      `json:"hit,omitempty"` // of a search: what was found, unless the contact was
}

// ConversationView is a conversation with what stands around it.
type ConversationView struct {
	Conversation json.RawMessage   `json:"conversation"`
	Contact      json.RawMessage   `json:"contact"`
	Channel      json.RawMessage   `json:"channel"`
	Abilities    chat.Abilities    `json:"abilities"`
	Draft        *Draft            `json:"draft"`
	Others       []json.RawMessage `json:"others"` // of the same contact
}

// Draft is unsent text. Account is the id of the account it was typed in;
// empty: whichever is open.
type Draft struct {
	Text    string `json:"text"`
	Comment bool   `json:"comment"`
	Account string `json:"account,omitempty"`
}

// ThreadQuery asks for part of a thread: at most one of Before, After, Around,
// or none for the newest.
type ThreadQuery struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
	Around int64 `json:"around"`
	Limit  int   `json:"limit"`
}

// ThreadPage is part of a thread: confirmed messages in the order of their
// numbers, then what is on its way.
type ThreadPage struct {
	Messages []json.RawMessage `json:"messages"`
	From     int64             `json:"from"`
	To       int64             `json:"to"`
	Head     int64             `json:"head"`
	Pending  []OutboxEntry     `json:"pending"`
	Complete bool              `json:"complete"` // nothing older exists
	Loading  bool              `json:"loading"`  // a hole is being filled; a "thread" event follows
}

// OutboxEntry is text typed here that the server has not confirmed yet.
type OutboxEntry struct {
	ID           string            `json:"id"`      // the command's
	Message      string            `json:"message"` // the message's, the same once confirmed
	Conversation string            `json:"conversation"`
	Kind         string            `json:"kind"`
	Text         string            `json:"text"`
	Comment      bool              `json:"comment"`
	State        string            `json:"state"` // held, queued, sending, refused, scheduled, undelivered
	Problem      *protocol.Problem `json:"problem"`
	CreatedAt    chat.Time         `json:"created_at"`
	Due          chat.Time         `json:"due"`     // until then it can be taken back; null: it cannot
	SendAt       chat.Time         `json:"send_at"` // when the server sends it; null: at once
	Attempts     int               `json:"attempts"`
	ReplyTo      chat.MessageID    `json:"reply_to,omitzero"` // the message it quotes
	Then         []string          `json:"then"`              // refused: the kinds of commands that wait for its author to decide
}

// UnsentEntry is text that needs its author, wherever it was meant to go.
type UnsentEntry struct {
	OutboxEntry
	Label     string `json:"label"`     // of the customer; empty when that is no longer known here
	Reachable bool   `json:"reachable"` // the conversation can still be opened
	// Unconfirmed: it has waited for ten minutes or more, and goes out by itself.
	Unconfirmed bool `json:"unconfirmed"`
}

// KindDraft is the kind of an UnsentEntry that was never sent off.
const KindDraft = "draft"

// MePut are the member's own choices to change; absent ones stay.
type MePut struct {
	ReadMode    *string `json:"read_mode"`
	SendKey     *string `json:"send_key"`
	Language    *string `json:"language"`
	UndoSeconds *int64  `json:"undo_seconds"` // 0 to 30
}

// NewMessage is what Send takes. Seen is the highest number in view, Account
// the id of the account the text was typed in (empty: whichever is open).
type NewMessage struct {
	Account string `json:"account,omitempty"`
	Text    string `json:"text"`
	Seen    int64  `json:"seen"`
	ReplyTo string `json:"reply_to"`
	// SendAt is when the server is to send it; absent: at once.
	SendAt chat.Time `json:"send_at"`
}

// NewComment is what Comment takes, with Account as in NewMessage.
type NewComment struct {
	Account  string   `json:"account,omitempty"`
	Text     string   `json:"text"`
	Mentions []string `json:"mentions"`
}

// Resend says how a refused text is tried again.
type Resend struct {
	Force bool    `json:"force"` // also over the hold that spoke against it
	Text  *string `json:"text"`  // instead of the old one
	Seen  int64   `json:"seen"`  // the highest number in view now
}

// Dropped hands the text of a given-up entry back to the composer.
type Dropped struct {
	Text string `json:"text"`
}

// ContactFields are the fields of a contact to change; absent ones stay.
type ContactFields struct {
	Name  *string `json:"name"`
	Email *string `json:"email"`
	Phone *string `json:"phone"`
}

// SignIn is what the sign-in form holds.
type SignIn struct {
	Server   string `json:"server"`
	Email    string `json:"email"`
	Password string `json:"password"`
}
