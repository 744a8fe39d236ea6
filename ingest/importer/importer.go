// Package importer puts events from files into the users' sequences, beside the live
// stream and without Kafka in between.
//
// It can be repeated: an event whose id is in a sequence changes nothing, so that a run
// after one that was stopped, or after a file has grown, ends in the same sequences.
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
	// A batch is short, and there is one at a time, so that Redis answers others between.
	batchRows  = 512
	batchBytes = 1 << 20
	// So many rows that are all refused are another kind of file.
	allRefused = 1000
)

// Reasons for refusing a row beside those of package event.
const (
	ReasonBadRow      = "bad_row"      // it is no row of its format
	ReasonBadSequence = "bad_sequence" // the sequence of its user in Redis is unreadable
)

// Sessions keeps the sequences. Append must be idempotent per event id, and append to the
// others if it returns sessions.UserErrors.
type Sessions interface {
	Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error)
}

// Progress shows how far a file is read, in MiB.
type Progress interface {
	Start(stage string, steps, done int)
	Step(loss float64)
	Finish()
}

// Refused is a row that is no event.
type Refused struct {
	File           string
	Line           int64 // in Parquet, the row
	Value          []byte
	Reason, Detail string
}

// Config configures a Run.
type Config struct {
	Format   Format // zero: Auto
	Words    Words  // what has other names in the files
	Limits   event.Limits
	Refuse   func(context.Context, []Refused) error                       // keeps the refused rows
	Refresh  func(context.Context, func() (user string, err error)) error // asks for recommendations for all users until io.EOF; nil: nobody does
	Place    *Place                                                       // where an earlier run was stopped; nil: nobody wants to know
	History  *History                                                     // nil: what the sequences have no room for is lost
	Progress Progress
	Logger   *slog.Logger
}

// Result counts rows by what became of them.
type Result struct {
	Rows     int64 // read
	Skipped  int64 // done by an earlier run
	Appended int64 // events that changed a sequence
	Known    int64 // events that changed none: known already, or older than all that is kept
	Refused  int64
	Archived int64 // events written to the history, also those that it has already
	Users    int64 // with a refresh
}

// Run reads the files one after the other.
func Run(ctx context.Context, cfg Config, s Sessions, files []string) (_ Result, err error) {
	r := &run{Config: cfg, sessions: s}
	if cfg.Refresh != nil {
		if r.users, err = newUsers(); err != nil {
			return Result{}, err
		}
		defer func() { err = errors.Join(err, r.users.close()) }()
	}
	if cfg.History != nil {
		r.past = &past{History: cfg.History}
		defer func() { err = errors.Join(err, r.past.discard()) }()
	}
	inputs, err := expand(files)
	if err != nil {
		return Result{}, err
	}
	for _, in := range inputs {
		err := r.file(ctx, in)
		if errors.Is(err, errEmpty) && len(inputs) > 1 {
			cfg.Logger.WarnContext(ctx, "skipped an empty file", "file", in.path)
			continue
		}
		if err != nil {
			return r.result, err
		}
	}
	if done := r.result; done.Refused > 0 && done.Refused == done.Rows {
		return done, r.allRefused("all %d rows")
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

type run struct {
	Config
	sessions Sessions
	users    *users // nil: nobody asks for recommendations
	past     *past  // nil: there is no history
	result   Result
	refused  Refused // the latest
}

// allRefused says what is wrong with files of which no row was imported.
func (r *run) allRefused(which string) error {
	last := r.refused
	return fmt.Errorf(which+" are refused, line %d of %s because of %s (%s): is it the right file?",
		r.result.Refused, last.Line, last.File, last.Reason, last.Detail)
}

func (r *run) file(ctx context.Context, in input) (err error) {
	path := in.path
	f, err := openFile(path, reading{Words: r.Words, format: r.Format, limits: r.Limits, partitions: in.partitions})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	const mib = 1 << 20
	r.Progress.Start("import "+path, int(f.size/mib)+1, 0)
	defer r.Progress.Finish()

	done := r.Place.of(path, f.size, r.past != nil)
	batches := make(chan *batch, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		return r.read(ctx, f, path, done, batches)
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
		r.Progress.Step(0) // what is less than a MiB
		err = r.keep()
	}
	if err != nil {
		return fmt.Errorf("import %s: %w", path, err)
	}
	return r.Place.set(path, f.size, end, r.past != nil)
}

// read makes batches of what is behind row done, and passes the users before it on.
func (r *run) read(ctx context.Context, f *file, path string, done int64, batches chan<- *batch) error {
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
		b.add(next, path, done, f.reading)
		if b.rows >= batchRows || b.size >= batchBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
}

func (r *run) apply(ctx context.Context, path string, size int64, b *batch) error {
	byUser := group(b.events)
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
				r.result.Known -= int64(a.Added)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(unreadable) > 0 {
			b.refuseUsers(path, unreadable)
			byUser = group(b.events)
		}
	}
	if len(b.refused) > 0 {
		if err := r.Refuse(ctx, b.refused); err != nil {
			return err
		}
	}
	r.result.Rows += b.rows
	r.result.Skipped += b.skipped
	r.result.Known += int64(len(b.events))
	r.result.Refused += int64(len(b.refused))
	if n := len(b.refused); n > 0 {
		r.refused = b.refused[n-1]
	}
	if r.result.Refused >= allRefused && r.result.Refused == r.result.Rows {
		return r.allRefused("all of the first %d rows")
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
	return r.remember(ctx, path, size, b)
}
