// Package bridge lets an ordinary browser be the window: the same frontend and
// the same methods over HTTP on the loopback interface. It is for development
// and tests; the native window does not use it.
//
// It guards itself: it listens on loopback only, answers only requests for a
// loopback host (so no page of the internet can reach it under a name of its
// own), and every call, event and file needs the token of this run.
package bridge

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"parley/backend/chat"
)

const maxCall = 1 << 20 // bytes of one call

// Config says what the bridge stands in front of.
type Config struct {
	Listen string       // loopback address, port 0 for a free one
	Token  string       // of this run; empty: a random one is made
	Target any          // its exported methods are what may be called
	Assets http.Handler // the built frontend
	Files  http.Handler // /files/{sha256}
	Log    *slog.Logger
}

// Bridge serves the window's methods and events. Emit may be called before
// Start and by any goroutine.
type Bridge struct {
	token  string
	calls  calls
	events *hub
	server *http.Server
	ln     net.Listener
	done   chan error
}

// New makes a bridge and listens, so that Address is known; Start serves.
func New(cfg Config) (*Bridge, error) {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, chat.Invalid("bridge", "The bridge needs an address such as 127.0.0.1:0.")
	}
	if !loopback(host) {
		return nil, chat.Invalid("bridge", "The bridge listens on this machine only: use 127.0.0.1.")
	}
	if cfg.Token == "" {
		b := make([]byte, 24)
		rand.Read(b) // never fails, see its documentation
		cfg.Token = base64.RawURLEncoding.EncodeToString(b)
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the bridge: %w", err)
	}
	b := &Bridge{token: cfg.Token, calls: callsOf(cfg.Target), events: newHub(cfg.Log), ln: ln, done: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /call", b.private(b.call))
	mux.HandleFunc("GET /events", b.private(b.events.serve))
	mux.HandleFunc("GET /files/", b.private(cfg.Files.ServeHTTP))
	mux.Handle("/", cfg.Assets)
	b.server = &http.Server{Handler: localOnly(mux), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn)}
	return b, nil
}

// Address gives the address to open in a browser, with the token.
func (b *Bridge) Address() string {
	return "http://" + b.ln.Addr().String() + "/?token=" + url.QueryEscape(b.token)
}

// Start serves until Close.
func (b *Bridge) Start() {
	go func() { b.done <- b.server.Serve(b.ln) }()
}

// Emit tells every open page of an event.
func (b *Bridge) Emit(name string, payload any) { b.events.emit(name, payload) }

// Close ends every page's events and waits for the server.
func (b *Bridge) Close(ctx context.Context) error {
	b.events.close()
	err := b.server.Shutdown(ctx)
	if served := <-b.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("close bridge: %w", err)
	}
	return nil
}

// private lets only who knows the token pass.
func (b *Bridge) private(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		given := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if given == "" {
			given = r.URL.Query().Get("token")
		}
		if subtle.ConstantTimeCompare([]byte(given), []byte(b.token)) != 1 {
			fail(w, chat.Errorf(chat.CodeUnauthorized, "This page has no valid token. Open the address that the program printed."))
			return
		}
		next(w, r)
	}
}

// localOnly refuses requests under another name than this machine's, and
// requests that another page has made.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		origin := r.Header.Get("Origin")
		if !loopback(host) || (origin != "" && origin != "http://"+r.Host) {
			fail(w, chat.Errorf(chat.CodeForbidden, "The bridge serves only pages of this machine."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

func (b *Bridge) call(w http.ResponseWriter, r *http.Request) {
	if t := r.Header.Get("Content-Type"); !strings.HasPrefix(t, "application/json") {
		fail(w, chat.Invalid("content-type", "A call is application/json."))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall))
	if err != nil {
		fail(w, chat.Errorf(chat.CodeTooLarge, "A call is at most 1 MB."))
		return
	}
	var in struct {
		Method string            `json:"method"`
		Args   []json.RawMessage `json:"args"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		fail(w, chat.Invalid("body", "A call is {\"method\":…,\"args\":[…]}."))
		return
	}
	out, err := b.calls.call(in.Method, in.Args)
	if err != nil {
		fail(w, err)
		return
	}
	answer, err := json.Marshal(out)
	if err != nil {
		fail(w, fmt.Errorf("encode answer: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer) // the page has gone: nobody to tell
}

// fail answers with the code and sentence of an error, as the native window's
// methods do.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	switch chat.ErrorCode(err) {
	case chat.CodeUnauthorized:
		status = http.StatusUnauthorized
	case chat.CodeForbidden:
		status = http.StatusForbidden
	case chat.CodeNotFound:
		status = http.StatusNotFound
	case chat.CodeInternal:
		status = http.StatusInternalServerError
	}
	b, err := json.Marshal(map[string]string{"code": string(chat.ErrorCode(err)), "message": chat.ErrorMessage(err)})
	if err != nil {
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the page has gone: nobody to tell
}
