package desktop

import (
	"context"
	"errors"
	"slices"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/sync"
	"parley/backend/protocol"
)

// network is what a session has once it knows its server and its token.
type network struct {
	client *protocol.Client
	sync   *sync.Sync
	wake   func() // sync tries at once
}

const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// backoff is how long to wait before try number n, counted from 0: doubling,
// with half of it left to chance.
func (e *Engine) backoff(n int) time.Duration {
	limit := min(firstRetry<<min(n, 10), lastRetry)
	return limit/2 + time.Duration(e.opt.Random()*float64(limit/2))
}

// errNoToken says that there certainly is no session on this device.
var errNoToken = errors.New("no saved session")

// errTurnedAway says that the backend inside did not take its own session.
var errTurnedAway = chat.Errorf(chat.CodeUnauthorized, "The backend inside this program does not let its owner in.")

// connect finds the server and the token and starts syncing. What stands in
// the way (a locked keychain, a backend that does not start) is said, and
// tried again until the session is closed. The owner of the backend inside is
// never asked to sign in there: where the saved session is no more, because its
// data was put back from a backup or replaced, a new one is made.
func (s *session) connect() {
	if s.e.opt.Shown != nil {
		select {
		case <-s.e.opt.Shown:
		case <-s.ctx.Done():
			return
		}
	}
	again := false // with a new session
	for n := 0; ; n++ {
		client, err := s.reach(again)
		switch {
		case s.ctx.Err() != nil:
			return
		case err == nil:
			began := time.Now()
			s.connected(client)
			if s.account.Kind != AccountEmbedded || !s.turnedAway() {
				return
			}
			if !again || time.Since(began) > lastRetry {
				again, n = true, 0
				continue // at once, but never twice in a row
			}
			err = errTurnedAway
		case errors.Is(err, errNoToken):
			s.ended(false)
			return
		}
		s.e.log.Error("connect account", "account", s.account.ID, "error", err)
		s.reported(sync.Report{Status: sync.StatusError, Problem: chat.ErrorMessage(err)})
		timer := time.NewTimer(s.e.backoff(n))
		select {
		case <-timer.C:
		case <-s.retry:
			timer.Stop()
		case <-s.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// turnedAway waits until the server takes the session no more, which ends the
// syncing, and reports whether that was before the account is closed.
func (s *session) turnedAway() bool {
	select {
	case <-s.away:
	case <-s.ctx.Done():
		return false
	}
	n := s.net.Swap(nil)
	n.sync.Stop()
	n.client.Close()
	return true
}

func (s *session) connected(client *protocol.Client) {
	run := sync.Start(sync.Config{
		Client: client, Cache: s.cache, Me: s.me, Days: bootstrapDays,
		Changed: s.changed, Reported: s.reported, Heard: s.heard, BeforeAccess: s.beforeAccess, BeforeSweep: s.beforeSweep,
		Abandoned: s.abandoned, Online: s.online, Ended: s.ended,
		Clock: s.e.clock, Random: s.e.opt.Random, Log: s.e.log,
	})
	s.net.Store(&network{client, run, run.Wake})
	if l := s.shown.Load(); l != nil {
		run.Show(*l)
	}
	s.outbox.Pause(false)
	s.pace()
	s.e.tell.state()
}

// tryNow connects at once if that waits for another try.
func (s *session) tryNow() {
	if n := s.net.Load(); n != nil {
		n.wake()
		s.outbox.Wake()
		return
	}
	select {
	case s.retry <- struct{}{}:
	default: // is about to
	}
}

// reach makes a signed-in client. The embedded backend is started first; again
// says that it has refused the saved session.
func (s *session) reach(again bool) (*protocol.Client, error) {
	server := s.account.Server
	if s.account.Kind == AccountEmbedded {
		if s.e.opt.Embedded == nil {
			return nil, chat.Errorf(chat.CodeUnsupported, "This program was started without a backend of its own.")
		}
		url, err := s.e.opt.Embedded.Start(s.ctx)
		if err != nil {
			return nil, err
		}
		server = url
		s.post(moved{s.account.ID, url})
	}
	token, err := s.token(server, again)
	if err != nil {
		return nil, err
	}
	client, err := protocol.NewClientOver(s.e.opt.Dial, server, token, s.e.agent())
	if err != nil {
		return nil, err
	}
	return client.Telling(s.readClock).Following(func() string {
		_, epoch := s.cache.Position()
		return epoch
	}), nil
}

// token gives that of the saved session, or, of the backend inside, of a new one.
func (s *session) token(server string, again bool) (string, error) {
	if again {
		return s.enter(server)
	}
	token, err := s.e.secrets.Get(secretOf(s.account.ID))
	switch {
	case err == nil:
		return token, nil
	case s.account.Kind == AccountEmbedded:
		return s.enter(server)
	case chat.ErrorCode(err) == chat.CodeNotFound:
		return "", errors.Join(errNoToken, err)
	}
	return "", err
}

// enter makes a new session with the backend inside. Who may read the folder
// owns the workspace: no password is needed, and no keychain either.
func (s *session) enter(server string) (token string, err error) {
	got, err := s.e.opt.Embedded.Session(s.ctx, s.e.name)
	if err != nil {
		return "", err
	}
	if got.Member.ID == s.me {
		return got.Token, s.e.secrets.Put(secretOf(s.account.ID), got.Token)
	}
	s.foreign(server, got)
	return "", chat.Errorf(chat.CodeConflict, "The workspace in this folder belongs to another account.")
}

// foreign takes a session of another member than this account's: the folder of
// the backend inside was replaced. Nobody could open that workspace but from
// here, so it becomes an account of its own in place of the one on the screen.
// This one stays, with what was not sent. Where the other account is known
// already, opening it is left to the person.
func (s *session) foreign(server string, got protocol.SignedIn) {
	known := slices.ContainsFunc(s.e.view.Load().accounts, func(r record) bool {
		return r.Kind == AccountEmbedded && r.Member == got.Member.ID && !r.Revoked
	})
	if known || s.behind.Load() || s.replaced.Swap(true) {
		s.discard(server, got.Token)
		return
	}
	s.e.helpers.Go(func() { // not a helper of this session, which may be closed for it
		if err := s.e.welcome(server, AccountEmbedded, got); err != nil {
			s.e.log.Error("open the workspace that is in the folder now", "error", err)
			s.replaced.Store(false)
			return
		}
		s.e.tell.problem(Problem{Account: s.account.ID, Code: string(chat.CodeConflict),
			Message: "The backend inside Parley holds another workspace than before. It has been opened. Your account " + s.account.Name +
				" is still here, with what you had not sent: choose it in the account menu."})
	})
}

// discard ends a session that nobody will use, so that they do not pile up.
func (s *session) discard(server, token string) {
	client, err := protocol.NewClientOver(s.e.opt.Dial, server, token, s.e.agent())
	if err == nil {
		defer client.Close()
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		defer cancel()
		err = client.SignOut(ctx)
	}
	if err != nil && s.ctx.Err() == nil {
		s.e.log.Warn("end a session that is not used", "error", err)
	}
}
