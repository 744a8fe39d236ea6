package retrain

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"genrec/model/catalog"
	"genrec/pkg/registry"
)

// snapshotFile keeps what an interrupted run was training on, because the sequences
// in Redis will have moved on.
const snapshotFile = "snapshot.jsonl"

// worthFinishing is how old an interrupted run may be: after a day there is enough
// news to begin anew.
const worthFinishing = 24 * time.Hour

// Interrupted returns the snapshot of a run of the same configuration that was stopped
// or killed within the last day; Run goes on with it. Without such a run, or if users of
// it have been forgotten since, the snapshot is nil.
func Interrupted(ctx context.Context, c Config, models *registry.Registry) ([]catalog.Sequence, error) {
	dir := models.Workspace()
	var at state
	err := readJSON(filepath.Join(dir, stateFile), &at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var theirs identity
	if err := errors.Join(err, readJSON(filepath.Join(dir, runFile), &theirs)); err != nil {
		return nil, fmt.Errorf("look for an interrupted run: %w", err)
	}
	mine := identify(ctx, c, nil, models)
	mine.Snapshot, mine.SnapshotAt, mine.Started = theirs.Snapshot, theirs.SnapshotAt, theirs.Started
	if theirs != mine || time.Since(theirs.Started) > worthFinishing {
		return nil, nil
	}
	sequences, err := readSnapshot(filepath.Join(dir, snapshotFile))
	if err != nil {
		return nil, fmt.Errorf("go on with an interrupted run: %w", err)
	}
	err = c.refuseForgotten(ctx, sequences, theirs.SnapshotAt)
	if errors.Is(err, ErrForgotten) {
		return nil, nil
	}
	return sequences, err
}

func writeSnapshot(path string, sequences []catalog.Sequence) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	lines := json.NewEncoder(out)
	for _, s := range sequences {
		err = errors.Join(err, lines.Encode(s))
	}
	return errors.Join(err, out.Flush(), file.Sync(), file.Close())
}

func readSnapshot(path string) (sequences []catalog.Sequence, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := json.NewDecoder(bufio.NewReader(file))
	for {
		var s catalog.Sequence
		err := lines.Decode(&s)
		if errors.Is(err, io.EOF) {
			return sequences, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode %s: %w", path, err)
		}
		sequences = append(sequences, s)
	}
}
