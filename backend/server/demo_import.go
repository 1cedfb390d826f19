package server

import (
	"bytes"
	"context"
	"fmt"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/server/auth"
	"parley/backend/server/blob"
	"parley/backend/server/store"
)

// ImportDemo brings a demonstration's data in: into the backend's workspace,
// or, where there is none yet, into the set's own. The same set, or another
// one with the same people, is refused a second time.
func ImportDemo(ctx context.Context, st *store.Store, files *blob.Folder, set *demo.Set) error {
	ws, err := demoWorkspace(ctx, st, set)
	if err != nil {
		return err
	}
	members, err := withPasswords(ctx, set.Members)
	if err != nil {
		return err
	}
	err = st.Import(ctx, ws, func(imp *store.Importer) error {
		if err := importCompany(imp, set, members); err != nil {
			return err
		}
		for f := range set.Files() {
			if _, _, err := files.Put(ctx, f.SHA256, "demo", bytes.NewReader(f.Data), 0, f.Size); err != nil {
				return err
			}
			if err := imp.File(f.File); err != nil {
				return err
			}
		}
		for t := range set.Conversations() {
			if err := importThread(imp, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("import demo: %w", err)
	}
	return nil
}

// demoWorkspace finds or makes the workspace to fill.
func demoWorkspace(ctx context.Context, st *store.Store, set *demo.Set) (chat.WorkspaceID, error) {
	list, err := st.Workspaces(ctx)
	if err != nil {
		return chat.WorkspaceID{}, err
	}
	if len(list) == 0 {
		if err := st.CreateWorkspace(ctx, set.Workspace); err != nil {
			return chat.WorkspaceID{}, fmt.Errorf("create workspace: %w", err)
		}
		return set.Workspace.ID, nil
	}
	for _, m := range set.Members {
		switch _, _, err := st.MemberByEmail(ctx, m.Email); {
		case err == nil:
			return chat.WorkspaceID{}, chat.Errorf(chat.CodeConflict, "The demonstration is here already: %s is a member.", m.Email)
		case chat.ErrorCode(err) != chat.CodeNotFound:
			return chat.WorkspaceID{}, err
		}
	}
	return list[0].ID, nil
}

// withPasswords gives every member of the set the documented password.
func withPasswords(ctx context.Context, members []chat.Member) ([]chat.Member, error) {
	passwords := auth.NewPasswords()
	out := make([]chat.Member, len(members))
	for i, m := range members {
		hash, err := passwords.Hash(ctx, demo.Password)
		if err != nil {
			return nil, fmt.Errorf("hash password: %w", err)
		}
		m.PasswordHash = hash
		out[i] = m
	}
	return out, nil
}

func importCompany(imp *store.Importer, set *demo.Set, members []chat.Member) error {
	for _, b := range set.Brands {
		if err := imp.Brand(b); err != nil {
			return err
		}
	}
	for _, c := range set.Channels {
		c.Secret = auth.Token()
		if err := imp.Channel(c); err != nil {
			return err
		}
	}
	for _, m := range members {
		if err := imp.Member(m); err != nil {
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
	return nil
}
