// Package server puts the parts of the hosted backend together: the store, the
// inbox that alone writes to it, the fan-out, the files, the web channel and
// the API. parleyd runs it as a process of its own, the desktop inside itself.
package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/api"
	"parley/backend/server/auth"
	"parley/backend/server/blob"
	"parley/backend/server/channel/web"
	"parley/backend/server/fanout"
	"parley/backend/server/inbox"
	"parley/backend/server/store"
)

// Config says where the data is and where to listen.
type Config struct {
	// Listen is the address to serve on, "127.0.0.1:0" for any free port.
	Listen string
	// Data is the folder of the SQLite database and of the files.
	Data string
	// Database is a postgres:// URL; empty means SQLite in Data.
	Database string
	// PublicURL is where customers reach the server; empty means http:// and
	// the address it listens on.
	PublicURL string
	// TrustedProxy are the networks of the proxies in front of the server, whose
	// X-Forwarded-For says where a request comes from.
	TrustedProxy []string
	Log          *slog.Logger
	Version      string
	// Now is the clock; nil means the system's.
	Now func() chat.Time
	// VisitorLimits are the abuse limits of customers; zero fields have defaults.
	VisitorLimits web.Limits
	// Beat is the time between two beats of a live socket; 0 means the protocol's.
	Beat time.Duration
	// Slow is how long the writing of one frame to a live socket may take before
	// it is closed as too slow; 0 means 10 s.
	Slow time.Duration
	// Patience is how long the body of a request may take, that of an upload
	// between two pieces; 0 means body.Patience.
	Patience time.Duration
	// Sweep is how often uploads that nobody has finished are looked for; 0 means
	// every hour.
	Sweep time.Duration
	// DrainPause is how long a stopping server goes on taking requests while it
	// already says that it is not ready, so that a balancer can turn away.
	DrainPause time.Duration
}

// headerTime is how long the head of a request may take. It is short, as a
// stopping server waits for it.
const headerTime = 5 * time.Second

// abandoned is how long an upload may rest before what has come of it is
// removed.
const abandoned = 24 * time.Hour

// Server is one backend. New opens it, Start listens, Shutdown ends it.
type Server struct {
	config Config
	log    *slog.Logger
	store  *store.Store
	files  *blob.Folder
	inbox  *inbox.Inbox
	web    *web.Channel
	api    *api.API
	http   *http.Server

	mu         sync.Mutex
	setupToken string // "" once a workspace exists
	listener   net.Listener
	serving    sync.WaitGroup
	stop       chan struct{} // closed when the server is to end
	once       sync.Once
	ended      error
}

// New opens the database, migrating it if it is older than the program, and
// builds everything. It does not listen. The caller ends it with Shutdown.
func New(ctx context.Context, c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Sweep <= 0 {
		c.Sweep = time.Hour
	}
	s := &Server{config: c, log: c.Log, stop: make(chan struct{})}
	var err error
	if s.store, err = store.Open(ctx, store.Options{Data: c.Data, Database: c.Database, Now: c.Now, Log: c.Log}); err != nil {
		return nil, err
	}
	if err := s.build(ctx); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	return s, nil
}

func (s *Server) build(ctx context.Context) error {
	proxies, err := auth.ParseProxies(s.config.TrustedProxy)
	if err != nil {
		return err
	}
	if s.files, err = blob.Open(filepath.Join(s.config.Data, "files")); err != nil {
		return err
	}
	existing, err := s.store.Workspaces(ctx)
	if err != nil {
		return err
	}
	if len(existing) == 0 {
		s.setupToken = auth.Token()
	}
	s.inbox = inbox.New(inbox.Options{Store: s.store, Fanout: fanout.NewLocal(), Now: s.config.Now, Log: s.log,
		// One folder will do: a backend has one workspace, Setup refuses a second.
		Blobs: func(chat.WorkspaceID) (inbox.Blobs, error) { return s.files, nil }})
	s.web = web.New(web.Options{Inbox: s.inbox, PublicURL: s.config.PublicURL, Log: s.log, Limits: s.config.VisitorLimits, Beat: s.config.Beat,
		Address: func(r *http.Request) string { return auth.AddressKey(proxies.Address(r)) }})
	var mounts []api.Mount
	for _, r := range s.web.Routes() {
		mounts = append(mounts, api.Mount{Method: r.Method, Pattern: r.Pattern, Handler: r.Handler})
	}
	s.api, err = api.New(api.Options{Inbox: s.inbox, Setup: s.setup, Mounts: mounts, Version: s.config.Version, Log: s.log,
		Beat: s.config.Beat, Slow: s.config.Slow, Patience: s.config.Patience, Address: proxies.Address})
	if err != nil {
		s.web.Close()
		s.inbox.Close()
		return err
	}
	s.http = &http.Server{Handler: s.api, ReadHeaderTimeout: headerTime, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		DisableGeneralOptionsHandler: true, // it waits for a body as long as it takes
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	return nil
}

// Start listens and serves in the background; it returns once connections are
// taken. On an empty backend the one-time token for POST /v1/setup is logged.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return &chat.Error{Code: chat.CodeUnavailable, Message: "Parley cannot listen on " + s.config.Listen + ".", Cause: err}
	}
	s.mu.Lock()
	s.listener = l
	token := s.setupToken
	s.mu.Unlock()
	s.serving.Go(func() {
		if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serve", "error", err)
		}
	})
	s.serving.Go(s.sweep)
	s.serving.Go(s.sendScheduled)
	s.serving.Go(s.index)
	s.log.Info("serving", "address", l.Addr().String(), "public_url", s.URL(), "version", s.config.Version)
	if token != "" {
		// The one secret that is logged, on purpose: whoever reads this log may
		// make the first workspace, once.
		s.log.Info("this backend is empty: make the first workspace with POST /v1/setup", "setup_token", token)
	}
	return nil
}

// sweep removes abandoned uploads, now and from time to time, until the server
// is to end.
func (s *Server) sweep() {
	tick := time.NewTicker(s.config.Sweep)
	defer tick.Stop()
	for {
		n, err := s.files.Sweep(time.Now().Add(-abandoned))
		switch {
		case err != nil:
			s.log.Warn("sweep uploads", "error", err) // the next tick tries again
		case n > 0:
			s.log.Info("removed abandoned uploads", "uploads", n)
		}
		select {
		case <-tick.C:
		case <-s.stop:
			return
		}
	}
}

// sendScheduled sends scheduled messages when they are due, until the server
// is to end.
func (s *Server) sendScheduled() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.serving.Go(func() {
		<-s.stop
		cancel()
	})
	s.inbox.SendScheduled(ctx)
}

// indexRest is how long the index of messages rests where there is nothing to
// do; what came since is found in the log.
const indexRest = time.Second

// index feeds the index of messages behind the writes, until the server is to end.
func (s *Server) index() {
	ctx := context.Background()
	for {
		rest, began := indexRest, time.Now()
		all, err := s.inbox.Workspaces(ctx)
		for _, ws := range all {
			more, failed := s.inbox.IndexMessages(ctx, ws.ID)
			if more {
				rest = time.Since(began) // half of the time is for others to write
			}
			err = errors.Join(err, failed)
		}
		if err != nil {
			s.log.Debug("index messages", "error", err) // tried again; what it lacks is found in the log
		}
		select {
		case <-time.After(rest):
		case <-s.stop:
			return
		}
	}
}

// Addr is the address the server listens on, "" before Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// URL is where people and programs reach the server, without a trailing slash.
func (s *Server) URL() string {
	if s.config.PublicURL != "" {
		return s.config.PublicURL
	}
	return "http://" + s.Addr()
}

// Shutdown drains: the server is no longer ready, sockets are sent elsewhere,
// requests under way are finished, then everything is closed. When ctx ends
// first, what is left is cut. It may be called at any time, more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(func() { s.ended = s.shutdown(ctx) })
	return s.ended
}

func (s *Server) shutdown(ctx context.Context) error {
	s.api.Drain()
	close(s.stop)
	var err error
	if s.Addr() != "" {
		if s.config.DrainPause > 0 {
			select {
			case <-time.After(s.config.DrainPause):
			case <-ctx.Done():
			}
		}
		webClosed := make(chan struct{})
		go func() {
			defer close(webClosed)
			s.web.Close()
		}()
		if err = s.http.Shutdown(ctx); err != nil {
			err = errors.Join(fmt.Errorf("drain: %w", err), s.http.Close())
		}
		<-webClosed
		s.serving.Wait()
	} else {
		s.web.Close()
	}
	s.api.Close()
	s.inbox.Close()
	return errors.Join(err, s.store.Close())
}

// setup is Setup for strangers: the token must be right.
func (s *Server) setup(ctx context.Context, req protocol.Setup) (protocol.Created, error) {
	s.mu.Lock()
	token := s.setupToken
	s.mu.Unlock()
	if token == "" {
		return protocol.Created{}, chat.Errorf(chat.CodeConflict, "This backend already has a workspace.")
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(req.Token)) != 1 {
		return protocol.Created{}, &chat.Error{Code: chat.CodeForbidden, Field: "token", Message: "The setup token is wrong. It stands in the server's log."}
	}
	return s.Setup(ctx, req)
}

// Setup makes the first workspace, with its owner, one brand and one web
// channel. A backend that has one refuses.
func (s *Server) Setup(ctx context.Context, req protocol.Setup) (protocol.Created, error) {
	s.mu.Lock() // one at a time
	defer s.mu.Unlock()
	created, err := s.inbox.Setup(ctx, req)
	if err == nil {
		s.setupToken = ""
	}
	return created, err
}

// OwnerSession signs the workspace's owner in without a password, for the
// desktop that runs this server inside itself.
func (s *Server) OwnerSession(ctx context.Context, device string) (protocol.SignedIn, error) {
	ws, err := s.workspace(ctx)
	if err != nil {
		return protocol.SignedIn{}, err
	}
	members, err := s.inbox.Members(ctx, ws)
	if err != nil {
		return protocol.SignedIn{}, err
	}
	for _, m := range members {
		if m.Role == chat.RoleOwner && !m.Disabled {
			return s.inbox.OpenSession(ctx, ws, m, device)
		}
	}
	return protocol.SignedIn{}, chat.Errorf(chat.CodeNotFound, "The workspace has no owner.")
}

// AddMember adds a person on behalf of the server's operator.
func (s *Server) AddMember(ctx context.Context, add protocol.MemberAdd) (chat.Member, error) {
	ws, err := s.workspace(ctx)
	if err != nil {
		return chat.Member{}, err
	}
	return s.inbox.AddMember(ctx, ws, inbox.System(), add)
}

// ChannelUpdate is what to change of a web channel.
type ChannelUpdate struct {
	// Channel is its id, key or slug; "" is the only web channel there is.
	Channel string
	// Origins are the pages that may embed the widget; nil: as they are.
	Origins *[]string
	// Title is what stands above the chat; nil: as it is.
	Title *string
}

// UpdateChannel changes a web channel on behalf of the server's operator.
func (s *Server) UpdateChannel(ctx context.Context, u ChannelUpdate) (chat.Channel, error) {
	ws, err := s.workspace(ctx)
	if err != nil {
		return chat.Channel{}, err
	}
	return s.inbox.UpdateChannel(ctx, ws, inbox.System(), u.Channel, inbox.ChannelUpdate{Origins: u.Origins, Title: u.Title})
}

// workspace is the one this backend has.
func (s *Server) workspace(ctx context.Context) (chat.WorkspaceID, error) {
	list, err := s.inbox.Workspaces(ctx)
	if err != nil {
		return chat.WorkspaceID{}, err
	}
	if len(list) == 0 {
		return chat.WorkspaceID{}, chat.Errorf(chat.CodeNotFound, "This backend is empty. Make a workspace first: parleyd init.")
	}
	return list[0].ID, nil
}

// Routes lists every route of the API, for documentation and tests.
func (s *Server) Routes() []api.Route { return s.api.Routes() }

// Handler answers requests without a listener, for tests and embedding.
func (s *Server) Handler() http.Handler { return s.api }

// Inbox is the core of the server, for what runs inside the same process.
func (s *Server) Inbox() *inbox.Inbox { return s.inbox }
