package inbox

import (
	"context"
	"fmt"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/auth"
	"parley/backend/server/fanout"
)

// Principal is who makes a request: a member on one of their devices.
type Principal struct {
	Workspace chat.WorkspaceID
	Member    chat.Member
	Session   chat.Session
}

// View is what the principal may see.
func (p Principal) View() chat.View { return chat.ViewOf(p.Member) }

// touchEvery is how often a session's last use is written down.
const touchEvery = 5 * time.Minute

// SignIn checks e-mail and password and opens a session for the device.
// address is where the request came from, for the brake on guessing. Whether
// the e-mail is unknown, the member disabled or the password wrong, the answer
// and its time are the same.
func (in *Inbox) SignIn(ctx context.Context, req protocol.SignIn, address string) (protocol.SignedIn, error) {
	var none protocol.SignedIn
	email := normalEmail(req.Email)
	if err := chat.CheckText("device", req.Device, 200); err != nil {
		return none, err
	}
	tries, err := in.tryPassword(email, auth.AddressKey(address))
	if err != nil {
		return none, err
	}
	ws, member, err := in.memberByEmail(ctx, email)
	if err != nil {
		tries.giveBack(false)
		return none, err
	}
	right, err := in.passwords.Verify(ctx, member.PasswordHash, req.Password)
	if err != nil {
		tries.giveBack(false)
		return none, fmt.Errorf("check password: %w", err)
	}
	if !right || member.Disabled {
		return none, chat.Errorf(chat.CodeBadCredentials, "The e-mail or the password is wrong.")
	}
	tries.giveBack(true)
	return in.OpenSession(ctx, ws, member, req.Device)
}

// memberByEmail finds who an e-mail belongs to: nobody, if it is unknown or
// cannot be one.
func (in *Inbox) memberByEmail(ctx context.Context, email string) (chat.WorkspaceID, chat.Member, error) {
	if chat.CheckText("email", email, maxEmail) != nil {
		return chat.WorkspaceID{}, chat.Member{}, nil
	}
	ws, member, err := in.store.MemberByEmail(ctx, email)
	if isNotFound(err) {
		return chat.WorkspaceID{}, chat.Member{}, nil
	}
	return ws, member, err
}

// attempt is one try at a password, counted already.
type attempt struct {
	in    *Inbox
	pair  string
	taken []taken
}

// taken is one place in a bucket.
type taken struct {
	limiter *auth.Limiter
	key     string
}

// tryPassword counts a try against the e-mail from this address, against the
// address, and, more loosely, against the e-mail from wherever: who guesses at
// somebody's password must not keep them out, least of all where they have
// signed in before.
func (in *Inbox) tryPassword(email, from string) (*attempt, error) {
	email = clipKey(email)
	a := &attempt{in: in, pair: email + " " + from}
	limits := []taken{{in.guesses, a.pair}, {in.sprays, from}}
	if _, before := in.trusted.get(a.pair); !before {
		limits = append(limits, taken{in.sieges, email})
	}
	for _, l := range limits {
		if ok, wait := l.limiter.Take(l.key); !ok {
			a.giveBack(false)
			return nil, &chat.Error{Code: chat.CodeTooMany, RetryAfter: wait,
				Message: "Too many wrong passwords. Please wait a moment and try again."}
		}
		a.taken = append(a.taken, l)
	}
	return a, nil
}

// giveBack undoes what was counted: the password was right, or was not judged.
func (a *attempt) giveBack(right bool) {
	for _, l := range a.taken {
		l.limiter.Give(l.key)
	}
	if right {
		a.in.guesses.Forget(a.pair)
		a.in.trusted.put(a.pair, struct{}{})
	}
}

// OpenSession makes a session without asking for a password: for who has just
// been proven, and for the owner of an embedded backend.
func (in *Inbox) OpenSession(ctx context.Context, ws chat.WorkspaceID, member chat.Member, device string) (protocol.SignedIn, error) {
	workspace, err := in.store.Workspace(ctx, ws)
	if err != nil {
		return protocol.SignedIn{}, err
	}
	token := auth.Token()
	now := in.now()
	s := chat.Session{ID: chat.NewID[chat.Session](), Member: member.ID, Device: device, CreatedAt: now, SeenAt: now,
		TokenHash: auth.TokenHash(token)}
	if err := in.store.PutSession(ctx, ws, s); err != nil {
		return protocol.SignedIn{}, fmt.Errorf("open session: %w", err)
	}
	return protocol.SignedIn{Token: token, Member: member, Workspace: workspace, Session: s.ID}, nil
}

// Authenticate finds who a token belongs to. The answer is remembered for
// seconds, and dropped at once when the session or the member changes.
func (in *Inbox) Authenticate(ctx context.Context, token string) (Principal, error) {
	if token == "" || len(token) > 256 {
		return Principal{}, signedOut(false)
	}
	hash := auth.TokenHash(token)
	if p, ok := in.sessions.get(string(hash)); ok {
		return p, nil
	}
	ws, session, member, err := in.store.SessionByToken(ctx, hash)
	switch code := chat.ErrorCode(err); {
	case code == chat.CodeUnauthorized || code == chat.CodeNotFound:
		return Principal{}, signedOut(session.Wipe || member.Disabled)
	case err != nil:
		return Principal{}, fmt.Errorf("find session: %w", err)
	}
	p := Principal{Workspace: ws, Member: member, Session: session}
	if now := in.now(); now.Sub(session.SeenAt) > touchEvery {
		in.touches.note(ws, session.ID, now)
		p.Session.SeenAt = now
	}
	in.sessions.put(string(hash), p)
	return p, nil
}

// signedOut is the error for a token that is not, or no longer, good.
func signedOut(wipe bool) error {
	e := &chat.Error{Code: chat.CodeUnauthorized, Message: "You are signed out. Please sign in again."}
	if wipe {
		e.Message = "This device was signed out by somebody else. What it had stored must be removed."
		e.Detail = map[string]any{"wipe": true}
	}
	return e
}

// Sessions lists the member's signed-in devices.
func (in *Inbox) Sessions(ctx context.Context, p Principal) (protocol.Sessions, error) {
	list, err := in.store.Sessions(ctx, p.Workspace, p.Member.ID)
	if err != nil {
		return protocol.Sessions{}, err
	}
	if list == nil {
		list = []chat.Session{}
	}
	return protocol.Sessions{Sessions: list, Current: p.Session.ID}, nil
}

// SignOut ends the principal's own session.
func (in *Inbox) SignOut(ctx context.Context, p Principal) error {
	return in.revoke(ctx, p.Workspace, p.Member.ID, p.Session.ID, false)
}

// RevokeSession ends another device of the same member, which then must forget
// everything it has stored.
func (in *Inbox) RevokeSession(ctx context.Context, p Principal, id chat.SessionID) error {
	if id == p.Session.ID {
		return in.SignOut(ctx, p)
	}
	list, err := in.store.Sessions(ctx, p.Workspace, p.Member.ID)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.ID == id {
			return in.revoke(ctx, p.Workspace, p.Member.ID, id, true)
		}
	}
	return notFound("session")
}

// revokeAll ends every session of a member.
func (in *Inbox) revokeAll(ctx context.Context, ws chat.WorkspaceID, member chat.MemberID, wipe bool) error {
	list, err := in.store.Sessions(ctx, ws, member)
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := in.revoke(ctx, ws, member, s.ID, wipe); err != nil {
			return err
		}
	}
	return nil
}

func (in *Inbox) revoke(ctx context.Context, ws chat.WorkspaceID, member chat.MemberID, id chat.SessionID, wipe bool) error {
	if err := in.store.RevokeSession(ctx, ws, member, id, wipe); err != nil {
		return fmt.Errorf("revoke session: %w", err)
	}
	code := protocol.CloseSignedOut
	if wipe {
		code = protocol.CloseRevoked
	}
	// hear drops the session from memory before Publish returns.
	in.fan.Publish(fanout.Hint{Workspace: ws, Kick: &fanout.Kick{Member: member, Session: id, Code: code}})
	return nil
}

func normalEmail(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// clipKey bounds what a stranger can make us remember.
func clipKey(s string) string {
	if len(s) > maxEmail {
		return s[:maxEmail]
	}
	return s
}

// AuthenticateNow is Authenticate past what is remembered.
func (in *Inbox) AuthenticateNow(ctx context.Context, token string) (Principal, error) {
	in.sessions.drop(string(auth.TokenHash(token)))
	return in.Authenticate(ctx, token)
}
