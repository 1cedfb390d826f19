package auth

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"parley/backend/chat"
)

// Limiter is the brake on guessing: every attempt fills a bucket before it is
// judged, so that attempts at the same time count too; time empties it, and a
// full bucket refuses. What was right is given back.
//
// Its memory is bounded: when full, buckets that have emptied go first, then
// the ones closest to it.
type Limiter struct {
	burst   int
	refill  time.Duration // one more try per this
	max     int
	now     func() chat.Time
	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	failures float64
	at       chat.Time
}

// NewLimiter allows burst attempts at once and one more per refill, for at
// most max keys.
func NewLimiter(burst int, refill time.Duration, max int, now func() chat.Time) *Limiter {
	return &Limiter{burst: burst, refill: refill, max: max, now: now, buckets: map[string]bucket{}}
}

// Take counts an attempt, or refuses it uncounted and says how long to wait,
// which is never longer than one refill.
func (l *Limiter) Take(key string) (ok bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, found := l.buckets[key]
	level := l.level(b)
	if over := level + 1 - float64(l.burst); over > 0 {
		return false, time.Duration(over * float64(l.refill))
	}
	if !found && len(l.buckets) >= l.max {
		l.makeRoom()
	}
	l.buckets[key] = bucket{failures: level + 1, at: l.now()}
	return true, 0
}

// Give takes back an attempt that was none, or was right.
func (l *Limiter) Give(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, found := l.buckets[key]; found {
		l.buckets[key] = bucket{failures: max(0, l.level(b)-1), at: l.now()}
	}
}

// Forget empties the bucket of a key, for who has proven to know the password.
func (l *Limiter) Forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.buckets, key)
}

// level is how full a bucket is now.
func (l *Limiter) level(b bucket) float64 {
	gone := float64(l.now().Sub(b.at)) / float64(l.refill)
	return max(0, b.failures-gone)
}

func (l *Limiter) makeRoom() {
	lowest, lowestKey := 0.0, ""
	for k, b := range l.buckets {
		level := l.level(b)
		if level == 0 {
			delete(l.buckets, k)
			continue
		}
		if lowestKey == "" || level < lowest {
			lowest, lowestKey = level, k
		}
	}
	if len(l.buckets) >= l.max {
		delete(l.buckets, lowestKey)
	}
}

// AddressKey is what a remote address counts as: an IPv4 address itself, an
// IPv6 one its /64, which is what one household has.
func AddressKey(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil { // cannot happen for an IPv6 address
		return ip.String()
	}
	return prefix.String()
}
