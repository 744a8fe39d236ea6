// Package backfill puts events from files into the users' sequences, beside the live
// stream and without Kafka in between.
//
// It can be repeated: an event whose id is in a sequence changes nothing, so that a run
// after one that was stopped, or after a file has grown, ends in the same sequences.
package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

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
	for _, path := range files {
		if err := r.file(ctx, path); err != nil {
			return r.result, err
		}
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
}

// batch is a number of rows.
type batch struct {
	rows, skipped int64
	last          int64 // number of the last row
	size          int
	events        []event.Event
	sources       []row // of the events
	skippedUsers  []string
	refused       []Refused
}

func (r *run) file(ctx context.Context, path string) (err error) {
	f, err := openFile(path, r.Format, r.Words)
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
		b.add(next, path, done, r.Limits)
		if b.rows >= batchRows || b.size >= batchBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
}

func (b *batch) add(next row, path string, done int64, limits event.Limits) {
	b.rows++
	b.size += len(next.value)
	b.last = next.number
	skip := next.number <= done
	if skip {
		b.skipped++
	}
	var e event.Event
	refused := Refused{File: path, Line: next.number, Value: next.value}
	if next.err != nil {
		refused.Reason, refused.Detail = ReasonBadRow, next.err.Error()
	} else {
		var err error
		e, err = event.Decode(next.value, time.Now(), limits)
		var invalid *event.InvalidError
		if errors.As(err, &invalid) {
			refused.Reason, refused.Detail = string(invalid.Reason), invalid.Detail
		}
	}
	switch {
	case refused.Reason != "" && !skip:
		b.refused = append(b.refused, refused)
	case refused.Reason == "" && skip:
		b.skippedUsers = append(b.skippedUsers, e.User)
	case refused.Reason == "":
		b.events = append(b.events, e)
		b.sources = append(b.sources, next)
	}
}

// refuseUsers refuses the events of users whose sequence is unreadable.
func (b *batch) refuseUsers(path string, unreadable sessions.UserErrors) {
	why := make(map[string]string, len(unreadable))
	for _, e := range unreadable {
		why[e.User] = e.Error()
	}
	events, sources := b.events[:0], b.sources[:0]
	for i, e := range b.events {
		if detail, refused := why[e.User]; refused {
			b.refused = append(b.refused, Refused{
				File: path, Line: b.sources[i].number, Value: b.sources[i].value, Reason: ReasonBadSequence, Detail: detail,
			})
			continue
		}
		events, sources = append(events, e), append(sources, b.sources[i])
	}
	b.events, b.sources = events, sources
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
	if r.result.Refused >= allRefused && r.result.Refused == r.result.Rows {
		return fmt.Errorf("all of the first %d rows are refused, line %d because of %s (%s): is it the right file?",
			r.result.Refused, b.last, b.refused[len(b.refused)-1].Reason, b.refused[len(b.refused)-1].Detail)
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

// group puts the events of a user together, in their order.
func group(events []event.Event) []sessions.UserEvents {
	position := make(map[string]int)
	var byUser []sessions.UserEvents
	for _, e := range events {
		at, known := position[e.User]
		if !known {
			at = len(byUser)
			position[e.User] = at
			byUser = append(byUser, sessions.UserEvents{User: e.User})
		}
		byUser[at].Events = append(byUser[at].Events, e)
	}
	return byUser
}
