package api

import (
	"bufio"
	"fmt"
	"net"
	"net/http"

	"parley/backend/server/body"
)

// recorder notes the status of an answer, for the metrics, and gives the body
// of the request up when the answer begins: nobody waits for it any more.
type recorder struct {
	http.ResponseWriter
	status int
	sent   *body.Body
	// unmet answers in the place of http.ServeContent, whose own answer to a
	// condition that does not hold is plain text, or nothing.
	unmet    func(http.ResponseWriter, int)
	answered bool // by unmet: what else comes is not wanted
}

// WriteHeader notes the first status that is an answer.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
		r.sent.End()
		if status == http.StatusRequestedRangeNotSatisfiable || status == http.StatusPreconditionFailed {
			r.answered = true
			r.unmet(r.ResponseWriter, status)
			return
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write notes that an answer without a status is a success.
func (r *recorder) Write(b []byte) (int, error) {
	if r.answered {
		return len(b), nil
	}
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush passes on what has been written.
func (r *recorder) Flush() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Hijack gives the connection to a socket.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := r.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, fmt.Errorf("take over connection: %w", http.ErrNotSupported)
	}
	r.status = http.StatusSwitchingProtocols
	r.sent.End()
	return h.Hijack()
}

// silent hears what the mux would have answered.
type silent struct {
	header http.Header
	status int
}

func (s *silent) Header() http.Header { return s.header }

func (s *silent) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
}

func (s *silent) Write(b []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	return len(b), nil
}
