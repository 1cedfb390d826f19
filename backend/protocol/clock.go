package protocol

import (
	"net/http"
	"time"

	"parley/backend/chat"
)

// Telling gives the same client that also tells what the server's clock shows,
// by the date of its answers: right to within a few seconds.
func (c *Client) Telling(clock func(now chat.Time)) *Client {
	d, over := *c, *c.http
	over.Transport = teller{c.http.Transport, clock}
	d.http = &over
	return &d
}

// teller reads the date of what passes through.
type teller struct {
	http.RoundTripper
	clock func(chat.Time)
}

// RoundTrip passes a request on. An answer that came late, as after sleep, says
// nothing about now.
func (t teller) RoundTrip(req *http.Request) (*http.Response, error) {
	asked := time.Now().Round(0)
	resp, err := t.RoundTripper.RoundTrip(req)
	if err != nil || !ours(resp) || time.Now().Round(0).Sub(asked).Abs() > headerTimeout {
		return resp, err
	}
	if now, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.clock(chat.TimeOf(now))
	}
	return resp, nil
}

// CloseIdleConnections lets http.Client reach the transport's.
func (t teller) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
