package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// SignIn signs in to a remote server and opens the account.
func (e *Engine) SignIn(in SignIn) error {
	if err := e.unusable(); err != nil {
		return err
	}
	client, err := protocol.NewClientOver(e.opt.Dial, in.Server, "", e.agent())
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
	if err := e.unusable(); err != nil {
		return err
	}
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

// begin opens the backend inside on a device without accounts. It tries until
// that succeeds or somebody signs in elsewhere.
func (e *Engine) begin() {
	for n := 0; len(e.view.Load().accounts) == 0; n++ {
		err := e.StartEmbedded()
		if err == nil || e.ctx.Err() != nil {
			return
		}
		e.log.Error("start embedded backend", "error", err)
		timer := time.NewTimer(e.backoff(n))
		select {
		case <-timer.C:
		case <-e.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// Retry tries at once what the open account, or the one that should be open,
// waits for.
func (e *Engine) Retry() error {
	v := e.view.Load()
	switch {
	case v.session != nil:
		v.session.tryNow()
		return nil
	case len(v.accounts) == 0 && e.opt.Embedded != nil && e.opt.DefaultServer == "":
		return e.StartEmbedded()
	}
	reply := make(chan error, 1)
	return e.ask(retried{reply}, reply)
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
	for _, r := range slices.Backward(e.view.Load().accounts) { // of several, the last is that of the workspace in the folder
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
	e.leaving(r.ID)
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
	e.part(s)
	if n := s.net.Load(); n != nil {
		ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
		defer cancel()
		if err := n.client.SignOut(ctx); err != nil {
			e.log.Warn("sign out on the server", "error", err) // the token is forgotten here in any case
		}
	}
	reply := make(chan error, 1)
	return e.ask(left{!e.forgetToken(s.account.ID), reply}, reply)
}

// SwitchAccount opens another account, at once, from its cache. One that cannot
// be opened leaves everything as it is.
func (e *Engine) SwitchAccount(id string) error {
	e.leaving(id)
	reply := make(chan error, 1)
	return e.ask(switched{id, reply}, reply)
}
