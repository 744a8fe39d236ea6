package inference

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/registry"
)

// reloadAfter is when a version that did not load is tried again: the storage
// may have been at fault.
const reloadAfter = time.Minute

// loader follows what is to be served.
type loader struct {
	*run
	set     *servingSet // in use, nil before the first
	refused map[string]time.Time
}

// pollModels loads new versions beside the old ones, and swaps to them between two batches.
func (r *run) pollModels(ctx context.Context) error {
	l := loader{run: r, refused: make(map[string]time.Time)}
	defer l.close(ctx)
	tick := time.NewTicker(r.cfg.PollModels)
	defer tick.Stop()
	for first := true; ; first = false {
		shares, err := r.wanted(ctx)
		if err != nil {
			return err
		}
		if first && len(shares) == 0 {
			r.cfg.Logger.InfoContext(ctx, "no model version yet: refreshes wait for the first one")
		}
		if err := l.follow(ctx, shares); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (r *run) wanted(ctx context.Context) (shares []registry.Share, err error) {
	err = backoff.Retry(ctx, r.cfg.Logger, "look up the model versions to serve", func() (err error) {
		shares, err = r.models.Serving(ctx)
		return err
	})
	return shares, err
}

// close closes the models in use, after the last batch.
func (l *loader) close(ctx context.Context) {
	if set := l.serving.swap(nil); set != nil {
		set.batches.Wait()
		l.closeModels(ctx, set, nil)
	}
}

// follow swaps to another set if there is a change, unless none of its models can be loaded:
// then the one before goes on.
func (l *loader) follow(ctx context.Context, shares []registry.Share) error {
	maps.DeleteFunc(l.refused, func(version string, _ time.Time) bool {
		return !slices.ContainsFunc(shares, func(s registry.Share) bool { return s.Version == version })
	})
	before := l.set
	if before == nil {
		before = &servingSet{}
	}
	models := make(map[string]Generator)
	for _, s := range shares {
		model := before.models[s.Version]
		if model == nil {
			var err error
			if model, err = l.try(ctx, s); err != nil {
				l.closeModels(ctx, &servingSet{models: models}, l.set)
				return err
			}
		}
		if model != nil {
			models[s.Version] = model
		}
	}
	if len(models) == 0 || slices.Equal(shares, before.shares) && maps.Equal(models, before.models) {
		return nil
	}
	l.set = newServingSet(shares, models, credit(before.credited, slices.Collect(maps.Keys(models))...))
	return l.swap(ctx, l.set)
}

// try loads a version, or returns nil if it is broken. One that was is not tried again at
// once.
func (l *loader) try(ctx context.Context, s registry.Share) (Generator, error) {
	at, again := l.refused[s.Version]
	if again && time.Since(at) < reloadAfter {
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
		l.cfg.Logger.ErrorContext(ctx, "refused a model version: others serve its users",
			"version", s.Version, "percent", s.Percent, "serving", l.served(), "err", err)
		l.counters.refused.Add(1)
	}
	l.refused[s.Version] = time.Now()
	return nil, nil
}

func (l *loader) served() string {
	if l.set == nil {
		return ""
	}
	return l.set.String()
}

func (r *run) load(ctx context.Context, version string) (Generator, error) {
	began := time.Now()
	model, err := r.models.Load(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("load model %q: %w", version, err)
	}
	loaded := time.Now()
	if err := warm(ctx, model, r.cfg.MaxBatch); err != nil {
		r.closeModel(ctx, model)
		return nil, fmt.Errorf("warm model %q: %w", version, err)
	}
	r.cfg.Logger.InfoContext(ctx, "loaded a model version", "version", version, "load", loaded.Sub(began), "warm", time.Since(loaded))
	return model, nil
}

func (r *run) closeModel(ctx context.Context, model Generator) {
	if err := model.Close(); err != nil {
		r.cfg.Logger.ErrorContext(ctx, "close model", "version", model.Version(), "err", err)
	}
}
