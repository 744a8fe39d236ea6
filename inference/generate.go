package inference

import (
	"context"
	"crypto/rand"
	"time"

	"genrec/pkg/backoff"
	"genrec/sessions"
)

// generate takes users from the queue, batch by batch, and swaps to a new model
// between two batches.
func (r *run) generate(ctx context.Context) error {
	var (
		model Generator
		ready <-chan struct{} // blocks until there is a model
	)
	pace := newPace(r.cfg.LatencyTarget, r.cfg.MaxBatch)
	defer func() {
		if model != nil {
			r.closeModel(ctx, model)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case next := <-r.loaded:
			if model != nil {
				r.closeModel(ctx, model)
			}
			model, ready = next, r.queue.ready
			if err := r.introduce(ctx, model); err != nil {
				return err
			}
		case <-ready:
			batch, began := r.queue.take(pace.size), time.Now()
			if err := r.apply(ctx, model, batch); err != nil {
				return err
			}
			pace.took(len(batch), time.Since(began))
		}
	}
}

// introduce publishes the fallback of a model that has just been put to use.
func (r *run) introduce(ctx context.Context, model Generator) error {
	r.counters.update(func(s *Stats) { s.Swaps++ })
	r.cfg.Logger.InfoContext(ctx, "swapped to model", "version", model.Version())
	popular := sessions.Recommendations{
		RecID:        newRecID(),
		ModelVersion: model.Version(),
		GeneratedAt:  time.Now(),
		Source:       sessions.SourcePopular,
		Items:        model.Popular(),
	}
	return backoff.Retry(ctx, r.cfg.Logger, "write the popular items", func() error {
		return r.sessions.PutPopular(ctx, popular)
	})
}

// newRecID returns an id that is unique without coordination.
func newRecID() string { return rand.Text() }
