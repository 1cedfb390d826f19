package desktop

import (
	"net"
	"slices"
	"time"

	"parley/backend/desktop/sync"
)

// lookAround is how often the network's addresses are looked at.
const lookAround = 3 * time.Second

// watchNetwork notices that this machine has other addresses than before: a
// cable, a Wi-Fi, a tunnel. Then a line that is down is tried at once, and one
// that seems to be up is tested.
func (s *session) watchNetwork() {
	tick := time.NewTicker(lookAround)
	defer tick.Stop()
	before := s.e.opt.Addresses()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		now := s.e.opt.Addresses()
		if slices.Equal(before, now) {
			continue
		}
		before = now
		n := s.net.Load()
		if n == nil {
			continue
		}
		if s.report.Load().Status == sync.StatusLive {
			n.sync.Doubt()
		} else {
			n.sync.Wake()
		}
	}
}

func addresses() []string {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	slices.Sort(out)
	return out
}
