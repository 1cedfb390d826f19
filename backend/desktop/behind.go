package desktop

import (
	"slices"
	"time"
)

// Whoever opens another account leaves nothing lying: an account in which
// something waits to go out stays open behind the one on the screen, also after
// a restart, until nothing waits in it any more or it is opened again. It is
// the same session, out of sight, so that texts are judged and confirmed as
// ever; no folder is ever opened by two.

// behindRetry is how long it takes until an account is tried again that could
// not be opened behind another.
const behindRetry = 30 * time.Second

// waited: what waits in a session behind has changed.
type waited struct{ session *session }

func (waited) event() {}

// behindOf gives the session of an account that runs behind, nil without one.
func (st *state) behindOf(account string) *session {
	if i := slices.IndexFunc(st.behind, func(s *session) bool { return s.account.ID == account }); i >= 0 {
		return st.behind[i]
	}
	return nil
}

// sessionOf gives the session of an account for the screen: the one that runs
// behind, or a new one.
func (e *Engine) sessionOf(st *state, r record) (*session, error) {
	s := st.behindOf(r.ID)
	if s == nil {
		return e.openSession(r)
	}
	st.behind = slices.DeleteFunc(st.behind, func(x *session) bool { return x == s })
	s.behind.Store(false)
	return s, nil
}

// putBehind takes a session from the screen. It goes on if something waits in it.
func (e *Engine) putBehind(st *state, s *session) {
	s.viewing.Store(nil)
	s.behind.Store(true)
	st.behind = append(st.behind, s)
	e.settle(st, s)
}

// settle notes how much waits in an account that is not on the screen, closes
// it if nothing can go out, and reports whether there was anything to note.
func (e *Engine) settle(st *state, s *session) bool {
	i := st.find(s.account.ID)
	if i < 0 || !slices.Contains(st.behind, s) {
		return false // on the screen again, or closed
	}
	r := &st.accounts[i]
	waited, counted := r.Waits, r.Outbox
	r.Waits, r.Outbox = s.waits() && !r.SignedOut, s.outboxCounts()
	if !r.Waits {
		s.refused()                                      // whoever notices it otherwise may come too late
		e.closeBehind(st, s)                             // from here on the record is what counts
		if !r.SignedOut && s.outbox.Snapshot().Waits() { // typed at the last moment
			r.Waits = true
			st.resumes.Reset(0)
		}
	}
	return r.Waits != waited || r.Outbox != counted
}

func (e *Engine) closeBehind(st *state, s *session) {
	st.behind = slices.DeleteFunc(st.behind, func(x *session) bool { return x == s })
	e.publish(st) // who counts what waits looks elsewhere before it closes
	s.close()
}

// resume opens, behind the one on the screen, the accounts in which something
// may wait, and reports whether there were any. What cannot be opened is tried
// again by itself.
func (e *Engine) resume(st *state) (changed bool) {
	for _, r := range slices.Clone(st.accounts) {
		shown := st.wanted == r.ID || st.session != nil && st.session.account.ID == r.ID
		if !r.Waits || r.SignedOut || r.Revoked || shown || st.behindOf(r.ID) != nil {
			continue
		}
		s, err := e.openSession(r)
		if err != nil {
			e.log.Error("open account behind", "account", r.ID, "error", err)
			st.resumes.Reset(behindRetry)
			continue
		}
		e.putBehind(st, s)
		changed = true
	}
	if changed {
		e.keep(st)
	}
	return changed
}

// waits reports whether something in the session is to go out, or may be, once
// the keychain gives the key to it.
func (s *session) waits() bool { return s.locked.Load() || s.outbox.Snapshot().Waits() }

// outboxCounts is counts for whoever can do without.
func (s *session) outboxCounts() OutboxCounts {
	out, err := s.counts(s.ctx)
	if err != nil && s.ctx.Err() == nil {
		s.e.log.Warn("count what waits", "error", err) // with the next change
	}
	return out
}

// problem tells of one; that it is another account's than the one on the
// screen, in words too.
func (s *session) problem(p Problem) {
	p.Account = s.account.ID
	if s.behind.Load() {
		p.Message = "In your account " + s.account.Name + ": " + p.Message
	}
	s.e.tell.problem(p)
}

// sessions gives all that run.
func (v *view) sessions() []*session {
	if v.session == nil {
		return v.behind
	}
	return append(slices.Clone(v.behind), v.session)
}

// sessionOf gives the session of an account that runs, nil without one.
func (v *view) sessionOf(account string) *session {
	for _, s := range v.sessions() {
		if s.account.ID == account {
			return s
		}
	}
	return nil
}
