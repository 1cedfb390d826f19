package desktop

import (
	"errors"
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

// connect finds the server and the token and starts syncing. What stands in
// the way (a locked keychain, a backend that does not start) is said, and
// tried again until the session is closed.
func (s *session) connect() {
	if s.e.opt.Shown != nil {
		select {
		case <-s.e.opt.Shown:
		case <-s.ctx.Done():
			return
		}
	}
	for n := 0; ; n++ {
		client, err := s.reach()
		switch {
		case s.ctx.Err() != nil:
			return
		case err == nil:
			s.connected(client)
			return
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

// reach makes a signed-in client. The embedded backend is started first.
func (s *session) reach() (*protocol.Client, error) {
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
	token, err := s.e.secrets.Get(secretOf(s.account.ID))
	switch {
	case err == nil:
	case s.account.Kind == AccountEmbedded:
		if token, err = s.enter(); err != nil {
			return nil, err
		}
	case chat.ErrorCode(err) == chat.CodeNotFound:
		return nil, errors.Join(errNoToken, err)
	default:
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

// enter makes a new session with the backend inside. Who may read the folder
// owns the workspace: no password is needed, and no keychain either.
func (s *session) enter() (token string, err error) {
	got, err := s.e.opt.Embedded.Session(s.ctx, s.e.name)
	if err != nil {
		return "", err
	}
	if got.Member.ID != s.me {
		return "", chat.Errorf(chat.CodeConflict, "The workspace in this folder belongs to another account.")
	}
	return got.Token, s.e.secrets.Put(secretOf(s.account.ID), got.Token)
}
