package store

import (
	"context"
	"database/sql"
	"errors"

	"parley/backend/chat"
)

// Files gives everything that is known about stored files, workspace by
// workspace. An error of emit ends it and is returned.
func (s *Store) Files(ctx context.Context, emit func(chat.WorkspaceID, chat.File) error) error {
	all, err := s.Workspaces(ctx)
	if err != nil {
		return err
	}
	for _, w := range all {
		r, err := s.read(ctx, w.ID)
		if err != nil {
			return err
		}
		for from := ""; ; {
			var page []chat.File
			err := r.each("file", `select sha256, name, type, size from file where workspace_id = ? and sha256 > ? order by sha256 limit ?`,
				func(rows *sql.Rows) error {
					var f chat.File
					err := rows.Scan(&f.SHA256, &f.Name, &f.Type, &f.Size)
					page = append(page, f)
					return err
				}, r.ws, from, int64(pageRows))
			if err != nil {
				return err
			}
			for _, f := range page {
				if err := errors.Join(ctx.Err(), emit(w.ID, f)); err != nil {
					return err
				}
				from = f.SHA256
			}
			if len(page) < pageRows {
				break
			}
		}
	}
	return nil
}

// File reads what is known about a stored file, whoever may have it.
func (s *Store) File(ctx context.Context, ws chat.WorkspaceID, sha string) (chat.File, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return chat.File{}, err
	}
	return r.file(sha)
}

// MemberFile reads what is known about a file that the view's member may have:
// a message in a conversation of the view has it, or the member brought it.
func (s *Store) MemberFile(ctx context.Context, ws chat.WorkspaceID, view chat.View, sha string) (chat.File, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return chat.File{}, err
	}
	return r.memberFile(view, sha)
}

// CustomerFile reads what is known about a file that a customer may have: a
// message to or by the customer in the conversation has it, or the contact
// brought it. Either may be zero.
func (s *Store) CustomerFile(ctx context.Context, ws chat.WorkspaceID, conv chat.ConversationID, by chat.ContactID, sha string) (chat.File, error) {
	r, err := s.read(ctx, ws)
	if err != nil {
		return chat.File{}, err
	}
	return r.customerFile(conv, by, sha)
}

// File reads what is known about a stored file, whoever may have it.
func (tx *Tx) File(sha string) (chat.File, error) { return tx.r.file(sha) }

// MemberFile is Store.MemberFile inside the transaction.
func (tx *Tx) MemberFile(view chat.View, sha string) (chat.File, error) {
	return tx.r.memberFile(view, sha)
}

// CustomerFile is Store.CustomerFile inside the transaction.
func (tx *Tx) CustomerFile(conv chat.ConversationID, by chat.ContactID, sha string) (chat.File, error) {
	return tx.r.customerFile(conv, by, sha)
}

// PutFile records a stored file. It is no change of the log.
func (tx *Tx) PutFile(f chat.File) error {
	return tx.exec("put file", `insert into file (workspace_id, sha256, name, type, size, created_at) values (?, ?, ?, ?, ?, ?)
		on conflict (workspace_id, sha256) do update set name = excluded.name, type = excluded.type, size = excluded.size`,
		tx.r.ws, f.SHA256, f.Name, f.Type, f.Size, int64(tx.now))
}

// PutUpload records that somebody has brought the whole content of a file: a
// member's or a contact's id in bytes. It is no change of the log.
func (tx *Tx) PutUpload(sha string, by []byte) error {
	return tx.exec("put upload", `insert into file_upload (workspace_id, sha256, by_id) values (?, ?, ?)
		on conflict (workspace_id, sha256, by_id) do nothing`, tx.r.ws, sha, by)
}

func (r *reader) file(sha string) (chat.File, error) {
	f := chat.File{SHA256: sha}
	err := r.row("file", `select name, type, size from file where workspace_id = ? and sha256 = ?`, []any{&f.Name, &f.Type, &f.Size}, r.ws, sha)
	return f, err
}

func (r *reader) memberFile(view chat.View, sha string) (chat.File, error) {
	q := &query{}
	q.add(`select f.number from message_file f
		join conversation c on c.workspace_id = f.workspace_id and c.id = f.conversation_id
		where f.workspace_id = ? and f.sha256 = ?`, r.ws, sha)
	q.brands(view, "c.brand_id")
	q.add(` limit 1`)
	return r.fileIf(sha, view.Member.Bytes(), q)
}

func (r *reader) customerFile(conv chat.ConversationID, by chat.ContactID, sha string) (chat.File, error) {
	q := &query{}
	q.add(`select f.number from message_file f
		join message m on m.workspace_id = f.workspace_id and m.conversation_id = f.conversation_id and m.number = f.number
		where f.workspace_id = ? and f.sha256 = ? and f.conversation_id = ? and m.kind = 'message' limit 1`, r.ws, sha, conv.Bytes())
	return r.fileIf(sha, by.Bytes(), q)
}

// fileIf reads a file if it was brought by somebody or the query finds it; any
// other is not found, as one that does not exist.
func (r *reader) fileIf(sha string, by []byte, q *query) (chat.File, error) {
	f, err := r.file(sha)
	if err != nil {
		return chat.File{}, err
	}
	var number int64
	err = r.row("file", `select 1 from file_upload where workspace_id = ? and sha256 = ? and by_id = ?`, []any{&number}, r.ws, sha, by)
	if chat.ErrorCode(err) == chat.CodeNotFound {
		err = r.row("file", q.text.String(), []any{&number}, q.args...)
	}
	if err != nil {
		return chat.File{}, err
	}
	return f, nil
}

// filesOf names the files that a message has as parts, each once.
func filesOf(m *chat.Message) []string {
	var list []string
	for i, p := range m.Parts {
		if !p.Kind.IsFile() || p.SHA256 == "" {
			continue
		}
		again := false
		for _, earlier := range m.Parts[:i] {
			again = again || earlier.Kind.IsFile() && earlier.SHA256 == p.SHA256
		}
		if !again {
			list = append(list, p.SHA256)
		}
	}
	return list
}

// putParts keeps the list of a message's files. Only an edit or a deletion
// takes one away.
func (tx *Tx) putParts(x *chat.Message, isNew bool) error {
	if !isNew && !(x.EditedAt.IsZero() && x.DeletedAt.IsZero()) {
		if err := tx.exec("drop files of message", `delete from message_file where workspace_id = ? and conversation_id = ? and number = ?`,
			tx.r.ws, x.Conversation.Bytes(), x.Number); err != nil {
			return err
		}
	}
	for _, sha := range filesOf(x) {
		if err := tx.exec("put file of message", `insert into message_file (workspace_id, sha256, conversation_id, number) values (?, ?, ?, ?)
			on conflict (workspace_id, sha256, conversation_id, number) do nothing`, tx.r.ws, sha, x.Conversation.Bytes(), x.Number); err != nil {
			return err
		}
	}
	return nil
}
