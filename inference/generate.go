package inference

import (
	"context"
	"slices"
	"time"

	"genrec/pkg/backoff"
	"genrec/sessions"
)

// generate takes users from the queue, batch by batch, and swaps to other models
// between two batches.
func (r *run) generate(ctx context.Context) error {
	var ready <-chan struct{} // blocks until there is a model
	pace := newPace(r.cfg.LatencyTarget, r.cfg.MaxBatch)
	defer func() { r.closeModels(ctx, r.fleet, fleet{}) }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case next := <-r.loaded:
			before := r.fleet
			r.fleet, ready = next, r.queue.ready
			r.closeModels(ctx, before, next)
			if err := r.introduce(ctx, before); err != nil {
				return err
			}
		case <-ready:
			batch, began := r.queue.take(pace.size), time.Now()
			r.metrics.waiting.Set(float64(r.queue.len()))
			for _, p := range batch {
				p.trace.Step(ctx, "wait", p.queued, began)
			}
			if err := r.apply(ctx, batch); err != nil {
				return err
			}
			took := time.Since(began)
			pace.took(len(batch), took)
			r.metrics.batch(len(batch), took)
		}
	}
}

// introduce publishes the fallback of a fleet that has just been put to use, and has the
// users renewed.
func (r *run) introduce(ctx context.Context, before fleet) error {
	r.counters.update(func(s *Stats) { s.Swaps++ })
	r.cfg.Logger.InfoContext(ctx, "swapped to model", "version", r.fleet.String())
	for version := range r.fleet.models {
		r.recall(version)
	}
	r.metrics.serves(r.fleet)
	if r.fleet.leader != before.leader {
		if err := r.putPopular(ctx, r.fleet.models[r.fleet.leader]); err != nil {
			return err
		}
		r.lead(r.fleet.models[r.fleet.leader])
	}
	r.announce(r.fleet)
	return nil
}

func (r *run) putPopular(ctx context.Context, model Generator) error {
	popular := sessions.Recommendations{
		RecID:        sessions.NewRecID(""), // of no version: nobody is credited
		ModelVersion: model.Version(),
		GeneratedAt:  time.Now(),
		Source:       sessions.SourcePopular,
		Items:        model.Popular(),
	}
	return backoff.Retry(ctx, r.cfg.Logger, "write the popular items", func() error {
		return r.sessions.PutPopular(ctx, popular)
	})
}

// creditedVersions is how many versions are remembered after they served: events name them
// while their lists are still shown somewhere.
const creditedVersions = 16

// recall remembers a version that serves, as the newest.
func (r *run) recall(version string) {
	r.served = slices.DeleteFunc(r.served, func(v string) bool { return v == version })
	r.served = append(r.served, version)
	if len(r.served) > creditedVersions {
		r.metrics.forget(r.served[0])
		r.served = r.served[1:]
	}
}
