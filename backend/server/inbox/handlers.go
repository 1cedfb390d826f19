package inbox

import (
	"encoding/json"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/store"
)

// handler carries out one kind of command. It checks everything before it
// writes anything.
type handler struct {
	needs chat.Action
	run   func(d *deed, args json.RawMessage) (effect, error)
}

// handlers is the closed list of what members can do.
func handlers() map[string]handler {
	return map[string]handler{
		protocol.MessageSend:         on(chat.ActAnswer, (*deed).messageSend),
		protocol.MessageUnschedule:   on(chat.ActAnswer, (*deed).messageUnschedule),
		protocol.MessageRetry:        on(chat.ActAnswer, (*deed).messageRetry),
		protocol.CommentAdd:          on(chat.ActAnswer, (*deed).commentAdd),
		protocol.ConversationRead:    on(chat.ActAnswer, (*deed).conversationRead),
		protocol.ConversationUnread:  on(chat.ActAnswer, (*deed).conversationUnread),
		protocol.ConversationResolve: on(chat.ActAnswer, (*deed).conversationResolve),
		protocol.ConversationReopen:  on(chat.ActAnswer, (*deed).conversationReopen),
		protocol.ConversationAssign:  on(chat.ActAnswer, (*deed).conversationAssign),
		protocol.HandoffAccept:       on(chat.ActAnswer, (*deed).handoffAccept),
		protocol.HandoffRelease:      on(chat.ActAnswer, (*deed).handoffRelease),
		protocol.ContactUpdate:       on(chat.ActAnswer, (*deed).contactUpdate),
		protocol.DraftPut:            on(chat.ActAnswer, (*deed).draftPut),
		protocol.DraftDrop:           on(chat.ActAnswer, (*deed).draftDrop),
		protocol.SettingsPut:         on(chat.ActManageWorkspace, (*deed).settingsPut),
		protocol.ChannelPut:          on(chat.ActManageWorkspace, (*deed).channelPut),
		protocol.MePut:               on(chat.ActRead, (*deed).mePut),
	}
}

// on decodes the args of a kind before its handler sees them.
func on[A any](needs chat.Action, run func(*deed, A) (effect, error)) handler {
	return handler{needs: needs, run: func(d *deed, raw json.RawMessage) (effect, error) {
		var args A
		if len(raw) == 0 || string(raw) == "null" {
			return effect{}, chat.Invalid("args", "The command needs args.")
		}
		if err := protocol.DecodeAs("args", raw, &args); err != nil {
			return effect{}, err
		}
		return run(d, args)
	}}
}

// deed is one command being carried out, inside its transaction.
type deed struct {
	in   *Inbox
	tx   *store.Tx
	me   chat.Member
	view chat.View
	cmd  chat.Command
	meta store.Meta
	now  chat.Time
}

// conversation finds a conversation the member may see.
func (d *deed) conversation(id chat.ConversationID) (chat.Conversation, error) {
	if id.IsZero() {
		return chat.Conversation{}, chat.Invalid("conversation", "The conversation is missing.")
	}
	conv, err := d.tx.Conversation(id)
	if isNotFound(err) || err == nil && !d.view.Sees(conv.Brand) {
		return chat.Conversation{}, notFound("conversation")
	}
	return conv, err
}

// colleague finds a member who can work on something of a brand.
func (d *deed) colleague(id chat.MemberID, brand chat.BrandID, field string) (chat.Member, error) {
	m, err := d.tx.Member(id)
	if isNotFound(err) || err == nil && m.Disabled {
		return m, chat.Invalid(field, "There is no such member.")
	}
	if err == nil && !chat.ViewOf(m).Sees(brand) {
		return m, chat.Invalid(field, "This member does not see the brand of the conversation.")
	}
	return m, err
}

// putConversation writes the conversation and is the effect of doing so.
func (d *deed) putConversation(conv chat.Conversation) (effect, error) {
	if err := d.tx.PutConversation(&conv, d.meta); err != nil {
		return effect{}, err
	}
	return effect{entity: conv, seq: conv.Ver, conv: &conv}, nil
}

// unchanged is the effect of a command that found everything as it wants it.
func unchanged(conv chat.Conversation) effect {
	return effect{entity: conv, seq: conv.Ver, conv: &conv}
}

// event appends what happened to the thread. The conversation itself is put
// afterwards, by the caller.
func event(tx *store.Tx, meta store.Meta, conv *chat.Conversation, e chat.Event) error {
	msg := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindEvent, Author: meta.Actor,
		Parts: []chat.Part{}, Event: &e, SentAt: tx.Now(), StoredAt: tx.Now()}
	conv.Append(&msg)
	return tx.PutMessage(&msg, meta)
}
