package inference

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/registry"
	"genrec/pkg/userstate"
)

// Models gives access to model versions.
type Models interface {
	// Serving returns the versions to serve with their shares of the users, or none if no version
	// was promoted yet.
	Serving(ctx context.Context) ([]registry.Share, error)
	// Load loads a version. It may take long; other versions serve meanwhile.
	Load(ctx context.Context, version string) (Generator, error)
}

// retryLoadAfter is the delay before a refused version is loaded again, in case the storage was at
// fault.
const retryLoadAfter = time.Minute

// modelLoader keeps the serving set in accordance with the registry.
type modelLoader struct {
	*run
	set     *servingSet          // the active set, nil before the first
	refused map[string]time.Time // time of the last attempt, by version
}

// pollModels polls for the versions to serve. It loads new versions while the old ones serve.
func (r *run) pollModels(ctx context.Context) error {
	l := modelLoader{run: r, refused: make(map[string]time.Time)}
	defer l.close(ctx)
	tick := time.NewTicker(r.cfg.PollModels)
	defer tick.Stop()
	for first := true; ; first = false {
		shares, err := r.versionsToServe(ctx)
		if err != nil {
			return err
		}
		if first && len(shares) == 0 {
			r.cfg.Logger.InfoContext(ctx, "no model version yet; refreshes wait for the first promotion")
		}
		if err := l.update(ctx, shares); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (r *run) versionsToServe(ctx context.Context) (shares []registry.Share, err error) {
	err = backoff.Retry(ctx, r.cfg.Logger, "read the model versions to serve", func() (err error) {
		shares, err = r.models.Serving(ctx)
		return err
	})
	return shares, err
}

// close closes the models after the last batch.
func (l *modelLoader) close(ctx context.Context) {
	if set := l.active.swap(nil); set != nil {
		set.batches.Wait()
		l.closeModels(ctx, set, nil)
	}
}

// update activates a new set if the shares or the loaded models change. If none of the models can
// be loaded, the active set stays.
func (l *modelLoader) update(ctx context.Context, shares []registry.Share) error {
	maps.DeleteFunc(l.refused, func(version string, _ time.Time) bool {
		return !slices.ContainsFunc(shares, func(s registry.Share) bool { return s.Version == version })
	})
	current := l.set
	if current == nil {
		current = &servingSet{}
	}
	models := make(map[string]Generator)
	for _, s := range shares {
		model := current.models[s.Version]
		if model == nil {
			var err error
			if model, err = l.tryLoad(ctx, s); err != nil {
				l.closeModels(ctx, &servingSet{models: models}, l.set)
				return err
			}
		}
		if model != nil {
			models[s.Version] = model
		}
	}
	if len(models) == 0 || slices.Equal(shares, current.shares) && maps.Equal(models, current.models) {
		return nil
	}
	l.set = newServingSet(shares, models, rememberVersions(current.recentVersions, slices.Collect(maps.Keys(models))...))
	return l.activate(ctx, l.set)
}

// tryLoad loads a version, or returns nil if it is refused. A refused version is retried after
// retryLoadAfter.
func (l *modelLoader) tryLoad(ctx context.Context, s registry.Share) (Generator, error) {
	at, again := l.refused[s.Version]
	if again && time.Since(at) < retryLoadAfter {
		return nil, nil
	}
	model, err := l.load(ctx, s.Version)
	if ctx.Err() != nil && err != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		delete(l.refused, s.Version)
		return model, nil
	}
	if !again {
		l.cfg.Logger.ErrorContext(ctx, "refused a model version; others serve its users",
			"version", s.Version, "percent", s.Percent, "serving", l.describe(), "err", err)
		l.counters.refused.Add(1)
	}
	l.refused[s.Version] = time.Now()
	return nil, nil
}

func (l *modelLoader) describe() string {
	if l.set == nil {
		return ""
	}
	return l.set.String()
}

// load loads a version and preloads it.
func (r *run) load(ctx context.Context, version string) (Generator, error) {
	began := time.Now()
	model, err := r.models.Load(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("load model %q: %w", version, err)
	}
	loaded := time.Now()
	if err := preload(ctx, model, r.cfg.MaxBatch); err != nil {
		r.closeModel(ctx, model)
		return nil, fmt.Errorf("preload model %q: %w", version, err)
	}
	r.cfg.Logger.InfoContext(ctx, "loaded a model version", "version", version, "load", loaded.Sub(began), "preload", time.Since(loaded))
	return model, nil
}

func (r *run) closeModel(ctx context.Context, model Generator) {
	if err := model.Close(); err != nil {
		r.cfg.Logger.ErrorContext(ctx, "close model", "version", model.Version(), "err", err)
	}
}

// preloadSizes are the batch sizes of preload: a single user, the minimum, and a large batch that
// grows memory pools.
var preloadSizes = []int{1, minBatch, 16 * minBatch}

// preload generates reference batches with a new model before it serves. This initializes what is
// created on first use, and rejects a model that fails or returns only empty lists.
func preload(ctx context.Context, model Generator, maxBatch int) error {
	popular := model.Popular()
	if err := checkScores(popular); err != nil {
		return fmt.Errorf("popular items: %w", err)
	}
	if len(popular) == 0 {
		return nil // there are no items to build sequences from
	}
	nonEmpty := false
	for _, size := range preloadSizes {
		requests := make([]Request, min(size, maxBatch))
		for i := range requests {
			for j := range 1 + i%len(popular) { // sequences of different lengths
				requests[i].Items = append(requests[i].Items, popular[(i+j)%len(popular)].Item)
			}
		}
		generated, err := callModel(ctx, model, requests)
		if err != nil {
			return fmt.Errorf("generate for %d users: %w", len(requests), err)
		}
		nonEmpty = nonEmpty || slices.ContainsFunc(generated.Lists, func(list []userstate.ScoredItem) bool { return len(list) > 0 })
	}
	if !nonEmpty && len(popular) > 1 {
		return errors.New("all generated lists are empty")
	}
	return nil
}
