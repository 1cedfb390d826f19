package web

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"parley/backend/chat"
)

// maxBuckets bounds the memory of one limit: full buckets are forgotten first,
// as a forgotten bucket is a full one.
const maxBuckets = 50_000

type limiters struct {
	messages, reads, uploads, bytes, addressBytes, sessions *limiter

	frames Rate
}

func newLimiters(l Limits, now func() time.Time) limiters {
	return limiters{
		messages: newLimiter(l.Messages.or(5000, 50), now),
		reads:    newLimiter(l.Reads.or(5000, 100), now),
		uploads:  newLimiter(l.Uploads.or(500, 5), now),
		bytes:    newLimiter(l.Bytes.or(500<<20, 1<<20), now),
		// An office is one address: as much at once as two of its customers.
		addressBytes: newLimiter(l.AddressBytes.or(1<<30, 1<<20), now),
		sessions:     newLimiter(l.Sessions.or(5000, 50), now),
		frames:       l.Frames.or(200, 20),
	}
}

// limiter is one bucket per key.
type limiter struct {
	rate Rate
	now  func() time.Time

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

func newLimiter(r Rate, now func() time.Time) *limiter {
	return &limiter{rate: r, now: now, buckets: map[string]*rate.Limiter{}}
}

// take takes n tokens of key's bucket, or says when they will be there. More
// than a whole bucket costs a whole bucket.
func (l *limiter) take(key string, n int) error {
	now := l.now()
	l.mu.Lock()
	b := l.buckets[key]
	if b == nil {
		l.shrink(now)
		b = rate.NewLimiter(rate.Limit(l.rate.PerSecond), l.rate.Burst)
		l.buckets[key] = b
	}
	l.mu.Unlock()

	r := b.ReserveN(now, min(n, l.rate.Burst))
	wait := r.DelayFrom(now)
	if r.OK() && wait == 0 {
		return nil
	}
	r.CancelAt(now)
	if !r.OK() || wait > time.Hour {
		wait = time.Hour // a bucket that does not refill
	}
	return &chat.Error{Code: chat.CodeTooMany, RetryAfter: wait,
		Message: "That was a lot at once. Please wait a moment and try again."}
}

// shrink makes room for one more bucket; the caller holds the lock.
func (l *limiter) shrink(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for key, b := range l.buckets {
		if b.TokensAt(now) >= float64(l.rate.Burst) {
			delete(l.buckets, key)
		}
	}
	for key := range l.buckets { // every bucket in use: some get a fresh start
		if len(l.buckets) < maxBuckets*9/10 {
			return
		}
		delete(l.buckets, key)
	}
}

// peerAddress is the other end of the connection; of IPv6 the network, as a
// single customer has a whole one.
func peerAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Unmap().Is4() {
		return host
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return p.String()
}
