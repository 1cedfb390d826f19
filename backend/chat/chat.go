// Package chat is the domain of Parley: what a workspace, a conversation and a
// message are, and the rules that decide what may happen to them. It is pure:
// no clock, no database, no network. The JSON of its types is the JSON of the
// protocol, and their names are the names in SQL, in the API and in the window.
//
// Rules are methods that take what they need and answer with the new value or
// an *Error; they never reach for anything.
package chat

import (
	"encoding/json"
	"path"
	"strings"
)

// Workspace is the company; everything belongs to one.
type Workspace struct {
	ID       WorkspaceID       `json:"id"`
	Ver      int64             `json:"ver"`
	Name     string            `json:"name"`
	Settings WorkspaceSettings `json:"settings"`
}

// WorkspaceSettings are what an admin sets for everybody.
type WorkspaceSettings struct {
	// SendIntervalSeconds is the pause between two messages of one member in
	// one conversation, 0 to 60.
	SendIntervalSeconds int `json:"send_interval_seconds"`
	// MaxFileBytes is the largest file that may be sent, by anybody.
	MaxFileBytes int64 `json:"max_file_bytes"`
}

// DefaultWorkspaceSettings are those of a fresh workspace.
func DefaultWorkspaceSettings() WorkspaceSettings {
	return WorkspaceSettings{SendIntervalSeconds: 3, MaxFileBytes: 10 << 20}
}

// Brand is a face the company answers as.
type Brand struct {
	ID       BrandID `json:"id"`
	Ver      int64   `json:"ver"`
	Name     string  `json:"name"`
	Color    string  `json:"color"` // "#rrggbb"
	Position int     `json:"position"`
}

// ChannelKind says which network a channel is on.
type ChannelKind string

// The channel kinds.
const (
	KindWeb       ChannelKind = "web"
	KindWhatsApp  ChannelKind = "whatsapp"
	KindInstagram ChannelKind = "instagram"
	KindMessenger ChannelKind = "messenger"
	KindFacebook  ChannelKind = "facebook" // page comments
	KindTelegram  ChannelKind = "telegram"
	KindEmail     ChannelKind = "email"
	KindShopify   ChannelKind = "shopify"
	KindGeneric   ChannelKind = "generic"
)

// Channel is one connected account: a number, a mailbox, a widget.
type Channel struct {
	ID    ChannelID   `json:"id"`
	Ver   int64       `json:"ver"`
	Brand BrandID     `json:"brand"`
	Kind  ChannelKind `json:"kind"`
	Name  string      `json:"name"`
	Key   string      `json:"key"`  // public key of a web channel, in the script tag
	Slug  string      `json:"slug"` // path of its share-link page: /c/{slug}
	// Secret proves a visitor's identity (user_hash). Only the server has it:
	// it never appears in JSON.
	Secret   string          `json:"-"`
	Settings ChannelSettings `json:"settings"`
}

// ChannelSettings are the choices of one web channel.
type ChannelSettings struct {
	// Origins are the pages that may embed the widget ("https://shop.example"),
	// compared exactly. The share-link page is always allowed. Empty: no other page.
	Origins   []string `json:"origins,omitempty"`
	Title     string   `json:"title,omitempty"`
	Greeting  string   `json:"greeting,omitempty"`
	Color     string   `json:"color,omitempty"`
	Language  string   `json:"language,omitempty"`
	Theme     string   `json:"theme,omitempty"` // "light", "dark", "system"
	AskName   bool     `json:"ask_name,omitempty"`
	AskEmail  bool     `json:"ask_email,omitempty"`
	Suggested []string `json:"suggested,omitempty"` // questions offered on the share-link page
	// Receipts says whether customers see that their messages were read: "on",
	// which "" means as well, or "off".
	Receipts string `json:"receipts,omitempty"`
}

// ShowsReceipts reports whether customers see that their messages were read.
func (s ChannelSettings) ShowsReceipts() bool { return s.Receipts != "off" }

// Role is what a member may do; see Can.
type Role string

// The roles, most powerful first.
const (
	RoleOwner      Role = "owner"
	RoleAdmin      Role = "admin"
	RoleSupervisor Role = "supervisor"
	RoleAgent      Role = "agent"
)

// Member is a person of the workspace who answers or supervises.
type Member struct {
	ID    MemberID `json:"id"`
	Ver   int64    `json:"ver"`
	Name  string   `json:"name"`
	Email string   `json:"email"`
	Role  Role     `json:"role"`
	// Brands is what the member may see; empty means every brand.
	Brands   []BrandID `json:"brands"`
	Disabled bool      `json:"disabled,omitempty"`
	// PasswordHash is Argon2id in PHC form; it never leaves the server.
	PasswordHash string         `json:"-"`
	Settings     MemberSettings `json:"settings"`
}

// MemberSettings are a member's own choices that follow them to every device.
type MemberSettings struct {
	ReadMode string `json:"read_mode,omitempty"` // "manual", "on_reply" (default), "on_open"
	SendKey  string `json:"send_key,omitempty"`  // "enter" (default), "ctrl_enter"
	Language string `json:"language,omitempty"`
	// UndoSeconds is how long a message can be taken back after Send, 0 to 30;
	// the device waits that long before it hands the message in.
	UndoSeconds int `json:"undo_seconds,omitempty"`
}

// Session is one signed-in device of a member. The token itself is stored
// nowhere: only its SHA-256.
type Session struct {
	ID        SessionID `json:"id"`
	Member    MemberID  `json:"member"`
	Device    string    `json:"device"`
	CreatedAt Time      `json:"created_at"`
	SeenAt    Time      `json:"seen_at"`
	TokenHash []byte    `json:"-"`
	RevokedAt Time      `json:"-"`
	Wipe      bool      `json:"-"` // revoked by somebody else: the device must forget everything
}

// Contact is a person who writes to the company. It belongs to one brand, so
// that a member who may not see the brand may not see the person.
type Contact struct {
	ID         ContactID  `json:"id"`
	Ver        int64      `json:"ver"`
	Brand      BrandID    `json:"brand"`
	Name       string     `json:"name"` // "" when unknown: show Label
	Email      string     `json:"email"`
	Phone      string     `json:"phone"`
	Country    string     `json:"country,omitempty"`
	City       string     `json:"city,omitempty"`
	Language   string     `json:"language,omitempty"`
	Timezone   string     `json:"timezone,omitempty"`
	Device     string     `json:"device,omitempty"`
	Browser    string     `json:"browser,omitempty"`
	Identities []Identity `json:"identities"`
	Tags       []string   `json:"tags,omitempty"`
	Blocked    bool       `json:"blocked,omitempty"`
	// Verified says the identity was proven by a signed user_hash.
	Verified  bool `json:"verified,omitempty"`
	CreatedAt Time `json:"created_at"`
}

// Identity is a contact's address on one channel.
type Identity struct {
	ID      IdentityID `json:"id"`
	Channel ChannelID  `json:"channel"`
	Address string     `json:"address"` // opaque outside the channel's connector
	Name    string     `json:"name,omitempty"`
}

// Label is what to call the contact: name, else e-mail, phone or the address
// on the channel, else "Visitor 7f3a" from the id.
func (c Contact) Label() string {
	switch {
	case c.Name != "":
		return c.Name
	case c.Email != "":
		return c.Email
	case c.Phone != "":
		return c.Phone
	}
	s := c.ID.String()
	if len(s) < 4 {
		return "Visitor"
	}
	return "Visitor " + s[len(s)-4:]
}

// File is content kept once under its SHA-256 (hex).
type File struct {
	SHA256 string `json:"sha256"`
	Name   string `json:"name"`
	Type   string `json:"type"` // sniffed from the bytes, never believed
	Size   int64  `json:"size"` // bytes
}

// maxFileName is the most bytes of a file's name: less than any file system
// takes, as whoever saves the file may have to add to it.
const maxFileName = 200

// FileName gives the name of a file as it can be stored, sent and saved: the
// last element of a path, without control characters, cut to a bearable length
// before its ending, which tells people and programs what it is. It is "" where
// nothing is left.
func FileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = path.Base(strings.ReplaceAll(s, `\`, "/"))
	if s == "." || s == ".." || s == "/" {
		return ""
	}
	if len(s) <= maxFileName {
		return s
	}
	ending := path.Ext(s)
	if len(ending) > 20 { // a sentence with a full stop in it, no ending
		ending = ""
	}
	stem := s[:maxFileName-len(ending)]
	return strings.ToValidUTF8(stem, "") + ending
}

// Draft is text one member has not sent yet in one conversation.
type Draft struct {
	Conversation ConversationID `json:"conversation"`
	Ver          int64          `json:"ver"`
	Member       MemberID       `json:"member"`
	Text         string         `json:"text"`
	Comment      bool           `json:"comment,omitempty"`
	UpdatedAt    Time           `json:"updated_at"`
	Device       string         `json:"device,omitempty"` // which of the member's has put it
}

// ActorKind says what kind of author or actor somebody is.
type ActorKind string

// The kinds of actors and authors.
const (
	ActorCustomer  ActorKind = "customer"
	ActorMember    ActorKind = "member"
	ActorAssistant ActorKind = "assistant"
	ActorFlow      ActorKind = "flow"
	ActorSystem    ActorKind = "system"
)

// Actor is who wrote or did something. ID is a member's, contact's or
// assistant's id as text, empty for the system.
type Actor struct {
	Kind ActorKind `json:"kind"`
	ID   string    `json:"id,omitempty"`
}

// MemberActor is the actor that is this member.
func MemberActor(id MemberID) Actor { return Actor{Kind: ActorMember, ID: id.String()} }

// CustomerActor is the actor that is this contact.
func CustomerActor(id ContactID) Actor { return Actor{Kind: ActorCustomer, ID: id.String()} }

// SystemActor is Parley itself.
func SystemActor() Actor { return Actor{Kind: ActorSystem} }

// IsMember reports whether the actor is exactly this member.
func (a Actor) IsMember(id MemberID) bool { return a.Kind == ActorMember && a.ID == id.String() }

// Op says what a change does with its entity.
type Op string

// The ops.
const (
	OpPut    Op = "put"    // the whole entity as it now is
	OpDelete Op = "delete" // a tombstone
)

// EntityKind names a kind of entity in the change log.
type EntityKind string

// The entity kinds that appear in the change log.
const (
	EntityWorkspace    EntityKind = "workspace"
	EntityBrand        EntityKind = "brand"
	EntityChannel      EntityKind = "channel"
	EntityMember       EntityKind = "member"
	EntityContact      EntityKind = "contact"
	EntityConversation EntityKind = "conversation"
	EntityMessage      EntityKind = "message"
	EntityDraft        EntityKind = "draft"
	EntityScheduled    EntityKind = "scheduled"
	EntityAccess       EntityKind = "access" // what a member may see has changed
)

// Change is one entry of a workspace's change log. Seq is gapless and in
// commit order; it is also the entity's new Ver.
type Change struct {
	Seq          int64          `json:"seq"`
	At           Time           `json:"at"`
	Kind         EntityKind     `json:"kind"`
	ID           string         `json:"id"` // of the entity; for a draft: of its conversation
	Op           Op             `json:"op"`
	Brand        BrandID        `json:"brand,omitzero"` // zero: for every member of the workspace
	Conversation ConversationID `json:"conversation,omitzero"`
	// Member, when set, is the only member who may see the change (drafts,
	// scheduled messages, access).
	Member MemberID        `json:"member,omitzero"`
	Actor  Actor           `json:"actor"`
	Cause  CommandID       `json:"cause,omitzero"` // the command that did it
	Data   json.RawMessage `json:"data,omitempty"` // the entity's JSON, absent in a tombstone
}

// Access is the data of an EntityAccess change: everything the member may see
// from here on.
type Access struct {
	Member MemberID  `json:"member"`
	Role   Role      `json:"role"`
	Brands []BrandID `json:"brands"` // empty: every brand
	// Revoked says the member may see nothing any more.
	Revoked bool `json:"revoked,omitempty"`
}

// Command is something a member wants done, with the id its author gave it.
type Command struct {
	ID    CommandID       `json:"id"`
	Kind  string          `json:"kind"`
	Args  json.RawMessage `json:"args"`
	Seen  *int64          `json:"seen,omitempty"`   // highest message number the member had in view
	AgeMS int64           `json:"age_ms,omitempty"` // how long the command has waited, elapsed
	After CommandID       `json:"after,omitzero"`   // refused if that one was refused
}

// View is what somebody may see: the filter on everything read.
type View struct {
	Member MemberID
	Role   Role
	// Brands the member may see; nil means every brand.
	Brands []BrandID
}

// ViewOf is what a member may see.
func ViewOf(m Member) View {
	v := View{Member: m.ID, Role: m.Role}
	if len(m.Brands) > 0 {
		v.Brands = m.Brands
	}
	return v
}

// Sees reports whether the view includes a brand. The zero brand stands for
// what everybody of the workspace sees.
func (v View) Sees(b BrandID) bool {
	if v.Brands == nil || b.IsZero() {
		return true
	}
	for _, x := range v.Brands {
		if x == b {
			return true
		}
	}
	return false
}

// SeesChange reports whether the view includes a change.
func (v View) SeesChange(c Change) bool {
	if !c.Member.IsZero() && c.Member != v.Member {
		return false
	}
	return v.Sees(c.Brand)
}
