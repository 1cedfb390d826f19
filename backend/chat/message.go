package chat

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MessageKind tells what was said from what is internal and what just happened.
type MessageKind string

// The message kinds.
const (
	MessageKindMessage MessageKind = "message" // said to or by the customer
	MessageKindComment MessageKind = "comment" // internal, never leaves the building
	MessageKindEvent   MessageKind = "event"   // something happened
)

// Message is one row of a thread. Number is its place: 1, 2, 3, … without gaps
// in its conversation, given by the server.
type Message struct {
	ID           MessageID      `json:"id"`
	Ver          int64          `json:"ver"`
	Conversation ConversationID `json:"conversation"`
	Number       int64          `json:"number"`
	// InNumber counts the customer's messages up to and including this one;
	// unread is a subtraction of two such counts.
	InNumber  int64       `json:"in_number"`
	Kind      MessageKind `json:"kind"`
	Author    Actor       `json:"author"`
	Parts     []Part      `json:"parts"`
	Event     *Event      `json:"event,omitempty"`    // for kind event
	Mentions  []MemberID  `json:"mentions,omitempty"` // for kind comment
	SentAt    Time        `json:"sent_at"`            // the provider's or sender's time, shown
	StoredAt  Time        `json:"stored_at"`
	Delivery  *Delivery   `json:"delivery,omitempty"` // for messages that go out
	ReplyTo   MessageID   `json:"reply_to,omitzero"`
	EditedAt  Time        `json:"edited_at,omitzero"`
	DeletedAt Time        `json:"deleted_at,omitzero"` // a numbered stub without parts
	// RemoteID is the vendor's id of the message, unique in its channel.
	RemoteID string `json:"-"`
}

// PartKind says what a part of a message is.
type PartKind string

// The part kinds.
const (
	PartText     PartKind = "text"
	PartImage    PartKind = "image"
	PartVideo    PartKind = "video"
	PartAudio    PartKind = "audio"
	PartVoice    PartKind = "voice"
	PartFile     PartKind = "file"
	PartLocation PartKind = "location"
	PartLink     PartKind = "link"
	PartTemplate PartKind = "template"
	PartPaid     PartKind = "paid"
)

// IsFile reports whether parts of this kind carry a stored file.
func (k PartKind) IsFile() bool {
	switch k {
	case PartImage, PartVideo, PartAudio, PartVoice, PartFile:
		return true
	}
	return false
}

// Part is one piece of a message. Which fields are set follows from Kind.
type Part struct {
	Kind PartKind `json:"kind"`
	Text string   `json:"text,omitempty"`
	// Files: image, video, audio, voice, file.
	SHA256     string `json:"sha256,omitempty"`
	Name       string `json:"name,omitempty"`
	Type       string `json:"type,omitempty"`
	Size       int64  `json:"size,omitempty"` // bytes
	Width      int    `json:"width,omitempty"`
	Height     int    `json:"height,omitempty"`
	DurationMS int64  `json:"duration_ms,omitempty"`
	Peaks      []byte `json:"peaks,omitempty"` // 64 bars of a waveform, 0–255
	Transcript string `json:"transcript,omitempty"`
	// Links.
	URL   string `json:"url,omitempty"`
	Title string `json:"title,omitempty"`
	// Location, degrees.
	Latitude  float64 `json:"latitude,omitempty"`
	Longitude float64 `json:"longitude,omitempty"`
	// Paid: price in minor units.
	Price    int64  `json:"price,omitempty"`
	Currency string `json:"currency,omitempty"`
	State    string `json:"state,omitempty"` // "locked", "unlocked"
}

// MarshalJSON writes both coordinates of a location, also where one is 0: there
// are places on the equator.
func (p Part) MarshalJSON() ([]byte, error) {
	type fields Part // without this method
	if p.Kind != PartLocation {
		return json.Marshal(fields(p))
	}
	return json.Marshal(struct {
		fields
		Latitude  float64 `json:"latitude"`
		Longitude float64 `json:"longitude"`
	}{fields(p), p.Latitude, p.Longitude})
}

// DeliveryState says how far a message has got; it only moves forward.
type DeliveryState string

// The delivery states, in order; failed may follow queued and sent.
const (
	DeliveryQueued    DeliveryState = "queued" // the server has it, the channel does not yet
	DeliverySent      DeliveryState = "sent"
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryRead      DeliveryState = "read"
	DeliveryFailed    DeliveryState = "failed"
)

// Delivery is the state of an outgoing message, with the cause if it failed.
type Delivery struct {
	State DeliveryState `json:"state"`
	Error string        `json:"error,omitempty"`
}

var deliveryRank = map[DeliveryState]int{
	DeliveryQueued: 1, DeliverySent: 2, DeliveryFailed: 3, DeliveryDelivered: 4, DeliveryRead: 5,
}

// Advance moves the delivery to state if that is forward, and reports whether
// it did. A late "failed" after "delivered" is ignored.
func (d *Delivery) Advance(state DeliveryState, cause string) bool {
	if deliveryRank[state] <= deliveryRank[d.State] {
		return false
	}
	d.State, d.Error = state, cause
	return true
}

// Event says what happened, for messages of kind event. The window words it
// from its catalogue; Name and the ids are all it needs.
type Event struct {
	Name   string   `json:"name"` // "resolved", "reopened", "assigned", "accepted", "released", …
	Member MemberID `json:"member,omitzero"`
	Reason string   `json:"reason,omitempty"`
}

// The limits on what one message may hold.
const (
	MaxTextBytes = 64 << 10 // longer text is refused; channels have lower limits of their own
	MaxParts     = 20
	// MaxJSONBytes is the most that what somebody writes takes as JSON, which may
	// need six bytes for one. Packets, frames and lines have bounds, and a client
	// reads a hundred messages in one answer: what did not fit would end the sync
	// of everybody who may see it.
	MaxJSONBytes = 128 << 10
)

// TextPart makes a text part.
func TextPart(text string) Part { return Part{Kind: PartText, Text: text} }

// CheckText refuses text that no database or channel could hold faithfully.
// Everything else, of any script and direction, is kept byte for byte.
func CheckText(field, text string, maxBytes int) error {
	switch {
	case len(text) > maxBytes:
		advice := "Please send it in pieces or as a file."
		if maxBytes < MaxTextBytes { // a name, an address
			advice = "Please shorten it."
		}
		return &Error{Code: CodeTooLarge, Field: field, Message: "The text is longer than " + formatBytes(int64(maxBytes)) + ". " + advice}
	case !utf8.ValidString(text):
		return Invalid(field, "The text is not valid UTF-8.")
	case strings.IndexByte(text, 0) >= 0:
		return Invalid(field, "The text contains a zero byte, which cannot be stored.")
	}
	return nil
}

// CheckSize refuses what takes more than MaxJSONBytes as it is stored and sent.
// field is what its author can shorten.
func CheckSize(field string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("measure %s: %w", field, err)
	}
	if len(b) > MaxJSONBytes {
		return &Error{Code: CodeTooLarge, Field: field,
			Message: "This is longer than " + formatBytes(MaxJSONBytes) + " when it is sent. Please send it in pieces or as a file."}
	}
	return nil
}

// CheckParts refuses parts that are empty, unknown or too large.
func CheckParts(parts []Part) error {
	if len(parts) == 0 {
		return Invalid("parts", "A message needs at least one part.")
	}
	if len(parts) > MaxParts {
		return Invalid("parts", "A message has at most %d parts.", MaxParts)
	}
	for i, p := range parts {
		field := "parts." + itoa(i)
		switch {
		case p.Kind == PartText:
			if strings.TrimSpace(p.Text) == "" {
				return Invalid(field+".text", "The text is empty.")
			}
		case p.Kind.IsFile():
			if !IsSHA256(p.SHA256) {
				return Invalid(field+".sha256", "A file is named by the SHA-256 of its content, 64 hex digits.")
			}
		case p.Kind == PartLocation:
			if p.Latitude < -90 || p.Latitude > 90 || p.Longitude < -180 || p.Longitude > 180 {
				return Invalid(field+".latitude", "The coordinates are outside the globe.")
			}
		case p.Kind == PartLink:
			if !harmlessLink(p.URL) {
				return Invalid(field+".url", "A link begins with https://, http:// or mailto:.")
			}
		case p.Kind == PartPaid:
			if p.Currency != "" && !isCurrency(p.Currency) {
				return Invalid(field+".currency", "A currency has three capital letters, like EUR.")
			}
			if p.Currency == "" && p.Price != 0 {
				return Invalid(field+".currency", "A price needs its currency, like EUR.")
			}
		case p.Kind == PartTemplate:
		default:
			return &Error{Code: CodeUnsupported, Field: field + ".kind", Message: "This kind of part is not known."}
		}
		if name := p.negative(); name != "" {
			return Invalid(field+"."+name, "This number cannot be below zero.")
		}
		for name, text := range map[string]string{"text": p.Text, "name": p.Name, "type": p.Type, "url": p.URL,
			"title": p.Title, "transcript": p.Transcript, "currency": p.Currency, "state": p.State} {
			if err := CheckText(field+"."+name, text, MaxTextBytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// PreviewLen is how many runes of a message the list shows.
const PreviewLen = 120

// Preview gives the line a list shows for the message: the text, else the kind
// of its first part, to be worded by the window.
func (m Message) Preview() (text, kind string) {
	if !m.DeletedAt.IsZero() {
		return "", "deleted"
	}
	if m.Kind == MessageKindEvent {
		if m.Event != nil {
			return m.Event.Name, "event"
		}
		return "", "event"
	}
	kind = string(PartText)
	for i, p := range m.Parts {
		if i == 0 {
			kind = string(p.Kind)
		}
		if p.Text != "" {
			return firstLine(p.Text, PreviewLen), kind
		}
	}
	if len(m.Parts) > 0 {
		return firstLine(m.Parts[0].Name, PreviewLen), kind
	}
	return "", kind
}

// Text gives all text of the message, parts joined by a newline.
func (m Message) Text() string {
	var b strings.Builder
	for _, p := range m.Parts {
		if p.Kind == PartText && p.Text != "" {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// FromCustomer reports whether the customer said it.
func (m Message) FromCustomer() bool {
	return m.Kind == MessageKindMessage && m.Author.Kind == ActorCustomer
}

// Stub is what remains of a deleted message: its number and author.
func (m Message) Stub(at Time) Message {
	m.Parts, m.Mentions, m.Event, m.DeletedAt = []Part{}, nil, nil, at
	return m
}

// MarshalParts gives the parts as JSON; an empty list is [].
func MarshalParts(parts []Part) ([]byte, error) {
	if parts == nil {
		parts = []Part{}
	}
	return json.Marshal(parts)
}

// firstLine folds white space and cuts after max runes.
func firstLine(s string, max int) string {
	if len(s) > 4*max { // enough bytes for max runes of any script
		s = strings.ToValidUTF8(s[:4*max], "")
	}
	s = strings.Join(strings.Fields(s), " ")
	n := 0
	for i := range s {
		if n == max {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// IsSHA256 reports whether a name can be that of a file: 64 hex digits in lower
// case.
func IsSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func formatBytes(n int64) string {
	switch {
	case n >= 1<<20:
		return itoa(int(n>>20)) + " MB"
	case n >= 1<<10:
		return itoa(int(n>>10)) + " kB"
	}
	return itoa(int(n)) + " bytes"
}
