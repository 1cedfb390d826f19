package desktop

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// line is the way to the server as long as nothing speaks against it. A
// connection that has died without a word, as in sleep, keeps a command waiting
// for an answer until its deadline; with the line every such wait ends, and the
// command goes out again under its id, on a new connection. One that is dead
// only towards the server goes on bringing beats, and nothing speaks against
// it: there a command waits for a few seconds, and longer each time as long as
// nothing is answered, because the server may just be slow.
type line struct {
	ctx      context.Context
	end      context.CancelCauseFunc
	patience atomic.Int64 // how long the next command waits
}

const (
	firstPatience = 6 * time.Second
	lastPatience  = 30 * time.Second
)

var (
	errLineDied = errors.New("the connection has died without a word")
	errLate     = errors.New("there was no answer")
)

func newLine() *line {
	ctx, end := context.WithCancelCause(context.Background())
	l := &line{ctx: ctx, end: end}
	l.answered()
	return l
}

// bind gives a context that also ends with the line, and with its patience.
// done must be called.
func (l *line) bind(ctx context.Context) (_ context.Context, done func()) {
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { end(context.Cause(l.ctx)) })
	patience := l.patience.Load()
	timer := time.AfterFunc(time.Duration(patience), func() {
		l.patience.CompareAndSwap(patience, min(2*patience, int64(lastPatience)))
		end(errLate)
	})
	return ctx, func() {
		timer.Stop()
		stop()
		end(nil)
	}
}

// late reports whether a context of bind has ended for want of patience.
func (l *line) late(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errLate) }

// answered takes it that the server answers.
func (l *line) answered() { l.patience.Store(int64(firstPatience)) }

// abandoned takes it from sync that the line seems dead, and begins another. A
// server that was too slow is not quicker on it.
func (s *session) abandoned() {
	next := newLine()
	before := s.line.Swap(next)
	next.patience.Store(before.patience.Load())
	before.end(errLineDied)
}
