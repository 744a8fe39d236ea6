package retrain

import (
	"context"
	"errors"
	"fmt"

	"genrec/model/catalog"
	"genrec/pkg/registry"
	"genrec/retrain/snapshot"
)

// RunLatest trains on the snapshot of an interrupted run of the same configuration, or else on
// a new snapshot of the sources, and publishes the model as Run does. If users are erased
// meanwhile, it trains again without them.
func RunLatest(ctx context.Context, c Config, sources snapshot.Config, models *registry.Registry) (Report, error) {
	c.Erasures = sources.Erasures
	for {
		var sequences []catalog.Sequence
		var err error
		if c.Snapshot, sequences, err = latestSnapshot(ctx, c, sources, models); err != nil {
			return Report{}, err
		}
		report, err := Run(ctx, c, sequences, models)
		if !errors.Is(err, ErrForgotten) {
			return report, err
		}
		c.Logger.WarnContext(ctx, "training again without the users that were erased meanwhile", "err", err)
	}
}

func latestSnapshot(ctx context.Context, c Config, sources snapshot.Config, models *registry.Registry) (*snapshot.Snapshot, []catalog.Sequence, error) {
	interrupted, sequences, err := Interrupted(ctx, c, models)
	if err != nil {
		return nil, nil, err
	}
	if interrupted != nil {
		c.Logger.InfoContext(ctx, "resuming the interrupted training", "users", interrupted.Users, "watermark", interrupted.Watermark)
		return interrupted, sequences, nil
	}
	return Collect(ctx, sources, models)
}

// A training that ends without an error may still not change what serves.
var (
	// ErrRefused says that the gate refused the new version.
	ErrRefused = errors.New("the new version is not served")
	// ErrWaiting says that the version passed the gate, and that a split of the users among
	// other versions has to end before it is promoted.
	ErrWaiting = errors.New("the new version is not served yet")
)

// NotServed says why the version of the report does not serve: it is ErrRefused or ErrWaiting,
// with the outcome, or nil if the version serves.
func (r Report) NotServed() error {
	switch {
	case r.Serves():
		return nil
	case r.Gate.Promoted:
		return fmt.Errorf("%w: %s", ErrWaiting, r.Outcome())
	}
	return fmt.Errorf("%w: %s", ErrRefused, r.Outcome())
}
