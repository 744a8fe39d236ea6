package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what Stats does not count.
type metrics struct {
	batchMessages, appendSeconds prometheus.Histogram
	heldBytes                    prometheus.Gauge
	dead                         *prometheus.CounterVec
}

func newMetrics() metrics {
	return metrics{
		batchMessages: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_ingest_batch_messages", Help: "Messages of a batch of one partition.", Buckets: prometheus.ExponentialBuckets(1, 4, 6),
		}),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_ingest_append_seconds", Help: "Time that a batch takes to be appended to the sequences in Redis, with retries.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}),
		heldBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "genrec_ingest_held_bytes", Help: "About the memory of messages that are read and not finished.",
		}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_ingest_dead_letters_total", Help: "Messages in the dead-letter topic, by reason.",
		}, []string{"reason"}),
	}
}

// Metrics returns what Prometheus may collect of the ingester.
func (i *Ingester) Metrics() []prometheus.Collector {
	m := i.metrics
	all := []prometheus.Collector{m.batchMessages, m.appendSeconds, m.heldBytes, m.dead}
	for _, c := range []struct {
		name, help string
		count      func(Stats) int64
	}{
		{"messages", "Messages read and finished.", func(s Stats) int64 { return s.Read }},
		{"events_appended", "Events that changed a sequence.", func(s Stats) int64 { return s.Appended }},
		{"events_duplicate", "Events that changed none: known already, or older than all that is kept.", func(s Stats) int64 { return s.Duplicates }},
	} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "genrec_ingest_" + c.name + "_total", Help: c.help},
			func() float64 { return float64(c.count(i.Stats())) }))
	}
	return all
}

// finished tells of a batch after all its effects.
func (m metrics) finished(s Stats) {
	m.batchMessages.Observe(float64(s.Read))
	for reason, n := range s.Dead {
		m.dead.WithLabelValues(string(reason)).Add(float64(n))
	}
}
