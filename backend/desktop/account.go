package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

func (st *state) find(id string) int {
	return slices.IndexFunc(st.accounts, func(r record) bool { return r.ID == id })
}

// take handles one event in the engine's goroutine. Who asked gets the answer
// by the function it returns, once everybody can see the new state.
func (e *Engine) take(st *state, ev event) (answer func()) {
	switch ev := ev.(type) {
	case signedIn:
		err := e.signedIn(st, ev.account)
		return func() { ev.reply <- err }
	case switched:
		err := e.switched(st, ev.id)
		return func() { ev.reply <- err }
	case left:
		err := e.left(st)
		return func() { ev.reply <- err }
	case ended:
		e.ended(st, ev)
	case damaged:
		if st.session == ev.session {
			account := ev.session.account
			e.shut(st)
			e.open(st, account)
			e.tell.everything()
		}
	case moved:
		if i := st.find(ev.id); i >= 0 && st.accounts[i].Server != ev.url {
			st.accounts[i].Server = ev.url
			e.keep(st)
		}
	case embedding:
		st.starting, st.problem = ev.under, ev.problem
		return func() { ev.reply <- nil }
	}
	return func() {}
}

// open opens an account and connects in the background. One that cannot be
// opened is shown with its sentence instead of its conversations.
func (e *Engine) open(st *state, r record) {
	s, err := e.openSession(r)
	if err != nil {
		e.log.Error("open account", "account", r.ID, "error", err)
		st.problem = chat.ErrorMessage(err)
		return
	}
	st.problem = ""
	st.session = s
}

func (e *Engine) shut(st *state) {
	if st.session == nil {
		return
	}
	// Readers look elsewhere before it closes under them.
	old := st.session
	st.session = nil
	e.publish(st)
	old.close()
}

// keep writes the list of accounts and which one is open.
func (e *Engine) keep(st *state) {
	active := ""
	if st.session != nil {
		active = st.session.account.ID
	}
	for key, value := range map[string]any{settingAccounts: st.accounts, settingActive: active} {
		b, err := json.Marshal(value)
		if err == nil {
			err = e.device.PutSetting(context.WithoutCancel(e.ctx), key, b)
		}
		if err != nil {
			e.log.Error("keep accounts", "error", err)
		}
	}
}

func (e *Engine) signedIn(st *state, r record) error {
	e.shut(st)
	if i := st.find(r.ID); i >= 0 {
		st.accounts[i] = r
	} else {
		st.accounts = append(st.accounts, r)
	}
	st.warnings = nil
	e.open(st, r)
	e.keep(st)
	e.tell.everything()
	if st.session == nil {
		return chat.Errorf(chat.CodeUnavailable, "%s", st.problem)
	}
	return nil
}

func (e *Engine) switched(st *state, id string) error {
	i := st.find(id)
	if i < 0 {
		return chat.Errorf(chat.CodeNotFound, "There is no such account on this device.")
	}
	if st.session != nil && st.session.account.ID == id {
		return nil
	}
	e.shut(st)
	e.open(st, st.accounts[i])
	e.keep(st)
	e.tell.everything()
	if st.session == nil {
		return chat.Errorf(chat.CodeUnavailable, "%s", st.problem)
	}
	return nil
}

// left forgets what the server can send again; what was not sent stays for the
// next sign-in.
func (e *Engine) left(st *state) error {
	if st.session == nil {
		return nil
	}
	r := st.session.account
	e.shut(st)
	if i := st.find(r.ID); i >= 0 {
		st.accounts[i].SignedOut = true
	}
	err := errors.Join(cache.Wipe(e.folder(r.ID)), os.RemoveAll(filepath.Join(e.folder(r.ID), "files")))
	if i := slices.IndexFunc(st.accounts, func(r record) bool { return !r.SignedOut }); i >= 0 {
		e.open(st, st.accounts[i])
	}
	e.keep(st)
	e.tell.everything()
	return err
}

// ended takes the server's word that a session is no more. Without wipe the
// account stays readable and waits for a new sign-in; with wipe nothing stays.
func (e *Engine) ended(st *state, ev ended) {
	i := st.find(ev.session.account.ID)
	if st.session != ev.session || i < 0 {
		return
	}
	r := st.accounts[i]
	if err := e.secrets.Delete(secretOf(r.ID)); err != nil {
		e.log.Error("forget token", "account", r.ID, "error", err)
	}
	if !ev.wipe {
		st.accounts[i].SignedOut = true
		e.keep(st)
		return
	}
	e.shut(st)
	if err := os.RemoveAll(e.folder(r.ID)); err != nil {
		e.log.Error("wipe account", "account", r.ID, "error", err)
	}
	st.accounts = slices.Delete(st.accounts, i, i+1)
	st.warnings = []Warning{{Code: "revoked",
		Message: "This device was signed out of " + r.Name + " by somebody else. Everything stored here has been deleted."}}
	if i := slices.IndexFunc(st.accounts, func(r record) bool { return !r.SignedOut }); i >= 0 {
		e.open(st, st.accounts[i])
	}
	e.keep(st)
	e.tell.everything()
}

func (e *Engine) folder(account string) string {
	return filepath.Join(e.opt.Data, "accounts", account)
}

func secretOf(account string) string { return "session-" + account }

func (e *Engine) agent() string { return "parley/" + e.opt.Version }

// SignIn signs in to a remote server and opens the account.
func (e *Engine) SignIn(in SignIn) error {
	client, err := protocol.NewClient(in.Server, "", e.agent())
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(e.ctx, 30*time.Second)
	defer cancel()
	got, err := client.SignIn(ctx, protocol.SignIn{Email: strings.TrimSpace(in.Email), Password: in.Password, Device: e.name})
	if err != nil {
		return err
	}
	return e.welcome(client.Server(), AccountRemote, got)
}

// StartEmbedded starts the backend inside this program and opens its account.
func (e *Engine) StartEmbedded() error {
	if e.opt.Embedded == nil {
		return chat.Errorf(chat.CodeUnsupported, "This program has no backend of its own. Sign in to a server.")
	}
	if err := e.embedding(embedding{under: true}); err != nil {
		return err
	}
	err := e.startEmbedded()
	after := embedding{}
	if err != nil {
		after.problem = chat.ErrorMessage(err)
	}
	return errors.Join(err, e.embedding(after))
}

func (e *Engine) embedding(ev embedding) error {
	ev.reply = make(chan error, 1)
	return e.ask(ev, ev.reply)
}

func (e *Engine) startEmbedded() error {
	url, err := e.opt.Embedded.Start(e.ctx)
	if err != nil {
		return fmt.Errorf("start embedded backend: %w", err)
	}
	for _, r := range e.view.Load().accounts {
		if r.Kind == AccountEmbedded && !r.SignedOut {
			reply := make(chan error, 1)
			return e.ask(switched{r.ID, reply}, reply)
		}
	}
	got, err := e.opt.Embedded.Session(e.ctx, e.name)
	if err != nil {
		return fmt.Errorf("sign in to embedded backend: %w", err)
	}
	return e.welcome(url, AccountEmbedded, got)
}

// welcome keeps the token and opens the account of a fresh session: the one
// that this member has had here before, or a new one.
func (e *Engine) welcome(server string, kind AccountKind, got protocol.SignedIn) error {
	me, err := json.Marshal(got.Member)
	if err != nil {
		return fmt.Errorf("keep member: %w", err)
	}
	r := record{ID: chat.NewID[record]().String(), Server: server, Kind: kind, Member: got.Member.ID,
		Email: got.Member.Email, Name: got.Workspace.Name, Me: me}
	for _, old := range e.view.Load().accounts {
		if old.Member == r.Member && old.Kind == kind && (kind == AccountEmbedded || old.Server == server) {
			r.ID = old.ID
		}
	}
	if err := e.secrets.Put(secretOf(r.ID), got.Token); err != nil {
		return &chat.Error{Code: chat.CodeUnavailable, Message: "The session could not be saved on this device.", Cause: err}
	}
	reply := make(chan error, 1)
	return e.ask(signedIn{r, reply}, reply)
}

// SignOut ends the session of the open account, on the server too if it can be
// reached, and forgets what was cached.
func (e *Engine) SignOut() error {
	s := e.view.Load().session
	if s == nil {
		return nil
	}
	if n := s.net.Load(); n != nil {
		ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
		defer cancel()
		if err := n.client.SignOut(ctx); err != nil {
			e.log.Warn("sign out on the server", "error", err) // the token is forgotten here in any case
		}
	}
	if err := e.secrets.Delete(secretOf(s.account.ID)); err != nil {
		return err
	}
	reply := make(chan error, 1)
	return e.ask(left{reply}, reply)
}

// SwitchAccount opens another account, at once, from its cache.
func (e *Engine) SwitchAccount(id string) error {
	reply := make(chan error, 1)
	return e.ask(switched{id, reply}, reply)
}
