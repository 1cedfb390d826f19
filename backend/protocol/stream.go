package protocol

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
)

// maxLine is the longest line of an NDJSON answer.
const maxLine = 4 << 20

// ErrCutOff is the cause of an error about a stream that ended before its
// last line: continue from the last cursor.
var ErrCutOff = errors.New("the answer was cut off")

// errStalled is why a stream is given up that says nothing any more.
var errStalled = errors.New("the server fell silent in the middle of an answer")

// Rows receives a bootstrap or state answer line by line. An error of either
// function ends the stream and is returned as it is.
type Rows struct {
	Head func(BootstrapHead) error // first, once
	Line func(BootstrapLine) error
}

// Bootstrap reads one page of everything the first screens need. It returns
// only after the last line: a cut-off answer is an error with ErrCutOff.
func (c *Client) Bootstrap(ctx context.Context, days int, cursor string, rows Rows) (BootstrapEnd, error) {
	q := url.Values{"days": {strconv.Itoa(days)}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return c.stream(ctx, "/v1/bootstrap", q, rows)
}

// State reads one page of what has changed since after, for a client too far
// behind to read each change. Its window is that of its bootstrap.
func (c *Client) State(ctx context.Context, epoch string, after int64, days int, cursor string, rows Rows) (BootstrapEnd, error) {
	q := url.Values{"after": {strconv.FormatInt(after, 10)}, "days": {strconv.Itoa(days)}}
	if epoch != "" {
		q.Set("epoch", epoch)
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return c.stream(ctx, "/v1/state", q, rows)
}

// Buckets reads one page of all conversations in some buckets of a digest, of
// the window that begins at since.
func (c *Client) Buckets(ctx context.Context, epoch string, after int64, since chat.Time, buckets []int, cursor string, rows Rows) (BootstrapEnd, error) {
	names := make([]string, len(buckets))
	for i, n := range buckets {
		names[i] = strconv.Itoa(n)
	}
	q := url.Values{"after": {strconv.FormatInt(after, 10)}, "since": {since.String()}, "buckets": {strings.Join(names, ",")}, "epoch": {epoch}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return c.stream(ctx, "/v1/state", q, rows)
}

func (c *Client) stream(ctx context.Context, path string, q url.Values, rows Rows) (BootstrapEnd, error) {
	ctx, guard := guardStream(ctx)
	defer guard.stop()
	op := "get " + path
	req, err := c.request(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return BootstrapEnd{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return BootstrapEnd{}, failed(ctx, op, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return BootstrapEnd{}, answerError(op, resp)
	}
	if !ours(resp) || mediaType(resp) != "application/x-ndjson" {
		return BootstrapEnd{}, Unreachable(op, errForeign)
	}
	end, err := readRows(guard.reader(resp.Body), rows)
	var mine *rowsError
	switch {
	case err == nil:
		return end, nil
	case errors.As(err, &mine):
		return BootstrapEnd{}, mine.err
	}
	return BootstrapEnd{}, failed(ctx, op, err)
}

// rowsError marks an error of the receiver, to be told from one of the stream.
type rowsError struct{ err error }

func (e *rowsError) Error() string { return e.err.Error() }

// readRows reads head, lines and end. What follows from the counts of the last
// line is checked too, so that a proxy that swallows lines is noticed.
func readRows(r io.Reader, rows Rows) (BootstrapEnd, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 64<<10), maxLine)
	if !in.Scan() {
		return BootstrapEnd{}, cutOff(in.Err())
	}
	var head BootstrapHead
	if err := json.Unmarshal(in.Bytes(), &head); err != nil {
		return BootstrapEnd{}, fmt.Errorf("first line: %w", err)
	}
	if rows.Head != nil {
		if err := rows.Head(head); err != nil {
			return BootstrapEnd{}, &rowsError{err}
		}
	}
	counts := map[string]int{}
	for in.Scan() {
		b := bytes.Clone(in.Bytes()) // rows keep slices of the line
		var line struct {
			BootstrapLine
			End    bool           `json:"end"`
			Counts map[string]int `json:"counts"`
			More   bool           `json:"more"`
		}
		if err := json.Unmarshal(b, &line); err != nil {
			return BootstrapEnd{}, fmt.Errorf("line: %w", err)
		}
		if line.End {
			for kind, n := range line.Counts {
				if counts[kind] != n {
					return BootstrapEnd{}, fmt.Errorf("%d of %d rows of kind %s: %w", counts[kind], n, kind, ErrCutOff)
				}
			}
			return BootstrapEnd{End: true, Counts: line.Counts, More: line.More, Cursor: line.Cursor}, nil
		}
		counts[string(line.Kind)]++
		if err := rows.Line(line.BootstrapLine); err != nil {
			return BootstrapEnd{}, &rowsError{err}
		}
	}
	return BootstrapEnd{}, cutOff(in.Err())
}

func cutOff(err error) error {
	if err == nil {
		return ErrCutOff
	}
	return fmt.Errorf("%w: %w", ErrCutOff, err)
}

// streamGuard cancels a stream that has been silent for stallTimeout. It has no
// goroutine of its own: a timer that each read puts off.
type streamGuard struct {
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func guardStream(ctx context.Context) (context.Context, *streamGuard) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &streamGuard{time.AfterFunc(stallTimeout, func() { cancel(errStalled) }), cancel}
}

func (g *streamGuard) stop() {
	g.timer.Stop()
	g.cancel(nil)
}

func (g *streamGuard) reader(r io.Reader) io.Reader { return &guardedReader{r, g} }

type guardedReader struct {
	r io.Reader
	g *streamGuard
}

// Read puts the guard off while the caller is busy with what it has read: only
// waiting for the network counts.
func (r *guardedReader) Read(p []byte) (int, error) {
	r.g.timer.Reset(stallTimeout)
	n, err := r.r.Read(p)
	r.g.timer.Stop()
	return n, err
}
