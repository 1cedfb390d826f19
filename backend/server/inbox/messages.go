package inbox

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// guardDepth bounds how many newer messages a refusal of compare-and-send carries.
const guardDepth = 50

// messageSend says something to the customer.
func (d *deed) messageSend(args protocol.MessageSendArgs) (effect, error) {
	if args.Message.IsZero() {
		return effect{}, chat.Invalid("message", "The message needs an id, a fresh UUIDv7.")
	}
	if err := chat.CheckParts(args.Parts); err != nil {
		return effect{}, err
	}
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	if e, found, err := d.already(args.Message, conv, chat.MessageKindMessage); found || err != nil {
		if err == nil && args.SendAt > d.now {
			return effect{}, chat.Errorf(chat.CodeConflict, "This message has gone out already.")
		}
		return e, err
	}
	scheduled, err := d.mine(args.Message, conv.ID)
	if err != nil {
		return effect{}, err
	}
	if !args.SendAt.IsZero() && args.SendAt.Add(chat.ScheduleGrace) < d.now {
		return effect{}, &chat.Error{Code: chat.CodeMomentPassed, Field: "send_at",
			Message: "The time you chose for this message had passed before it reached the server. Send it now, or choose another time."}
	}
	channel, err := d.tx.Channel(conv.Channel)
	if err != nil {
		return effect{}, err
	}
	if err := chat.CheckTaken(channel.Kind, args.Parts); err != nil {
		return effect{}, err
	}
	if err := checkLength(args.Parts, chat.AbilitiesOf(channel.Kind)); err != nil {
		return effect{}, err
	}
	parts, err := withFiles(args.Parts, func(sha256 string) (chat.File, error) { return d.tx.MemberFile(d.view, sha256) })
	if err != nil {
		return effect{}, err
	}
	if err := d.checkReply(args.ReplyTo, conv.ID); err != nil {
		return effect{}, err
	}
	if args.SendAt > d.now {
		return d.schedule(args, conv, channel.Kind, parts)
	}
	if err := d.checkAttempt(conv, channel.Kind, args.Force, func(a *chat.Attempt) { a.Over = args.Over }); err != nil {
		return effect{}, err
	}

	msg := chat.Message{ID: args.Message, Kind: chat.MessageKindMessage, Author: chat.MemberActor(d.me.ID), Parts: parts,
		SentAt: d.now, StoredAt: d.now, ReplyTo: args.ReplyTo, Delivery: firstDelivery(channel.Kind)}
	if err := chat.CheckSize("parts", msg); err != nil {
		return effect{}, err
	}
	if err := d.readByAnswering(&conv); err != nil {
		return effect{}, err
	}
	if scheduled != nil {
		if err := d.tx.DeleteScheduled(*scheduled, d.meta); err != nil {
			return effect{}, err
		}
	}
	conv.Append(&msg)
	conv.Answered(d.me.ID)
	// What a scheduled message was made from went when it was scheduled: what
	// stands in the composer since is another text.
	return d.putMessage(msg, conv, scheduled == nil, args.Draft)
}

// firstDelivery is how far a message has got that was just stored.
func firstDelivery(kind chat.ChannelKind) *chat.Delivery {
	if kind == chat.KindWeb { // the visitor reads it from us: stored is sent
		return &chat.Delivery{State: chat.DeliverySent}
	}
	return &chat.Delivery{State: chat.DeliveryQueued}
}

// checkAttempt asks chat's rules whether a message may go out; change says in
// what it differs from one that is to go out now.
func (d *deed) checkAttempt(conv chat.Conversation, kind chat.ChannelKind, force bool, change func(*chat.Attempt)) error {
	ws, err := d.tx.Workspace()
	if err != nil {
		return err
	}
	contact, err := d.tx.Contact(conv.Contact)
	if err != nil {
		return err
	}
	last, err := d.tx.LastSentAt(conv.ID, d.me.ID)
	if err != nil {
		return err
	}
	a := chat.Attempt{Author: d.me.ID}
	if !force {
		if a, err = d.since(conv); err != nil {
			return err
		}
		if a.Seen != nil && a.Late() && conv.Status == chat.StatusResolved {
			if a.Resolved, err = d.tx.ResolvedAfter(conv.ID, max(0, *a.Seen)); err != nil {
				return err
			}
		}
	}
	a.Force, a.LastSentAt, a.Now, a.Blocked, a.Channel = force, last, d.now, contact.Blocked, kind
	a.Interval = time.Duration(ws.Settings.SendIntervalSeconds) * time.Second
	change(&a)
	return conv.CheckSend(a)
}

// since gives what others have said in a conversation after what the member
// had in view.
func (d *deed) since(conv chat.Conversation) (a chat.Attempt, err error) {
	a = chat.Attempt{Author: d.me.ID, Seen: d.cmd.Seen, Age: time.Duration(max(0, min(d.cmd.AgeMS, 1<<40))) * time.Millisecond}
	if a.Seen != nil && *a.Seen < conv.LastNumber {
		a.Newer, err = d.tx.OthersAfter(conv.ID, max(0, *a.Seen), d.me.ID, guardDepth)
	}
	return a, err
}

// checkReply lets a message quote only one of its own thread.
func (d *deed) checkReply(id chat.MessageID, conv chat.ConversationID) error {
	if id.IsZero() {
		return nil
	}
	m, err := d.tx.Message(id)
	if isNotFound(err) || err == nil && m.Conversation != conv {
		return chat.Invalid("reply_to", "The message to reply to is not in this conversation.")
	}
	return err
}

// readByAnswering moves the read position to what the author had in view,
// unless they chose to do that only by hand or on opening.
func (d *deed) readByAnswering(conv *chat.Conversation) error {
	if mode := d.me.Settings.ReadMode; mode != "" && mode != "on_reply" || d.cmd.Seen == nil {
		return nil
	}
	upto := min(*d.cmd.Seen, conv.LastNumber)
	if upto <= conv.ReadNumber {
		return nil
	}
	in, err := d.tx.InNumberAt(conv.ID, upto)
	if err != nil {
		return err
	}
	conv.Read(upto, in)
	return nil
}

// commentAdd says something only colleagues see.
func (d *deed) commentAdd(args protocol.CommentAddArgs) (effect, error) {
	if args.Message.IsZero() {
		return effect{}, chat.Invalid("message", "The comment needs an id, a fresh UUIDv7.")
	}
	if err := chat.CheckText("text", args.Text, chat.MaxTextBytes); err != nil {
		return effect{}, err
	}
	mentions := slices.Clone(args.Mentions)
	if strings.TrimSpace(args.Text) == "" && len(mentions) == 0 {
		return effect{}, chat.Invalid("text", "The comment is empty.")
	}
	if len(mentions) > 50 {
		return effect{}, chat.Invalid("mentions", "A comment mentions at most 50 colleagues.")
	}
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	if e, found, err := d.already(args.Message, conv, chat.MessageKindComment); found || err != nil {
		return e, err
	}
	for i, id := range mentions {
		if _, err := d.colleague(id, conv.Brand, "mentions."+strconv.Itoa(i)); err != nil {
			return effect{}, err
		}
	}
	msg := chat.Message{ID: args.Message, Kind: chat.MessageKindComment, Author: chat.MemberActor(d.me.ID),
		Parts: []chat.Part{chat.TextPart(args.Text)}, Mentions: mentions, SentAt: d.now, StoredAt: d.now}
	if err := chat.CheckSize("text", msg); err != nil {
		return effect{}, err
	}
	conv.Append(&msg)
	return d.putMessage(msg, conv, true, args.Draft)
}

// already answers a message id that exists: the author's own message once
// more, anybody else's is a clash.
func (d *deed) already(id chat.MessageID, conv chat.Conversation, kind chat.MessageKind) (effect, bool, error) {
	m, err := d.tx.Message(id)
	switch {
	case isNotFound(err):
		return effect{}, false, nil
	case err != nil:
		return effect{}, false, err
	case !m.Author.IsMember(d.me.ID) || m.Conversation != conv.ID || m.Kind != kind:
		return effect{}, false, &chat.Error{Code: chat.CodeIDReused, Field: "message",
			Message: "This message id belongs to another message. Give each message an id of its own."}
	}
	return effect{entity: m, seq: m.Ver, conv: &conv}, true, nil
}

// putMessage writes a message, drops the draft if that is what it was made
// from, and writes the conversation last.
func (d *deed) putMessage(msg chat.Message, conv chat.Conversation, fromDraft bool, upto *int64) (effect, error) {
	if err := d.tx.PutMessage(&msg, d.meta); err != nil {
		return effect{}, err
	}
	if fromDraft {
		if err := d.dropDraft(conv.ID, msg.Kind == chat.MessageKindComment, upto); err != nil {
			return effect{}, err
		}
	}
	if err := d.tx.PutConversation(&conv, d.meta); err != nil {
		return effect{}, err
	}
	return effect{entity: msg, seq: msg.Ver, conv: &conv}, nil
}

// dropDraft drops the draft that a message or a comment was made from: the one
// its author knew of, or where that is not said, one of the same kind.
func (d *deed) dropDraft(conv chat.ConversationID, comment bool, upto *int64) error {
	draft, err := d.tx.Draft(conv, d.me.ID)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if upto != nil && draft.Ver > *upto || upto == nil && draft.Comment != comment {
		return nil
	}
	_, err = d.tx.DeleteDraft(conv, d.me.ID, d.meta)
	return err
}

// checkLength refuses text longer than the channel takes. Links and titles are
// words too, by the time the customer reads them; what says something about a
// file is not, and only bounded by the size of the whole.
func checkLength(parts []chat.Part, can chat.Abilities) error {
	n := 0
	for _, p := range parts {
		n += utf8.RuneCountInString(p.Text) + utf8.RuneCountInString(p.Title) + utf8.RuneCountInString(p.URL)
	}
	if n > can.MaxText {
		return &chat.Error{Code: chat.CodeTooLarge, Field: "parts",
			Message: "The text has " + strconv.Itoa(n) + " characters; this channel takes " + strconv.Itoa(can.MaxText) + ". Please send it in pieces."}
	}
	return nil
}

// withFiles gives the parts with what the server knows of their files: type
// and size are sniffed and measured, never believed. find gives only files that
// the sender may have: knowing a file's name must not be enough to get it.
func withFiles(parts []chat.Part, find func(sha256 string) (chat.File, error)) ([]chat.Part, error) {
	out := slices.Clone(parts)
	for i := range out {
		p := &out[i]
		if !p.Kind.IsFile() {
			continue
		}
		f, err := find(p.SHA256)
		if isNotFound(err) {
			return nil, chat.Invalid("parts."+strconv.Itoa(i)+".sha256", "The server does not have this file. Upload it first.")
		}
		if err != nil {
			return nil, err
		}
		p.Type, p.Size = f.Type, f.Size
		p.Name = cmp.Or(chat.FileName(p.Name), f.Name)
	}
	return out, nil
}
