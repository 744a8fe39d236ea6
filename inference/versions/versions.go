// Package versions serves the model registry's versions to the inference worker.
package versions

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"genrec/inference"
	"genrec/model"
	"genrec/pkg/registry"
	"genrec/pkg/userstate"
)

// Versions are the models of a registry, loaded onto one device.
type Versions struct {
	Registry *registry.Registry
	Device   model.Device
	Ranker   model.RankerConfig

	beams atomic.Int64 // that have searched, of all versions
}

var _ inference.Models = (*Versions)(nil)

// Serving is what the registry says, nothing while it has no version.
func (v *Versions) Serving(ctx context.Context) ([]registry.Share, error) {
	shares, err := v.Registry.Serving(ctx)
	if errors.Is(err, registry.ErrNoVersion) {
		return nil, nil
	}
	return shares, err
}

// Load brings a version onto the device.
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

func (g *generator) Near() iter.Seq2[string, userstate.SimilarItems] {
	return func(yield func(string, userstate.SimilarItems) bool) {
		for item, near := range g.recommender.SimilarItems(inference.MostNear, userstate.MaxSimilar) {
			if !yield(item, scored(near)) {
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
