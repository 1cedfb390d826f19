package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

const ndjson = "application/x-ndjson"

// The pace of a streamed answer: it is handed on every flushLines lines, and a
// reader that takes nothing for stallTime is given up.
const (
	flushLines = 200
	stallTime  = 60 * time.Second
)

func (a *API) getBootstrap(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	q := query(r)
	days, limit := q.number("days", 30, 1, 36_500), q.number("limit", 0, 0, 1_000_000)
	s := inbox.Stream{Days: int(days), MaxRows: int(limit), Cursor: q.text("cursor"), Epoch: q.text("epoch")}
	if q.err != nil {
		return q.err
	}
	return stream(w, s, func(s inbox.Stream) (string, error) { return a.inbox.Bootstrap(r.Context(), who, s) })
}

func (a *API) getState(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	q := query(r)
	after, days, limit := q.number("after", -1, 0, 1<<53), q.number("days", 30, 1, 36_500), q.number("limit", 0, 0, 1_000_000)
	s := inbox.Stream{Days: int(days), MaxRows: int(limit), Cursor: q.text("cursor"), Epoch: q.text("epoch"),
		Buckets: q.buckets("buckets"), Since: q.time("since")}
	if q.err != nil {
		return q.err
	}
	if s.Buckets != nil {
		a.metrics.repairs.Inc()
	}
	if after < 0 {
		return chat.Invalid("after", "The position to go on from is missing.")
	}
	return stream(w, s, func(s inbox.Stream) (string, error) { return a.inbox.State(r.Context(), who, after, s) })
}

// stream writes an answer of unknown length, line by line. What goes wrong
// before the first line is a problem document; afterwards the connection is
// cut, and the missing last line tells the reader.
func stream(w http.ResponseWriter, s inbox.Stream, run func(inbox.Stream) (string, error)) error {
	out := &lines{w: w, rc: http.NewResponseController(w), buf: bufio.NewWriterSize(w, 64<<10)}
	counts := map[string]int{}
	begun := false
	s.Begin = func(head protocol.BootstrapHead) error {
		begun = true
		w.Header().Set("Content-Type", ndjson)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		return out.write(head)
	}
	s.Emit = func(line protocol.BootstrapLine) error {
		counts[string(line.Kind)]++
		return out.write(line)
	}
	next, err := run(s)
	if err == nil {
		err = out.write(protocol.BootstrapEnd{End: true, Counts: counts, More: next != "", Cursor: next})
	}
	if err == nil {
		err = out.flush()
	}
	_ = out.rc.SetWriteDeadline(time.Time{}) // or it would end a later answer on the same connection
	if err != nil && begun {
		panic(http.ErrAbortHandler) // cuts the connection: an orderly end would look complete
	}
	return err
}

// lines writes NDJSON and keeps moving the deadline while the reader reads.
type lines struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf *bufio.Writer
	n   int
}

func (l *lines) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode line: %w", err)
	}
	if l.n%flushLines == 0 {
		if err := l.rc.SetWriteDeadline(time.Now().Add(stallTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("bound the answer: %w", err)
		}
	}
	l.n++
	if _, err := l.buf.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	if l.n%flushLines == 0 || l.n == 1 {
		return l.flush()
	}
	return nil
}

func (l *lines) flush() error {
	if err := l.buf.Flush(); err != nil {
		return fmt.Errorf("write lines: %w", err)
	}
	if err := l.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("hand lines on: %w", err)
	}
	return nil
}
