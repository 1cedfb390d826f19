package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
)

// preferredListen is where the backend inside listens from its first start on.
// Share links contain it, so the address of the first start, whichever it got,
// is kept for good; while another program has that, another one does, which is
// not remembered.
const preferredListen = "127.0.0.1:8787"

// embedded is the backend inside this program.
type embedded struct {
	data string
	log  *slog.Logger

	mu     sync.Mutex // held while starting and stopping
	server *server.Server
	url    string
	moved  atomic.Bool // not where links point to
}

// Start starts the backend, or gives the address of the one that runs.
func (e *embedded) Start(ctx context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server != nil {
		return e.url, nil
	}
	if err := os.MkdirAll(e.data, 0o700); err != nil {
		return "", fmt.Errorf("make folder of the backend: %w", err)
	}
	listen, home := e.listen()
	url := "http://" + listen
	s, err := server.New(context.WithoutCancel(ctx), server.Config{Listen: listen, Data: e.data, PublicURL: url, Log: e.log, Version: version})
	if err != nil {
		return "", err
	}
	if err := s.Start(); err != nil {
		stopped, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return "", errors.Join(err, s.Shutdown(stopped))
	}
	e.server, e.url = s, url
	moved := home != "" && listen != home
	e.moved.Store(moved)
	if moved {
		e.log.Warn("backend on another address", "usual", home, "now", listen)
		return url, nil
	}
	if err := os.WriteFile(e.remembered(), []byte(listen), 0o600); err != nil {
		e.log.Warn("remember address of the backend", "error", err)
	}
	return url, nil
}

// Moved reports whether the backend had to take another address than usual.
func (e *embedded) Moved() bool { return e.moved.Load() }

func (e *embedded) remembered() string { return filepath.Join(e.data, "listen") }

// listen finds an address that is free: the usual one, the preferred one, or
// any; and says which one is usual, "" before the first start.
func (e *embedded) listen() (address, home string) {
	last, err := os.ReadFile(e.remembered())
	home = strings.TrimSpace(string(last))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		e.log.Warn("read address of the backend", "error", err)
		home = preferredListen // most likely; what is remembered must not be replaced
	case !onlyHere(home):
		home = ""
	}
	for _, address := range []string{cmp.Or(home, preferredListen), preferredListen, "127.0.0.1:0"} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		free := ln.Addr().String()
		if ln.Close() == nil {
			return free, home
		}
	}
	return cmp.Or(home, preferredListen), home // its own error says what is wrong
}

// onlyHere reports whether an address can be reached from this machine only.
func onlyHere(address string) bool {
	host, port, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback() && port != "0"
}

// Session signs the workspace's owner in, making both if there are none.
func (e *embedded) Session(ctx context.Context, device string) (protocol.SignedIn, error) {
	if _, err := e.Start(ctx); err != nil {
		return protocol.SignedIn{}, err
	}
	got, err := e.server.OwnerSession(ctx, device)
	if chat.ErrorCode(err) != chat.CodeNotFound {
		return got, err
	}
	if err := e.setUp(ctx); err != nil {
		return protocol.SignedIn{}, err
	}
	return e.server.OwnerSession(ctx, device)
}

// setUp makes a fresh workspace. Its owner needs no password on this machine;
// the random one is thrown away.
func (e *embedded) setUp(ctx context.Context) error {
	secret := make([]byte, 24)
	rand.Read(secret) // never fails, see its documentation
	name := "Owner"
	if u, err := user.Current(); err == nil && u.Name != "" {
		name = u.Name
	}
	_, err := e.server.Setup(ctx, protocol.Setup{Workspace: "My company", Email: "owner@localhost", Name: name,
		Password: hex.EncodeToString(secret)})
	if err != nil {
		return fmt.Errorf("make workspace: %w", err)
	}
	return nil
}

// Close drains and stops the backend.
func (e *embedded) Close(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return nil
	}
	s := e.server
	e.server = nil
	if err := s.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop backend: %w", err)
	}
	return nil
}
