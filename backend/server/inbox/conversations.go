package inbox

import (
	"encoding/json"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// hasAssistant says whether an assistant could answer a conversation that
// nobody holds. No assistant is connected to any brand, so it waits for a person.
const hasAssistant = false

// conversationRead moves the read position forward to what the member has seen.
func (d *deed) conversationRead(args protocol.ReadArgs) (effect, error) {
	if args.Upto < 1 {
		return effect{}, chat.Invalid("upto", "The number of the newest message that was read is missing.")
	}
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	upto := min(args.Upto, conv.LastNumber)
	if upto <= conv.ReadNumber {
		return unchanged(conv), nil
	}
	return d.moveRead(conv, upto)
}

// conversationUnread moves the read position back to before a message.
func (d *deed) conversationUnread(args protocol.ReadArgs) (effect, error) {
	if args.From < 0 {
		return effect{}, chat.Invalid("from", "A message number is 1 or more.")
	}
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	from := args.From
	if from == 0 {
		from = conv.LastCustomerNumber
	}
	if from == 0 || from > conv.LastNumber {
		return unchanged(conv), nil // nothing of the customer's to be unread
	}
	return d.moveRead(conv, from-1)
}

func (d *deed) moveRead(conv chat.Conversation, number int64) (effect, error) {
	in, err := d.tx.InNumberAt(conv.ID, number)
	if err != nil {
		return effect{}, err
	}
	if !conv.Read(number, in) {
		return unchanged(conv), nil
	}
	return d.putConversation(conv)
}

// happened appends an event and puts the conversation.
func (d *deed) happened(conv chat.Conversation, e chat.Event) (effect, error) {
	if err := event(d.tx, d.meta, &conv, e); err != nil {
		return effect{}, err
	}
	return d.putConversation(conv)
}

func (d *deed) conversationResolve(args protocol.ConversationArgs) (effect, error) {
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	unseen, err := d.since(conv)
	if err == nil {
		err = conv.CheckResolve(unseen)
	}
	if err != nil {
		return effect{}, err
	}
	changed, err := conv.Resolve(hasAssistant)
	if err != nil {
		return effect{}, err
	}
	if !changed {
		return unchanged(conv), nil
	}
	return d.happened(conv, chat.Event{Name: "resolved", Member: d.me.ID})
}

func (d *deed) conversationReopen(args protocol.ConversationArgs) (effect, error) {
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	if !conv.Reopen(hasAssistant) {
		return unchanged(conv), nil
	}
	return d.happened(conv, chat.Event{Name: "reopened", Member: d.me.ID})
}

func (d *deed) conversationAssign(args protocol.AssignArgs) (effect, error) {
	var given struct {
		Member json.RawMessage `json:"member"`
	}
	if err := json.Unmarshal(d.cmd.Args, &given); err != nil || len(given.Member) == 0 {
		return effect{}, chat.Invalid("member", "Say who is to be responsible; null: nobody.")
	}
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	if !args.Member.IsZero() {
		if _, err := d.colleague(args.Member, conv.Brand, "member"); err != nil {
			return effect{}, err
		}
	}
	if !conv.Assign(args.Member) {
		return unchanged(conv), nil
	}
	if args.Member.IsZero() {
		return d.happened(conv, chat.Event{Name: "unassigned"})
	}
	return d.happened(conv, chat.Event{Name: "assigned", Member: args.Member})
}

func (d *deed) handoffAccept(args protocol.ConversationArgs) (effect, error) {
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	changed, err := conv.Accept(d.me.ID, args.Force)
	if err != nil {
		return effect{}, err
	}
	if !changed {
		return unchanged(conv), nil
	}
	return d.happened(conv, chat.Event{Name: "accepted", Member: d.me.ID})
}

func (d *deed) handoffRelease(args protocol.ConversationArgs) (effect, error) {
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	changed, err := conv.Release(d.me.ID, d.me.Role.Can(chat.ActManageWork), hasAssistant)
	if err != nil {
		return effect{}, err
	}
	if !changed {
		return unchanged(conv), nil
	}
	return d.happened(conv, chat.Event{Name: "released", Member: d.me.ID})
}
