// Package web is the channel of the customer's browser: the share-link page,
// the widget on the company's own pages, and the small API both speak.
//
// A visitor holds one random token, which is bound to one identity on one
// channel; with it they see their own conversation and nothing else: no
// comments, no events, no addresses of members. Everything a visitor sends is
// untrusted. Each message has an id made by the browser and is stored once
// per id, however often it is sent.
//
// Sockets are hints made comfortable: a socket re-reads the conversation
// whenever it is told that something may have changed, so a lost hint costs
// time and never a message. Nothing is buffered without a bound.
package web

import (
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

// Options are what New needs. Inbox is required; everything else has a default.
type Options struct {
	Inbox inbox.Visitors
	// PublicURL is where customers reach this server ("https://chat.example").
	// Empty: whatever host a request names.
	PublicURL string
	Log       *slog.Logger
	Now       func() time.Time
	Limits    Limits
	// Beat is the time between two beats of a socket; default 20 s.
	Beat time.Duration
	// Hello is how long a fresh socket may take to say who it is; default 10 s.
	Hello time.Duration
	// Address tells whom a request comes from, for the limits per address. The
	// default is the peer of the connection; behind a proxy the server hands
	// in what it trusts.
	Address func(*http.Request) string
	// Assets is the built customer frontend; default what is embedded.
	Assets fs.FS
}

// Limits are the abuse limits. A zero Rate means its default, see New.
type Limits struct {
	Messages Rate // messages per visitor
	Reads    Rate // reads of messages and files per visitor
	Uploads  Rate // pieces of files per visitor
	Bytes    Rate // uploaded bytes per visitor
	// AddressBytes are uploaded bytes per address, as a visitor's token costs
	// nothing.
	AddressBytes Rate
	Sessions     Rate // visitor sessions per address
	Frames       Rate // frames a visitor sends on one socket
	// Sockets is how many sockets may be open at once; default 20,000.
	Sockets int
	// SocketsPerVisitor is how many one visitor may have; default 16.
	SocketsPerVisitor int
}

// Rate is a bucket of Burst tokens that refills with PerSecond.
type Rate struct {
	Burst     int
	PerSecond float64
}

func (r Rate) or(burst int, perSecond float64) Rate {
	if r.Burst <= 0 {
		return Rate{Burst: burst, PerSecond: perSecond}
	}
	return r
}

// Route is one thing the channel answers: a method, a pattern of
// http.ServeMux, and its handler.
type Route struct {
	Method  string
	Pattern string
	Handler http.Handler
}

// Channel serves customers' browsers.
type Channel struct {
	inbox   inbox.Visitors
	log     *slog.Logger
	now     func() time.Time
	public  *url.URL // nil when unset
	address func(*http.Request) string
	beat    time.Duration
	hello   time.Duration
	assets  assets
	limits  limiters
	sockets *sockets
	// failures bounds the lines of the log about what is unavailable.
	failures *rate.Limiter
}

// New makes the channel. Close it before the inbox.
func New(o Options) *Channel {
	c := &Channel{inbox: o.Inbox, log: o.Log, now: o.Now, address: o.Address, beat: o.Beat, hello: o.Hello}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.address == nil {
		c.address = peerAddress
	}
	if c.beat <= 0 {
		c.beat = protocol.BeatSeconds * time.Second
	}
	if c.hello <= 0 {
		c.hello = 10 * time.Second
	}
	if u, err := url.Parse(strings.TrimRight(o.PublicURL, "/")); err == nil && u.Host != "" {
		c.public = u
	}
	files := o.Assets
	if files == nil {
		files = embedded()
	}
	c.assets = readAssets(files)
	c.limits = newLimiters(o.Limits, c.now)
	c.sockets = newSockets(o.Limits)
	c.failures = rate.NewLimiter(rate.Every(10*time.Second), 10)
	return c
}

// Close ends every socket with "restarting" and waits for them.
func (c *Channel) Close() { c.sockets.close() }

// Routes lists everything the channel answers, for the server's mux.
func (c *Channel) Routes() []Route {
	routes := []Route{
		{http.MethodGet, "/c/{slug}", http.HandlerFunc(c.sharePage)},
		{http.MethodGet, "/widget.js", http.HandlerFunc(c.loader)},
		{http.MethodGet, "/widget/{key}", http.HandlerFunc(c.framePage)},
		{http.MethodGet, "/widget/asset/{file}", http.HandlerFunc(c.asset)},
		{http.MethodPost, "/v1/visitor/session", c.handle(c.postSession)},
		{http.MethodPost, "/v1/visitor/messages", c.handle(c.postMessage)},
		{http.MethodGet, "/v1/visitor/messages", c.handle(c.getMessages)},
		{http.MethodHead, "/v1/visitor/files/{sha256}", c.handle(c.headFile)},
		{http.MethodPut, "/v1/visitor/files/{sha256}", c.handle(c.putFile)},
		{http.MethodGet, "/v1/visitor/files/{sha256}", c.handle(c.getFile)},
		{http.MethodGet, "/v1/visitor/live", c.handle(c.live)},
	}
	for _, p := range []string{"/v1/visitor/session", "/v1/visitor/messages", "/v1/visitor/files/{sha256}"} {
		routes = append(routes, Route{http.MethodOptions, p, http.HandlerFunc(c.preflight)})
	}
	return routes
}
