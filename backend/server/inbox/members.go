package inbox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/fanout"
	"parley/backend/server/store"
)

// AddMember adds a person to the workspace. Only an owner makes owners.
func (in *Inbox) AddMember(ctx context.Context, ws chat.WorkspaceID, by Author, add protocol.MemberAdd) (chat.Member, error) {
	if strings.TrimSpace(add.Name) == "" { // never a part of the e-mail: customers see the name
		w, err := in.store.Workspace(ctx, ws)
		if err != nil {
			return chat.Member{}, fmt.Errorf("add member: %w", err)
		}
		add.Name = w.Name
	}
	m, err := in.newMember(ctx, add)
	if err != nil {
		return m, err
	}
	if m.Role == chat.RoleOwner && !by.mayMakeOwners() {
		return m, chat.Errorf(chat.CodeForbidden, "Only an owner can make somebody an owner.")
	}
	if !by.mayGive(m.Brands) {
		return m, errNotTheirs()
	}
	err = in.update(ctx, ws, func(tx *store.Tx) error {
		if err := brandsExist(tx, m.Brands); err != nil {
			return err
		}
		return tx.PutMember(&m, store.Meta{Actor: by.Actor})
	})
	if err != nil {
		return m, fmt.Errorf("add member: %w", err)
	}
	return m, nil
}

// Author is who changes members: a member with a role, or the system itself
// (the command line of the server's operator), which may do everything.
type Author struct {
	Actor chat.Actor
	Role  chat.Role
	// Brands is what the author may see; empty means every brand.
	Brands []chat.BrandID
}

// System is the author that is the server's operator.
func System() Author { return Author{Actor: chat.SystemActor(), Role: chat.RoleOwner} }

func (a Author) mayMakeOwners() bool { return a.Role == chat.RoleOwner }

// mayGive reports whether somebody who sees these brands is the author's to
// make or change. An owner has the whole workspace; anybody else has no more to
// give than they see themselves, and every brand, which is written as none, is
// more.
func (a Author) mayGive(brands []chat.BrandID) bool {
	if a.Role == chat.RoleOwner || len(a.Brands) == 0 {
		return true
	}
	return len(brands) > 0 && !slices.ContainsFunc(brands, func(b chat.BrandID) bool { return !slices.Contains(a.Brands, b) })
}

func errNotTheirs() error {
	return &chat.Error{Code: chat.CodeForbidden, Field: "brands",
		Message: "You see only some of the brands, so you can add and change only members of those. Ask an owner."}
}

// newMember checks the fields of a new member and hashes the password.
func (in *Inbox) newMember(ctx context.Context, add protocol.MemberAdd) (chat.Member, error) {
	m := chat.Member{ID: chat.NewID[chat.Member](), Role: add.Role, Email: normalEmail(add.Email)}
	var err error
	if m.Brands, err = eachOnce(add.Brands); err != nil {
		return m, err
	}
	if err := chat.CheckText("email", m.Email, maxEmail); err != nil {
		return m, err
	}
	if !looksLikeEmail(m.Email) {
		return m, chat.Invalid("email", "This is not an e-mail address.")
	}
	name := strings.TrimSpace(add.Name)
	if err := putText("name", &name, maxName, &m.Name); err != nil {
		return m, err
	}
	if !m.Role.Valid() {
		return m, chat.Invalid("role", "One of owner, admin, supervisor, agent is wanted.")
	}
	switch _, _, err := in.store.MemberByEmail(ctx, m.Email); {
	case err == nil:
		return m, &chat.Error{Code: chat.CodeConflict, Field: "email", Message: "There is already a member with this e-mail address."}
	case !isNotFound(err):
		return m, err
	}
	hash, err := in.passwords.Hash(ctx, add.Password)
	if err != nil {
		return m, err
	}
	m.PasswordHash = hash
	return m, nil
}

// maxBrands is how many brands a member may have one by one; who sees more sees
// every brand.
const maxBrands = 1000

// eachOnce gives a member's brands without repeats; none is an empty list.
func eachOnce(brands []chat.BrandID) ([]chat.BrandID, error) {
	if len(brands) > maxBrands {
		return nil, chat.Invalid("brands", "At most %d brands are possible.", maxBrands)
	}
	out := make([]chat.BrandID, 0, len(brands))
	for _, b := range brands {
		if !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	return out, nil
}

func brandsExist(tx *store.Tx, ids []chat.BrandID) error {
	for _, id := range ids {
		if _, err := tx.Brand(id); isNotFound(err) {
			return chat.Invalid("brands", "There is no brand with the id %s.", id)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// UpdateMember changes another member: name, role, what they see, whether they
// may come in. What a member may see changes at one point of the log, which
// their sockets follow; a disabled one is signed out everywhere and their
// devices wiped.
func (in *Inbox) UpdateMember(ctx context.Context, ws chat.WorkspaceID, by Author, id chat.MemberID, u protocol.MemberUpdate) (chat.Member, error) {
	hash := ""
	if u.Password != nil {
		var err error
		if hash, err = in.passwords.Hash(ctx, *u.Password); err != nil {
			return chat.Member{}, err
		}
	}
	members, err := in.store.Members(ctx, ws)
	if err != nil {
		return chat.Member{}, err
	}
	var m chat.Member
	var head int64
	err = in.store.Update(ctx, ws, func(tx *store.Tx) error {
		old, err := tx.Member(id)
		if isNotFound(err) {
			return notFound("member")
		}
		if err != nil {
			return err
		}
		m = old
		if err := change(&m, u, hash); err != nil {
			return err
		}
		if err := mayChange(by, old, m, members); err != nil {
			return err
		}
		if err := brandsExist(tx, m.Brands); err != nil {
			return err
		}
		accessChanged := old.Role != m.Role || old.Disabled != m.Disabled || !slices.Equal(old.Brands, m.Brands)
		if !accessChanged && old.Name == m.Name && hash == "" {
			return nil
		}
		meta := store.Meta{Actor: by.Actor}
		if err := tx.PutMember(&m, meta); err != nil {
			return err
		}
		if accessChanged {
			a := chat.Access{Member: m.ID, Role: m.Role, Brands: m.Brands, Revoked: m.Disabled}
			if err := tx.PutAccess(a, meta); err != nil {
				return err
			}
		}
		head = tx.Head()
		return nil
	})
	if err != nil {
		return m, fmt.Errorf("change member: %w", err)
	}
	in.forgetMember(id) // first: who hears of the change may ask for what they gained
	if head > 0 {
		in.committed(ws, head, nil)
	}
	return m, in.signOutAfter(ctx, ws, m, hash != "")
}

// signOutAfter ends the sessions of a member who may no longer come in, or
// whose password somebody has changed.
func (in *Inbox) signOutAfter(ctx context.Context, ws chat.WorkspaceID, m chat.Member, newPassword bool) error {
	if !m.Disabled && !newPassword {
		return nil
	}
	if err := in.revokeAll(ctx, ws, m.ID, m.Disabled); err != nil {
		return fmt.Errorf("sign member out: %w", err)
	}
	if m.Disabled {
		in.fan.Publish(fanout.Hint{Workspace: ws, Kick: &fanout.Kick{Member: m.ID, Code: protocol.CloseRevoked}})
	}
	return nil
}

// change takes over what the update names.
func change(m *chat.Member, u protocol.MemberUpdate, hash string) error {
	if err := putText("name", u.Name, maxName, &m.Name); err != nil {
		return err
	}
	if m.Name == "" {
		return chat.Invalid("name", "A member needs a name.")
	}
	if u.Role != nil {
		if !u.Role.Valid() {
			return chat.Invalid("role", "One of owner, admin, supervisor, agent is wanted.")
		}
		m.Role = *u.Role
	}
	if u.Brands != nil {
		var err error
		if m.Brands, err = eachOnce(*u.Brands); err != nil {
			return err
		}
	}
	if m.Brands == nil {
		m.Brands = []chat.BrandID{}
	}
	if u.Disabled != nil {
		m.Disabled = *u.Disabled
	}
	if hash != "" {
		m.PasswordHash = hash
	}
	return nil
}

// mayChange keeps owners in the hands of owners, and at least one of them, and
// members of other brands out of the hands of who does not see those.
func mayChange(by Author, old, m chat.Member, members []chat.Member) error {
	if (old.Role == chat.RoleOwner || m.Role == chat.RoleOwner) && !by.mayMakeOwners() {
		return chat.Errorf(chat.CodeForbidden, "Only an owner can change an owner or make one.")
	}
	if !by.mayGive(old.Brands) || !by.mayGive(m.Brands) {
		return errNotTheirs()
	}
	if old.Role != chat.RoleOwner || (m.Role == chat.RoleOwner && !m.Disabled) {
		return nil
	}
	for _, x := range members {
		if x.ID != old.ID && x.Role == chat.RoleOwner && !x.Disabled {
			return nil
		}
	}
	return chat.Errorf(chat.CodeConflict, "A workspace needs an owner. Make somebody else an owner first.")
}

// Members lists the workspace's members.
func (in *Inbox) Members(ctx context.Context, ws chat.WorkspaceID) ([]chat.Member, error) {
	list, err := in.store.Members(ctx, ws)
	if list == nil {
		list = []chat.Member{}
	}
	return list, err
}
