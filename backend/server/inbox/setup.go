package inbox

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/auth"
	"parley/backend/server/store"
)

// Setup makes the first workspace of an empty backend: workspace, owner, one
// brand, one web channel. The caller has checked the setup token.
func (in *Inbox) Setup(ctx context.Context, req protocol.Setup) (protocol.Created, error) {
	var created protocol.Created
	existing, err := in.store.Workspaces(ctx)
	if err != nil {
		return created, err
	}
	if len(existing) > 0 {
		return created, chat.Errorf(chat.CodeConflict, "This backend already has a workspace.")
	}
	name := strings.TrimSpace(req.Workspace)
	if name == "" {
		return created, chat.Invalid("workspace", "The workspace needs a name.")
	}
	if err := chat.CheckText("workspace", name, maxName); err != nil {
		return created, err
	}
	owner, err := in.newMember(ctx, protocol.MemberAdd{Name: cmp.Or(strings.TrimSpace(req.Name), name), Email: req.Email, Role: chat.RoleOwner, Password: req.Password})
	if err != nil {
		return created, err
	}
	ws := chat.Workspace{ID: chat.NewID[chat.Workspace](), Name: name, Settings: chat.DefaultWorkspaceSettings()}
	brand := chat.Brand{ID: chat.NewID[chat.Brand](), Name: name, Color: "#0f766e"}
	channel := NewWebChannel(brand, "Website")
	var head int64
	// One transaction: a workspace without its owner could neither be used nor
	// set up again.
	err = in.store.NewWorkspace(ctx, ws, func(tx *store.Tx) error {
		meta := store.Meta{Actor: chat.MemberActor(owner.ID)}
		// Once more, so that the log from its beginning is the whole truth.
		if err := tx.PutWorkspace(&ws, meta); err != nil {
			return err
		}
		if err := tx.PutMember(&owner, meta); err != nil {
			return err
		}
		if err := tx.PutBrand(&brand, meta); err != nil {
			return err
		}
		if err := tx.PutChannel(&channel, meta); err != nil {
			return err
		}
		head = tx.Head()
		return nil
	})
	if err != nil {
		return created, fmt.Errorf("create workspace: %w", err)
	}
	in.committed(ws.ID, head, nil)
	return protocol.Created{Workspace: ws.ID, Member: owner.ID, Brand: brand.ID,
		Channel: protocol.CreatedChannel{ID: channel.ID, Key: channel.Key, Slug: channel.Slug}}, nil
}

// AddBrand adds a brand with a web channel of its own, on behalf of the
// server's operator.
func (in *Inbox) AddBrand(ctx context.Context, ws chat.WorkspaceID, brand chat.Brand) (chat.Channel, error) {
	if err := chat.CheckText("name", brand.Name, maxName); err != nil {
		return chat.Channel{}, err
	}
	channel := NewWebChannel(brand, "Website")
	err := in.update(ctx, ws, func(tx *store.Tx) error {
		meta := store.Meta{Actor: chat.SystemActor()}
		if err := tx.PutBrand(&brand, meta); err != nil {
			return err
		}
		return tx.PutChannel(&channel, meta)
	})
	if err != nil {
		return channel, fmt.Errorf("add brand: %w", err)
	}
	return channel, nil
}

// NewWebChannel makes a web channel of a brand with fresh public names and a
// fresh secret.
func NewWebChannel(brand chat.Brand, name string) chat.Channel {
	return chat.Channel{ID: chat.NewID[chat.Channel](), Brand: brand.ID, Kind: chat.KindWeb, Name: name,
		Key: auth.Key(8), Slug: slug(brand.Name) + "-" + auth.Key(3), Secret: auth.Token(),
		Settings: chat.ChannelSettings{Title: brand.Name, Color: brand.Color}}
}

// slug makes a path segment of a name: lower-case letters and digits of ASCII.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 30 {
			break
		}
	}
	s := strings.Trim(b.String(), "-")
	if s == "" {
		return "chat"
	}
	return s
}
