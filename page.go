package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"parley/backend/desktop"
	"parley/backend/desktop/bridge"
)

// policy is what the window's page may do: run our scripts, talk to the
// program it came from, show what it was given, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; " +
	"img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// strict sets the policy on everything but files, which have a stricter one.
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/files/") {
			h := w.Header()
			h.Set("Content-Security-Policy", policy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
		}
		next.ServeHTTP(w, r)
	})
}

// late is the window's ear before there is a window: what is told meanwhile is
// not needed, because a window that opens reads everything.
type late struct {
	to atomic.Pointer[func(name string, payload any)]
}

// Emit tells the window, if there is one.
func (l *late) Emit(name string, payload any) {
	if emit := l.to.Load(); emit != nil {
		(*emit)(name, payload)
	}
}

// showPage serves the window to a browser until ctx ends.
func showPage(ctx context.Context, o options, assets fs.FS, stdout io.Writer, log *slog.Logger) error {
	ear := &late{}
	engine := openEngine(ctx, o, ear, log)
	b, err := bridge.New(bridge.Config{Listen: o.bridge, Token: o.bridgeToken, Log: log,
		Target: &App{engine: func() *desktop.Engine { return engine }, shell: pageShell{}}, Assets: strict(http.FileServerFS(assets)), Files: engine.Files()})
	if err != nil {
		return errors.Join(err, engine.Close())
	}
	emit := b.Emit
	ear.to.Store(&emit)
	b.Start()
	fmt.Fprintln(stdout, "bridge", b.Address())
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(b.Close(closing), engine.Close())
}
