package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/server/auth"
	"parley/backend/server/blob"
	"parley/backend/server/store"
)

// ImportDemo brings a demonstration's data in: into the backend's workspace,
// or, where there is none yet, into the set's own. When it is cut off, what is
// there is whole, and the same set goes on behind it. A set that is there
// already, or another one with the same people, is refused.
func ImportDemo(ctx context.Context, st *store.Store, files *blob.Folder, set *demo.Set) error {
	begun, err := DemoBegun(ctx, st, set)
	if err != nil {
		return err
	}
	ws, err := demoCompany(ctx, st, set, begun)
	if err != nil {
		return err
	}
	known := begun // the threads so far were there already
	err = st.Import(ctx, ws, func(imp *store.Importer) error {
		for f := range set.Files() {
			if _, _, err := files.Put(ctx, f.SHA256, "demo", bytes.NewReader(f.Data), 0, f.Size); err != nil {
				return err
			}
			if err := imp.File(f.File); err != nil {
				return err
			}
		}
		for t := range set.Conversations() {
			if known { // they come in order, so that behind the first that is missing all are
				if known, err = there(ctx, st, ws, t.Conversation.ID); err != nil {
					return err
				}
			}
			if known {
				continue
			}
			if err := importThread(imp, t); err != nil {
				return err
			}
		}
		return nil
	})
	if known && err == nil || begun && chat.ErrorCode(err) == chat.CodeConflict {
		return errDemoThere(set.Members[0].Email) // whole, or with other numbers of conversations and messages
	}
	if err != nil {
		return fmt.Errorf("import demo: %w", err)
	}
	return nil
}

// DemoBegun reports whether this very set was begun to be brought in. Another
// one with the same people is chat.CodeConflict.
func DemoBegun(ctx context.Context, st *store.Store, set *demo.Set) (bool, error) {
	for _, m := range set.Members {
		switch _, other, err := st.MemberByEmail(ctx, m.Email); {
		case err == nil && other.ID == m.ID:
			return true, nil
		case err == nil:
			return false, errDemoThere(m.Email)
		case chat.ErrorCode(err) != chat.CodeNotFound:
			return false, err
		}
	}
	return false, nil
}

func errDemoThere(email string) error {
	return chat.Errorf(chat.CodeConflict, "The demonstration is here already: %s is a member.", email)
}

// there reports whether a conversation is in the store.
func there(ctx context.Context, st *store.Store, ws chat.WorkspaceID, id chat.ConversationID) (bool, error) {
	_, err := st.Conversation(ctx, ws, chat.View{}, id)
	if chat.ErrorCode(err) == chat.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

// demoCompany finds or makes the workspace to fill, with brands, channels and
// members; all of it or nothing.
func demoCompany(ctx context.Context, st *store.Store, set *demo.Set, begun bool) (chat.WorkspaceID, error) {
	list, err := st.Workspaces(ctx)
	if err != nil {
		return chat.WorkspaceID{}, err
	}
	if begun {
		return list[0].ID, nil
	}
	members, err := withPasswords(ctx, set.Members)
	if err != nil {
		return chat.WorkspaceID{}, err
	}
	if len(list) > 0 {
		return list[0].ID, st.Update(ctx, list[0].ID, func(tx *store.Tx) error { return putCompany(tx, set, members) })
	}
	err = st.NewWorkspace(ctx, set.Workspace, func(tx *store.Tx) error {
		w := set.Workspace // once more, so that the log from its beginning is the whole truth
		return errors.Join(tx.PutWorkspace(&w, store.Meta{Actor: chat.SystemActor()}), putCompany(tx, set, members))
	})
	if err != nil {
		return chat.WorkspaceID{}, fmt.Errorf("create workspace: %w", err)
	}
	return set.Workspace.ID, nil
}

// withPasswords gives every member of the set the documented password. It is
// hashed once for all: a hash each would keep nobody from knowing it.
func withPasswords(ctx context.Context, members []chat.Member) ([]chat.Member, error) {
	hash, err := auth.NewPasswords().Hash(ctx, demo.Password)
	if err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	out := make([]chat.Member, len(members))
	for i, m := range members {
		m.PasswordHash = hash
		out[i] = m
	}
	return out, nil
}

func putCompany(tx *store.Tx, set *demo.Set, members []chat.Member) error {
	meta := store.Meta{Actor: chat.SystemActor()}
	for _, b := range set.Brands {
		if err := tx.PutBrand(&b, meta); err != nil {
			return err
		}
	}
	for _, c := range set.Channels {
		c.Secret = auth.Token()
		if err := tx.PutChannel(&c, meta); err != nil {
			return err
		}
	}
	for _, m := range members {
		if err := tx.PutMember(&m, meta); err != nil {
			return err
		}
	}
	return nil
}

func importThread(imp *store.Importer, t demo.Thread) error {
	if !t.Again {
		if err := imp.Contact(t.Contact); err != nil {
			return err
		}
	}
	if err := imp.Conversation(t.Conversation); err != nil {
		return err
	}
	for _, m := range t.Messages {
		if err := imp.Message(m); err != nil {
			return err
		}
	}
	return imp.Whole()
}
