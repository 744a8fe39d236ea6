package ingest

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"genrec/pkg/event"
)

// Stats counts the messages of committed batches. Redelivered messages count again.
type Stats struct {
	Read       int64                  // messages
	Appended   int64                  // events that changed a sequence
	Duplicates int64                  // events that changed none: duplicate, or older than all events that are kept
	Dead       map[event.Reason]int64 // dead-lettered messages, by reason
}

type counters struct {
	mu    sync.Mutex
	stats Stats
}

func (c *counters) add(batch Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Read += batch.Read
	c.stats.Appended += batch.Appended
	c.stats.Duplicates += batch.Duplicates
	for reason, n := range batch.Dead {
		if c.stats.Dead == nil {
			c.stats.Dead = make(map[event.Reason]int64)
		}
		c.stats.Dead[reason] += n
	}
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	stats.Dead = maps.Clone(c.stats.Dead)
	return stats
}

// metrics are the metrics that are not derived from Stats.
type metrics struct {
	batchMessages, appendSeconds prometheus.Histogram
	heldBytes                    prometheus.Gauge
	dead                         *prometheus.CounterVec
}

func newMetrics() metrics {
	return metrics{
		batchMessages: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_ingest_batch_messages", Help: "Messages in a batch of one partition.", Buckets: prometheus.ExponentialBuckets(1, 4, 6),
		}),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_ingest_append_seconds", Help: "Time to append a batch to the sequences in Redis, including retries.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}),
		heldBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "genrec_ingest_held_bytes", Help: "Approximate memory of messages that are fetched and not finished.",
		}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_ingest_dead_letters_total", Help: "Dead-lettered messages, by reason.",
		}, []string{"reason"}),
	}
}

// Metrics returns the Prometheus collectors of the Ingester.
func (i *Ingester) Metrics() []prometheus.Collector {
	m := i.metrics
	all := []prometheus.Collector{m.batchMessages, m.appendSeconds, m.heldBytes, m.dead}
	for _, c := range []struct {
		name, help string
		count      func(Stats) int64
	}{
		{"messages", "Messages read and committed.", func(s Stats) int64 { return s.Read }},
		{"events_appended", "Events that changed a sequence.", func(s Stats) int64 { return s.Appended }},
		{"events_duplicate", "Events that changed no sequence: duplicate, or older than all events that are kept.", func(s Stats) int64 { return s.Duplicates }},
	} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "genrec_ingest_" + c.name + "_total", Help: c.help},
			func() float64 { return float64(c.count(i.Stats())) }))
	}
	return all
}

// committed records a committed batch.
func (m metrics) committed(s Stats) {
	m.batchMessages.Observe(float64(s.Read))
	for reason, n := range s.Dead {
		m.dead.WithLabelValues(string(reason)).Add(float64(n))
	}
}
