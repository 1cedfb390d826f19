package desktop

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
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
		err := e.left(st, ev.tokenLeft)
		return func() { ev.reply <- err }
	case ended:
		e.ended(st, ev)
	case damaged:
		e.openAgain(st, ev.session)
	case unlocked:
		e.openAgain(st, ev.session)
	case waited:
		if e.settle(st, ev.session) {
			e.keep(st)
		}
	case setAside:
		err := e.asidePut(st)
		return func() { ev.reply <- err }
	case retried:
		err := e.retried(st)
		return func() { ev.reply <- err }
	case forgotten:
		if i := st.find(ev.id); i >= 0 && st.accounts[i].TokenLeft {
			st.accounts[i].TokenLeft = false
			e.keep(st)
		}
	case moved:
		if i := st.find(ev.id); i >= 0 && st.accounts[i].Server != ev.url {
			st.accounts[i].Server = ev.url
			e.keep(st)
		}
	case embedding:
		st.starting = ev.under
		if !ev.under { // until then the last try is what there is to say
			st.problem = ev.problem
		}
		return func() { ev.reply <- nil }
	}
	return func() {}
}

// openAgain opens the account of a session anew, if that is not closed yet.
func (e *Engine) openAgain(st *state, s *session) {
	if slices.Contains(st.behind, s) {
		e.closeBehind(st, s)
		e.resume(st)
		return
	}
	if i := st.find(s.account.ID); st.session == s && i >= 0 {
		before := st.starting
		st.starting = true // nobody is asked to sign in meanwhile
		e.shut(st)
		e.open(st, st.accounts[i])
		st.starting = before
		e.tell.everything()
	}
}

// open opens an account and connects in the background. One that cannot be
// opened is shown with its sentence instead of its conversations, and is tried
// again by itself.
func (e *Engine) open(st *state, r record) {
	if st.wanted != r.ID {
		st.wanted, st.tries = r.ID, 0
	}
	s, err := e.sessionOf(st, r)
	if err != nil {
		e.log.Error("open account", "account", r.ID, "error", err)
		st.problem, st.damaged = chat.ErrorMessage(err), cache.IsDamaged(err)
		st.due.Reset(e.backoff(st.tries))
		st.tries++
		return
	}
	st.opened(s)
}

// admit lets an account of the backend inside connect again, whatever has ended
// its session: nobody knows a password for it, and none is needed.
func (st *state) admit(i int) {
	if r := &st.accounts[i]; r.Kind == AccountEmbedded && !r.Revoked {
		r.SignedOut, r.TokenLeft = false, false // a token that was left is tried, or replaced
	}
}

func (st *state) opened(s *session) {
	st.session = s
	st.problem, st.damaged, st.wanted, st.tries = "", false, "", 0
	if i := st.find(s.account.ID); i >= 0 {
		st.accounts[i].Waits = true // something may at any time, also when the program ends without a word
	}
}

// replace opens an account in place of the open one, which stays if that one
// cannot be opened: whoever picked it hears why, and goes on where they were.
func (e *Engine) replace(st *state, r record) error {
	st.resumes.Reset(0) // for whatever is not on the screen, and not open, after this
	s, err := e.sessionOf(st, r)
	if err != nil {
		e.log.Error("open account", "account", r.ID, "error", err)
		return err
	}
	old := st.session
	st.opened(s)
	if old != nil {
		e.publish(st) // readers look elsewhere before it closes under them
		e.putBehind(st, old)
	}
	return nil
}

// reopen tries the account again that could not be opened, and reports whether
// it is open now.
func (e *Engine) reopen(st *state) bool {
	i := st.find(st.wanted)
	if st.session != nil || i < 0 || st.accounts[i].Revoked {
		return false
	}
	e.open(st, st.accounts[i])
	return st.session != nil
}

func (e *Engine) retried(st *state) error {
	if st.session != nil || st.wanted == "" {
		return nil
	}
	opened := e.reopen(st)
	e.tell.everything()
	if !opened {
		return chat.Errorf(chat.CodeUnavailable, "%s", st.problem)
	}
	return nil
}

func (e *Engine) shut(st *state) {
	if st.session == nil {
		return
	}
	// Readers look elsewhere before it closes under them.
	old := st.session
	st.session, st.problem = nil, ""
	e.publish(st)
	old.close()
}

// keep writes the list of accounts, which one is (or should be) open, and what
// has to be said until somebody signs in.
func (e *Engine) keep(st *state) {
	active := st.wanted
	if st.session != nil {
		active = st.session.account.ID
	}
	for key, value := range map[string]any{settingAccounts: st.accounts, settingActive: active, settingWarnings: st.warnings} {
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
	if s := st.behindOf(r.ID); s != nil { // it goes on with the token that has ended
		e.closeBehind(st, s)
	}
	if i := st.find(r.ID); i >= 0 {
		r.Waits, r.Outbox = st.accounts[i].Waits, st.accounts[i].Outbox
		st.accounts[i] = r
	} else {
		st.accounts = append(st.accounts, r)
	}
	st.warnings = nil
	var err error
	if st.session != nil && st.session.account.ID != r.ID {
		err = e.replace(st, r)
	} else {
		e.shut(st)
		e.open(st, r)
		if st.session == nil {
			err = chat.Errorf(chat.CodeUnavailable, "%s", st.problem)
		}
	}
	e.keep(st)
	e.tell.everything()
	return err
}

func (e *Engine) switched(st *state, id string) error {
	i := st.find(id)
	if i < 0 || st.accounts[i].Revoked {
		return chat.Errorf(chat.CodeNotFound, "There is no such account on this device.")
	}
	st.admit(i)
	if st.session != nil && st.session.account.ID == id {
		return nil
	}
	if err := e.replace(st, st.accounts[i]); err != nil {
		return err
	}
	e.keep(st)
	e.tell.everything()
	return nil
}

// left forgets what the server can send again; what was not sent stays for the
// next sign-in.
func (e *Engine) left(st *state, tokenLeft bool) error {
	if st.session == nil {
		return nil
	}
	r, counts := st.session.account, st.session.outboxCounts()
	e.shut(st)
	if i := st.find(r.ID); i >= 0 {
		counts.Failed = 0 // the server has those
		st.accounts[i].SignedOut, st.accounts[i].TokenLeft, st.accounts[i].Outbox = true, tokenLeft, counts
	}
	err := errors.Join(cache.Wipe(e.folder(r.ID)), os.RemoveAll(filepath.Join(e.folder(r.ID), filesFolder)))
	e.openAnother(st)
	e.keep(st)
	e.tell.everything()
	return err
}

func (e *Engine) openAnother(st *state) {
	st.wanted = ""
	for _, r := range st.accounts {
		if r.SignedOut {
			continue
		}
		if e.open(st, r); st.session != nil {
			return
		}
	}
}

// ended takes the server's word that a session is no more. Without wipe the
// account stays readable and waits for a new sign-in; that of the backend inside
// enters again instead, see connect. With wipe only what was not sent stays on
// disk, out of reach until the same member signs in again
// (docs/decisions/0008-what-a-revoked-device-forgets.md).
func (e *Engine) ended(st *state, ev ended) {
	i := st.find(ev.session.account.ID)
	shown := st.session == ev.session
	if i < 0 || !shown && !slices.Contains(st.behind, ev.session) {
		return
	}
	r := st.accounts[i]
	st.accounts[i].SignedOut = true
	if !ev.wipe {
		e.settle(st, ev.session) // behind it has nothing left to do
		e.keep(st)
		if st.accounts[i].TokenLeft = !e.forgetToken(r.ID); st.accounts[i].TokenLeft {
			e.keep(st)
		}
		return
	}
	st.accounts[i].Revoked = true
	st.warnings = []Warning{{Code: "revoked", Message: "This device was signed out of " + r.Name +
		" by somebody else. What was stored here has been deleted; what you had not sent comes back when you sign in again."}}
	if shown {
		e.shut(st)
	} else {
		e.closeBehind(st, ev.session)
	}
	e.keep(st) // first of all: a wipe that is cut short is finished at the next start
	e.forgetRevoked(st)
	if shown {
		e.openAnother(st)
	}
	e.keep(st)
	e.tell.everything()
}

// forgetRevoked deletes what the accounts that were taken away have left here:
// token, cache and files, and, where nothing waits in it for its author, what
// was not sent with its key.
func (e *Engine) forgetRevoked(st *state) {
	for i, r := range st.accounts {
		if !r.Revoked || r.Wiped {
			continue
		}
		st.accounts[i].TokenLeft = !e.forgetToken(r.ID)
		err := errors.Join(cache.Wipe(e.folder(r.ID)), os.RemoveAll(filepath.Join(e.folder(r.ID), filesFolder)), e.forgetUnsent(r.ID))
		if err != nil {
			e.log.Error("wipe account", "account", r.ID, "error", err)
			continue // again at the next start
		}
		st.accounts[i].Wiped = true
	}
}

// forgetToken deletes the token of a session that has ended and reports whether
// it is gone.
func (e *Engine) forgetToken(account string) bool {
	err := e.secrets.Delete(secretOf(account))
	if err != nil {
		e.log.Error("forget token", "account", account, "error", err)
	}
	return err == nil
}

// tokensLeft gives the accounts whose token has outlived its session.
func tokensLeft(accounts []record) (ids []string) {
	for _, r := range accounts {
		if r.TokenLeft {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// forgetTokens asks the keychain again to let go of the tokens that were left
// in it. It may ask its owner to unlock it, which nobody should wait for.
func (e *Engine) forgetTokens(accounts []string) {
	for _, id := range accounts {
		// Not if somebody has signed in again meanwhile: then it is another token.
		if slices.Contains(tokensLeft(e.view.Load().accounts), id) && e.forgetToken(id) {
			e.post(forgotten{id})
		}
	}
}

func (e *Engine) folder(account string) string {
	return filepath.Join(e.opt.Data, "accounts", account)
}

func secretOf(account string) string { return "session-" + account }

func (e *Engine) agent() string { return "parley/" + e.opt.Version }
