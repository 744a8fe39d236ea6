package scenarios

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"genrec/inference"
	"genrec/pkg/registry"
	"genrec/pkg/userstate"
)

// models stands in for a registry of trained models.
type models struct {
	mu     sync.Mutex
	shares []registry.Share
}

func (m *models) serve(shares []registry.Share) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shares = shares
}

func (m *models) Serving(context.Context) ([]registry.Share, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shares, nil
}

func (m *models) Load(_ context.Context, version string) (inference.Generator, error) {
	return likeness(version), nil
}

// likeness is a model that recommends something like each of a user's items, like the
// newest one first.
type likeness string

func (l likeness) Version() string { return string(l) }

func (l likeness) Popular() []userstate.ScoredItem {
	return []userstate.ScoredItem{{Item: "bestseller", Score: 1}}
}

func (l likeness) SimilarItems() iter.Seq2[string, userstate.SimilarItems] {
	return func(func(string, userstate.SimilarItems) bool) {}
}

func (l likeness) Concurrency() int { return 2 }

func (l likeness) Generate(_ context.Context, requests []inference.Request) (inference.Generated, error) {
	lists := make([][]userstate.ScoredItem, len(requests))
	for i, r := range requests {
		if slices.Contains(r.Items, "poison") {
			return inference.Generated{}, errors.New("poison")
		}
		for j, item := range slices.Backward(r.Items) {
			lists[i] = append(lists[i], userstate.ScoredItem{Item: "like-" + item, Score: float64(j + 1)})
		}
	}
	return inference.Generated{Lists: lists}, nil
}

func (l likeness) Close() error { return nil }
