package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"oddish/internal/queue"
	"oddish/internal/store"
)

// metrics are what GET /metrics tells, in a registry of the server's own.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(q *queue.Queue) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oddish_http_requests_total", Help: "Answered requests by route and status.",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "oddish_http_request_seconds", Help: "Time to answer by route; held requests (claims, events) included.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 30},
		}, []string{"route"}),
	}
	m.registry.MustRegister(m.requests, m.seconds)
	if q != nil {
		m.registry.MustRegister(queueCollector{q})
	}
	return m
}

// watchDatabase adds what the database is asked and what is open for it.
func (m *metrics) watchDatabase(db *store.DB) {
	connections := func(state string, count func(store.Stats) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "oddish_db_connections", Help: "Connections to the database, by state.", ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(count(db.Stats())) })
	}
	m.registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "oddish_db_statements_total", Help: "Statements sent to the database; begins and ends of transactions count as well.",
		}, func() float64 { return float64(db.Stats().Statements) }),
		connections("open", func(s store.Stats) int { return s.Connections }),
		connections("in_use", func(s store.Stats) int { return s.InUse }),
	)
}

// observe counts an answered request. r.Pattern is set by the router, so unknown paths share one name.
func (m *metrics) observe(r *http.Request, status int, took time.Duration) {
	route := r.Pattern
	if route == "" {
		route = "refused"
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// collectTimeout limits the reading of the queue for one scrape.
const collectTimeout = 5 * time.Second

// queueCollector reads the queue when it is asked, so that the numbers need no upkeep.
type queueCollector struct{ queue *queue.Queue }

func trialsDesc() *prometheus.Desc {
	return prometheus.NewDesc("oddish_trials", "Trials that run or wait, by queue key and state.", []string{"queue_key", "state"}, nil)
}

func limitDesc() *prometheus.Desc {
	return prometheus.NewDesc("oddish_queue_limit", "Trials of a queue key, or of all keys under a pattern, that may run at once.", []string{"queue_key"}, nil)
}

func effectiveDesc() *prometheus.Desc {
	return prometheus.NewDesc("oddish_queue_effective_limit",
		"Trials of a queue key that may run at once, with what the provider's rate limits have made of its limit; 0 while nothing is started for that.", []string{"queue_key"}, nil)
}

func heldDesc() *prometheus.Desc {
	return prometheus.NewDesc("oddish_trials_held", "Waiting trials of paused experiments, by queue key; they are also in oddish_trials.", []string{"queue_key"}, nil)
}

// Describe implements prometheus.Collector.
func (c queueCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- trialsDesc()
	ch <- limitDesc()
	ch <- effectiveDesc()
	ch <- heldDesc()
}

// Collect implements prometheus.Collector.
func (c queueCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	keys, err := c.queue.Keys(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(trialsDesc(), err)
		return
	}
	for _, k := range keys {
		if k.Limit != nil {
			ch <- prometheus.MustNewConstMetric(limitDesc(), prometheus.GaugeValue, float64(*k.Limit), k.Key)
		}
		if k.Pattern() { // its trials are counted under their keys
			continue
		}
		ch <- prometheus.MustNewConstMetric(effectiveDesc(), prometheus.GaugeValue, float64(effectiveLimit(&k)), k.Key)
		ch <- prometheus.MustNewConstMetric(heldDesc(), prometheus.GaugeValue, float64(k.Held), k.Key)
		for state, n := range map[string]int{"running": k.Running, "queued": k.Queued, "retrying": k.Retrying} {
			ch <- prometheus.MustNewConstMetric(trialsDesc(), prometheus.GaugeValue, float64(n), k.Key, state)
		}
	}
}

// effectiveLimit is how many trials of a key its provider lets run now.
func effectiveLimit(k *queue.KeyState) int {
	switch {
	case k.HeldUntil != nil:
		return 0
	case k.Effective != nil:
		return *k.Effective
	}
	return *k.Limit
}
