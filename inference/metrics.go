package inference

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// otherVersions stands in metrics for all versions that do not serve any more.
const otherVersions = "other"

// metrics are what Stats does not count.
type metrics struct {
	freshness, batchUsers, batchSeconds prometheus.Histogram
	stageSeconds                        *prometheus.HistogramVec
	waiting                             prometheus.Gauge
	share                               *prometheus.GaugeVec
	dead, interactions, hits            *prometheus.CounterVec
}

// stages of a batch, which metrics have from the start.
var stages = []string{"slot", "read", "prepare", "network", "fuse", "write"}

func newMetrics() metrics {
	byVersion := []string{"version"}
	m := metrics{
		freshness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_freshness_seconds", Help: "Time from an event's production to the recommendations written after it.",
			Buckets: []float64{.01, .025, .05, .1, .15, .25, .5, 1, 2, 5, 10, 30, 60, 300, 1800},
		}),
		batchUsers: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_inference_batch_users", Help: "Users of a batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		batchSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "genrec_inference_batch_seconds", Help: "Time that a batch takes from its first read to its last write.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		stageSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "genrec_inference_stage_seconds",
			Help:    "Time of a batch in each stage: slot (waiting for a batch before it), read (Redis), prepare, network, fuse, write (Redis).",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}, []string{"stage"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "genrec_inference_waiting_users", Help: "Users in the queue.",
		}),
		share: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "genrec_inference_model_share_percent", Help: "Share of the users that a loaded model version is to serve.",
		}, byVersion),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_inference_dead_letters_total", Help: "Refreshes in the dead-letter topic, by reason.",
		}, []string{"reason"}),
		interactions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_recommendations_answered_total", Help: "Interactions of users who had recommendations, by the model version that made them.",
		}, byVersion),
		hits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genrec_recommendations_hit_total", Help: "Interactions with an item that was recommended, by the model version that did.",
		}, byVersion),
	}
	for _, stage := range stages {
		m.stageSeconds.WithLabelValues(stage)
	}
	return m
}

// Metrics returns what Prometheus may collect of the worker.
func (w *Worker) Metrics() []prometheus.Collector {
	m := w.metrics
	all := []prometheus.Collector{m.freshness, m.batchUsers, m.batchSeconds, m.stageSeconds, m.waiting, m.share, m.dead, m.interactions, m.hits}
	for _, c := range []struct {
		name, help string
		count      func(Stats) int64
	}{
		{"refreshes", "Refreshes read.", func(s Stats) int64 { return s.Read }},
		{"refreshes_coalesced", "Refreshes that joined one of the same user that was waiting.", func(s Stats) int64 { return s.Coalesced }},
		{"users_generated", "Users for whom recommendations were generated.", func(s Stats) int64 { return s.Generated }},
		{"users_written", "Users whose recommendations were written.", func(s Stats) int64 { return s.Written }},
		{"users_stale", "Users whose result was refused, because the stored one is of a newer sequence.", func(s Stats) int64 { return s.Stale }},
		{"users_skipped", "Users whose recommendations were up to date, or who have no sequence.", func(s Stats) int64 { return s.Skipped }},
		{"users_renewed", "Refreshes asked for after a change of models.", func(s Stats) int64 { return s.Renewed }},
		{"model_swaps", "Changes of the models in use, the first included.", func(s Stats) int64 { return s.Swaps }},
		{"models_refused", "Model versions that could not be loaded.", func(s Stats) int64 { return s.Refused }},
	} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "genrec_inference_" + c.name + "_total", Help: c.help},
			func() float64 { return float64(c.count(w.Stats())) }))
	}
	return all
}

func (m metrics) batch(users int, took time.Duration) {
	m.batchUsers.Observe(float64(users))
	m.batchSeconds.Observe(took.Seconds())
}

func (m metrics) stage(name string, took time.Duration) {
	m.stageSeconds.WithLabelValues(name).Observe(took.Seconds())
}

// serves tells of the models in use.
func (m metrics) serves(f *servingSet) {
	m.share.Reset()
	for _, s := range f.shares {
		if f.models[s.Version] != nil {
			m.share.WithLabelValues(s.Version).Set(float64(s.Percent))
		}
	}
}

// came counts answers to recommendations. Versions that served long ago count as one,
// which bounds the series.
func (m metrics) came(all []answer, served []string) {
	for _, a := range all {
		version := a.version
		if !slices.Contains(served, version) {
			version = otherVersions
		}
		m.interactions.WithLabelValues(version).Add(float64(a.interactions))
		m.hits.WithLabelValues(version).Add(float64(a.hits))
	}
}

func (m metrics) forget(version string) {
	m.interactions.DeleteLabelValues(version)
	m.hits.DeleteLabelValues(version)
}
