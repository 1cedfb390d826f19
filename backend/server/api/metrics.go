package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

// metrics are the figures an operator watches. They carry no ids, no names
// and no text: a label is a route, a kind or a status.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	requests *prometheus.HistogramVec
	commands *prometheus.CounterVec
	sockets  prometheus.Gauge
	packets  prometheus.Counter
	behind   prometheus.Counter
	dropped  prometheus.Counter
	slow     prometheus.Counter
	digests  *prometheus.CounterVec
	repairs  prometheus.Counter
	known    map[string]bool
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "parley_http_request_seconds", Help: "How long requests took, by route and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"route", "status"}),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_commands_total", Help: "Commands judged, by kind and verdict."}, []string{"kind", "verdict"}),
		sockets:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "parley_live_sockets", Help: "Members' live sockets that are open."}),
		packets:  prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_packets_total", Help: "Packets of changes written to sockets."}),
		behind:   prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_sockets_behind_total", Help: "Times a socket was too far behind for packets."}),
		dropped:  prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_ephemera_dropped_total", Help: "Ephemeral frames dropped under pressure."}),
		slow:     prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_sockets_slow_total", Help: "Times a socket's client did not keep up."}),
		digests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "parley_digests_total",
			Help: "Caches compared with the data: equal, different, or (with traffic in between) left to the client to say."}, []string{"result"}),
		repairs: prometheus.NewCounter(prometheus.CounterOpts{Name: "parley_digest_repairs_total",
			Help: "Times a client found its cache different from the data and loaded a part of it anew. Each is a bug: this should stay 0."}),
		known: map[string]bool{},
	}
	for _, k := range CommandKinds() {
		m.known[k.Kind] = true
	}
	m.registry.MustRegister(m.requests, m.commands, m.sockets, m.packets, m.behind, m.dropped, m.slow, m.digests, m.repairs,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) serve(w http.ResponseWriter, r *http.Request, _ inbox.Principal) error {
	m.handler.ServeHTTP(w, r)
	return nil
}

func (m *metrics) served(route string, status int, took time.Duration) {
	if status == http.StatusSwitchingProtocols {
		return // a socket's life is not a request's duration
	}
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) judged(kind string, r protocol.Result) {
	if !m.known[kind] { // foreign text must not become a label
		kind = "unknown"
	}
	verdict := string(r.Status)
	if r.Problem != nil {
		verdict += "_" + string(r.Problem.Code)
	}
	m.commands.WithLabelValues(kind, verdict).Inc()
}

func (m *metrics) compared(a protocol.DigestAnswer) {
	result := "equal"
	switch {
	case len(a.Differ) > 0 && len(a.Changed) > 0:
		result = "moving"
	case len(a.Differ) > 0:
		result = "different"
	}
	m.digests.WithLabelValues(result).Inc()
}
