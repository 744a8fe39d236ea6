// Package versions implements inference.Models: it loads model versions from the registry onto a
// device. It is separate from package inference so that the latter, and its tests, need no libtorch;
// infer, all, demo and doctor share it.
package versions

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"genrec/inference"
	"genrec/model"
	"genrec/pkg/registry"
	"genrec/pkg/userstate"
)

// Versions loads the versions of a registry onto a device.
type Versions struct {
	Registry *registry.Registry // where versions are published
	Device   model.Device       // where models run
	Ranker   model.RankerConfig // list length and search options

	beams atomic.Int64 // total searched beams of all versions
}

var _ inference.Models = (*Versions)(nil)

// Serving returns the serving state of the registry, empty before the first promotion.
func (v *Versions) Serving(ctx context.Context) ([]registry.Share, error) {
	shares, err := v.Registry.Serving(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return nil, nil
	}
	return shares, err
}

// Load fetches a version and loads it onto the device.
func (v *Versions) Load(ctx context.Context, version string) (inference.Generator, error) {
	folder, err := v.Registry.Fetch(ctx, version)
	if err != nil {
		return nil, err
	}
	recommender, err := model.OpenRecommender(folder, v.Device, v.Ranker)
	if err != nil {
		return nil, fmt.Errorf("load model version %q: %w", version, err)
	}
	return &generator{version: version, items: v.Ranker.Items, recommender: recommender, beams: &v.beams}, nil
}

type generator struct {
	version     string
	items       int
	recommender *model.Recommender
	beams       *atomic.Int64
}

func (g *generator) Version() string { return g.version }

func (g *generator) Popular() []userstate.ScoredItem { return scored(g.recommender.Popular(g.items)) }

func (g *generator) SimilarItems() iter.Seq2[string, userstate.SimilarItems] {
	return func(yield func(string, userstate.SimilarItems) bool) {
		for item, similar := range g.recommender.SimilarItems(inference.MaxItemsWithSimilar, userstate.MaxSimilar) {
			if !yield(item, scored(similar)) {
				return
			}
		}
	}
}

func (g *generator) Concurrency() int { return g.recommender.Concurrency() }

func (g *generator) Generate(ctx context.Context, requests []inference.Request) (inference.Generated, error) {
	queries := make([]model.Query, len(requests))
	for i, r := range requests {
		queries[i] = model.Query(r)
	}
	ranked, took, err := g.recommender.Recommend(ctx, queries)
	if err != nil {
		return inference.Generated{}, err
	}
	g.beams.Add(int64(len(requests) * g.recommender.Beams()))
	lists := make([][]userstate.ScoredItem, len(ranked))
	for i, items := range ranked {
		lists[i] = scored(items)
	}
	return inference.Generated{Lists: lists, Stages: []inference.Stage{
		{Name: "prepare", Took: took.Prepare}, {Name: "network", Took: took.Network}, {Name: "fuse", Took: took.Fuse},
	}}, nil
}

func (g *generator) Close() error { return g.recommender.Close() }

func scored(ranked []model.Ranked) []userstate.ScoredItem {
	items := make([]userstate.ScoredItem, len(ranked))
	for i, r := range ranked {
		items[i] = userstate.ScoredItem{Item: r.Item, Score: r.Probability}
	}
	return items
}

// Metrics returns the Prometheus collectors of beam search and GPU memory.
func (v *Versions) Metrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "genrec_inference_beams_total",
			Help: "Beams searched: the beam width for each user, none for models without beam search.",
		}, func() float64 { return float64(v.beams.Load()) }),
		memoryCollector{v.Device, prometheus.NewDesc("genrec_gpu_memory_bytes",
			"GPU memory of this process: used by tensors (allocated) and cached by the allocator (reserved).", []string{"state"}, nil)},
	}
}

// memoryCollector collects the GPU memory; on a CPU it collects nothing.
type memoryCollector struct {
	device model.Device
	bytes  *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m memoryCollector) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- m.bytes }

// Collect implements prometheus.Collector.
func (m memoryCollector) Collect(values chan<- prometheus.Metric) {
	if m.device == model.CPU {
		return
	}
	allocated, reserved, err := m.device.Memory()
	if err != nil {
		values <- prometheus.NewInvalidMetric(m.bytes, err)
		return
	}
	values <- prometheus.MustNewConstMetric(m.bytes, prometheus.GaugeValue, float64(allocated), "allocated")
	values <- prometheus.MustNewConstMetric(m.bytes, prometheus.GaugeValue, float64(reserved), "reserved")
}
