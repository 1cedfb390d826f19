package chat

import (
	"slices"
	"strconv"
	"time"
)

// HandoffState says who answers a conversation: assistant, agent, nobody.
type HandoffState string

// The states; see the product spec, section G.
const (
	StateAssistant HandoffState = "assistant" // the assistant answers
	StateEscalated HandoffState = "escalated" // waits for a person
	StateRequested HandoffState = "requested" // a member asked to join
	StateAgent     HandoffState = "agent"     // a member holds it
	StatePaused    HandoffState = "paused"    // nobody answers by itself
	StateClosed    HandoffState = "closed"
)

// Status says whether a conversation still needs attention.
type Status string

// The statuses.
const (
	StatusOpen     Status = "open"
	StatusResolved Status = "resolved" // done for now; a customer message reopens
	StatusClosed   Status = "closed"   // ended
)

// Holder is who answers a conversation now.
type Holder struct {
	Kind ActorKind `json:"kind"` // member or assistant
	ID   string    `json:"id"`
	// Firm: taken by accept; others may not write over it unless they force.
	// Soft (not firm): taken by answering.
	Firm bool `json:"firm"`
}

// Origin is where a customer came from.
type Origin struct {
	Page     string            `json:"page,omitempty"`
	Referrer string            `json:"referrer,omitempty"`
	UTM      map[string]string `json:"utm,omitempty"`
}

// Conversation is the thread of one contact identity on one channel.
type Conversation struct {
	ID       ConversationID `json:"id"`
	Ver      int64          `json:"ver"`
	Brand    BrandID        `json:"brand"`
	Channel  ChannelID      `json:"channel"`
	Contact  ContactID      `json:"contact"`
	Identity IdentityID     `json:"identity,omitzero"`
	State    HandoffState   `json:"state"`
	Holder   *Holder        `json:"holder"`
	Assignee MemberID       `json:"assignee"`
	Status   Status         `json:"status"`

	LastNumber int64 `json:"last_number"` // of the newest message
	InNumber   int64 `json:"in_number"`   // customer messages so far
	ReadNumber int64 `json:"read_number"` // the read position: a message number
	ReadIn     int64 `json:"read_in"`     // customer messages up to the read position
	Unread     int64 `json:"unread"`      // InNumber - ReadIn

	// LastCustomerNumber and LastReplyNumber are the newest messages by the
	// customer and by anybody else (comments and events do not count).
	LastCustomerNumber int64 `json:"last_customer_number"`
	LastReplyNumber    int64 `json:"last_reply_number"`

	LastMessageAt  Time   `json:"last_message_at"`
	LastCustomerAt Time   `json:"last_customer_at"`
	Preview        string `json:"preview"`
	PreviewKind    string `json:"preview_kind"` // text, image, voice, …, comment, event, deleted
	PreviewAuthor  Actor  `json:"preview_author"`
	// SeenByCustomer is the highest message number the customer has seen.
	SeenByCustomer int64 `json:"seen_by_customer"`

	Turns     int      `json:"turns"`
	Tags      []string `json:"tags"`
	Priority  int      `json:"priority,omitempty"`
	CSAT      int      `json:"csat,omitempty"` // 1–5, 0 unknown
	Subject   string   `json:"subject,omitempty"`
	Origin    *Origin  `json:"origin,omitempty"`
	CreatedAt Time     `json:"created_at"`
}

// Append gives msg the next number and brings every derived value of the
// conversation up to date. It is the only place where these values move
// forward; Recount is its proof.
func (c *Conversation) Append(msg *Message) {
	c.LastNumber++
	msg.Number = c.LastNumber
	msg.Conversation = c.ID
	switch {
	case msg.FromCustomer():
		c.InNumber++
		c.Unread = c.InNumber - c.ReadIn
		// A turn is one run of customer messages and what answers it.
		if c.LastCustomerNumber == 0 || c.LastReplyNumber > c.LastCustomerNumber {
			c.Turns++
		}
		c.LastCustomerNumber = msg.Number
		c.LastCustomerAt = msg.StoredAt
	case msg.Kind == MessageKindMessage:
		c.LastReplyNumber = msg.Number
	}
	msg.InNumber = c.InNumber
	c.show(*msg)
}

// show makes msg the preview of the conversation, unless it is an event:
// what merely happened does not move a conversation up the list.
func (c *Conversation) show(msg Message) {
	if msg.Kind == MessageKindEvent {
		return
	}
	c.LastMessageAt = msg.StoredAt
	c.Preview, c.PreviewKind = msg.Preview()
	if msg.Kind == MessageKindComment {
		c.PreviewKind = string(MessageKindComment)
	}
	c.PreviewAuthor = msg.Author
}

// Read moves the read position to the message with this number, which holds
// in customer messages up to itself. It reports whether anything changed.
func (c *Conversation) Read(number, in int64) bool {
	if number > c.LastNumber {
		number, in = c.LastNumber, c.InNumber
	}
	if number == c.ReadNumber && in == c.ReadIn {
		return false
	}
	c.ReadNumber, c.ReadIn = number, in
	c.Unread = c.InNumber - c.ReadIn
	return true
}

// Recount derives from the whole thread, in order of number, every value that
// Append, Read and show maintain step by step, and returns the conversation as
// it should be. A difference is a bug; `parleyd check` looks for it.
func (c Conversation) Recount(thread []Message) Conversation {
	r := c
	r.LastNumber, r.InNumber, r.LastCustomerNumber, r.LastReplyNumber, r.Turns = 0, 0, 0, 0, 0
	r.ReadIn, r.LastMessageAt, r.LastCustomerAt = 0, c.CreatedAt, 0
	r.Preview, r.PreviewKind, r.PreviewAuthor = "", "", Actor{}
	for _, m := range thread {
		r.Append(&m)
		if m.Number == c.ReadNumber {
			r.ReadIn = r.InNumber
		}
	}
	r.Unread = r.InNumber - r.ReadIn
	return r
}

// NewConversation starts the thread of one identity on one channel.
func NewConversation(id ConversationID, ch Channel, contact ContactID, identity IdentityID, hasAssistant bool, now Time) Conversation {
	return Conversation{
		ID: id, Brand: ch.Brand, Channel: ch.ID, Contact: contact, Identity: identity,
		State: idle(hasAssistant), Status: StatusOpen, LastMessageAt: now, CreatedAt: now, Tags: []string{},
	}
}

// idle is the state in which nobody holds the conversation: the assistant
// answers, or where there is none it waits for a person.
func idle(hasAssistant bool) HandoffState {
	if hasAssistant {
		return StateAssistant
	}
	return StateEscalated
}

// ReopenForCustomer makes a resolved or closed conversation open again because
// the customer wrote. It reports whether that changed anything.
func (c *Conversation) ReopenForCustomer(hasAssistant bool) bool {
	if c.Status == StatusOpen {
		return false
	}
	c.Status, c.State, c.Holder = StatusOpen, idle(hasAssistant), nil
	return true
}

// SendGuardAge is how long a message may have waited before anything written
// since by anybody counts against it.
const SendGuardAge = 60 * time.Second

// Attempt is one try of a member to say something in a conversation.
type Attempt struct {
	Author MemberID
	// Seen is the highest number the author had in view; nil when the sender
	// has no view (a program), which switches the guard off.
	Seen *int64
	Age  time.Duration // how long it has waited since the key was pressed
	// Newer are the messages with a number above Seen.
	Newer []Message
	Force bool
	// Over is whose firm hold does not count: the author was told of it and
	// writes all the same. Nobody else's hold is passed by that, nor anything said.
	Over MemberID
	// LastSentAt is when the author last wrote in this conversation.
	LastSentAt Time
	Now        Time
	Interval   time.Duration // the pause the workspace wants between two messages
	Blocked    bool          // the contact is blocked
	Channel    ChannelKind   // says until when the channel takes an answer
	// Resolved is the event above Seen with which the conversation was resolved
	// last; nil where it was not.
	Resolved *Message
}

// CheckSend decides whether a member's message may go out: compare-and-send,
// holding, the pause, closed and blocked. A nil answer means yes.
func (c Conversation) CheckSend(a Attempt) error {
	if c.Status == StatusClosed {
		return Errorf(CodeClosed, "This conversation has ended. Reopen it to write again.")
	}
	if a.Blocked {
		return Errorf(CodeBlocked, "This contact is blocked. Unblock them to write again.")
	}
	if until := c.ReplyUntil(a.Channel); !until.IsZero() && a.Now > until {
		return &Error{Code: CodeWindowClosed, Detail: map[string]any{"at": until},
			Message: "This channel takes answers only for a while after the customer has written. Keep the text and answer when they write again."}
	}
	if !a.Force {
		if err := c.checkHold(a.Author); err != nil && (a.Over.IsZero() || c.Holder.ID != a.Over.String()) {
			return err
		}
		if newer := a.against(); len(newer) > 0 {
			return &Error{Code: CodeNewerMessages, Message: "Somebody wrote while you were answering. Read it, then send again or change your text.",
				Detail: map[string]any{"messages": newer}}
		}
		if e := a.resolvedMeanwhile(c); e != nil {
			return &Error{Code: CodeResolved, Message: "This chat was resolved while your text waited. Send it anyway, change it or drop it.",
				Detail: map[string]any{"by": e.Author, "at": e.StoredAt}}
		}
	}
	if wait := a.Interval - a.Now.Sub(a.LastSentAt); !a.LastSentAt.IsZero() && wait > 0 {
		return &Error{Code: CodeTooSoon, RetryAfter: min(wait, a.Interval),
			Message: "Messages in one conversation are at least " + strconv.Itoa(int(a.Interval/time.Second)) + " seconds apart. It will go out on its own."}
	}
	return nil
}

// against gives the messages that speak against sending.
func (a Attempt) against() []Message {
	if a.Seen == nil {
		return nil
	}
	late := a.Late()
	var newer []Message
	answered := false
	for _, m := range a.Newer {
		if m.Kind != MessageKindMessage || m.Number <= *a.Seen || m.Author.IsMember(a.Author) {
			continue
		}
		newer = append(newer, m)
		answered = answered || m.Author.Kind != ActorCustomer
	}
	if answered || late {
		return newer
	}
	return nil
}

// CheckResolve decides whether a member may resolve the conversation: not over
// what the customer has said since the member looked, nor, where that has waited,
// over what anybody else has. A nil answer means yes.
func (c Conversation) CheckResolve(a Attempt) error {
	if a.Seen == nil || c.Status != StatusOpen {
		return nil
	}
	var newer []Message
	for _, m := range a.Newer {
		if m.Kind == MessageKindMessage && m.Number > *a.Seen && (m.Author.Kind == ActorCustomer || a.Late() && !m.Author.IsMember(a.Author)) {
			newer = append(newer, m)
		}
	}
	if len(newer) == 0 {
		return nil
	}
	return &Error{Code: CodeNewerMessages, Message: "Somebody wrote in this chat before it was resolved, so it stays open. Read it, then resolve it again.",
		Detail: map[string]any{"messages": newer}}
}

// Late reports whether the attempt has waited so long that whatever happened
// since counts against it.
func (a Attempt) Late() bool { return a.Age > SendGuardAge }

// resolvedMeanwhile gives the event that speaks against a text that waited.
func (a Attempt) resolvedMeanwhile(c Conversation) *Message {
	if e := a.Resolved; a.Seen != nil && a.Late() && c.Status == StatusResolved && e != nil && e.Number > *a.Seen && !e.Author.IsMember(a.Author) {
		return e
	}
	return nil
}

func (c Conversation) checkHold(member MemberID) error {
	if h := c.Holder; h != nil && h.Kind == ActorMember && h.Firm && h.ID != member.String() {
		return &Error{Code: CodeHeldByOther, Message: "A colleague is answering this conversation.",
			Detail: map[string]any{"holder": *h}}
	}
	return nil
}

// Answered records that a member wrote: where nobody or the assistant holds,
// the member now does, softly.
func (c *Conversation) Answered(member MemberID) {
	if c.Holder == nil || c.Holder.Kind != ActorMember {
		c.Holder = &Holder{Kind: ActorMember, ID: member.String()}
		c.State = StateAgent
	}
}

// Accept gives the member a firm hold. It reports whether anything changed.
func (c *Conversation) Accept(member MemberID, force bool) (bool, error) {
	if c.Status == StatusClosed {
		return false, Errorf(CodeClosed, "This conversation has ended. Reopen it first.")
	}
	if !force {
		if err := c.checkHold(member); err != nil {
			return false, err
		}
	}
	want := Holder{Kind: ActorMember, ID: member.String(), Firm: true}
	if c.Holder != nil && *c.Holder == want && c.State == StateAgent && c.Status == StatusOpen {
		return false, nil
	}
	c.Holder, c.State, c.Status = &want, StateAgent, StatusOpen
	if c.Assignee.IsZero() {
		c.Assignee = member
	}
	return true, nil
}

// Release gives the conversation back to the assistant or the queue. Only who
// holds it may, or somebody who may manage others' work.
func (c *Conversation) Release(member MemberID, mayManage, hasAssistant bool) (bool, error) {
	if c.Holder == nil || c.Holder.Kind != ActorMember {
		return false, nil
	}
	if c.Holder.ID != member.String() && !mayManage {
		return false, &Error{Code: CodeHeldByOther, Message: "Only the colleague who holds this conversation can release it.",
			Detail: map[string]any{"holder": *c.Holder}}
	}
	c.Holder, c.State = nil, idle(hasAssistant)
	return true, nil
}

// Resolve marks the conversation done for now and lets go of it.
func (c *Conversation) Resolve(hasAssistant bool) (bool, error) {
	switch c.Status {
	case StatusResolved:
		return false, nil
	case StatusClosed:
		return false, Errorf(CodeClosed, "This conversation has ended; there is nothing to resolve.")
	}
	c.Status, c.Holder, c.State = StatusResolved, nil, idle(hasAssistant)
	return true, nil
}

// Reopen makes a resolved or closed conversation open again.
func (c *Conversation) Reopen(hasAssistant bool) bool { return c.ReopenForCustomer(hasAssistant) }

// Assign makes a member responsible; the zero id means nobody.
func (c *Conversation) Assign(member MemberID) bool {
	if c.Assignee == member {
		return false
	}
	c.Assignee = member
	return true
}

// maxText is the longest text, in characters, per channel.
var maxText = map[ChannelKind]int{
	KindWeb: 10_000, KindWhatsApp: 4096, KindInstagram: 1000, KindMessenger: 2000, KindFacebook: 8000,
	KindTelegram: 4096, KindEmail: 25_000, KindShopify: 10_000, KindGeneric: 10_000,
}

// Abilities is what a channel can do in a conversation right now, as data: the
// window renders from it and never from the channel's kind.
type Abilities struct {
	MaxText  int  `json:"max_text"` // characters
	Receipts bool `json:"receipts"` // the channel reports what was read
	Typing   bool `json:"typing"`   // the channel shows who is typing
	// ReplyUntil is when the channel stops taking answers; absent: never.
	ReplyUntil Time `json:"reply_until,omitzero"`
}

// replyWindow is how long after the customer's newest message a person may
// answer them. Channels that are not named here take an answer at any time.
var replyWindow = map[ChannelKind]time.Duration{
	KindWhatsApp: 24 * time.Hour, KindInstagram: 7 * 24 * time.Hour, KindMessenger: 7 * 24 * time.Hour,
}

// ReplyUntil is when a channel of this kind stops taking answers in the
// conversation; zero: never. Who has never written could not be answered since
// the conversation began.
func (c Conversation) ReplyUntil(kind ChannelKind) Time {
	window, ok := replyWindow[kind]
	switch {
	case !ok:
		return 0
	case c.LastCustomerAt.IsZero():
		return c.CreatedAt
	}
	return c.LastCustomerAt.Add(window)
}

// AbilitiesOf gives what can be done on a channel of this kind.
func AbilitiesOf(kind ChannelKind) Abilities {
	a := Abilities{MaxText: maxText[kind], Receipts: kind == KindWeb, Typing: kind == KindWeb}
	if a.MaxText == 0 {
		a.MaxText = maxText[KindGeneric]
	}
	return a
}

// NormaliseTags drops empties and repeats and sorts.
func NormaliseTags(tags []string) []string {
	out := []string{}
	for _, t := range tags {
		if t != "" && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }
