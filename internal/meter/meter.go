// Package meter counts what a server does and says it to whoever watches, in
// the text format of Prometheus and OpenMetrics. docs/spec/metrics.md lists
// every number.
//
// What happens on the way of a request is counted by atomics that stand ready
// for every label there is, so that counting allocates nothing. All else is
// asked for when somebody scrapes ([State]). Labels have few values, which the
// program or its configuration knows beforehand: no host, no digest, and of
// repositories only the product's id. Nothing is registered in a place that
// others share.
package meter

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Limit is one that callers can hit.
type Limit int

// The limits, by their keys in the configuration (docs/spec/limits.md).
const (
	LimitToken Limit = iota
	LimitHost
	LimitPublisher
	LimitAuditor
	LimitConnections
	LimitLog
	LimitLogTotal
	LimitTimestamp
	LimitTimestampTotal
	numLimits
)

var limitNames = [numLimits]string{"token", "host", "publisher", "auditor", "connectionsPerPlace", "log", "logTotal", "timestamp", "timestampTotal"}

// Collected are what one collection hid and removed.
type Collected struct{ Tags, Manifests, Blobs, Objects, Bytes int64 }

// Config is what a Meter needs.
type Config struct {
	Version string
	// Read asks the rooms. It is called for each scrape, one at a time.
	Read func() State
}

// A Meter counts from when it is made.
type Meter struct {
	config    Config
	started   time.Time
	registry  *prometheus.Registry
	requests  [numRoutes]codes
	durations [numRoutes]prometheus.Observer
	limits    [numLimits]atomic.Uint64
	collected [5]atomic.Int64
}

// New returns a meter that nothing was counted by.
func New(c Config) *Meter {
	m := &Meter{config: c, started: time.Now(), registry: prometheus.NewPedanticRegistry()}
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: requestDuration, Help: metric(requestDuration).Help,
		Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60},
	}, metric(requestDuration).Labels)
	for r, name := range routeNames {
		m.durations[r] = durations.WithLabelValues(name)
	}
	m.registry.MustRegister(durations, newCollector(m), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})) // fails for two of one name, which is ours to see to
	return m
}

func metric(name string) Metric {
	for _, m := range Metrics() {
		if m.Name == name {
			return m
		}
	}
	return Metric{}
}

// Hit counts that a limit refused somebody.
func (m *Meter) Hit(l Limit) { m.limits[l].Add(1) }

// Collected counts what a collection did.
func (m *Meter) Collected(c Collected) {
	for i, n := range [...]int64{c.Tags, c.Manifests, c.Blobs, c.Objects, c.Bytes} {
		m.collected[i].Add(n)
	}
}

// scrapeTimeout is how long one scrape may take, and how many there may be at
// once.
const (
	scrapeTimeout = 20 * time.Second
	scrapes       = 2
)

// Handler answers scrapes.
func (m *Meter) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: scrapes, Timeout: scrapeTimeout, DisableCompression: true,
	})
}
