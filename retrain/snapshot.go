package retrain

import (
	"context"
	"path/filepath"
	"time"

	"genrec/model/catalog"
	"genrec/pkg/registry"
	"genrec/retrain/snapshot"
)

// ErrNoData says that there is nothing to learn yet: no events, or none that a model could be
// trained and evaluated on.
var ErrNoData = snapshot.ErrNoData

// snapshotsFolder of a workspace holds the snapshots where there is no history, until a run
// has finished.
const snapshotsFolder = "snapshots"

// Collect takes a snapshot of now for a run, and reads it: for Config.Snapshot, and Run.
func Collect(ctx context.Context, from snapshot.Config, models *registry.Registry) (*snapshot.Snapshot, []catalog.Sequence, error) {
	if from.History == nil {
		from.Folder = filepath.Join(models.Workspace(), snapshotsFolder)
	}
	from.Watermark = time.Now()
	taken, err := snapshot.Take(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	sequences, err := taken.Sequences(ctx)
	return taken, sequences, err
}
