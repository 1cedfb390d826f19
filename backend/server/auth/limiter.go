package auth

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"parley/backend/chat"
)

// Limiter is the brake on guessing: failures fill a bucket, time empties it,
// and a full bucket refuses. A success empties it at once, so somebody who
// knows the password is never braked by their own typing.
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

// NewLimiter allows burst failures at once and one more per refill, for at
// most max keys.
func NewLimiter(burst int, refill time.Duration, max int, now func() chat.Time) *Limiter {
	return &Limiter{burst: burst, refill: refill, max: max, now: now, buckets: map[string]bucket{}}
}

// Allow reports whether another try may be made, else how long to wait.
func (l *Limiter) Allow(key string) (ok bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, found := l.buckets[key]
	if !found {
		return true, 0
	}
	level := l.level(b)
	if over := level - float64(l.burst-1); over > 0 {
		return false, time.Duration(over * float64(l.refill))
	}
	return true, 0
}

// Failed counts a failure.
func (l *Limiter) Failed(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, found := l.buckets[key]; !found && len(l.buckets) >= l.max {
		l.makeRoom()
	}
	b := l.buckets[key]
	l.buckets[key] = bucket{failures: l.level(b) + 1, at: l.now()}
}

// Succeeded forgets the failures of a key.
func (l *Limiter) Succeeded(key string) {
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
