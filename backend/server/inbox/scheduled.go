package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/store"
)

const (
	// dueLook is how often a server looks for messages that are due and that
	// another one may have scheduled; its own it knows the moment of.
	dueLook = 15 * time.Second
	// dueBatch is how many due messages are looked up at once.
	dueBatch = 100
)

// schedule keeps a message until it is due. Its author hears now what would
// speak against it if it went out now, except the pause between messages.
func (d *deed) schedule(args protocol.MessageSendArgs, conv chat.Conversation, kind chat.ChannelKind, parts []chat.Part) (effect, error) {
	if args.SendAt > d.now.Add(chat.MaxSchedule) {
		return effect{}, chat.Invalid("send_at", "A message can be sent at most a year from now.")
	}
	if err := d.checkAttempt(conv, kind, args.Force, func(a *chat.Attempt) { a.Over, a.Now, a.Interval = args.Over, args.SendAt, 0 }); err != nil {
		return effect{}, err
	}
	x := chat.Scheduled{ID: args.Message, Conversation: conv.ID, Member: d.me.ID, Parts: parts, ReplyTo: args.ReplyTo,
		SendAt: args.SendAt, Seen: d.cmd.Seen, Force: args.Force, Over: args.Over, CreatedAt: d.now}
	if err := chat.CheckSize("parts", x); err != nil {
		return effect{}, err
	}
	if err := d.dropDraft(conv.ID, false, args.Draft); err != nil {
		return effect{}, err
	}
	if err := d.tx.PutScheduled(&x, d.meta); err != nil {
		return effect{}, err
	}
	return effect{entity: x, seq: x.Ver, forget: func(in *Inbox) { in.wakeDue() }}, nil
}

// mine finds a message that the member has scheduled; nil where there is none.
// A message id of somebody else's is a clash.
func (d *deed) mine(id chat.MessageID, conv chat.ConversationID) (*chat.Scheduled, error) {
	x, err := d.tx.Scheduled(id)
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case x.Member != d.me.ID || x.Conversation != conv:
		return nil, &chat.Error{Code: chat.CodeIDReused, Field: "message",
			Message: "This message id belongs to another message. Give each message an id of its own."}
	}
	return &x, nil
}

// messageUnschedule takes a scheduled message back.
func (d *deed) messageUnschedule(args protocol.MessageArgs) (effect, error) {
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	x, err := d.tx.Scheduled(args.Message)
	if isNotFound(err) || err == nil && (x.Member != d.me.ID || x.Conversation != conv.ID) {
		return effect{}, chat.Errorf(chat.CodeNotFound, "This message is no longer scheduled: it has gone out, or was dropped.")
	}
	if err != nil {
		return effect{}, err
	}
	if err := d.tx.DeleteScheduled(x, d.meta); err != nil {
		return effect{}, err
	}
	return effect{entity: x, seq: d.tx.Head()}, nil
}

// wakeDue lets the one who sends what is due look again.
func (in *Inbox) wakeDue() {
	select {
	case in.dueWake <- struct{}{}:
	default: // will look
	}
}

// SendScheduled sends scheduled messages when they are due, until ctx ends.
func (in *Inbox) SendScheduled(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-in.dueWake:
		case <-ctx.Done():
			return
		}
		rest, err := in.SendDue(ctx)
		if err != nil && ctx.Err() == nil {
			in.log.Error("send scheduled messages", "error", err) // they stay due
		}
		timer.Reset(rest)
	}
}

// SendDue sends the scheduled messages that are due now, each judged anew, and
// says when to come again.
func (in *Inbox) SendDue(ctx context.Context) (rest time.Duration, err error) {
	all, err := in.store.Workspaces(ctx)
	if err != nil {
		return dueLook, fmt.Errorf("look for due messages: %w", err)
	}
	rest = dueLook
	var errs []error
	for _, w := range all {
		again, err := in.sendDueOf(ctx, w.ID)
		rest = min(rest, again)
		errs = append(errs, err)
	}
	return rest, errors.Join(errs...)
}

func (in *Inbox) sendDueOf(ctx context.Context, ws chat.WorkspaceID) (rest time.Duration, err error) {
	now := in.now()
	due, next, err := in.store.Due(ctx, ws, now, dueBatch)
	if err != nil {
		return dueLook, fmt.Errorf("look for due messages: %w", err)
	}
	rest = dueLook
	if !next.IsZero() {
		rest = min(rest, max(next.Sub(now), time.Millisecond))
	}
	sent := false
	var errs []error
	for _, id := range due {
		wait, err := in.sendDue(ctx, ws, id)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("send scheduled message %s: %w", id, err))
		case wait > 0:
			rest = min(rest, wait)
		default:
			sent = true
		}
	}
	if len(due) == dueBatch && sent { // there may be more
		rest = time.Millisecond
	}
	return rest, errors.Join(errs...)
}

// sendDue sends one scheduled message as its author would now, in one
// transaction with its end as a scheduled one: whoever else tries finds nothing
// left to do. wait says that the pause between two messages is not over.
func (in *Inbox) sendDue(ctx context.Context, ws chat.WorkspaceID, id chat.MessageID) (wait time.Duration, err error) {
	var done effect
	var head int64
	err = in.store.Update(ctx, ws, func(tx *store.Tx) error {
		done, wait, head = effect{}, 0, 0
		s, err := tx.Scheduled(id)
		if isNotFound(err) || err == nil && (s.Problem != nil || s.SendAt > tx.Now()) {
			return nil // sent, dropped or put off meanwhile
		}
		if err != nil {
			return err
		}
		done, err = in.carryOut(tx, s)
		switch {
		case err == nil:
		case chat.ErrorCode(err) == chat.CodeTooSoon:
			wait = max(protocol.ErrorOf(protocol.ProblemOf(err)).RetryAfter, time.Millisecond)
			return nil
		case isRefusal(err): // before anything was written
			if s.Problem, err = json.Marshal(protocol.ProblemOf(err)); err != nil {
				return fmt.Errorf("encode problem: %w", err)
			}
			if err := tx.PutScheduled(&s, store.Meta{Actor: chat.MemberActor(s.Member)}); err != nil {
				return err
			}
		default:
			return err
		}
		head = tx.Head()
		return nil
	})
	if err == nil && head > 0 {
		in.committed(ws, head, done.conv)
	}
	return wait, err
}

// carryOut does what the author's command would do now. It has waited only
// since it fell due.
func (in *Inbox) carryOut(tx *store.Tx, s chat.Scheduled) (effect, error) {
	me, err := tx.Member(s.Member)
	if err != nil {
		return effect{}, err
	}
	if me.Disabled || !me.Role.Can(chat.ActAnswer) {
		return effect{}, chat.Errorf(chat.CodeForbidden, "Your role does not allow this. Ask an administrator.")
	}
	d := &deed{in: in, tx: tx, me: me, view: chat.ViewOf(me), now: tx.Now(), meta: store.Meta{Actor: chat.MemberActor(s.Member)},
		cmd: chat.Command{Kind: protocol.MessageSend, Seen: s.Seen, AgeMS: tx.Now().Sub(s.SendAt).Milliseconds()}}
	return d.messageSend(protocol.MessageSendArgs{Conversation: s.Conversation, Message: s.ID, Parts: s.Parts, ReplyTo: s.ReplyTo,
		Force: s.Force, Over: s.Over})
}

// messageRetry lets a message that the channel could not deliver go out once
// more: the same message, so that it is nowhere twice.
func (d *deed) messageRetry(args protocol.MessageArgs) (effect, error) {
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	msg, err := d.tx.Message(args.Message)
	if isNotFound(err) || err == nil && msg.Conversation != conv.ID {
		return effect{}, notFound("message")
	}
	if err != nil {
		return effect{}, err
	}
	if msg.Delivery == nil || msg.Delivery.State != chat.DeliveryFailed || !msg.DeletedAt.IsZero() {
		return effect{entity: msg, seq: msg.Ver, conv: &conv}, nil // under way, or there: nothing to repair
	}
	channel, err := d.tx.Channel(conv.Channel)
	if err != nil {
		return effect{}, err
	}
	if err := d.checkAttempt(conv, channel.Kind, true, func(a *chat.Attempt) { a.Interval = 0 }); err != nil {
		return effect{}, err
	}
	msg.Delivery = firstDelivery(channel.Kind)
	return d.putMessage(msg, conv, false, nil)
}
