package store

import (
	"context"
	"database/sql"

	"parley/backend/chat"
)

// MemberByEmail finds the member who signs in with an address, in any
// workspace, with the password's hash. Where one person is a member of several
// workspaces, an enabled membership wins, then the older workspace.
func (s *Store) MemberByEmail(ctx context.Context, email string) (ws chat.WorkspaceID, m chat.Member, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return ws, m, err
	}
	key := emailKey(email)
	if key == "" {
		return ws, m, notFound("member")
	}
	var data []byte
	var hash string
	if err := r.row("member", `select workspace_id, data, password_hash from member where email = ?
		order by disabled, workspace_id limit 1`, []any{&ws, &data, &hash}, key); err != nil {
		return ws, m, err
	}
	err = decode("member", data, &m)
	m.PasswordHash = hash
	return ws, m, err
}

// PutSession records a signed-in device. Sessions are no changes of the log.
func (s *Store) PutSession(ctx context.Context, ws chat.WorkspaceID, x chat.Session) error {
	return s.Update(ctx, ws, func(tx *Tx) error {
		return tx.exec("put session", `insert into session (workspace_id, id, member_id, device, created_at, seen_at, token_hash, revoked_at, wipe)
			values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			tx.r.ws, x.ID.Bytes(), x.Member.Bytes(), x.Device, int64(x.CreatedAt), int64(x.SeenAt), notNull(x.TokenHash),
			int64(x.RevokedAt), boolArg(x.Wipe))
	})
}

// SessionByToken finds the session a token's hash belongs to, and its member.
// An unknown token, a revoked session and a disabled member are all
// chat.CodeUnauthorized; in the last two cases the session and the member are
// given beside the error, so that a revoked device can be told to wipe itself.
func (s *Store) SessionByToken(ctx context.Context, hash []byte) (ws chat.WorkspaceID, x chat.Session, m chat.Member, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return ws, x, m, err
	}
	var data []byte
	err = r.row("session", `select s.workspace_id, s.id, s.member_id, s.device, s.created_at, s.seen_at, s.revoked_at, s.wipe, m.data
		from session s join member m on m.workspace_id = s.workspace_id and m.id = s.member_id where s.token_hash = ?`,
		[]any{&ws, &x.ID, &x.Member, &x.Device, &x.CreatedAt, &x.SeenAt, &x.RevokedAt, &x.Wipe, &data}, notNull(hash))
	if chat.ErrorCode(err) == chat.CodeNotFound {
		return ws, x, m, chat.Errorf(chat.CodeUnauthorized, "You are not signed in.")
	}
	if err != nil {
		return ws, x, m, err
	}
	x.TokenHash = hash
	if err := decode("member", data, &m); err != nil {
		return ws, x, m, err
	}
	if !x.RevokedAt.IsZero() || m.Disabled {
		return ws, x, m, chat.Errorf(chat.CodeUnauthorized, "This device was signed out. Please sign in again.")
	}
	return ws, x, m, nil
}

// Sessions lists a member's signed-in devices, the last used first.
func (s *Store) Sessions(ctx context.Context, ws chat.WorkspaceID, member chat.MemberID) ([]chat.Session, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return nil, err
	}
	list := []chat.Session{}
	err = r.each("session", `select id, device, created_at, seen_at, token_hash from session
		where workspace_id = ? and member_id = ? and revoked_at = 0 order by seen_at desc, id`, func(rows *sql.Rows) error {
		x := chat.Session{Member: member}
		err := rows.Scan(&x.ID, &x.Device, &x.CreatedAt, &x.SeenAt, &x.TokenHash)
		list = append(list, x)
		return err
	}, r.ws, member.Bytes())
	return list, err
}

// RevokeSession ends a member's session; wipe tells its device to forget everything.
func (s *Store) RevokeSession(ctx context.Context, ws chat.WorkspaceID, member chat.MemberID, id chat.SessionID, wipe bool) error {
	return s.Update(ctx, ws, func(tx *Tx) error {
		n, err := tx.r.exec("revoke session", `update session set revoked_at = ?, wipe = ? where workspace_id = ? and id = ? and member_id = ?
			and revoked_at = 0`, int64(tx.now), boolArg(wipe), tx.r.ws, id.Bytes(), member.Bytes())
		if err == nil && n == 0 {
			err = notFound("session")
		}
		tx.wrote = true
		return err
	})
}

// TouchSessions records when sessions were last used.
func (s *Store) TouchSessions(ctx context.Context, ws chat.WorkspaceID, used map[chat.SessionID]chat.Time) error {
	return s.Update(ctx, ws, func(tx *Tx) error {
		for id, at := range used {
			if err := tx.exec("touch session", `update session set seen_at = ? where workspace_id = ? and id = ? and seen_at < ?`,
				int64(at), tx.r.ws, id.Bytes(), int64(at)); err != nil {
				return err
			}
		}
		return nil
	})
}

// PutVisitor records what a visitor's token stands for.
func (s *Store) PutVisitor(ctx context.Context, v Visitor) error {
	return s.Update(ctx, v.Workspace, func(tx *Tx) error { return tx.PutVisitor(v) })
}

// VisitorByToken finds what a visitor's token stands for, in any workspace.
func (s *Store) VisitorByToken(ctx context.Context, hash []byte) (Visitor, error) {
	v := Visitor{TokenHash: hash}
	r, err := s.read(ctx, v.Workspace)
	if err != nil {
		return Visitor{}, err
	}
	var arrival sql.NullString
	err = r.row("visitor", `select workspace_id, channel_id, contact_id, conversation_id, created_at, arrival from visitor where token_hash = ?`,
		[]any{&v.Workspace, &v.Channel, &v.Contact, &v.Conversation, &v.CreatedAt, &arrival}, notNull(hash))
	v.Arrival = rawJSON(arrival)
	return v, err
}
