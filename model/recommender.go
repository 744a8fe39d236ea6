package model

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"genrec/model/rank"
)

// Recommender serves a stored bundle to any number of goroutines. Calls overlap: while the
// network scores the queries of one, those of others are prepared and fused.
type Recommender struct {
	bundle  Bundle
	ranker  *Ranker
	weights EnsembleWeights

	mu     sync.RWMutex // held for reading by calls in progress
	closed bool
}

// ErrClosed says that a recommender has been closed.
var ErrClosed = errors.New("recommender is closed")

// OpenRecommender loads a folder that Bundle.Save wrote.
func OpenRecommender(dir string, device Device, c RankerConfig) (r *Recommender, err error) {
	onThread(func() { r, err = openRecommender(dir, device, c) })
	return r, err
}

func openRecommender(dir string, device Device, c RankerConfig) (*Recommender, error) {
	bundle, err := LoadBundle(dir, device)
	if err != nil {
		return nil, err
	}
	ranker, err := NewRanker(bundle, c)
	if err == nil {
		if err = ranker.searcher.awaitWeights(); err != nil {
			err = errors.Join(err, ranker.Close())
		}
	}
	if err != nil {
		bundle.Model.Drop()
		return nil, err
	}
	if c.Precision != Float32 {
		bundle.Model.Drop() // the ranker has a copy
	}
	return &Recommender{bundle: bundle, ranker: ranker, weights: ranker.weights()}, nil
}

// onThread runs f on an OS thread of its own, where libtorch may keep state.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		f()
	}()
	<-done
}

// Recommend answers each query with distinct items, best first. It stops early when ctx ends,
// on a CPU after the searches in progress.
func (r *Recommender) Recommend(ctx context.Context, queries []Query) ([][]Ranked, rank.Timing, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return nil, rank.Timing{}, ErrClosed
	}
	return r.ranker.ranker.Rank(ctx, queries, r.weights)
}

// Concurrency is how many calls of Recommend at once keep the device busy: on a GPU one on each
// of its streams, on a CPU one for all cores, and another one that is prepared or fused meanwhile.
func (r *Recommender) Concurrency() int {
	if r.ranker.searcher.device == CPU {
		return 2
	}
	return r.ranker.searcher.crew.size() + 1
}

// Beams is the width of the search: 0 where the model's weights leave nothing to it.
func (r *Recommender) Beams() int { return r.ranker.Beams() }

// Popular lists the most frequent items of the snapshot that the model was
// trained on, with their share of all interactions.
func (r *Recommender) Popular(n int) []Ranked {
	items, counts := r.bundle.Catalog.Popular(n)
	total := r.bundle.Catalog.Interactions()
	ranked := make([]Ranked, len(items))
	for i := range items {
		ranked[i] = Ranked{Item: items[i], Probability: float64(counts[i]) / float64(total)}
	}
	return ranked
}

// Close waits for the calls in progress and frees the model.
func (r *Recommender) Close() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	onThread(func() {
		err = r.ranker.Close()
		r.bundle.Model.Drop()
	})
	return err
}
