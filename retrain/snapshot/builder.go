package snapshot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"genrec/pkg/durable"
	"genrec/pkg/history"
	"genrec/sessions"
)

// Sequences are the sequences of all users in Redis. *sessions.Store implements it.
type Sequences interface {
	// Walk calls fn with the sequence of every user, possibly more than once. It skips and counts
	// users with an unreadable sequence.
	Walk(ctx context.Context, fn func(sessions.Sequence) error) (skipped int64, err error)
}

// Erasures reports which users were erased, and when. *sessions.Store implements it.
type Erasures interface {
	// Erasures returns the time of each user's erasure, zero for users that were not erased.
	Erasures(ctx context.Context, users []string) ([]time.Time, error)
}

// Config configures Build. History, Sequences or both are required.
type Config struct {
	Folder    string       // for the snapshots; ignored if there is a History
	History   *history.Dir // the previous snapshot and newer segments
	Sequences Sequences    // the newest events of all users
	Erasures  Erasures     // nil: no user was erased
	Watermark time.Time    // later events are kept for the next snapshot
	Logger    *slog.Logger // default: slog.Default()

	limits limits
}

// limits bound memory and files.
type limits struct {
	rows   int64 // in memory at a time, approximately
	file   int64 // rows per file, approximately
	fanOut int   // bits of the user hash per partitioning pass
	passes int   // maximum number of partitioning passes
}

var defaultLimits = limits{rows: 250_000, file: 4_000_000, fanOut: 8, passes: 4}

var (
	// ErrNoData reports that there is no event.
	ErrNoData = errors.New("not enough data to train on")
	// ErrBusy reports that another process is building a snapshot.
	ErrBusy = errors.New("another process is building a snapshot")
)

// keptSnapshots is the number of snapshots that are kept, with the new one.
const keptSnapshots = 2

// builder builds a snapshot in a draft folder.
type builder struct {
	Config
	limits       limits
	number       int             // of the new snapshot
	previous     *Snapshot       // nil if there is none to build on
	previousRows *snapshotReader // rows of previous, ordered by user hash
	dir          string          // the draft

	manifest Manifest
	users    *fileWriter         // events up to the watermark
	later    *fileWriter         // events after the watermark
	items    map[string]struct{} // ids of all items
	erased   int64               // dropped events of erased users
	skipped  int64               // users with an unreadable sequence in Redis
}

// Build builds a snapshot without the events of erased users. It reads all events from disk once or twice
// and holds about 250,000 of them in memory at a time, plus the ids of all items. Afterwards it deletes
// the merged segments and all but one older snapshot, or all older snapshots if they may contain events
// of users erased since.
func Build(ctx context.Context, c Config) (*Snapshot, error) {
	if c.History != nil {
		c.Folder = c.History.Snapshots()
	}
	folder, err := filepath.Abs(c.Folder) // an interrupted run may be resumed from another working directory
	if err != nil {
		return nil, fmt.Errorf("build a snapshot: %w", err)
	}
	c.Folder = folder
	c.Logger = cmp.Or(c.Logger, slog.Default())
	b := &builder{Config: c, limits: cmp.Or(c.limits, defaultLimits), items: make(map[string]struct{})}
	s, err := b.build(ctx)
	if err != nil {
		return nil, fmt.Errorf("build a snapshot in %s: %w", c.Folder, err)
	}
	return s, nil
}

func (b *builder) build(ctx context.Context) (s *Snapshot, err error) {
	started := time.Now()
	if err := os.MkdirAll(b.Folder, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(b.Folder, "lock"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := b.createDraft(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()

	var segments []history.Segment
	if b.History != nil {
		if err := b.History.RemoveAbandoned(); err != nil {
			return nil, err
		}
		if segments, err = b.History.Segments(); err != nil {
			return nil, err
		}
	}
	if err := b.writeFiles(ctx, segments); err != nil {
		return nil, err
	}
	if s, err = b.publish(); err != nil {
		return nil, err
	}
	s.Skipped = b.skipped
	b.Logger.InfoContext(ctx, "built a snapshot", "dir", s.Dir, "users", s.Users, "items", s.Items, "events", s.Events,
		"erased_events", b.erased, "skipped_users", b.skipped, "segments", len(segments), "seconds", int(time.Since(started).Seconds()))
	if b.History != nil {
		err = b.History.Remove(segments)
	}
	return s, errors.Join(err, b.prune())
}

// lock locks a file, or returns ErrBusy if another process has locked it.
func lock(path string) (unlock func() error, err error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w (%w)", ErrBusy, err), file.Close())
	}
	return file.Close, nil
}

const draftPrefix = ".draft-"

// createDraft opens the previous snapshot and creates the draft folder. It removes other drafts: under the
// lock they can only be left from killed processes.
func (b *builder) createDraft() error {
	abandoned, err := filepath.Glob(filepath.Join(b.Folder, draftPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range abandoned {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	numbers, err := list(b.Folder)
	if err != nil {
		return err
	}
	b.number = 1
	if n := len(numbers); n > 0 {
		b.number = numbers[n-1] + 1
		if b.History != nil {
			if b.previous, err = Open(dirOf(b.Folder, numbers[n-1])); err != nil {
				return err
			}
		}
	}
	if b.dir, err = os.MkdirTemp(b.Folder, draftPrefix); err != nil {
		return err
	}
	return os.Chmod(b.dir, 0o755) // MkdirTemp creates it unreadable for others
}

// writeFiles writes the Parquet files of the draft.
func (b *builder) writeFiles(ctx context.Context, segments []history.Segment) (err error) {
	b.users, b.later = newFileWriter(b.dir, "users", b.limits.file), newFileWriter(b.dir, "later", b.limits.file)
	defer func() { err = errors.Join(err, b.users.discard(), b.later.discard()) }()
	if b.previous != nil {
		b.previousRows = &snapshotReader{snapshot: b.previous}
		defer func() { err = errors.Join(err, b.previousRows.close()) }()
	}
	shuffleFiles, err := b.partition(ctx, segments)
	if err != nil {
		return err
	}
	if err := b.merge(ctx, shuffleFiles, 0, 0); err != nil {
		return err
	}
	if b.manifest.Files, err = b.users.close(); err != nil {
		return err
	}
	b.manifest.Later, err = b.later.close()
	return err
}

// publish writes the manifest and renames the draft to the snapshot.
func (b *builder) publish() (*Snapshot, error) {
	m := &b.manifest
	if m.Events == 0 {
		return nil, fmt.Errorf("%w: there are no interactions: produce events first, and let ingest run", ErrNoData)
	}
	m.SchemaVersion, m.Watermark, m.Items = SchemaVersion, b.Watermark.UTC(), int64(len(b.items))
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(b.dir, manifestFile), append(text, '\n')); err != nil {
		return nil, err
	}
	if err := durable.Sync(b.dir); err != nil {
		return nil, err
	}
	dir := dirOf(b.Folder, b.number)
	if err := durable.Rename(b.dir, dir); err != nil {
		return nil, err
	}
	return Open(dir)
}

// prune removes old snapshots: all of them if events of erased users were dropped.
func (b *builder) prune() error {
	numbers, err := list(b.Folder)
	if err != nil {
		return err
	}
	kept := keptSnapshots
	if b.erased > 0 {
		kept = 1
	}
	for _, number := range numbers[:max(0, len(numbers)-kept)] {
		draft := filepath.Join(b.Folder, fmt.Sprint(draftPrefix, number)) // a partly removed snapshot is never visible
		err := durable.Rename(dirOf(b.Folder, number), draft)
		if err == nil {
			err = os.RemoveAll(draft)
		}
		if err != nil {
			return fmt.Errorf("remove an old snapshot: %w", err)
		}
	}
	return nil
}
