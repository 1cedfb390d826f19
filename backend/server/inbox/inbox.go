// Package inbox is the core of the server and its one writer. Commands of
// members and messages of customers come in here; chat's rules are applied in
// one transaction, which also writes the change log and the verdict; after the
// durable commit the fan-out is told. Nothing else changes shared state.
//
// Guarantees: a command is judged once per id, a message exists once per id;
// an answer leaves only after its commit is durable; what a member may not see
// is "not found". Reads go to the store's reader pool and never wait for the
// writer.
package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"parley/backend/chat"
	"parley/backend/server/auth"
	"parley/backend/server/fanout"
	"parley/backend/server/store"
)

// Fanout is where the inbox publishes what has happened. Publish must not block.
type Fanout interface {
	Publish(fanout.Hint)
	Subscribe(ws chat.WorkspaceID, fn func(fanout.Hint)) (cancel func())
}

// Blobs keeps the content of files under their SHA-256. Put stores a piece
// that starts at offset; content that does not hash to its name is an error.
type Blobs interface {
	Put(ctx context.Context, sha256, by string, r io.Reader, offset, total int64) (received int64, done bool, err error)
	Received(sha256, by string) (int64, bool)
	Open(sha256 string) (io.ReadSeekCloser, int64, error)
}

// Options are the parts an Inbox is built from. All but Now and Log are needed.
type Options struct {
	Store *store.Store
	// Blobs gives the place of a workspace's files. Two workspaces must not
	// share one, or knowing the hash of another company's file would be enough
	// to have it.
	Blobs  func(chat.WorkspaceID) (Blobs, error)
	Fanout Fanout
	// Now is the clock; nil means the system's.
	Now func() chat.Time
	Log *slog.Logger
}

// Inbox applies commands and inbound messages. It is safe for concurrent use.
type Inbox struct {
	store     *store.Store
	blobs     func(chat.WorkspaceID) (Blobs, error)
	fan       Fanout
	now       func() chat.Time
	log       *slog.Logger
	passwords *auth.Passwords
	guesses   *auth.Limiter // per e-mail and address
	sprays    *auth.Limiter // per address
	sieges    *auth.Limiter // per e-mail, from wherever
	handlers  map[string]handler

	sessions    *memo[string, Principal]     // by token hash
	visitors    *memo[string, store.Visitor] // by token hash
	channels    *memo[string, placedChannel] // by "key:…", "slug:…" and "id:…"
	settings    *memo[chat.WorkspaceID, chat.WorkspaceSettings]
	trusted     *memo[string, struct{}] // e-mails with addresses they have signed in from
	names       *memo[string, string]   // members' first names and brands' names, by id
	proofs      *memo[string, int64]    // how far uploads of known files have come, see prove
	subscribers *subscribers
	dueWake     chan struct{} // something was scheduled
	touches     *touches
	cancel      func()
}

// placedChannel is a channel with the workspace it belongs to.
type placedChannel struct {
	workspace chat.WorkspaceID
	channel   chat.Channel
}

// New builds an inbox. Close it when nothing calls it any more.
func New(o Options) *Inbox {
	if o.Now == nil {
		o.Now = func() chat.Time { return chat.TimeOf(time.Now()) }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	in := &Inbox{
		store: o.Store, blobs: o.Blobs, fan: o.Fanout, now: o.Now, log: o.Log,
		passwords:   auth.NewPasswords(),
		guesses:     auth.NewLimiter(10, 6*time.Second, 10_000, o.Now),
		sprays:      auth.NewLimiter(60, 2*time.Second, 10_000, o.Now),
		sieges:      auth.NewLimiter(100, 6*time.Second, 10_000, o.Now),
		trusted:     newMemo[string, struct{}](10_000, 30*24*time.Hour, o.Now),
		sessions:    newMemo[string, Principal](10_000, 10*time.Second, o.Now),
		visitors:    newMemo[string, store.Visitor](50_000, 10*time.Minute, o.Now),
		channels:    newMemo[string, placedChannel](2_000, 5*time.Second, o.Now),
		settings:    newMemo[chat.WorkspaceID, chat.WorkspaceSettings](2_000, 5*time.Second, o.Now),
		names:       newMemo[string, string](10_000, 30*time.Second, o.Now),
		proofs:      newMemo[string, int64](2_000, time.Hour, o.Now),
		subscribers: newSubscribers(),
		dueWake:     make(chan struct{}, 1),
		touches:     newTouches(o.Store.TouchSessions, o.Log),
	}
	in.handlers = handlers()
	in.cancel = in.fan.Subscribe(chat.WorkspaceID{}, in.hear)
	return in
}

// Close stops listening to the fan-out, and writes down what is still to be.
func (in *Inbox) Close() {
	in.cancel()
	in.touches.close()
}

// Publish passes an ephemeral hint on, for the sockets of members.
func (in *Inbox) Publish(h fanout.Hint) { in.fan.Publish(h) }

// Subscribe listens to a workspace's hints; see fanout.Local.
func (in *Inbox) Subscribe(ws chat.WorkspaceID, fn func(fanout.Hint)) (cancel func()) {
	return in.fan.Subscribe(ws, fn)
}

// hear keeps the in-memory answers honest when something happened, here or on
// another node, and wakes the visitors it concerns. It does not block.
func (in *Inbox) hear(h fanout.Hint) {
	if k := h.Kick; k != nil {
		in.sessions.dropIf(func(p Principal) bool {
			return p.Member.ID == k.Member && (k.Session.IsZero() || p.Session.ID == k.Session)
		})
	}
	if h.Contact.IsZero() {
		return
	}
	switch {
	case h.Head > 0:
		in.subscribers.notify(h.Workspace, h.Contact, VisitorHint{Kind: HintChanged, Conversation: h.Conversation})
	case h.Name != "":
		in.subscribers.notify(h.Workspace, h.Contact, VisitorHint{Kind: HintTyping, Conversation: h.Conversation, Name: h.Name, TTL: h.TTL})
	}
}

// committed tells everybody that the log has grown.
func (in *Inbox) committed(ws chat.WorkspaceID, head int64, conv *chat.Conversation) {
	h := fanout.Hint{Workspace: ws, Head: head}
	if conv != nil {
		h.Conversation, h.Contact = conv.ID, conv.Contact
	}
	in.fan.Publish(h)
}

// errUndo rolls a transaction back whose refusal came after something was
// already written; the verdict is stored by a second one.
var errUndo = errors.New("undo what was written before the refusal")

// isRefusal reports whether err is a judgement on the command, as opposed to a
// failure of ours that a repeat may overcome.
func isRefusal(err error) bool {
	var e *chat.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code != chat.CodeInternal && e.Code != chat.CodeUnavailable
}

// notFound is one answer for what does not exist and what may not be seen.
func notFound(what string) error {
	return chat.Errorf(chat.CodeNotFound, "There is no such %s, or you may not see it.", what)
}

// isNotFound reports whether err says that something does not exist.
func isNotFound(err error) bool { return chat.ErrorCode(err) == chat.CodeNotFound }

func marshal(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return b, nil
}
