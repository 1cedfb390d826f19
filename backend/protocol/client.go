package protocol

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
)

// The deadlines of the client. A request that answers in one piece has
// requestTimeout in all; a stream may take as long as it likes, but may not
// fall silent for longer than stallTimeout.
const (
	dialTimeout    = 10 * time.Second
	headerTimeout  = 20 * time.Second
	requestTimeout = 30 * time.Second
	stallTimeout   = 30 * time.Second
	maxAnswer      = 16 << 20 // bytes of one JSON answer
)

// Client speaks the protocol as one member, or as nobody before signing in.
// It is safe for several goroutines at once. It never retries: its callers
// know what may be repeated and when.
//
// Errors are *chat.Error with the server's code and sentence. Whatever is not
// an answer of a Parley server (no network, a captive portal's page, a proxy's
// error) is CodeUnavailable and IsUnreachable; it is never taken for data.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	files *http.Client // follows redirects, to wherever files are kept
	agent string
	dial  Dial
	epoch func() string // of the log that is followed; nil for none
}

// Dial opens a connection, like net.Dialer's DialContext.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewClient makes a client of the server at base. Agent names the program and
// its version ("parley/1.2 linux").
func NewClient(base, token, agent string) (*Client, error) {
	return NewClientOver(DialNet, base, token, agent)
}

// DialNet opens a connection of this machine's network.
func DialNet(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext(ctx, network, address)
}

// NewClientOver is NewClient over connections that dial opens.
func NewClientOver(dial Dial, base, token, agent string) (*Client, error) {
	u, err := ParseServer(base)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dial,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   10,
		ForceAttemptHTTP2:     true,
	}
	// A redirect in the API's place is a portal, not an answer.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: u, token: token, agent: agent, dial: dial,
		http: &http.Client{Transport: transport, CheckRedirect: stay}, files: &http.Client{Transport: transport}}, nil
}

// ParseServer reads the address of a server as a person types it. Without a
// scheme https is meant; plain http is for this machine only, because the
// session's token would travel readable.
func ParseServer(s string) (*url.URL, error) {
	s = strings.TrimRight(strings.TrimSpace(s), "/")
	if s == "" || strings.HasSuffix(s, ":") {
		return nil, chat.Invalid("server", "Enter the address of your Parley server.")
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, chat.Invalid("server", "This is not the address of a server. It looks like https://chat.example.com")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	case u.Scheme == "http":
		return nil, chat.Invalid("server", "The address must begin with https:// so that nobody on the way can read along.")
	default:
		return nil, chat.Invalid("server", "The address must begin with https://")
	}
	return u, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Server gives the address the client talks to, without a trailing slash.
func (c *Client) Server() string { return c.base.String() }

// WithToken gives the same client signed in with another token.
func (c *Client) WithToken(token string) *Client {
	d := *c
	d.token = token
	return &d
}

// Following gives the same client that reads entities only of the log with the
// epoch that is followed when they are asked for, if there is one: of another
// log, the server answers CodeReset instead.
func (c *Client) Following(epoch func() string) *Client {
	d := *c
	d.epoch = epoch
	return &d
}

// Close lets go of idle connections, so that the next request dials anew.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// unreachable is the cause of an error that says nothing about the request:
// nobody, or somebody else, answered.
type unreachable struct {
	op    string
	cause error
}

func (u *unreachable) Error() string { return u.op + ": " + u.cause.Error() }
func (u *unreachable) Unwrap() error { return u.cause }

// Unreachable makes the error for a request that no Parley server answered.
func Unreachable(op string, cause error) error {
	e := &chat.Error{Code: chat.CodeUnavailable, Message: "The server cannot be reached.", Cause: &unreachable{op, cause}}
	if IsUntrusted(e) {
		e.Message = "The server's certificate is not valid, so nothing was sent to it. Check this computer's date and time; if they are right, tell whoever runs the server, or try another network."
	}
	return e
}

// IsUntrusted reports whether somebody answered who could not prove to be the
// server: the certificate has expired, or is another's.
func IsUntrusted(err error) bool {
	var c *tls.CertificateVerificationError
	return errors.As(err, &c)
}

// IsUnreachable reports whether err means that no Parley server answered.
func IsUnreachable(err error) bool {
	var u *unreachable
	return errors.As(err, &u)
}

// NeverSent reports whether the request behind err cannot have arrived: there
// was no connection to send it on.
func NeverSent(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || (errors.As(err, &op) && op.Op == "dial")
}

// IsWipe reports whether the server wants this device to forget everything.
func IsWipe(err error) bool {
	var p *Problem
	return errors.As(err, &p) && p.Wipe
}

var errForeign = errors.New("the answer is not from a Parley server")

// SignIn starts a session; the answer's token is for WithToken.
func (c *Client) SignIn(ctx context.Context, in SignIn) (SignedIn, error) {
	var out SignedIn
	err := c.call(ctx, http.MethodPost, "/v1/session", nil, in, &out)
	if err == nil && out.Token == "" {
		err = Unreachable("sign in", errForeign)
	}
	return out, err
}

// SignOut ends the session.
func (c *Client) SignOut(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, "/v1/session", nil, nil, nil)
}

// Commands hands in commands and gives their verdicts, in order.
func (c *Client) Commands(ctx context.Context, epoch string, cmds []chat.Command) ([]Result, error) {
	var out Results
	q := url.Values{}
	if epoch != "" {
		q.Set("epoch", epoch)
	}
	if err := c.call(ctx, http.MethodPost, "/v1/commands", q, Commands{Commands: cmds}, &out); err != nil {
		return nil, err
	}
	if len(out.Results) != len(cmds) {
		return nil, Unreachable("commands", fmt.Errorf("%d verdicts on %d commands: %w", len(out.Results), len(cmds), errForeign))
	}
	for i, r := range out.Results {
		if r.ID != cmds[i].ID {
			return nil, Unreachable("commands", fmt.Errorf("verdict %d is on another command: %w", i, errForeign))
		}
	}
	return out.Results, nil
}

// Changes gives the next page of the change log after a position. Epoch is the
// one the position belongs to.
func (c *Client) Changes(ctx context.Context, epoch string, after int64) (ChangesPage, error) {
	var out ChangesPage
	q := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(MaxChanges)}}
	if epoch != "" {
		q.Set("epoch", epoch)
	}
	if err := c.call(ctx, http.MethodGet, "/v1/changes", q, nil, &out); err != nil {
		return out, err
	}
	if out.From != after || out.To < out.From || (out.More && out.To == out.From) {
		return out, Unreachable("changes", errForeign)
	}
	return out, nil
}

// MessagesQuery says which page of a thread is wanted: exactly one of Before,
// After and Around, or none for the newest.
type MessagesQuery struct {
	Before, After, Around int64
	Limit                 int
}

// RawMessages is a MessagesPage whose messages are as the server wrote them,
// with fields that this program may not know.
type RawMessages struct {
	Range    [2]int64          `json:"range"`
	Head     int64             `json:"head"`
	Messages []json.RawMessage `json:"messages"`
}

// Messages gives one page of a conversation's thread.
func (c *Client) Messages(ctx context.Context, conv chat.ConversationID, m MessagesQuery) (RawMessages, error) {
	q := url.Values{}
	for name, n := range map[string]int64{"before": m.Before, "after": m.After, "around": m.Around, "limit": int64(m.Limit)} {
		if n > 0 {
			q.Set(name, strconv.FormatInt(n, 10))
		}
	}
	var out RawMessages
	err := c.read(ctx, "/v1/conversations/"+conv.String()+"/messages", q, &out)
	return out, err
}

// Conversation gives one conversation's entity, verbatim.
func (c *Client) Conversation(ctx context.Context, id chat.ConversationID) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.read(ctx, "/v1/conversations/"+id.String(), nil, &out)
	return out, err
}

// Raw is an entity as the server wrote it, with fields that this program may
// not know.
type Raw struct {
	ID   string
	Data json.RawMessage
}

// UnmarshalJSON keeps the entity and reads its id.
func (r *Raw) UnmarshalJSON(b []byte) error {
	var head struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return err
	}
	r.ID, r.Data = head.ID, bytes.Clone(b)
	return nil
}

// Found is a SearchPage as the server wrote it.
type Found struct {
	Conversations []Raw  `json:"conversations"`
	Contacts      []Raw  `json:"contacts"`
	Messages      []Raw  `json:"messages"` // in which it was found
	Cursor        string `json:"cursor"`
	With          []Raw  `json:"with"`
}

// List gives the first conversations of a list; the query is that of
// GET /v1/conversations.
func (c *Client) List(ctx context.Context, q url.Values) (Found, error) {
	var out Found
	err := c.read(ctx, "/v1/conversations", q, &out)
	return out, err
}

// Digest compares what this client holds with what the server has.
func (c *Client) Digest(ctx context.Context, d Digest) (DigestAnswer, error) {
	var out DigestAnswer
	err := c.call(ctx, http.MethodPost, "/v1/digest", nil, d, &out)
	return out, err
}

// Search gives conversations in which the query of the package search finds
// something, page by page.
func (c *Client) Search(ctx context.Context, words, cursor string) (Found, error) {
	q := url.Values{"q": {words}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	var out Found
	err := c.read(ctx, "/v1/search", q, &out)
	return out, err
}

// File writes the content of a file to w and checks it against its name.
func (c *Client) File(ctx context.Context, sha string, w io.Writer) error {
	ctx, guard := guardStream(ctx)
	defer guard.stop()
	req, err := c.request(ctx, http.MethodGet, "/v1/files/"+url.PathEscape(sha), nil, nil)
	if err != nil {
		return err
	}
	resp, err := c.files.Do(req)
	if err != nil {
		return failed(ctx, "get file", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return answerError("get file", resp)
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, h), guard.reader(resp.Body)); err != nil {
		return failed(ctx, "get file", err)
	}
	if hex.EncodeToString(h.Sum(nil)) != sha {
		return Unreachable("get file", errors.New("the content does not hash to its name"))
	}
	return nil
}

// read reads entities, of the log that is followed: see Following.
func (c *Client) read(ctx context.Context, path string, q url.Values, out any) error {
	if c.epoch != nil {
		if epoch := c.epoch(); epoch != "" {
			q = maps.Clone(q)
			if q == nil {
				q = url.Values{}
			}
			q.Set("epoch", epoch)
		}
	}
	return c.call(ctx, http.MethodGet, path, q, nil, out)
}

// call makes one JSON request and decodes its answer into out, if out is not nil.
func (c *Client) call(ctx context.Context, method, path string, q url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	op := strings.ToLower(method) + " " + path
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s: encode: %w", op, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := c.request(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return failed(ctx, op, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return answerError(op, resp)
	}
	if !ours(resp) {
		return Unreachable(op, errForeign)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if mediaType(resp) != "application/json" {
		return Unreachable(op, errForeign)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return failed(ctx, op, err)
	}
	if len(b) > maxAnswer {
		return Unreachable(op, errors.New("the answer is too long"))
	}
	if err := json.Unmarshal(b, out); err != nil {
		return Unreachable(op, fmt.Errorf("decode: %w", err))
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Request, error) {
	u := *c.base
	u.Path = strings.TrimRight(u.Path, "/") + path
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header = c.header()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func (c *Client) header() http.Header {
	h := http.Header{}
	h.Set(VersionHeader, Version)
	h.Set("User-Agent", c.agent)
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
	return h
}

// ours reports whether a Parley server wrote the answer.
func ours(resp *http.Response) bool { return resp.Header.Get(VersionHeader) != "" }

func mediaType(resp *http.Response) string {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// answerError turns an answer that is no success into an error: the problem
// document if there is one, else "unreachable", because then it was not the
// server that said no.
func answerError(op string, resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || !ours(resp) || mediaType(resp) != "application/problem+json" {
		return Unreachable(op, fmt.Errorf("status %d: %w", resp.StatusCode, errForeign))
	}
	var p Problem
	if err := json.Unmarshal(b, &p); err != nil || p.Code == "" {
		return Unreachable(op, fmt.Errorf("status %d: %w", resp.StatusCode, errForeign))
	}
	if p.RetryAfter == 0 {
		if s, err := strconv.ParseFloat(resp.Header.Get("Retry-After"), 64); err == nil && s > 0 {
			p.RetryAfter = s
		}
	}
	return ErrorOf(&p)
}

// failed wraps what went wrong on the way; the caller's own cancelling stays
// recognisable.
func failed(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return fmt.Errorf("%s: %w", op, context.Canceled)
	}
	return Unreachable(op, err)
}
