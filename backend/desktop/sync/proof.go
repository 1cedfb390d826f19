package sync

import (
	"errors"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/protocol"
)

// The proof that the cache holds what the server has runs when nothing else
// does: once a day, after everything was loaded anew, and after a start that
// does not know how the program ended.
const (
	proofRest    = 24 * time.Hour
	proofSpread  = 30 * time.Second // over which desktops that were all reset do not ask at once
	proofAgain   = 5 * time.Second  // after it gave way, or found a difference again
	proofFailed  = time.Minute      // after the server did not answer
	proofYield   = 3 * time.Second  // after the agent last opened a chat, or typed
	proofBuckets = 4                // repaired at once: what they hold must fit into memory
)

// rested starts a proof where one is due.
func (m *Machine) rested() {
	due := m.provenAt == 0 || m.now.Wall.Sub(m.provenAt) >= proofRest || m.provenAt.Sub(m.now.Wall) >= proofRest
	if !due || m.proving || m.now.Mono < m.proveAt || !m.Current() {
		return
	}
	m.proving = true
	m.proveGen++
	m.do(Prove{m.proveGen})
}

// unproven takes back what was proven: the cache is another one.
func (m *Machine) unproven() {
	m.provenAt, m.proving, m.differed, m.rounds = 0, false, 0, 0
	m.proveGen++ // whatever is under way is of before
	m.proveAt = m.now.Mono + time.Duration(m.random()*float64(proofSpread))
}

// proved takes what came of a proof.
func (m *Machine) proved(ev Proved) {
	if ev.Gen != m.proveGen || !m.proving {
		return
	}
	m.proving = false
	m.proveAt = m.now.Mono + proofAgain
	switch {
	case ev.At > 0:
		m.provenAt, m.differed, m.rounds = ev.At, 0, 0
	case ev.Repaired > 0 && ev.Left > 0 && m.rounds < chat.DigestBuckets:
		m.provenAt, m.proveAt = 0, m.now.Mono // on to the rest
		m.rounds++
	case ev.Differs:
		// Looked at once more; what cannot be repaired is not tried for ever.
		m.provenAt, m.proveAt = 0, m.now.Mono
		if m.differed++; m.differed > 1 {
			m.proveAt += min(proofAgain<<min(m.differed, 20), proofRest)
		}
	case ev.Err != nil:
		switch chat.ErrorCode(ev.Err) {
		case chat.CodeUnauthorized:
			m.end(protocol.IsWipe(ev.Err))
		case chat.CodeReset:
			m.reset()
		case chat.CodeFarBehind: // too much changes just now
		case chat.CodeNotFound: // a server that has no proof
			m.proveAt = m.now.Mono + proofRest
		default:
			m.proveAt = m.now.Mono + max(proofFailed, retryAfter(ev.Err))
		}
	}
}

// rest tells the machine that nobody needs anything.
func (s *Sync) rest() {
	if s.idle() && s.cfg.Clock().Mono >= time.Duration(s.worked.Load())+proofYield {
		s.handle(Rested{})
	}
}

// busy reports whether whoever reads much should stop.
func (s *Sync) busy() bool {
	return s.ctx.Err() != nil || s.worked.Load() > 0 && s.cfg.Clock().Mono < time.Duration(s.worked.Load())+proofYield
}

func (s *Sync) prove(a Prove) {
	s.flying.Go(func() {
		ev := s.proof()
		ev.Gen = a.Gen
		s.post(ev)
	})
}

// proof compares the cache with the server, and repairs a part of what differs.
func (s *Sync) proof() Proved {
	at := s.cfg.Clock().Wall
	h, err := s.cfg.Cache.Hold(s.ctx, s.busy)
	if err != nil {
		return s.unheld(err)
	}
	answer, err := s.cfg.Client.Digest(s.ctx, protocol.Digest{Epoch: h.Epoch, Position: h.Position, Since: h.Since, Buckets: protocol.BucketsOf(h.Sum)})
	if err != nil {
		return Proved{Err: err}
	}
	if !h.SameView(answer.Access) {
		return Proved{} // what is to be seen has just changed
	}
	differ, err := differing(h, answer)
	if err != nil {
		return Proved{Err: protocol.Unreachable("compare", err)}
	}
	if len(differ) == 0 {
		if err := s.cfg.Cache.NoteProven(s.ctx, h, at); err != nil {
			return s.unheld(err)
		}
		return Proved{At: at}
	}
	n := min(len(differ), proofBuckets)
	repaired, err := s.repair(h, differ[:n], len(differ))
	if err != nil {
		return s.unheld(err)
	}
	return Proved{Differs: true, Repaired: repaired, Left: len(differ) - n}
}

// unheld sorts why a proof came to nothing: because it gave way, or because
// the cache or the server failed.
func (s *Sync) unheld(err error) Proved {
	if errors.Is(err, cache.ErrYield) || chat.ErrorCode(err) == chat.CodeConflict || s.ctx.Err() != nil {
		return Proved{}
	}
	s.cfg.Log.Warn("compare cache with server", "error", err)
	return Proved{Err: err}
}

// differing gives the buckets in which the cache holds something else than the
// server, leaving out what has changed meanwhile.
func differing(h *cache.Holding, a protocol.DigestAnswer) ([]int, error) {
	theirs, mine := h.Sum, h.Without(a.Changed)
	named, err := protocol.DigestOf(a.Differ)
	if err != nil {
		return nil, err
	}
	for _, d := range a.Differ {
		theirs[d.Bucket] = named[d.Bucket]
	}
	var out []int
	for i := range mine {
		if mine[i] != theirs[i] {
			out = append(out, i)
		}
	}
	return out, nil
}

// repair loads some buckets anew. That it is needed at all is a bug.
func (s *Sync) repair(h *cache.Holding, buckets []int, of int) (repaired int, err error) {
	var rows []cache.Row
	var head int64
	for cursor := ""; ; {
		end, err := s.cfg.Client.Buckets(s.ctx, h.Epoch, h.Position, h.Since, buckets, cursor, protocol.Rows{
			Head: func(b protocol.BootstrapHead) error {
				head = b.Head
				return nil
			},
			Line: func(b protocol.BootstrapLine) error {
				rows = append(rows, rowOf(b))
				return nil
			}})
		if err != nil {
			return 0, err
		}
		if cursor = end.Cursor; !end.More {
			break
		}
	}
	applied, repaired, err := s.cfg.Cache.Repair(s.ctx, h, buckets, head, rows)
	if err != nil {
		return 0, err
	}
	s.cfg.Changed(applied)
	s.cfg.Log.Error("the cache was not what the server has; repaired", "position", h.Position, "buckets", of,
		"repaired_buckets", len(buckets), "conversations", repaired, "of", h.Len(), "since_ever", s.cfg.Cache.Repaired())
	return repaired, nil
}
