// Package body bounds in time what a request carries. net/http waits for ever
// for a body that does not come; a stranger who sends a head and then nothing
// would hold a goroutine, and a server that wants to stop, as long as they
// like.
package body

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"parley/backend/chat"
)

// Patience is how long a body may take: a small one as a whole, an upload
// between two pieces.
const Patience = 30 * time.Second

// hurry is the patience that is left while the server wants to stop.
const hurry = 2 * time.Second

// lingering is how long the rest of a body that nobody wants is taken in, so
// that its sender can read the answer.
const lingering = time.Second

// Bounds holds every body that is being waited for.
type Bounds struct {
	patience time.Duration

	mu   sync.Mutex
	open map[*Body]struct{}
}

// NewBounds makes bounds with a patience; 0 means Patience.
func NewBounds(patience time.Duration) *Bounds {
	if patience <= 0 {
		patience = Patience
	}
	return &Bounds{patience: patience, open: map[*Body]struct{}{}}
}

// Hurry shortens the wait for bodies that have not arrived, from now on: what
// keeps coming may go on, what stalls is cut.
func (b *Bounds) Hurry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.patience = min(b.patience, hurry)
	for body := range b.open {
		body.wait(b.patience)
	}
}

// Take puts the bounds on a request's body, in its place. From now on it has
// to arrive within the patience, also when nobody reads it. The caller calls
// End before the answer begins, or at the latest when the request was handled.
func (b *Bounds) Take(w http.ResponseWriter, r *http.Request) *Body {
	body := &Body{bounds: b, request: r, from: r.Body, answer: w, line: http.NewResponseController(w)}
	if r.Body == nil || r.Body == http.NoBody {
		body.whole = true
		return body
	}
	r.Body = body
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[body] = struct{}{}
	body.wait(b.patience)
	return body
}

// Body is a request's body within bounds.
type Body struct {
	bounds  *Bounds
	request *http.Request
	from    io.ReadCloser
	answer  http.ResponseWriter
	line    *http.ResponseController

	// Guarded by the lock of bounds.
	steady, whole, ended bool
}

// wait sets the time until which bytes must have come; the caller holds the
// lock. Connections without deadlines (tests without a network) have none.
func (b *Body) wait(patience time.Duration) { _ = b.line.SetReadDeadline(time.Now().Add(patience)) }

// Steady lets the body take any time in all, as long as bytes keep coming.
func (b *Body) Steady() {
	b.bounds.mu.Lock()
	defer b.bounds.mu.Unlock()
	b.steady = true
}

// Read implements io.Reader. What breaks off is the sender's fault.
func (b *Body) Read(p []byte) (int, error) {
	b.bounds.mu.Lock()
	if b.steady && !b.whole {
		b.wait(b.bounds.patience)
	}
	b.bounds.mu.Unlock()
	n, err := b.from.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.arrived()
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = &chat.Error{Code: chat.CodeInvalid, Field: "body", Message: "The request took too long to arrive.", Cause: err}
	case err != nil:
		err = &chat.Error{Code: chat.CodeInvalid, Field: "body", Message: "The request broke off.", Cause: err}
	}
	return n, err
}

// arrived ends the waiting: running on, the deadline would end the request.
func (b *Body) arrived() {
	b.bounds.mu.Lock()
	defer b.bounds.mu.Unlock()
	if !b.whole {
		b.whole = true
		delete(b.bounds.open, b)
		_ = b.line.SetReadDeadline(time.Time{}) // as in wait
	}
}

// Close implements io.Closer.
func (b *Body) Close() error { return b.from.Close() }

// End gives the body up, once. One that has not arrived whole is not waited for
// much longer: the connection ends with the answer.
func (b *Body) End() {
	b.bounds.mu.Lock()
	defer b.bounds.mu.Unlock()
	if b.ended {
		return
	}
	b.ended = true
	b.request.Body = b.from // net/http lets a sender in the middle of it hear the answer, if it knows its own body
	if b.whole {
		return
	}
	delete(b.bounds.open, b)
	b.wait(min(b.bounds.patience, lingering))
	b.answer.Header().Set("Connection", "close")
}
