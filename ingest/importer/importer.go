// Package importer appends historical events from files to the users' sequences, and to the
// history, beside the live stream and without Kafka in between.
//
// It reads events as CSV, TSV, JSON Lines and Parquet, also compressed and in partitioned folders,
// and the files of public datasets. For each file, a rowReader (format.go chooses it) converts
// rows to JSON events, after the column names, types and time formats of the file are mapped to
// those of an event (Mapping). Events are then validated like those of the live stream and
// appended in batches, one at a time, so that Redis can serve others in between. At the end, every
// user is refreshed once.
//
// An import is idempotent: events have the ids that the file gives them, or ids that follow from
// their content, and an id that is in a sequence changes nothing. A repeated import, after a kill
// or after a file has grown, therefore ends in the same sequences. A resume file saves reading
// again what is done.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"genrec/pkg/backoff"
	"genrec/pkg/event"
	"genrec/sessions"
)

const (
	// Batches are small, so that they do not block Redis for long.
	batchRows  = 512
	batchBytes = 1 << 20
	// maxAllRejected is the number of rows after which an import fails if all were rejected: the
	// file probably has another format.
	maxAllRejected = 1000
)

// Reason codes of rejected rows in addition to those of package event.
const (
	ReasonBadRow      = "bad_row"      // the row is malformed
	ReasonBadSequence = "bad_sequence" // the user's sequence in Redis is unreadable
)

// Sessions stores the sequences.
type Sessions interface {
	// Append appends events, each event id once per sequence. If it returns sessions.UserErrors,
	// it has appended the events of all other users.
	Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error)
}

// Progress displays how many MiB of a file have been read.
type Progress interface {
	Start(stage string, steps, done int) // begins a file of a number of MiB
	Step(loss float64)                   // one more MiB is read; loss is unused
	Finish()                             // the file is done
}

// RejectedRow is a row without a valid event.
type RejectedRow struct {
	File           string // path of the file
	Line           int64  // from 1; in Parquet, the row
	Value          []byte // the row, or its event as JSON
	Reason, Detail string // code, and text for people
}

// Config configures a Run.
type Config struct {
	Format   Format                                                       // zero: Auto
	Mapping  Mapping                                                      // of names in the files to those of events
	Limits   event.Limits                                                 // of valid events
	Reject   func(context.Context, []RejectedRow) error                   // stores rejected rows
	Refresh  func(context.Context, func() (user string, err error)) error // refreshes users until io.EOF; nil: no refreshes
	Resume   *ResumeFile                                                  // how far an earlier run came; nil: not stored
	History  *History                                                     // nil: no history, events that sequences have no room for are lost
	Progress Progress                                                     // shows how far files are read
	Logger   *slog.Logger                                                 // of retries and skipped files
}

// Result counts rows by outcome.
type Result struct {
	Rows          int64 // read
	Skipped       int64 // imported by an earlier run, according to the resume file
	Appended      int64 // events that changed a sequence
	Duplicates    int64 // events that changed none: duplicate, or older than all events that are kept
	Rejected      int64 // without a valid event
	HistoryEvents int64 // events written to the history, including those that it already has
	Users         int64 // refreshed
}

// Run imports files and folders one after the other.
func Run(ctx context.Context, cfg Config, s Sessions, paths []string) (_ Result, err error) {
	r := &run{Config: cfg, sessions: s}
	if cfg.Refresh != nil {
		if r.users, err = newUserSet(); err != nil {
			return Result{}, err
		}
		defer func() { err = errors.Join(err, r.users.close()) }()
	}
	if cfg.History != nil {
		r.history = &historyWriter{History: cfg.History}
		defer func() { err = errors.Join(err, r.history.discard()) }()
	}
	inputs, err := listFiles(paths)
	if err != nil {
		return Result{}, err
	}
	for _, in := range inputs {
		err := r.importFile(ctx, in)
		if errors.Is(err, errEmpty) && len(inputs) > 1 {
			cfg.Logger.WarnContext(ctx, "skipped an empty file", "file", in.path)
			continue
		}
		if err != nil {
			return r.result, err
		}
	}
	if done := r.result; done.Rejected > 0 && done.Rejected == done.Rows {
		return done, r.allRejected("all %d rows")
	}
	if r.users != nil {
		r.result.Users = r.users.n
		if err := r.users.rewind(); err != nil {
			return r.result, err
		}
		return r.result, cfg.Refresh(ctx, r.users.next)
	}
	return r.result, nil
}

// run is the state of a Run.
type run struct {
	Config
	sessions     Sessions
	users        *userSet       // to refresh; nil: no refreshes
	history      *historyWriter // nil: no history
	result       Result
	lastRejected RejectedRow
}

// allRejected returns the error about files of which no row was imported.
func (r *run) allRejected(which string) error {
	last := r.lastRejected
	return fmt.Errorf(which+" are rejected, line %d of %s because of %s (%s): is it the right file?",
		r.result.Rejected, last.Line, last.File, last.Reason, last.Detail)
}

// importFile reads batches of a file and applies them, both concurrently.
func (r *run) importFile(ctx context.Context, in input) (err error) {
	path := in.path
	f, err := openFile(path, fileOptions{Mapping: r.Mapping, format: r.Format, limits: r.Limits, partitions: in.partitions})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	const mib = 1 << 20
	r.Progress.Start("import "+path, int(f.size/mib)+1, 0)
	defer r.Progress.Finish()

	done := r.Resume.row(path, f.size, r.history != nil)
	batches := make(chan *batch, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		return readBatches(ctx, f, path, done, batches)
	})
	group.Go(func() error {
		var shown int64
		for b := range batches {
			if err := r.apply(ctx, path, f.size, b); err != nil {
				return err
			}
			for ; (shown+1)*mib <= min(f.read.Load(), f.size); shown++ {
				r.Progress.Step(0)
			}
		}
		return nil
	})
	err = group.Wait()
	if err == nil {
		r.Progress.Step(0) // the last, partial MiB
		err = r.publishHistory()
	}
	if err != nil {
		return fmt.Errorf("import %s: %w", path, err)
	}
	return r.Resume.set(path, f.size, endOfFile, r.history != nil)
}

// readBatches sends batches of the rows after the first done ones; of those before, only the users
// are kept.
func readBatches(ctx context.Context, f *file, path string, done int64, batches chan<- *batch) error {
	b := &batch{}
	send := func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case batches <- b:
			b = &batch{}
			return nil
		}
	}
	for {
		next, err := f.next()
		if errors.Is(err, io.EOF) {
			return send()
		}
		if err != nil {
			return errors.Join(err, send())
		}
		b.add(next, path, done, f.options)
		if b.rows >= batchRows || b.size >= batchBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
}

// apply appends the events of a batch to the sequences and the history, and stores its rejected
// rows.
func (r *run) apply(ctx context.Context, path string, size int64, b *batch) error {
	byUser := groupByUser(b.events)
	if len(byUser) > 0 {
		what := fmt.Sprintf("append to the sequences of %d users", len(byUser))
		var unreadable sessions.UserErrors
		err := backoff.Retry(ctx, r.Logger, what, func() error {
			appended, err := r.sessions.Append(ctx, byUser)
			if err != nil && !errors.As(err, &unreadable) {
				return err
			}
			for _, a := range appended {
				r.result.Appended += int64(a.Added)
				r.result.Duplicates -= int64(a.Added)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(unreadable) > 0 {
			b.rejectUsers(path, unreadable)
			byUser = groupByUser(b.events)
		}
	}
	if len(b.rejected) > 0 {
		if err := r.Reject(ctx, b.rejected); err != nil {
			return err
		}
		r.lastRejected = b.rejected[len(b.rejected)-1]
	}
	r.result.Rows += b.rows
	r.result.Skipped += b.skipped
	r.result.Duplicates += int64(len(b.events))
	r.result.Rejected += int64(len(b.rejected))
	if r.result.Rejected >= maxAllRejected && r.result.Rejected == r.result.Rows {
		return r.allRejected("all of the first %d rows")
	}
	if r.users != nil {
		for _, user := range b.skippedUsers {
			if err := r.users.add(user); err != nil {
				return err
			}
		}
		for _, u := range byUser {
			if err := r.users.add(u.User); err != nil {
				return err
			}
		}
	}
	return r.writeHistory(ctx, path, size, b)
}
