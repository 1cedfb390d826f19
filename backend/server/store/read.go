package store

import (
	"context"
	"slices"

	"parley/backend/chat"
)

// Workspaces lists the workspaces, oldest first. It is empty on a fresh backend.
func (s *Store) Workspaces(ctx context.Context) ([]chat.Workspace, error) {
	r, err := s.read(ctx, chat.WorkspaceID{})
	if err != nil {
		return nil, err
	}
	return entities[chat.Workspace](r, "workspace", `select data from workspace order by created_at, workspace_id`)
}

// Workspace reads one workspace.
func (s *Store) Workspace(ctx context.Context, ws chat.WorkspaceID) (chat.Workspace, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return chat.Workspace{}, err
	}
	return r.workspace()
}

// Conversation reads a conversation that the view includes.
func (s *Store) Conversation(ctx context.Context, ws chat.WorkspaceID, view chat.View, id chat.ConversationID) (chat.Conversation, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return chat.Conversation{}, err
	}
	c, err := r.conversation(id)
	return within(view, c, c.Brand, "conversation", err)
}

// Contact reads a contact that the view includes.
func (s *Store) Contact(ctx context.Context, ws chat.WorkspaceID, view chat.View, id chat.ContactID) (chat.Contact, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return chat.Contact{}, err
	}
	c, err := r.contact(id)
	return within(view, c, c.Brand, "contact", err)
}

// Channel reads a channel that the view includes, with its secret.
func (s *Store) Channel(ctx context.Context, ws chat.WorkspaceID, view chat.View, id chat.ChannelID) (chat.Channel, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return chat.Channel{}, err
	}
	c, err := r.channel(id)
	return within(view, c, c.Brand, "channel", err)
}

// within hides what the view does not include as if it were not there.
func within[T any](view chat.View, x T, brand chat.BrandID, what string, err error) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	if !view.Sees(brand) {
		return none, notFound(what)
	}
	return x, nil
}

// Member reads a member, without the password's hash.
func (s *Store) Member(ctx context.Context, ws chat.WorkspaceID, id chat.MemberID) (chat.Member, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return chat.Member{}, err
	}
	return entity[chat.Member](r, "member", `select data from member where workspace_id = ? and id = ?`, r.ws, id.Bytes())
}

// Members lists the members, oldest first, without the passwords' hashes.
func (s *Store) Members(ctx context.Context, ws chat.WorkspaceID) ([]chat.Member, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return nil, err
	}
	return entities[chat.Member](r, "member", `select data from member where workspace_id = ? order by id`, r.ws)
}

// Brands lists the brands that the view includes, in their order.
func (s *Store) Brands(ctx context.Context, ws chat.WorkspaceID, view chat.View) ([]chat.Brand, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return nil, err
	}
	all, err := entities[chat.Brand](r, "brand", `select data from brand where workspace_id = ? order by id`, r.ws)
	all = slices.DeleteFunc(all, func(b chat.Brand) bool { return !view.Sees(b.ID) })
	slices.SortStableFunc(all, func(a, b chat.Brand) int { return a.Position - b.Position })
	return all, err
}

// Channels lists the channels that the view includes, oldest first, without secrets.
func (s *Store) Channels(ctx context.Context, ws chat.WorkspaceID, view chat.View) ([]chat.Channel, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return nil, err
	}
	all, err := entities[chat.Channel](r, "channel", `select data from channel where workspace_id = ? order by id`, r.ws)
	return slices.DeleteFunc(all, func(c chat.Channel) bool { return !view.Sees(c.Brand) }), err
}

// ChannelByKey finds a web channel by its public key, in any workspace.
func (s *Store) ChannelByKey(ctx context.Context, key string) (chat.WorkspaceID, chat.Channel, error) {
	return s.publicChannel(ctx, `select workspace_id, data, secret from channel where key = ? and key <> ''`, key)
}

// ChannelBySlug finds a web channel by the path of its page, in any workspace.
func (s *Store) ChannelBySlug(ctx context.Context, slug string) (chat.WorkspaceID, chat.Channel, error) {
	return s.publicChannel(ctx, `select workspace_id, data, secret from channel where slug = ? and slug <> ''`, slug)
}

func (s *Store) publicChannel(ctx context.Context, q, name string) (ws chat.WorkspaceID, c chat.Channel, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return ws, c, err
	}
	var data []byte
	var hidden string
	if err := r.row("channel", q, []any{&ws, &data, &hidden}, name); err != nil {
		return ws, c, err
	}
	err = decode("channel", data, &c)
	c.Secret = hidden
	return ws, c, err
}

// Messages reads a piece of a thread that the view includes, in order: before
// a number, after one, around one, or, with none of them, the newest. It
// covers [from, to] without holes, [0, 0] when there is nothing; head is the
// number of the conversation's newest message.
func (s *Store) Messages(ctx context.Context, ws chat.WorkspaceID, view chat.View, conv chat.ConversationID, before, after, around int64,
	limit int) (from, to, head int64, msgs []chat.Message, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return 0, 0, 0, nil, err
	}
	c, err := r.conversation(conv)
	if c, err = within(view, c, c.Brand, "conversation", err); err != nil {
		return 0, 0, 0, nil, err
	}
	size := int64(limit)
	first, last := max(1, c.LastNumber-size+1), c.LastNumber // numbers have no holes: the page is arithmetic
	switch {
	case before > 0:
		last = min(before-1, c.LastNumber)
		first = max(1, last-size+1)
	case after > 0:
		first = after + 1
		last = min(after+size, c.LastNumber)
	case around > 0:
		first = max(1, min(around-size/2, c.LastNumber-size+1))
		last = min(first+size-1, c.LastNumber)
	}
	msgs, err = r.messages(`select data, remote_id from message where workspace_id = ? and conversation_id = ? and number >= ? and number <= ?
		order by number`, limit, r.ws, conv.Bytes(), first, last)
	if err != nil || len(msgs) == 0 {
		return 0, 0, c.LastNumber, msgs, err
	}
	return msgs[0].Number, msgs[len(msgs)-1].Number, c.LastNumber, msgs, nil
}

// VisitorMessages reads what was said in a conversation in (after, to]: no
// comments, no events. A to before after says how short the conversation is.
func (s *Store) VisitorMessages(ctx context.Context, ws chat.WorkspaceID, conv chat.ConversationID, after int64, limit int) (
	to int64, msgs []chat.Message, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return 0, nil, err
	}
	var last int64 // read first: everything up to it is there
	if err := r.row("conversation", `select last_number from conversation where workspace_id = ? and id = ?`, []any{&last}, r.ws, conv.Bytes()); err != nil {
		return 0, nil, err
	}
	msgs, err = r.messages(`select data, remote_id from message where workspace_id = ? and conversation_id = ? and number > ? and number <= ?
		and kind = 'message' order by number limit ?`, limit, r.ws, conv.Bytes(), after, last, int64(limit))
	if err != nil {
		return 0, nil, err
	}
	to = last
	if len(msgs) == limit && limit > 0 {
		to = msgs[limit-1].Number
	}
	return to, msgs, nil
}
