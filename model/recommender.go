package model

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

// Recommender serves a stored bundle to any number of goroutines: one goroutine of
// its own owns the model and answers one call after the other.
type Recommender struct {
	bundle Bundle
	beams  int
	calls  chan call
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
}

type call struct {
	queries []Query
	answer  chan<- answer
}

type answer struct {
	ranked [][]Ranked
	err    error
}

// ErrClosed says that a recommender has been closed.
var ErrClosed = errors.New("recommender is closed")

// OpenRecommender loads a folder that Bundle.Save wrote.
func OpenRecommender(dir string, device Device, c RankerConfig) (*Recommender, error) {
	r := &Recommender{calls: make(chan call), stop: make(chan struct{}), done: make(chan struct{})}
	opened := make(chan error)
	go r.serve(dir, device, c, opened)
	if err := <-opened; err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Recommender) serve(dir string, device Device, c RankerConfig, opened chan<- error) {
	defer close(r.done)
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	bundle, err := LoadBundle(dir, device)
	if err != nil {
		opened <- err
		return
	}
	defer bundle.Model.Drop()
	ranker, err := NewRanker(bundle, c)
	if err != nil {
		opened <- err
		return
	}
	defer ranker.Close()
	if c.Precision != Float32 {
		bundle.Model.Drop() // the ranker has a copy
	}
	r.bundle, r.beams = bundle, ranker.Beams()
	opened <- nil
	for {
		select {
		case call := <-r.calls:
			ranked, err := ranker.Rank(call.queries)
			call.answer <- answer{ranked, err}
		case <-r.stop:
			return
		}
	}
}

// Recommend answers each query with distinct items, best first.
func (r *Recommender) Recommend(ctx context.Context, queries []Query) ([][]Ranked, error) {
	answers := make(chan answer, 1)
	select {
	case r.calls <- call{queries, answers}:
	case <-r.done:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case a := <-answers:
		return a.ranked, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Beams is how many search for each query: none where the model's weights leave nothing to them.
func (r *Recommender) Beams() int { return r.beams }

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

// Close waits for the call in progress and frees the model.
func (r *Recommender) Close() error {
	r.once.Do(func() { close(r.stop) })
	<-r.done
	return nil
}
