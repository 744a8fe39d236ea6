package retrain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"genrec/model/catalog"
	"genrec/pkg/registry"
	"genrec/retrain/snapshot"
)

// worthFinishing is how old an interrupted run may be: after a day there is enough
// news to begin anew.
const worthFinishing = 24 * time.Hour

// Interrupted returns the snapshot of a run of the same configuration that was stopped
// or killed within the last day, and what it holds; Run goes on with them. Without such a
// run, or if users of it have been forgotten since, or the snapshot is gone, it is nil.
func Interrupted(ctx context.Context, c Config, models *registry.Registry) (*snapshot.Snapshot, []catalog.Sequence, error) {
	dir := models.Workspace()
	var at state
	err := readJSON(filepath.Join(dir, stateFile), &at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	var theirs identity
	if err := errors.Join(err, readJSON(filepath.Join(dir, runFile), &theirs)); err != nil {
		return nil, nil, fmt.Errorf("look for an interrupted run: %w", err)
	}
	before, err := c.predecessor(ctx, models)
	if err != nil {
		return nil, nil, err
	}
	mine := identify(c, nil, before)
	mine.Snapshot, mine.SnapshotDir, mine.Started = theirs.Snapshot, theirs.SnapshotDir, theirs.Started
	if theirs != mine || theirs.SnapshotDir == "" || time.Since(theirs.Started) > worthFinishing {
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
		return nil, nil, fmt.Errorf("go on with an interrupted run: %w", err)
	}
	err = c.refuseForgotten(ctx, sequences, taken.Watermark)
	if errors.Is(err, ErrForgotten) {
		return nil, nil, nil
	}
	return taken, sequences, err
}
