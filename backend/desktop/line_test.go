package desktop

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// waits gives how long a command that is never answered waits on the session's line.
func waits(t *testing.T, s *session) time.Duration {
	t.Helper()
	began := time.Now()
	on := s.line.Load()
	ctx, done := on.bind(t.Context())
	defer done()
	<-ctx.Done()
	if !on.late(ctx) {
		t.Fatalf("the wait ended with %v", context.Cause(ctx))
	}
	return time.Since(began)
}

func TestCommandsWaitLongerForASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{}
		s.line.Store(newLine())
		for _, want := range []time.Duration{6 * time.Second, 12 * time.Second} {
			if got := waits(t, s); got != want {
				t.Fatalf("waited %v, want %v", got, want)
			}
		}
		s.abandoned() // another line does not make the server quicker
		for _, want := range []time.Duration{24 * time.Second, 30 * time.Second, 30 * time.Second} {
			if got := waits(t, s); got != want {
				t.Fatalf("on another line waited %v, want %v", got, want)
			}
		}
		s.line.Load().answered()
		if got := waits(t, s); got != firstPatience {
			t.Fatalf("after an answer waited %v", got)
		}
	})
}

func TestCommandsDoNotOutliveTheirLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{}
		s.line.Store(newLine())
		began, on := time.Now(), s.line.Load()
		ctx, done := on.bind(t.Context())
		defer done()
		s.abandoned()
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errLineDied) || on.late(ctx) || time.Since(began) > 0 {
			t.Fatalf("the wait ended with %v", context.Cause(ctx))
		}
		next, done := s.line.Load().bind(t.Context())
		if next.Err() != nil {
			t.Fatalf("the next line is dead too: %v", context.Cause(next))
		}
		done()
	})
}
