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

// snapshotsFolder of a workspace has the snapshots if there is no history, until the run has finished.
const snapshotsFolder = "snapshots"

// Collect takes a snapshot and reads it, for Config.Snapshot and Run.
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

// maxInterruptedAge is the maximum age of an interrupted run that is resumed: after a day there is enough
// new data to start again.
const maxInterruptedAge = 24 * time.Hour

// Interrupted returns the snapshot of a run of the same configuration that was interrupted within the last
// day, and its sequences, with which Run resumes it. It returns nil if there is no such run, users were
// erased since, or the snapshot is missing.
func Interrupted(ctx context.Context, c Config, models *registry.Registry) (*snapshot.Snapshot, []catalog.Sequence, error) {
	dir := models.Workspace()
	var at state
	err := readJSON(filepath.Join(dir, stateFile), &at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	var theirs identity
	if err := errors.Join(err, readJSON(filepath.Join(dir, runFile), &theirs)); err != nil {
		return nil, nil, fmt.Errorf("find an interrupted run: %w", err)
	}
	before, err := c.previousVersion(ctx, models)
	if err != nil {
		return nil, nil, err
	}
	mine := identify(c, nil, before)
	mine.Snapshot, mine.SnapshotDir, mine.Started = theirs.Snapshot, theirs.SnapshotDir, theirs.Started
	if theirs != mine || theirs.SnapshotDir == "" || time.Since(theirs.Started) > maxInterruptedAge {
		return nil, nil, nil
	}
	taken, err := snapshot.Open(theirs.SnapshotDir)
	if errors.Is(err, snapshot.ErrNone) || err == nil && taken.Hash != theirs.Snapshot {
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
	if errors.Is(err, ErrForgotten) {
		return nil, nil, nil
	}
	return taken, sequences, err
}

// checkData returns ErrNoData, with the reason, unless something can be learned of the sequences and
// somebody be asked for what comes next.
func checkData(sequences []catalog.Sequence, allowSeen bool) error {
	long, answerable, changing := 0, false, false
	for _, s := range sequences {
		known := catalog.WithoutHeldOut(s.Items, 1)
		changing = changing || slices.ContainsFunc(known, func(item string) bool { return item != known[0] })
		if len(s.Items) >= minEvaluationItems {
			long++
			answerable = answerable || allowSeen || !slices.Contains(known, s.Items[len(s.Items)-1])
		}
	}
	switch {
	case len(sequences) == 0:
		return fmt.Errorf("%w: there are no interactions: produce events first, and let ingest run", ErrNoData)
	case long == 0:
		return fmt.Errorf("%w: none of %d users has %d events, so that nobody can be evaluated", ErrNoData, len(sequences), minEvaluationItems)
	case !changing:
		return fmt.Errorf("%w: before the last event, which is kept for the evaluation, none of %d users has events of two different items", ErrNoData, len(sequences))
	case !answerable:
		return fmt.Errorf("%w: the last item of each of the %d users with %d events is one that the user had before, so that nobody can be evaluated; --allow-seen recommends those, too",
			ErrNoData, long, minEvaluationItems)
	}
	return nil
}

// ErrForgotten reports that users of the snapshot were erased since it was taken.
var ErrForgotten = errors.New("users were forgotten since the snapshot was taken")

// clockSkew is the tolerated difference between the clocks of the two processes: within it, users count as
// erased.
const clockSkew = time.Minute

const erasuresPage = 1000 // users per request

// takenAt returns the time at which reading the sequences began.
func (c Config) takenAt() time.Time {
	if c.Snapshot == nil {
		return time.Time{}
	}
	return c.Snapshot.Watermark
}

// checkErasures returns ErrForgotten if it applies. It waits for an answer as long as
// it takes: a training is at stake.
func (c Config) checkErasures(ctx context.Context, sequences []catalog.Sequence, since time.Time) error {
	if c.Erasures == nil {
		return nil
	}
	forgotten := 0
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
				forgotten++
			}
		}
	}
	if forgotten > 0 {
		return fmt.Errorf("%d %w", forgotten, ErrForgotten)
	}
	return nil
}
