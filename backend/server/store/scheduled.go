package store

import (
	"context"
	"database/sql"

	"parley/backend/chat"
)

// Due lists the scheduled messages of a workspace whose time has come at now,
// those due first first. next is when the first of all others is due; zero:
// there is none.
func (s *Store) Due(ctx context.Context, ws chat.WorkspaceID, now chat.Time, limit int) (due []chat.MessageID, next chat.Time, err error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return nil, 0, err
	}
	err = r.each("scheduled", `select id from scheduled where workspace_id = ? and send_at > 0 and send_at <= ? order by send_at limit ?`,
		func(rows *sql.Rows) error {
			var id chat.MessageID
			err := rows.Scan(&id)
			due = append(due, id)
			return err
		}, r.ws, int64(now), int64(limit))
	if err != nil {
		return nil, 0, err
	}
	err = r.row("scheduled", `select send_at from scheduled where workspace_id = ? and send_at > 0 and send_at > ? order by send_at limit 1`,
		[]any{&next}, r.ws, int64(now))
	if chat.ErrorCode(err) == chat.CodeNotFound {
		return due, 0, nil
	}
	return due, next, err
}

// Scheduled reads a scheduled message.
func (tx *Tx) Scheduled(id chat.MessageID) (chat.Scheduled, error) {
	return entity[chat.Scheduled](&tx.r, "scheduled", `select data from scheduled where workspace_id = ? and id = ?`, tx.r.ws, id.Bytes())
}

// PutScheduled writes a scheduled message; only its author ever reads it. One
// with a problem is not due any more.
func (tx *Tx) PutScheduled(x *chat.Scheduled, meta Meta) error {
	at, err := tx.place(x.Conversation)
	if err != nil {
		return err
	}
	x.Ver = tx.next()
	data, err := encode(x)
	if err != nil {
		return err
	}
	due := x.SendAt
	if x.Problem != nil {
		due = 0
	}
	tx.record(chat.Change{Seq: x.Ver, Kind: chat.EntityScheduled, ID: x.ID.String(), Op: chat.OpPut, Brand: at.brand,
		Conversation: x.Conversation, Member: x.Member, Data: data}, meta)
	return tx.exec("put scheduled", `insert into scheduled (workspace_id, id, conversation_id, member_id, ver, send_at, data)
		values (?, ?, ?, ?, ?, ?, ?)
		on conflict (workspace_id, id) do update set ver = excluded.ver, send_at = excluded.send_at, data = excluded.data`,
		tx.r.ws, x.ID.Bytes(), x.Conversation.Bytes(), x.Member.Bytes(), x.Ver, int64(due), string(data))
}

// DeleteScheduled drops a scheduled message and leaves a tombstone.
func (tx *Tx) DeleteScheduled(x chat.Scheduled, meta Meta) error {
	at, err := tx.place(x.Conversation)
	if err != nil {
		return err
	}
	ver := tx.next()
	tx.record(chat.Change{Seq: ver, Kind: chat.EntityScheduled, ID: x.ID.String(), Op: chat.OpDelete, Brand: at.brand,
		Conversation: x.Conversation, Member: x.Member}, meta)
	if err := tx.exec("delete scheduled", `delete from scheduled where workspace_id = ? and id = ?`, tx.r.ws, x.ID.Bytes()); err != nil {
		return err
	}
	return tx.exec("put tombstone", `insert into tombstone (workspace_id, ver, kind, id, brand_id, conversation_id, member_id)
		values (?, ?, ?, ?, ?, ?, ?)
		on conflict (workspace_id, kind, id, member_id) do update set ver = excluded.ver, brand_id = excluded.brand_id`,
		tx.r.ws, ver, string(chat.EntityScheduled), x.ID.String(), idArg(at.brand), x.Conversation.Bytes(), x.Member.Bytes())
}

// scheduled sends what the member has scheduled after ver.
func (a *stream) scheduled(ver int64) error {
	return a.own(chat.EntityScheduled, stageScheduled, `select d.id, d.conversation_id, d.ver, c.brand_id, d.data from scheduled d
		join conversation c on c.workspace_id = d.workspace_id and c.id = d.conversation_id
		where d.workspace_id = ? and d.member_id = ? and d.ver > ? order by d.ver`, ver)
}
