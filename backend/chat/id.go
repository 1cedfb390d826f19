package chat

import (
	"database/sql/driver"
	"fmt"

	"github.com/google/uuid"
)

// ID identifies one entity of kind E. It is a UUIDv7 made by whoever creates
// the entity, so that creating offline needs nobody; 16 bytes in storage, text
// in JSON. It is never an ordering key: clocks lie.
//
// The zero ID means "none": it is null in JSON and in SQL.
type ID[E any] uuid.UUID

// The ids of Parley's entities. Each is a type of its own, so that a contact's
// id cannot be passed where a conversation's is wanted.
type (
	WorkspaceID    = ID[Workspace]
	BrandID        = ID[Brand]
	ChannelID      = ID[Channel]
	MemberID       = ID[Member]
	ContactID      = ID[Contact]
	IdentityID     = ID[Identity]
	ConversationID = ID[Conversation]
	MessageID      = ID[Message]
	SessionID      = ID[Session]
	CommandID      = ID[Command]
)

// NewID makes a fresh UUIDv7.
func NewID[E any]() ID[E] {
	id, err := uuid.NewV7()
	if err != nil { // the system has no randomness: nothing sensible can go on
		panic(fmt.Sprintf("chat: no randomness for an id: %v", err))
	}
	return ID[E](id)
}

// ParseID reads the canonical 36-character text form, and no other.
func ParseID[E any](s string) (ID[E], error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return ID[E]{}, Errorf(CodeInvalid, "An id is a UUID in its 36-character form, which %q is not.", clip(s, 48))
	}
	return ID[E](id), nil
}

// IsZero reports whether the id means "none".
func (id ID[E]) IsZero() bool { return id == ID[E]{} }

// String gives the canonical text form, and "" for none.
func (id ID[E]) String() string {
	if id.IsZero() {
		return ""
	}
	return uuid.UUID(id).String()
}

// Bytes gives the 16 bytes of the id.
func (id ID[E]) Bytes() []byte { b := id; return b[:] }

// MarshalText makes ids usable as JSON strings and map keys.
func (id ID[E]) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (id *ID[E]) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID[E]{}
		return nil
	}
	v, err := ParseID[E](string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}

// MarshalJSON writes the text form, or null for none.
func (id ID[E]) MarshalJSON() ([]byte, error) {
	if id.IsZero() {
		return []byte("null"), nil
	}
	b := make([]byte, 38)
	b[0], b[37] = '"', '"'
	text, _ := uuid.UUID(id).MarshalText() // cannot fail: fixed size in, fixed size out
	copy(b[1:], text)
	return b, nil
}

// UnmarshalJSON reads the text form or null.
func (id *ID[E]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*id = ID[E]{}
		return nil
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return Errorf(CodeInvalid, "An id is text, a UUID in its 36-character form.")
	}
	v, err := ParseID[E](string(b[1 : len(b)-1]))
	if err != nil {
		return err
	}
	*id = v
	return nil
}

// Value stores the id as 16 bytes, none as NULL.
func (id ID[E]) Value() (driver.Value, error) {
	if id.IsZero() {
		return nil, nil
	}
	return id.Bytes(), nil
}

// Scan reads what Value stores.
func (id *ID[E]) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*id = ID[E]{}
		return nil
	case []byte:
		if len(v) != 16 {
			return fmt.Errorf("scan id: %d bytes, want 16", len(v))
		}
		copy(id[:], v)
		return nil
	}
	return fmt.Errorf("scan id: unexpected %T", src)
}

// clip shortens foreign text for an error sentence, on a rune boundary.
func clip(s string, max int) string {
	for i := range s {
		if i >= max {
			return s[:i] + "…"
		}
	}
	return s
}
