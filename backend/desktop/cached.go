package desktop

import (
	"context"
	"time"

	"parley/backend/desktop/cache"
)

// How long changes of the cache are collected before it is counted again: in a
// large cache that takes milliseconds. While it goes on changing, as it does
// when history comes in the background, the numbers are nobody's news.
const (
	countRest     = time.Second
	countRestMost = 16 * time.Second
)

// count keeps the numbers of what is cached, and tells the window when they
// are others than before.
func (s *session) count() {
	rest, counted := countRest, time.Time{}
	for {
		select {
		case <-s.recount:
		case <-s.ctx.Done():
			return
		}
		if time.Since(counted) < rest {
			rest = min(2*rest, countRestMost)
		} else {
			rest = countRest
		}
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
			counted = time.Now()
		case <-s.ctx.Done():
			timer.Stop()
			return
		}
		before := s.counted.Load()
		now, err := s.cache.Stats(s.ctx)
		if err != nil {
			if s.ctx.Err() == nil {
				s.e.log.Warn("count cache", "error", err)
			}
			continue
		}
		s.counted.Store(&now)
		if now != s.cache.KeptStats() {
			if err := s.cache.KeepStats(s.ctx, now); err != nil && s.ctx.Err() == nil {
				s.e.log.Warn("keep counts", "error", err)
			}
		}
		if before == nil || cachedOf(*before) != cachedOf(now) {
			s.e.tell.state()
		}
	}
}

// countedBefore starts with the numbers of the last time, and counts once the
// window is there: that would be its first frame's time in a large cache.
func (s *session) countedBefore() {
	if kept := s.cache.KeptStats(); kept.Conversations > 0 {
		s.counted.Store(&kept)
		s.countAgain()
	}
}

// countAgain says that what is cached has changed.
func (s *session) countAgain() {
	select {
	case s.recount <- struct{}{}:
	default: // will be
	}
}

// cached gives the numbers as counted last.
func (s *session) cached(ctx context.Context) (Cached, error) {
	if last := s.counted.Load(); last != nil {
		return cachedOf(*last), nil
	}
	now, err := s.cache.Stats(ctx)
	if err != nil {
		return Cached{}, err
	}
	s.counted.CompareAndSwap(nil, &now)
	return cachedOf(now), nil
}

func cachedOf(st cache.Stats) Cached {
	return Cached{Conversations: st.Conversations, Readable: st.Readable}
}
