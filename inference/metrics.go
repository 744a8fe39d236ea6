package inference

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stats are the counts of a Worker since its start. Redelivered refreshes count again.
type Stats struct {
	Read                int64 // refreshes read
	Coalesced           int64 // refreshes coalesced with a waiting one of the same user
	Generated           int64 // users for whom a list was generated
	Written             int64 // users whose list was written
	Stale               int64 // users whose list was not written because the stored one is of a newer sequence
	Skipped             int64 // users whose list was up to date, or who have no sequence
	Failed              int64 // dead-lettered refreshes
	Swaps               int64 // changes of the serving set, including the first one
	Refused             int64 // model versions that failed to load or to answer
	BackgroundRefreshes int64 // requested after changes of the serving set
}

// counters are the Stats as atomic counters.
type counters struct {
	read, coalesced, generated, written, stale, skipped, failed, swaps, refused, backgroundRefreshes atomic.Int64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Read: c.read.Load(), Coalesced: c.coalesced.Load(), Generated: c.generated.Load(), Written: c.written.Load(),
		Stale: c.stale.Load(), Skipped: c.skipped.Load(), Failed: c.failed.Load(), Swaps: c.swaps.Load(),
		Refused: c.refused.Load(), BackgroundRefreshes: c.backgroundRefreshes.Load(),
	}
}

// otherVersions is the metric label of versions that have not served recently.
const otherVersions = "other"

// metrics are the metrics that are not in Stats.
type metrics struct {
	freshness, batchUsers, batchSeconds prometheus.Histogram
	stageSeconds                        *prometheus.HistogramVec
	waiting                             prometheus.Gauge
	share                               *prometheus.GaugeVec
	dead, interactions, hits            *prometheus.CounterVec
}

// stages of a batch; their metrics exist from the start.
var stages = []string{"slot", "read", "prepare", "network", "fuse", "write"}

func newMetrics() metrics {
	byVersion := []string{"version"}
	m := metrics{
		freshness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_freshness_seconds", Help: "Time from the production of an event to the write of the list generated after it.",
			Buckets: []float64{.01, .025, .05, .1, .15, .25, .5, 1, 2, 5, 10, 30, 60, 300, 1800},
		}),
		batchUsers: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_inference_batch_users", Help: "Users per batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		batchSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_inference_batch_seconds", Help: "Duration of a batch from its read to the end of its write.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		stageSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "genrec_inference_stage_seconds",
			Help:    "Duration of each stage of a batch: slot (waiting for a free slot), read (Redis), prepare, network, fuse, write (Redis).",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}, []string{"stage"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "genrec_inference_waiting_users", Help: "Users waiting in the queue.",
		}),
		share: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "genrec_inference_model_share_percent", Help: "Share of users assigned to a loaded model version.",
		}, byVersion),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_inference_dead_letters_total", Help: "Dead-lettered refreshes, by reason.",
		}, []string{"reason"}),
		interactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_recommendations_answered_total", Help: "Interactions of users with a list, by the model version that generated the list.",
		}, byVersion),
		hits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_recommendations_hit_total", Help: "Interactions with a recommended item, by the model version that recommended it.",
		}, byVersion),
	}
	for _, stage := range stages {
		m.stageSeconds.WithLabelValues(stage)
	}
	return m
}

// Metrics returns the Prometheus collectors of the worker.
func (w *Worker) Metrics() []prometheus.Collector {
	m := w.metrics
	all := []prometheus.Collector{m.freshness, m.batchUsers, m.batchSeconds, m.stageSeconds, m.waiting, m.share, m.dead, m.interactions, m.hits}
	for _, c := range []struct {
		name, help string
		count      func(Stats) int64
	}{
		{"refreshes", "Refreshes read.", func(s Stats) int64 { return s.Read }},
		{"refreshes_coalesced", "Refreshes coalesced with a waiting one of the same user.", func(s Stats) int64 { return s.Coalesced }},
		{"users_generated", "Users for whom a list was generated.", func(s Stats) int64 { return s.Generated }},
		{"users_written", "Users whose list was written.", func(s Stats) int64 { return s.Written }},
		{"users_stale", "Users whose list was not written because the stored one is of a newer sequence.", func(s Stats) int64 { return s.Stale }},
		{"users_skipped", "Users whose list was up to date, or who have no sequence.", func(s Stats) int64 { return s.Skipped }},
		{"users_renewed", "Background refreshes requested after a change of the serving set.", func(s Stats) int64 { return s.BackgroundRefreshes }},
		{"model_swaps", "Changes of the serving set, including the first one.", func(s Stats) int64 { return s.Swaps }},
		{"models_refused", "Model versions refused because they failed to load or to answer.", func(s Stats) int64 { return s.Refused }},
	} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "genrec_inference_" + c.name + "_total", Help: c.help},
			func() float64 { return float64(c.count(w.Stats())) }))
	}
	return all
}

func (m metrics) observeBatch(users int, took time.Duration) {
	m.batchUsers.Observe(float64(users))
	m.batchSeconds.Observe(took.Seconds())
}

func (m metrics) observeStage(name string, took time.Duration) {
	m.stageSeconds.WithLabelValues(name).Observe(took.Seconds())
}

func (m metrics) setShares(set *servingSet) {
	m.share.Reset()
	for _, s := range set.shares {
		if set.models[s.Version] != nil {
			m.share.WithLabelValues(s.Version).Set(float64(s.Percent))
		}
	}
}

// countHits counts events and hits. Versions that have not served recently share a label, which
// bounds the number of series.
func (m metrics) countHits(counts []versionHits, recentVersions []string) {
	for _, c := range counts {
		version := c.version
		if !slices.Contains(recentVersions, version) {
			version = otherVersions
		}
		m.interactions.WithLabelValues(version).Add(float64(c.interactions))
		m.hits.WithLabelValues(version).Add(float64(c.hits))
	}
}

func (m metrics) forgetVersion(version string) {
	m.interactions.DeleteLabelValues(version)
	m.hits.DeleteLabelValues(version)
}
