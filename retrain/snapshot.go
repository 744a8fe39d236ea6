package retrain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"genrec/model/catalog"
	"genrec/pkg/backoff"
	"genrec/pkg/registry"
	"genrec/retrain/snapshot"
)

// ErrNoData reports that there is too little data: no events, or none that a model could be trained and
// evaluated on.
var ErrNoData = snapshot.ErrNoData

// snapshotsFolder is the folder in a workspace for snapshots without a history. A finished run removes it.
const snapshotsFolder = "snapshots"

// Collect builds a snapshot and reads it, for Config.Snapshot and Run.
func Collect(ctx context.Context, from snapshot.Config, models *registry.Registry) (*snapshot.Snapshot, []catalog.Sequence, error) {
	if from.History == nil {
		from.Folder = filepath.Join(models.Workspace(), snapshotsFolder)
	}
	from.Watermark = time.Now()
	taken, err := snapshot.Build(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	sequences, err := taken.Sequences(ctx)
	return taken, sequences, err
}

// RunLatest runs on the snapshot of an interrupted run of the same configuration, or else on a new
// snapshot of the sources. If users are erased during the training, it trains again without them.
func RunLatest(ctx context.Context, c Config, sources snapshot.Config, models *registry.Registry) (Report, error) {
	c.Erasures = sources.Erasures
	for {
		var sequences []catalog.Sequence
		var err error
		if c.Snapshot, sequences, err = latestSnapshot(ctx, c, sources, models); err != nil {
			return Report{}, err
		}
		report, err := Run(ctx, c, sequences, models)
		if !errors.Is(err, ErrErased) {
			return report, err
		}
		c.Logger.WarnContext(ctx, "users were erased during the training, training again without them", "err", err)
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

// maxInterruptedAge is the maximum age of an interrupted run that is resumed: after a day there is enough
// new data to start again.
const maxInterruptedAge = 24 * time.Hour

// Interrupted returns the snapshot of a run of the same configuration that was interrupted within the last
// day, and its sequences, with which Run resumes it. It returns nil if there is no such run, users were
// erased since, or the snapshot is missing.
func Interrupted(ctx context.Context, c Config, models *registry.Registry) (*snapshot.Snapshot, []catalog.Sequence, error) {
	dir := models.Workspace()
	var saved checkpoint
	err := readJSON(filepath.Join(dir, stateFile), &saved)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	var interrupted identity
	if err := errors.Join(err, readJSON(filepath.Join(dir, runFile), &interrupted)); err != nil {
		return nil, nil, fmt.Errorf("look for an interrupted run: %w", err)
	}
	previous, err := c.previousVersion(ctx, models)
	if err != nil {
		return nil, nil, err
	}
	this := identify(c, nil, previous)
	this.Snapshot, this.SnapshotDir, this.Started = interrupted.Snapshot, interrupted.SnapshotDir, interrupted.Started
	if interrupted != this || interrupted.SnapshotDir == "" || time.Since(interrupted.Started) > maxInterruptedAge {
		return nil, nil, nil
	}
	taken, err := snapshot.Open(interrupted.SnapshotDir)
	if errors.Is(err, snapshot.ErrNone) || err == nil && taken.Hash != interrupted.Snapshot {
		return nil, nil, nil
	}
	var sequences []catalog.Sequence
	if err == nil {
		sequences, err = taken.Sequences(ctx)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the snapshot of an interrupted run: %w", err)
	}
	err = c.checkErasures(ctx, sequences, taken.Watermark)
	if errors.Is(err, ErrErased) {
		return nil, nil, nil
	}
	return taken, sequences, err
}

// checkData returns ErrNoData, with the reason, unless a model can be trained and evaluated on the
// sequences.
func checkData(sequences []catalog.Sequence, allowSeen bool) error {
	longEnough, canEvaluate, canTrain := 0, false, false
	for _, s := range sequences {
		history := catalog.WithoutHeldOut(s.Items, 1)
		canTrain = canTrain || slices.ContainsFunc(history, func(item string) bool { return item != history[0] })
		if len(s.Items) >= minEvaluationItems {
			longEnough++
			canEvaluate = canEvaluate || allowSeen || !slices.Contains(history, s.Items[len(s.Items)-1])
		}
	}
	switch {
	case len(sequences) == 0:
		return fmt.Errorf("%w: there are no interactions: produce events first, and let ingest run", ErrNoData)
	case longEnough == 0:
		return fmt.Errorf("%w: none of %d users has %d events, the minimum for the evaluation", ErrNoData, len(sequences), minEvaluationItems)
	case !canTrain:
		return fmt.Errorf("%w: without the last event, which is held out for evaluation, none of %d users has events of two different items", ErrNoData, len(sequences))
	case !canEvaluate:
		return fmt.Errorf("%w: evaluation needs a user whose last item is new to them, but each of the %d users with %d events had it before; --allow-seen allows recommending such items",
			ErrNoData, longEnough, minEvaluationItems)
	}
	return nil
}

// ErrErased reports that users of the snapshot were erased since it was built.
var ErrErased = errors.New("users of the snapshot were erased since it was built")

// clockSkew is the tolerated difference between the clocks of the two processes: within it, users count as
// erased.
const clockSkew = time.Minute

const erasuresPage = 1000 // users per request

// snapshotTime returns the time at which building the snapshot began, zero for other data.
func (c Config) snapshotTime() time.Time {
	if c.Snapshot == nil {
		return time.Time{}
	}
	return c.Snapshot.Watermark
}

// checkErasures returns ErrErased if any user was erased since a time. It retries until Redis responds, so
// that an outage does not discard a training.
func (c Config) checkErasures(ctx context.Context, sequences []catalog.Sequence, since time.Time) error {
	if c.Erasures == nil {
		return nil
	}
	count := 0
	for page := range slices.Chunk(sequences, erasuresPage) {
		users := make([]string, len(page))
		for i, s := range page {
			users[i] = s.User
		}
		var erased []time.Time
		err := backoff.Retry(ctx, c.Logger, "check for erased users", func() (err error) {
			erased, err = c.Erasures.Erasures(ctx, users)
			return err
		})
		if err != nil {
			return err
		}
		for _, at := range erased {
			if !at.IsZero() && !at.Before(since.Add(-clockSkew)) {
				count++
			}
		}
	}
	if count > 0 {
		return fmt.Errorf("%d %w", count, ErrErased)
	}
	return nil
}
