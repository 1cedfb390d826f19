package store

import (
	"database/sql"
	"encoding/json"

	"parley/backend/chat"
)

// entity reads one entity from its JSON.
func entity[T any](r *reader, what, q string, args ...any) (T, error) {
	var x T
	var data []byte
	if err := r.row(what, q, []any{&data}, args...); err != nil {
		return x, err
	}
	return x, decode(what, data, &x)
}

// secret reads one entity from its JSON and the value beside it that is not in it.
func secret[T any](r *reader, what string, put func(*T, string), q string, args ...any) (T, error) {
	var x T
	var data []byte
	var value string
	if err := r.row(what, q, []any{&data, &value}, args...); err != nil {
		return x, err
	}
	if err := decode(what, data, &x); err != nil {
		return x, err
	}
	put(&x, value)
	return x, nil
}

// entities reads many from their JSON.
func entities[T any](r *reader, what, q string, args ...any) ([]T, error) {
	list := []T{}
	err := r.each(what, q, func(rows *sql.Rows) error {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return err
		}
		var x T
		if err := decode(what, data, &x); err != nil {
			return err
		}
		list = append(list, x)
		return nil
	}, args...)
	return list, err
}

func decode(what string, data []byte, x any) error {
	if err := json.Unmarshal(data, x); err != nil {
		return &opError{"read stored " + what, err}
	}
	return nil
}

func (r *reader) workspace() (chat.Workspace, error) {
	return entity[chat.Workspace](r, "workspace", `select data from workspace where workspace_id = ?`, r.ws)
}

func (r *reader) brand(id chat.BrandID) (chat.Brand, error) {
	return entity[chat.Brand](r, "brand", `select data from brand where workspace_id = ? and id = ?`, r.ws, id.Bytes())
}

func (r *reader) channel(id chat.ChannelID) (chat.Channel, error) {
	return secret(r, "channel", putSecret, `select data, secret from channel where workspace_id = ? and id = ?`, r.ws, id.Bytes())
}

func putSecret(c *chat.Channel, value string) { c.Secret = value }

func (r *reader) member(id chat.MemberID) (chat.Member, error) {
	return secret(r, "member", putHash, `select data, password_hash from member where workspace_id = ? and id = ?`, r.ws, id.Bytes())
}

func putHash(m *chat.Member, value string) { m.PasswordHash = value }

func (r *reader) contact(id chat.ContactID) (chat.Contact, error) {
	return entity[chat.Contact](r, "contact", `select data from contact where workspace_id = ? and id = ?`, r.ws, id.Bytes())
}

func (r *reader) conversation(id chat.ConversationID) (chat.Conversation, error) {
	return entity[chat.Conversation](r, "conversation", `select data from conversation where workspace_id = ? and id = ?`, r.ws, id.Bytes())
}

func (r *reader) message(id chat.MessageID) (chat.Message, error) {
	return r.oneMessage(`select data, remote_id from message where workspace_id = ? and id = ?`, r.ws, id.Bytes())
}

func putRemote(m *chat.Message, value string) { m.RemoteID = value }

func (r *reader) oneMessage(q string, args ...any) (chat.Message, error) {
	return secret(r, "message", putRemote, q, args...)
}

// messages reads messages with their remote ids; size is how many to expect.
func (r *reader) messages(q string, size int, args ...any) ([]chat.Message, error) {
	list := make([]chat.Message, 0, min(size, 256))
	err := r.each("message", q, func(rows *sql.Rows) error {
		var data sql.RawBytes
		var m chat.Message
		if err := rows.Scan(&data, &m.RemoteID); err != nil {
			return err
		}
		if err := decode("message", data, &m); err != nil {
			return err
		}
		list = append(list, m)
		return nil
	}, args...)
	return list, err
}
