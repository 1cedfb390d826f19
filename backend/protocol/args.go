package protocol

import "parley/backend/chat"

// SettingsPutArgs are the args of settings.put; absent fields stay. The
// answer's data is the workspace.
type SettingsPutArgs struct {
	SendIntervalSeconds *int64 `json:"send_interval_seconds,omitempty"` // 0 to 60
	MaxFileBytes        *int64 `json:"max_file_bytes,omitempty"`
}

// ChannelPutArgs are the args of channel.put; absent fields stay. The answer's
// data is the channel.
type ChannelPutArgs struct {
	Channel  chat.ChannelID `json:"channel"`
	Origins  *[]string      `json:"origins,omitempty"` // pages that may embed the widget: "https://shop.example"
	Title    *string        `json:"title,omitempty"`
	Greeting *string        `json:"greeting,omitempty"`
	Receipts *string        `json:"receipts,omitempty"` // "on", "off"
}

// MePutArgs are the args of me.put; absent fields stay. The answer's data is
// the member.
type MePutArgs struct {
	Name     *string `json:"name,omitempty"`
	ReadMode *string `json:"read_mode,omitempty"` // "manual", "on_reply", "on_open"
	SendKey  *string `json:"send_key,omitempty"`  // "enter", "ctrl_enter"
	Language *string `json:"language,omitempty"`
	// UndoSeconds is how long a message can be taken back, 0 to 30.
	UndoSeconds *int64 `json:"undo_seconds,omitempty"`
}

// Sessions answers GET /v1/sessions: the member's signed-in devices.
type Sessions struct {
	Sessions []chat.Session `json:"sessions"`
	Current  chat.SessionID `json:"current"` // the one that asked
}

// Members answers GET /v1/members.
type Members struct {
	Members []chat.Member `json:"members"`
}

// MemberAdd is the body of POST /v1/members. No brands: every brand.
type MemberAdd struct {
	Name     string         `json:"name"`
	Email    string         `json:"email"`
	Role     chat.Role      `json:"role"`
	Brands   []chat.BrandID `json:"brands,omitempty"`
	Password string         `json:"password"`
}

// MemberUpdate is the body of PATCH /v1/members/{id}; absent fields stay.
type MemberUpdate struct {
	Name     *string         `json:"name,omitempty"`
	Role     *chat.Role      `json:"role,omitempty"`
	Brands   *[]chat.BrandID `json:"brands,omitempty"` // an empty list: every brand
	Disabled *bool           `json:"disabled,omitempty"`
	Password *string         `json:"password,omitempty"`
}
