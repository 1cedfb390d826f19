package api

import "time"

// maxTick is the longest tick of a hub's clock.
const maxTick = 2 * time.Second

// pace is the hub's clock: it says when a socket is to beat, and finds the
// sockets that do not get on with their writing. A timer for each socket, and
// one for each frame, would cost more than the frames.
func (h *hub) pace() {
	tick := time.NewTicker(h.hubs.tick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.step(h.clock.Add(1))
		case <-h.stop:
			return
		}
	}
}

func (h *hub) step(now int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.sockets {
		if began := s.writing.Load(); began != 0 && now-began >= h.hubs.slowTicks {
			s.tooSlow()
		}
		if now >= s.beatAt {
			s.beatAt = now + h.hubs.beatTicks
			s.ask(todoBeat)
		}
	}
	h.frames.rest()
	h.pages.rest()
}
