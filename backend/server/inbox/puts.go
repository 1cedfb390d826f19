package inbox

import (
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// The longest names and addresses that are kept, in bytes.
const (
	maxName  = 400
	maxEmail = 254
	maxPhone = 64

	maxDevice = 64 // of a name that a device gives itself
)

// contactUpdate changes what is known of a person.
func (d *deed) contactUpdate(args protocol.ContactUpdateArgs) (effect, error) {
	if args.Contact.IsZero() {
		return effect{}, chat.Invalid("contact", "The contact is missing.")
	}
	c, err := d.tx.Contact(args.Contact)
	if isNotFound(err) || err == nil && !d.view.Sees(c.Brand) {
		return effect{}, notFound("contact")
	}
	if err != nil {
		return effect{}, err
	}
	before := [3]string{c.Name, c.Email, c.Phone}
	if err := putText("name", args.Name, maxName, &c.Name); err != nil {
		return effect{}, err
	}
	if err := putText("email", args.Email, maxEmail, &c.Email); err != nil {
		return effect{}, err
	}
	if args.Email != nil && c.Email != "" && !looksLikeEmail(c.Email) {
		return effect{}, chat.Invalid("email", "This is not an e-mail address.")
	}
	if err := putText("phone", args.Phone, maxPhone, &c.Phone); err != nil {
		return effect{}, err
	}
	if before == [3]string{c.Name, c.Email, c.Phone} {
		return effect{entity: c, seq: c.Ver}, nil
	}
	if err := d.tx.PutContact(&c, d.meta); err != nil {
		return effect{}, err
	}
	return effect{entity: c, seq: c.Ver}, nil
}

// putText checks and takes over a field that may be absent.
func putText(field string, from *string, max int, to *string) error {
	if from == nil {
		return nil
	}
	if err := chat.CheckText(field, *from, max); err != nil {
		return err
	}
	*to = strings.TrimSpace(*from)
	return nil
}

// looksLikeEmail is as strict as one can be without writing to the address.
func looksLikeEmail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && !strings.ContainsAny(s, " \t\r\n<>,;")
}

// draftPut keeps what the member has typed so far; nothing typed drops it.
func (d *deed) draftPut(args protocol.DraftPutArgs) (effect, error) {
	if err := chat.CheckText("text", args.Text, chat.MaxTextBytes); err != nil {
		return effect{}, err
	}
	if err := chat.CheckText("device", args.Device, maxDevice); err != nil {
		return effect{}, err
	}
	if args.Text == "" {
		return d.draftDrop(protocol.DraftDropArgs{Conversation: args.Conversation, Base: args.Base})
	}
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	if err := d.checkBase(conv.ID, args.Base); err != nil {
		return effect{}, err
	}
	draft := chat.Draft{Conversation: conv.ID, Member: d.me.ID, Text: args.Text, Comment: args.Comment, UpdatedAt: d.now, Device: args.Device}
	if err := chat.CheckSize("text", draft); err != nil {
		return effect{}, err
	}
	if err := d.tx.PutDraft(&draft, d.meta); err != nil {
		return effect{}, err
	}
	return effect{entity: draft, seq: draft.Ver}, nil
}

// draftDrop forgets the draft. One that says what it knows of is noted even
// where there is none: the draft may still be on its way here.
func (d *deed) draftDrop(args protocol.DraftDropArgs) (effect, error) {
	conv, err := d.conversation(args.Conversation)
	if err != nil {
		return effect{}, err
	}
	if err := d.checkBase(conv.ID, args.Base); err != nil {
		return effect{}, err
	}
	noted, err := d.tx.DeleteDraft(conv.ID, d.me.ID, d.meta)
	if err == nil && !noted && args.Base != nil {
		noted, err = true, d.tx.BuryDraft(conv.ID, d.me.ID, d.meta)
	}
	if err != nil {
		return effect{}, err
	}
	e := effect{entity: struct{}{}}
	if noted {
		e.seq = d.tx.Head()
	}
	return e, nil
}

// checkBase refuses what was typed without knowing of the draft as it is now:
// another device's, or a request that has come late.
func (d *deed) checkBase(conv chat.ConversationID, base *int64) error {
	if base == nil {
		return nil
	}
	ver, err := d.tx.DraftVer(conv, d.me.ID)
	if err == nil && (ver > *base || *base > d.tx.Head()) { // beyond the head: of a log before this one
		err = chat.Errorf(chat.CodeConflict, "The draft of this conversation has changed meanwhile.")
	}
	return err
}

// settingsPut changes the workspace's settings; absent fields stay.
func (d *deed) settingsPut(args protocol.SettingsPutArgs) (effect, error) {
	ws, err := d.tx.Workspace()
	if err != nil {
		return effect{}, err
	}
	before := ws.Settings
	if v := args.SendIntervalSeconds; v != nil {
		if *v < 0 || *v > 60 {
			return effect{}, chat.Invalid("send_interval_seconds", "The pause between two messages is 0 to 60 seconds.")
		}
		ws.Settings.SendIntervalSeconds = int(*v)
	}
	if v := args.MaxFileBytes; v != nil {
		if *v < 1<<10 || *v > 1<<30 {
			return effect{}, chat.Invalid("max_file_bytes", "The largest file is between 1 kB and 1 GB.")
		}
		ws.Settings.MaxFileBytes = *v
	}
	id := ws.ID
	e := effect{entity: ws, forget: func(in *Inbox) { in.settings.drop(id) }}
	if ws.Settings != before {
		if err := d.tx.PutWorkspace(&ws, d.meta); err != nil {
			return effect{}, err
		}
		e.entity = ws
	}
	e.seq = ws.Ver
	return e, nil
}

// mePut changes the member's own name and choices; absent fields stay.
func (d *deed) mePut(args protocol.MePutArgs) (effect, error) {
	m := d.me
	if err := putText("name", args.Name, maxName, &m.Name); err != nil {
		return effect{}, err
	}
	if m.Name == "" {
		return effect{}, chat.Invalid("name", "Colleagues and customers need a name to call you by.")
	}
	if err := putChoice("read_mode", args.ReadMode, &m.Settings.ReadMode, "manual", "on_reply", "on_open"); err != nil {
		return effect{}, err
	}
	if err := putChoice("send_key", args.SendKey, &m.Settings.SendKey, "enter", "ctrl_enter"); err != nil {
		return effect{}, err
	}
	if err := putText("language", args.Language, 35, &m.Settings.Language); err != nil {
		return effect{}, err
	}
	if v := args.UndoSeconds; v != nil {
		if *v < 0 || *v > int64(chat.MaxUndo/time.Second) {
			return effect{}, chat.Invalid("undo_seconds", "A message can be taken back for 0 to 30 seconds.")
		}
		m.Settings.UndoSeconds = int(*v)
	}
	id := m.ID
	e := effect{seq: m.Ver, forget: func(in *Inbox) { in.forgetMember(id) }}
	if m.Name != d.me.Name || m.Settings != d.me.Settings {
		if err := d.tx.PutMember(&m, d.meta); err != nil {
			return effect{}, err
		}
		e.seq = m.Ver
	}
	e.entity = m
	return e, nil
}

// putChoice takes over one of a few words; "" means the default.
func putChoice(field string, from *string, to *string, allowed ...string) error {
	if from == nil {
		return nil
	}
	for _, a := range append(allowed, "") {
		if *from == a {
			*to = a
			return nil
		}
	}
	return chat.Invalid(field, "One of %s is wanted.", strings.Join(allowed, ", "))
}

// forgetMember drops what memory knows of a member.
func (in *Inbox) forgetMember(id chat.MemberID) {
	in.names.drop(id.String())
	in.sessions.dropIf(func(p Principal) bool { return p.Member.ID == id })
}
