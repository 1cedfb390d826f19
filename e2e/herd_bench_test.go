package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"parley/backend/protocol"
)

// BenchmarkHerd measures how long five hundred desktops take that come back at once, each a hundred messages behind,
// until the server has answered the last one of them: all that it lacks has arrived. Beside it stands what the
// connections alone cost: as many sockets opened at once, up to the server's first frame, with nothing to catch up.
//
// The desktops share this machine's processors with the server, which in truth are five hundred machines. So they read
// a packet's positions only and keep the rest; what they kept is read and checked when the clock has stopped. The
// processor time of both sides stands beside the times, and what reading the packets would have added: for all desks
// together, on however many machines. Writing them to a disk is each desktop's own affair, and measured where the cache is.
func BenchmarkHerd(b *testing.B) {
	for b.Loop() {
		for _, r := range []struct {
			name    string
			changes int
		}{{"raw-connected", 0}, {"caught-up", 100}} {
			h := herd(b, desks, r.changes, dialKeeping)
			b.ReportMetric(milliseconds(h.server), r.name+"-server-cpu-ms")
			b.ReportMetric(milliseconds(h.clients), r.name+"-clients-cpu-ms")
			b.ReportMetric(milliseconds(h.times[len(h.times)/2]), r.name+"-p50-ms")
			b.ReportMetric(milliseconds(h.times[len(h.times)-1]), r.name+"-last-ms")
			if r.changes > 0 {
				b.ReportMetric(milliseconds(h.reading), r.name+"-reading-cpu-ms")
				b.ReportMetric(float64(h.received)/desks/1024, r.name+"-KiB/desk")
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}

// keepingLine is a line that reads no more of a packet than where it begins and ends.
type keepingLine struct{ conn *websocket.Conn }

func dialKeeping(ctx context.Context, d *returning, after int64) (line, error) {
	conn, resp, err := websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(d.client.Server(), "http")+"/v1/live",
		http.Header{"Authorization": {"Bearer " + d.token}, protocol.VersionHeader: {protocol.Version}})
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	l := keepingLine{conn}
	if err := conn.WriteJSON(protocol.Frame{Type: protocol.FrameHello, After: &after, Epoch: d.epoch, Client: "bench"}); err != nil {
		l.Abandon()
		return nil, err
	}
	return l, nil
}

// packetStart is how the frame of a packet begins.
var packetStart = []byte(`{"type":"changes","from":`)

func (l keepingLine) next() (f protocol.Frame, whole []byte, err error) {
	_, whole, err = l.conn.ReadMessage()
	if err != nil {
		return f, nil, err
	}
	rest, packet := bytes.CutPrefix(whole, packetStart)
	if !packet {
		return f, nil, json.Unmarshal(whole, &f)
	}
	f.Type = protocol.FrameChanges
	from, rest, _ := bytes.Cut(rest, []byte(`,"to":`))
	to, _, _ := bytes.Cut(rest, []byte(","))
	if f.From, err = strconv.ParseInt(string(from), 10, 64); err != nil {
		return f, nil, err
	}
	f.To, err = strconv.ParseInt(string(to), 10, 64)
	return f, whole, err
}

// Abandon drops the connection.
func (l keepingLine) Abandon() { l.conn.Close() }
