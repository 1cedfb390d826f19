package desktop

import (
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/sync"
)

// leastSkew is how far two clocks must be apart before it is taken for more
// than the way between them: what is chosen as nine o'clock stays nine o'clock.
const leastSkew = time.Minute

// reading is what the server's clock showed at a moment of this machine's.
type reading struct {
	server chat.Time
	at     sync.Instant
}

// readClock takes what the server's clock shows now.
func (s *session) readClock(now chat.Time) {
	s.clock.Store(&reading{server: now, at: s.e.clock()})
}

// ahead is how far the server's clock is ahead of this machine's: what is to
// happen there at a moment that somebody chose by this clock happens so much
// later. Where this clock was set since it was compared, or the machine slept,
// nothing is known until the server has answered again.
func (s *session) ahead() time.Duration {
	r := s.clock.Load()
	if r == nil {
		return 0
	}
	now := s.e.clock()
	if set := now.Wall.Sub(r.at.Wall) - (now.Mono - r.at.Mono); set.Abs() >= leastSkew {
		return 0
	}
	if d := r.server.Sub(r.at.Wall); d.Abs() >= leastSkew {
		return d
	}
	return 0
}
