package inbox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/search"
	"parley/backend/server/store"
)

// Workspaces lists every workspace of this backend.
func (in *Inbox) Workspaces(ctx context.Context) ([]chat.Workspace, error) {
	return in.store.Workspaces(ctx)
}

// Ready reports whether the database answers.
func (in *Inbox) Ready(ctx context.Context) error { return in.store.Ping(ctx) }

// Head is the newest change's number and the log's epoch.
func (in *Inbox) Head(ctx context.Context, ws chat.WorkspaceID) (head int64, epoch string, err error) {
	head, epoch, _, err = in.store.Head(ctx, ws)
	return head, epoch, err
}

// Changes is one page of the log as somebody may see it. A client of another
// epoch is told to start anew.
func (in *Inbox) Changes(ctx context.Context, ws chat.WorkspaceID, view chat.View, after int64, limit int, epoch string) (protocol.ChangesPage, error) {
	var page protocol.ChangesPage
	if err := in.checkEpoch(ctx, ws, epoch, &page.Epoch); err != nil {
		return page, err
	}
	changes, to, head, more, err := in.store.Changes(ctx, ws, view, after, limit, protocol.MaxPacketBytes)
	if err != nil {
		return page, err
	}
	if changes == nil {
		changes = []chat.Change{}
	}
	page.Packet = protocol.Packet{From: after, To: to, Changes: changes}
	page.Head, page.More = head, more
	return page, nil
}

// CheckEpoch tells a client that follows another log so, before anything it
// says is judged: the numbers in it are of that log.
func (in *Inbox) CheckEpoch(ctx context.Context, ws chat.WorkspaceID, epoch string) error {
	if epoch == "" {
		return nil
	}
	return in.checkEpoch(ctx, ws, epoch, new(string))
}

// checkEpoch compares the client's epoch, if it sent one, with the log's.
func (in *Inbox) checkEpoch(ctx context.Context, ws chat.WorkspaceID, epoch string, current *string) error {
	_, now, err := in.Head(ctx, ws)
	if err != nil {
		return err
	}
	*current = now
	if epoch != "" && epoch != now {
		return chat.Errorf(chat.CodeReset, "The server's data were restored from a backup. Everything is loaded anew.")
	}
	return nil
}

// LogTail is the log unfiltered, for who filters it per socket: at most limit
// changes and, unless maxBytes is 0, about so many bytes.
func (in *Inbox) LogTail(ctx context.Context, ws chat.WorkspaceID, after int64, limit, maxBytes int) ([]chat.Change, error) {
	return in.store.LogTail(ctx, ws, after, limit, maxBytes)
}

// Stream is a request for a bootstrap or state answer.
type Stream struct {
	Days   int
	Cursor string
	Epoch  string
	// MaxRows ends the answer at the first safe place after so many rows; 0: never.
	MaxRows int
	// Since is when the window begins, instead of Days before now; Buckets
	// restricts a state answer to parts of a digest.
	Since   chat.Time
	Buckets []int
	// Begin is called once, before the first line.
	Begin func(protocol.BootstrapHead) error
	Emit  func(protocol.BootstrapLine) error
	total int64 // conversations to come
}

// Bootstrap streams everything an empty client needs; see the protocol. next
// is where to continue, "" at the end.
func (in *Inbox) Bootstrap(ctx context.Context, p Principal, s Stream) (next string, err error) {
	if s.Cursor == "" {
		if s.total, err = in.store.CountConversations(ctx, p.Workspace, p.View(), s.Days); err != nil {
			return "", err
		}
	}
	return in.store.Bootstrap(ctx, p.Workspace, p.View(), s.stored(p))
}

// State streams what has changed since after, for a client that is far behind.
func (in *Inbox) State(ctx context.Context, p Principal, after int64, s Stream) (next string, err error) {
	var epoch string
	if err := in.checkEpoch(ctx, p.Workspace, s.Epoch, &epoch); err != nil {
		return "", err
	}
	return in.store.State(ctx, p.Workspace, p.View(), after, s.stored(p))
}

func (s Stream) stored(p Principal) store.Stream {
	access := accessOf(p)
	return store.Stream{Days: s.Days, Since: s.Since, Buckets: s.Buckets, Cursor: s.Cursor, MaxRows: s.MaxRows,
		Begin: func(head int64, epoch string, since chat.Time) error {
			return s.Begin(protocol.BootstrapHead{Head: head, Epoch: epoch, Access: &access, Since: since, Total: s.total})
		},
		Emit: func(r store.Row) error {
			return s.Emit(protocol.BootstrapLine{Kind: r.Kind, ID: r.ID, Op: r.Op, Ver: r.Ver, Brand: r.Brand,
				Conversation: r.Conversation, Data: r.Data, Cursor: r.Cursor})
		}}
}

// ConversationFilter picks conversations; zero fields do not filter. It is the
// store's, named here because callers of the inbox do not know the store.
type ConversationFilter = store.ConversationFilter

// Conversations lists conversations, newest activity first, with the contacts
// they point to.
//
// Those in with come along, whatever the filter: a client that shows them sees
// whether they still belong there.
func (in *Inbox) Conversations(ctx context.Context, p Principal, f ConversationFilter, cursor string, limit int, with []chat.ConversationID) (protocol.ConversationsPage, error) {
	convs, contacts, next, err := in.store.Conversations(ctx, p.Workspace, p.View(), f, cursor, limit)
	if convs == nil {
		convs = []chat.Conversation{}
	}
	if contacts == nil {
		contacts = []chat.Contact{}
	}
	page := protocol.ConversationsPage{Conversations: convs, Contacts: contacts, Cursor: next}
	if err != nil || len(with) == 0 {
		return page, err
	}
	page.With, contacts, err = in.store.ConversationsOf(ctx, p.Workspace, p.View(), with)
	for _, c := range contacts {
		if !slices.ContainsFunc(page.Contacts, func(x chat.Contact) bool { return x.ID == c.ID }) {
			page.Contacts = append(page.Contacts, c)
		}
	}
	return page, err
}

// Search finds conversations by their contact, and messages; see the package search.
func (in *Inbox) Search(ctx context.Context, p Principal, q search.Query, cursor string, limit int) (protocol.SearchPage, error) {
	found, err := in.store.Search(ctx, p.Workspace, p.View(), p.Member.ID, q, cursor, limit)
	return protocol.SearchPage{Conversations: found.Conversations, Contacts: found.Contacts, Messages: found.Messages, Cursor: found.Next}, err
}

// IndexMessages takes some messages into the index that searches ask, and
// reports whether there are more.
func (in *Inbox) IndexMessages(ctx context.Context, ws chat.WorkspaceID) (more bool, err error) {
	return in.store.IndexMessages(ctx, ws)
}

// Conversation finds one conversation that the principal may see.
func (in *Inbox) Conversation(ctx context.Context, p Principal, id chat.ConversationID) (chat.Conversation, error) {
	c, err := in.store.Conversation(ctx, p.Workspace, p.View(), id)
	if isNotFound(err) {
		err = notFound("conversation")
	}
	return c, err
}

// Contact finds one contact that the principal may see.
func (in *Inbox) Contact(ctx context.Context, p Principal, id chat.ContactID) (chat.Contact, error) {
	c, err := in.store.Contact(ctx, p.Workspace, p.View(), id)
	if isNotFound(err) {
		err = notFound("contact")
	}
	return c, err
}

// Contacts lists contacts, the newest first; query picks by the beginnings of
// words of name, e-mail and phone.
func (in *Inbox) Contacts(ctx context.Context, p Principal, query, cursor string, limit int) (protocol.ContactsPage, error) {
	list, next, err := in.store.Contacts(ctx, p.Workspace, p.View(), query, cursor, limit)
	return protocol.ContactsPage{Contacts: list, Cursor: next}, err
}

// Messages is a page of a thread: before, after or around a number, the newest
// when all are zero.
func (in *Inbox) Messages(ctx context.Context, p Principal, conv chat.ConversationID, before, after, around int64, limit int) (protocol.MessagesPage, error) {
	from, to, head, msgs, err := in.store.Messages(ctx, p.Workspace, p.View(), conv, before, after, around, limit)
	if isNotFound(err) {
		err = notFound("conversation")
	}
	if msgs == nil {
		msgs = []chat.Message{}
	}
	return protocol.MessagesPage{Range: [2]int64{from, to}, Head: head, Messages: msgs}, err
}

// ChannelByKey implements Visitors.
func (in *Inbox) ChannelByKey(ctx context.Context, key string) (chat.WorkspaceID, chat.Channel, error) {
	return in.channel("key:"+key, func() (chat.WorkspaceID, chat.Channel, error) { return in.store.ChannelByKey(ctx, key) })
}

// ChannelBySlug implements Visitors.
func (in *Inbox) ChannelBySlug(ctx context.Context, slug string) (chat.WorkspaceID, chat.Channel, error) {
	return in.channel("slug:"+slug, func() (chat.WorkspaceID, chat.Channel, error) { return in.store.ChannelBySlug(ctx, slug) })
}

func (in *Inbox) channelByID(ctx context.Context, ws chat.WorkspaceID, id chat.ChannelID) (chat.Channel, error) {
	_, ch, err := in.channel("id:"+id.String(), func() (chat.WorkspaceID, chat.Channel, error) {
		ch, err := in.store.Channel(ctx, ws, everything, id)
		return ws, ch, err
	})
	return ch, err
}

func (in *Inbox) channel(memoKey string, find func() (chat.WorkspaceID, chat.Channel, error)) (chat.WorkspaceID, chat.Channel, error) {
	if chat.CheckText("channel", memoKey, 200) != nil { // no database could have it, so there is none
		return chat.WorkspaceID{}, chat.Channel{}, notFound("channel")
	}
	if c, ok := in.channels.get(memoKey); ok {
		return c.workspace, c.channel, nil
	}
	ws, ch, err := find()
	if isNotFound(err) {
		err = notFound("channel")
	}
	if err == nil {
		in.channels.put(memoKey, placedChannel{ws, ch})
	}
	return ws, ch, err
}

// Settings implements Visitors.
func (in *Inbox) Settings(ctx context.Context, ws chat.WorkspaceID) (chat.WorkspaceSettings, error) {
	if s, ok := in.settings.get(ws); ok {
		return s, nil
	}
	w, err := in.store.Workspace(ctx, ws)
	if err != nil {
		return w.Settings, fmt.Errorf("read settings: %w", err)
	}
	in.settings.put(ws, w.Settings)
	return w.Settings, nil
}

// MemberName implements Visitors.
func (in *Inbox) MemberName(ctx context.Context, ws chat.WorkspaceID, id string) string {
	if name, ok := in.names.get(id); ok {
		return name
	}
	mid, err := chat.ParseID[chat.Member](id)
	if err != nil {
		return ""
	}
	m, err := in.store.Member(ctx, ws, mid)
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(strings.TrimSpace(m.Name), " ")
	if w, err := in.store.Workspace(ctx, ws); err == nil && w.Name == m.Name {
		name = "" // whoever gave no name is called as the workspace: customers know the brand
	}
	in.names.put(id, name)
	return name
}

// BrandName implements Visitors.
func (in *Inbox) BrandName(ctx context.Context, ws chat.WorkspaceID, id chat.BrandID) string {
	if name, ok := in.names.get(id.String()); ok {
		return name
	}
	brands, err := in.store.Brands(ctx, ws, everything)
	if err != nil {
		return ""
	}
	for _, b := range brands {
		if b.ID == id {
			in.names.put(id.String(), b.Name)
			return b.Name
		}
	}
	return ""
}
