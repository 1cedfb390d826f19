package cache

// span is a range of message numbers, both ends included, that is cached
// without holes. Lists of spans are sorted and neither overlap nor touch.
type span struct{ lo, hi int64 }

// addSpan unites a list of spans with one more.
func addSpan(spans []span, s span) []span {
	if s.lo > s.hi {
		return spans
	}
	// The usual case: a live message at the end of the newest span.
	if n := len(spans); n > 0 && spans[n-1].lo <= s.lo && s.lo <= spans[n-1].hi+1 {
		spans[n-1].hi = max(spans[n-1].hi, s.hi)
		return spans
	}
	out := make([]span, 0, len(spans)+1)
	for i, x := range spans {
		switch {
		case x.hi+1 < s.lo:
			out = append(out, x)
		case s.hi+1 < x.lo:
			return append(append(out, s), spans[i:]...)
		default: // they overlap or touch: one span
			s = span{min(s.lo, x.lo), max(s.hi, x.hi)}
		}
	}
	return append(out, s)
}

// holes gives the ranges inside a window that no span covers.
func holes(spans []span, window span) [][2]int64 {
	out := [][2]int64{}
	next := window.lo
	for _, s := range spans {
		if s.hi < next || s.lo > window.hi {
			continue
		}
		if s.lo > next {
			out = append(out, [2]int64{next, s.lo - 1})
		}
		next = s.hi + 1
	}
	if next <= window.hi {
		out = append(out, [2]int64{next, window.hi})
	}
	return out
}
