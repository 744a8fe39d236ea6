package inference

import (
	"context"
	"fmt"
	"time"

	"genrec/pkg/backoff"
)

// reloadAfter is when a version that did not load is tried again: the storage
// may have been at fault.
const reloadAfter = time.Minute

// pollModels loads new versions and hands them to generate, which owns them
// from then on.
func (r *run) pollModels(ctx context.Context) error {
	var (
		serving, refused string
		refusedAt        time.Time
	)
	tick := time.NewTicker(r.cfg.PollModels)
	defer tick.Stop()
	for first := true; ; first = false {
		version, err := r.currentVersion(ctx)
		if err != nil {
			return err
		}
		if first && version == "" {
			r.cfg.Logger.InfoContext(ctx, "no model version yet: refreshes wait for the first one")
		}
		known := version == "" || version == serving || version == refused && time.Since(refusedAt) < reloadAfter
		if !known {
			next, err := r.load(ctx, version)
			switch {
			case err == nil:
				if err := r.handOver(ctx, next); err != nil {
					return err
				}
				serving, refused = version, ""
			case ctx.Err() != nil:
				return ctx.Err()
			default:
				if version != refused {
					r.cfg.Logger.ErrorContext(ctx, "refused a model version", "version", version, "serving", serving, "err", err)
				}
				refused, refusedAt = version, time.Now()
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (r *run) currentVersion(ctx context.Context) (version string, err error) {
	err = backoff.Retry(ctx, r.cfg.Logger, "look up the current model version", func() (err error) {
		version, err = r.models.Current(ctx)
		return err
	})
	return version, err
}

func (r *run) load(ctx context.Context, version string) (Generator, error) {
	model, err := r.models.Load(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("load model %q: %w", version, err)
	}
	if err := checkScores(model.Popular()); err != nil {
		r.closeModel(ctx, model)
		return nil, fmt.Errorf("popular items of model %q: %w", version, err)
	}
	return model, nil
}

func (r *run) handOver(ctx context.Context, next Generator) error {
	select {
	case r.loaded <- next:
		return nil
	case <-ctx.Done():
		r.closeModel(ctx, next)
		return ctx.Err()
	}
}

func (r *run) closeModel(ctx context.Context, model Generator) {
	if err := model.Close(); err != nil {
		r.cfg.Logger.ErrorContext(ctx, "close model", "version", model.Version(), "err", err)
	}
}
