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

// Source has the newest events of all users.
type Source interface {
	// Walk calls each with the sequence of every user, possibly more than once. It skips and counts
	// users with an unreadable sequence.
	Walk(ctx context.Context, each func(sessions.Sequence) error) (skipped int64, err error)
}

// Erasures knows erased users.
type Erasures interface {
	// Erasures returns the time of each user's erasure, zero for users that were not erased.
	Erasures(ctx context.Context, users []string) ([]time.Time, error)
}

// Config configures Take. There may be a History, a Hot source, or both.
type Config struct {
	Folder    string       // of the snapshots, if there is no History
	History   *history.Dir // has the previous snapshot and newer segments
	Hot       Source       // the sequences in Redis
	Erasures  Erasures     // nil: no user was erased
	Watermark time.Time    // later events are left for the next snapshot
	Logger    *slog.Logger // default: slog.Default()

	limits limits
}

// limits bound memory and files.
type limits struct {
	rows    int64 // in memory at a time, approximately
	file    int64 // rows per file, approximately
	fanOut  int   // bits of the user hash per partitioning pass
	deepest int   // maximum number of passes
}

var defaultLimits = limits{rows: 250_000, file: 4_000_000, fanOut: 8, deepest: 4}

var (
	// ErrNoData reports that there is no event.
	ErrNoData = errors.New("nothing to learn yet")
	// ErrBusy reports that another process is building a snapshot.
	ErrBusy = errors.New("another snapshot is being taken")
)

// keep is the number of snapshots that a history keeps.
const keep = 2

// builder builds a snapshot.
type builder struct {
	Config
	limits limits
	number int       // of the new snapshot
	base   *Snapshot // nil: none
	old    *sorted   // rows of the base, ordered by user hash
	dir    string    // of the draft

	manifest     Manifest
	users, later *files
	items        map[string]struct{}
	forgotten    int64 // events of erased users
	skipped      int64 // users of Hot with unreadable sequences
}

// Take builds a snapshot without the events of erased users. It reads all events from disk once or twice
// and holds about 250,000 of them in memory at a time, plus the ids of all items. Afterwards it deletes
// the merged segments and all but one older snapshot, or all older snapshots if they may contain events
// of users erased since.
func Take(ctx context.Context, c Config) (*Snapshot, error) {
	if c.History != nil {
		c.Folder = c.History.Snapshots()
	}
	folder, err := filepath.Abs(c.Folder) // an interrupted run may be resumed from another working directory
	if err != nil {
		return nil, fmt.Errorf("take a snapshot: %w", err)
	}
	c.Folder = folder
	c.Logger = cmp.Or(c.Logger, slog.Default())
	t := &builder{Config: c, limits: cmp.Or(c.limits, defaultLimits), items: make(map[string]struct{})}
	s, err := t.take(ctx)
	if err != nil {
		return nil, fmt.Errorf("take a snapshot in %s: %w", c.Folder, err)
	}
	return s, nil
}

func (t *builder) take(ctx context.Context) (s *Snapshot, err error) {
	started := time.Now()
	if err := os.MkdirAll(t.Folder, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(t.Folder, "lock"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := t.begin(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.dir)) }()

	var segments []history.Segment
	if t.History != nil {
		if err := t.History.RemoveAbandoned(); err != nil {
			return nil, err
		}
		if segments, err = t.History.Segments(); err != nil {
			return nil, err
		}
	}
	if err := t.fill(ctx, segments); err != nil {
		return nil, err
	}
	if s, err = t.publish(); err != nil {
		return nil, err
	}
	s.Skipped = t.skipped
	t.Logger.InfoContext(ctx, "took a snapshot", "in", s.Dir, "users", s.Users, "items", s.Items, "events", s.Events,
		"forgotten_events", t.forgotten, "skipped_users", t.skipped, "segments", len(segments), "seconds", int(time.Since(started).Seconds()))
	if t.History != nil {
		err = t.History.Remove(segments)
	}
	return s, errors.Join(err, t.prune())
}

// lock takes a file for this process alone.
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

// begin finds the base and makes a folder for the draft. Other drafts are of processes that
// were killed, because nobody else has the lock.
func (t *builder) begin() error {
	abandoned, err := filepath.Glob(filepath.Join(t.Folder, draftPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range abandoned {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	numbers, err := list(t.Folder)
	if err != nil {
		return err
	}
	t.number = 1
	if n := len(numbers); n > 0 {
		t.number = numbers[n-1] + 1
		if t.History != nil {
			if t.base, err = Open(dirOf(t.Folder, numbers[n-1])); err != nil {
				return err
			}
		}
	}
	if t.dir, err = os.MkdirTemp(t.Folder, draftPrefix); err != nil {
		return err
	}
	return os.Chmod(t.dir, 0o755) // MkdirTemp lets nobody else read
}

// fill writes the files of the draft.
func (t *builder) fill(ctx context.Context, segments []history.Segment) (err error) {
	t.users, t.later = newFiles(t.dir, "users", t.limits.file), newFiles(t.dir, "later", t.limits.file)
	defer func() { err = errors.Join(err, t.users.discard(), t.later.discard()) }()
	if t.base != nil {
		t.old = &sorted{snapshot: t.base}
		defer func() { err = errors.Join(err, t.old.close()) }()
	}
	shuffleFiles, err := t.gather(ctx, segments)
	if err != nil {
		return err
	}
	if err := t.merge(ctx, shuffleFiles); err != nil {
		return err
	}
	if t.manifest.Files, err = t.users.end(); err != nil {
		return err
	}
	t.manifest.Later, err = t.later.end()
	return err
}

// publish completes the draft and gives it its name.
func (t *builder) publish() (*Snapshot, error) {
	m := &t.manifest
	if m.Events == 0 {
		return nil, fmt.Errorf("%w: there are no interactions: produce events first, and let ingest run", ErrNoData)
	}
	m.SchemaVersion, m.Watermark, m.Items = SchemaVersion, t.Watermark.UTC(), int64(len(t.items))
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(t.dir, manifestFile), append(text, '\n')); err != nil {
		return nil, err
	}
	if err := durable.Sync(t.dir); err != nil {
		return nil, err
	}
	dir := dirOf(t.Folder, t.number)
	if err := durable.Rename(t.dir, dir); err != nil {
		return nil, err
	}
	return Open(dir)
}

// prune removes what the new snapshot makes superfluous.
func (t *builder) prune() error {
	numbers, err := list(t.Folder)
	if err != nil {
		return err
	}
	kept := keep
	if t.forgotten > 0 {
		kept = 1
	}
	for _, number := range numbers[:max(0, len(numbers)-kept)] {
		gone := filepath.Join(t.Folder, fmt.Sprint(draftPrefix, number)) // so that no half of it is ever seen
		err := durable.Rename(dirOf(t.Folder, number), gone)
		if err == nil {
			err = os.RemoveAll(gone)
		}
		if err != nil {
			return fmt.Errorf("remove an old snapshot: %w", err)
		}
	}
	return nil
}
