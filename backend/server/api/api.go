// Package api is the HTTP and WebSocket face of the server: decode, authorise,
// call the inbox, encode. It decides nothing about conversations; it decides
// who may ask.
//
// Every route stands in one table (routes.go), with who may use it. The
// router, the authorisation test and the OpenAPI document are made from that
// table, so they cannot disagree. A route that is not in it does not exist;
// every answer that is not a success is a problem document with a stable code.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/body"
	"parley/backend/server/inbox"
)

// Options are the parts an API is built from. Inbox and Setup are needed.
type Options struct {
	Inbox *inbox.Inbox
	// Setup makes the first workspace, if the request's token is right.
	Setup func(context.Context, protocol.Setup) (protocol.Created, error)
	// Mounts are the routes of channels. Each must be documented in mounted.go.
	Mounts  []Mount
	Version string
	Log     *slog.Logger
	// Address tells whom a request comes from; nil means the peer of the connection.
	Address func(*http.Request) string
	// Beat is the time between two beats of a socket; 0 means the protocol's.
	Beat time.Duration
	// Patience is how long the body of a request may take, that of an upload
	// between two pieces; 0 means body.Patience.
	Patience time.Duration
	// Hello is how long a socket may stay without saying hello; 0 means 10 s.
	Hello time.Duration
	// Poll is how often the log's head is looked at in case a hint was lost; 0
	// means 2 s.
	Poll time.Duration
	// Slow is how long the writing of one frame may take before the client is
	// sent away as too slow; 0 means 10 s.
	Slow time.Duration
}

// Mount is a route that a channel answers itself, authorisation included.
type Mount struct {
	Method  string
	Pattern string
	Handler http.Handler
}

// API answers requests. Close ends its sockets and waits for them.
type API struct {
	inbox    *inbox.Inbox
	setup    func(context.Context, protocol.Setup) (protocol.Created, error)
	address  func(*http.Request) string
	log      *slog.Logger
	mux      *http.ServeMux
	routes   []Route
	metrics  *metrics
	hubs     *hubs
	document []byte
	draining atomic.Bool
	bodies   *body.Bounds
	failures *rate.Limiter // lines of the log about what is unavailable
	buffers  sync.Pool     // what sockets write with
}

// New builds the API.
func New(o Options) (*API, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Beat <= 0 {
		o.Beat = protocol.BeatSeconds * time.Second
	}
	if o.Hello <= 0 {
		o.Hello = 10 * time.Second
	}
	if o.Poll <= 0 {
		o.Poll = 2 * time.Second
	}
	if o.Slow <= 0 {
		o.Slow = 10 * time.Second
	}
	if o.Address == nil {
		o.Address = func(r *http.Request) string { return r.RemoteAddr }
	}
	a := &API{inbox: o.Inbox, setup: o.Setup, address: o.Address, log: o.Log, mux: http.NewServeMux(), metrics: newMetrics(),
		bodies: body.NewBounds(o.Patience), failures: rate.NewLimiter(rate.Every(10*time.Second), 10)}
	a.hubs = newHubs(o.Inbox, o.Log, a.metrics, o.Beat, o.Hello, o.Poll, o.Slow)
	a.routes = append(a.table(), mounted()...)
	doc, err := Document(a.routes, o.Version)
	if err != nil {
		return nil, fmt.Errorf("make the OpenAPI document: %w", err)
	}
	a.document = doc
	handlers := map[string]http.Handler{}
	for _, m := range o.Mounts {
		handlers[m.Method+" "+m.Pattern] = m.Handler
	}
	for _, r := range a.routes {
		h := handlers[r.key()]
		delete(handlers, r.key())
		if r.handle != nil {
			h = a.handler(r)
		}
		if h != nil { // a documented mount may be absent
			a.mux.Handle(r.key(), h)
		}
	}
	for key, h := range handlers {
		if !strings.HasPrefix(key, http.MethodOptions+" ") { // preflight of browsers
			return nil, fmt.Errorf("the mounted route %s is not documented in the route table", key)
		}
		a.mux.Handle(key, h)
	}
	return a, nil
}

// Drain makes the server look unready and sends its sockets elsewhere.
func (a *API) Drain() {
	a.draining.Store(true)
	a.bodies.Hurry()
	a.hubs.drain()
}

// Close drains and waits until every socket has ended.
func (a *API) Close() {
	a.Drain()
	a.hubs.wait()
}

// ServeHTTP implements http.Handler: what is true of every request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	sent := a.bodies.Take(w, r)
	defer sent.End()
	rec := &recorder{ResponseWriter: w, sent: sent, unmet: func(w http.ResponseWriter, status int) { a.unmet(w, r, status) }}
	rec.Header().Set(protocol.VersionHeader, protocol.Version)
	rec.Header().Set("X-Content-Type-Options", "nosniff")
	h, pattern := a.mux.Handler(r)
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			a.log.ErrorContext(r.Context(), "handler panicked", "route", pattern, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			if rec.status == 0 {
				a.problem(rec, r, chat.Errorf(chat.CodeInternal, ""))
			}
		}
		a.metrics.served(pattern, rec.status, time.Since(start))
	}()
	if pattern == "" {
		a.unrouted(rec, r, h)
		return
	}
	if v := r.Header.Get(protocol.VersionHeader); v != "" && v != protocol.Version && !isSocket(r) {
		a.problem(rec, r, chat.Invalid(protocol.VersionHeader, "This server speaks protocol %s.", protocol.Version))
		return
	}
	a.mux.ServeHTTP(rec, r)
}

// unrouted answers what no route matches, in the form of everything else.
func (a *API) unrouted(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &silent{header: http.Header{}}
	h.ServeHTTP(probe, r)
	switch {
	case probe.status == http.StatusMethodNotAllowed:
		w.Header().Set("Allow", probe.header.Get("Allow"))
		p := protocol.ProblemOf(chat.Errorf(chat.CodeInvalid, "The address does not answer to %s.", clip(r.Method)))
		p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
		a.writeProblem(w, r, p)
	case probe.status >= 300 && probe.status < 400:
		w.Header().Set("Location", probe.header.Get("Location"))
		w.WriteHeader(probe.status)
	default:
		a.problem(w, r, chat.Errorf(chat.CodeNotFound, "There is nothing at this address."))
	}
}

// unmet answers who reads content on a condition that does not hold.
func (a *API) unmet(w http.ResponseWriter, r *http.Request, status int) {
	w.Header().Del("Content-Disposition") // this is not the content
	p := protocol.ProblemOf(chat.Invalid("Range", "The content has no such part."))
	if status == http.StatusPreconditionFailed {
		p = protocol.ProblemOf(chat.Invalid("If-Match", "The content is another than the one that was asked for."))
	}
	p.Status, p.Title = status, http.StatusText(status)
	a.writeProblem(w, r, p)
}

// handler wraps a route of our own: who asks, what may they, what came of it.
func (a *API) handler(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := a.authorise(route, r)
		if err == nil {
			err = route.handle(w, r, who)
		}
		if err != nil {
			a.problem(w, r, err)
		}
	})
}

// authorise is the one place that decides who may use a route. What is not
// allowed is refused.
func (a *API) authorise(route Route, r *http.Request) (inbox.Principal, error) {
	switch route.Access {
	case Public:
		return inbox.Principal{}, nil
	case FirstFrame:
		if r.Header.Get("Authorization") == "" {
			return inbox.Principal{}, nil
		}
	}
	token, ok := bearer(r)
	if !ok {
		return inbox.Principal{}, chat.Errorf(chat.CodeUnauthorized, "Sign in first: this needs a member's token.")
	}
	who, err := a.inbox.Authenticate(r.Context(), token)
	if err != nil {
		return who, err
	}
	if route.needs == "" || !who.Member.Role.Can(route.needs) {
		return who, chat.Errorf(chat.CodeForbidden, "Your role does not allow this. Ask an administrator.")
	}
	return who, nil
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// problem answers with what went wrong; what is ours to mend is logged.
func (a *API) problem(w http.ResponseWriter, r *http.Request, err error) {
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		err = tooLarge(tooBig.Limit)
	case r.Context().Err() != nil && chat.ErrorCode(err) != chat.CodeInvalid: // the caller has gone; nobody reads this
		err = &chat.Error{Code: chat.CodeUnavailable, Message: "The request was given up.", Cause: err}
	case a.isOurs(chat.ErrorCode(err)):
		a.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "route", r.Pattern, "error", err)
	}
	a.writeProblem(w, r, protocol.ProblemOf(err))
}

// isOurs reports whether an error is for the log: what broke, and what only an
// operator can mend. Of the latter not each one is: the log must not fill the
// rest of a full disk.
func (a *API) isOurs(code chat.Code) bool {
	return code == chat.CodeInternal || code == chat.CodeUnavailable && !a.draining.Load() && a.failures.Allow()
}

func (a *API) writeProblem(w http.ResponseWriter, r *http.Request, p *protocol.Problem) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Del("Content-Length")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if p.Status == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // the rest of the body is not read
	}
	body, err := json.Marshal(p)
	if err != nil {
		a.log.ErrorContext(r.Context(), "encode problem", "error", err)
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal","detail":"Something went wrong on our side."}`)
	}
	w.WriteHeader(p.Status)
	if _, err := w.Write(body); err != nil {
		a.log.DebugContext(r.Context(), "write answer", "error", err)
	}
}

func tooLarge(limit int64) error {
	return chat.Errorf(chat.CodeTooLarge, "The request is larger than %d kB, the most this address takes.", limit>>10)
}

// decode reads a JSON body into v: not before its length is known to be
// bearable, never more than the limit. What the body calls itself does not
// matter: no browser sends our tokens by itself, so a form is no danger.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	if r.ContentLength > protocol.MaxBody {
		return tooLarge(protocol.MaxBody)
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, protocol.MaxBody))
	if err != nil {
		return err // of the body itself, with its sentence
	}
	return protocol.DecodeAs("body", raw, v)
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller may have gone; there is nobody to tell
	return nil
}

func isSocket(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}
