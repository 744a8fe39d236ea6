package importer

import (
	"context"
	"slices"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/event"
	"genrec/pkg/history"
)

// defaultSegmentEvents is the number of events after which a segment is published. After a kill,
// at most that many are imported again.
const defaultSegmentEvents = 1_000_000

// Erasures looks up when users were erased.
type Erasures interface {
	// Erasures returns, in the order of users, the time up to which a user's events were erased;
	// zero: never.
	Erasures(ctx context.Context, users []string) ([]time.Time, error)
}

// History is where all events are written to, including those that the sequences have no room
// for.
type History struct {
	Dir      *history.Dir // the history
	Erasures Erasures     // events of erased users are left out

	segmentEvents int64 // zero: defaultSegmentEvents
}

// historyWriter writes the events of a file to the history.
type historyWriter struct {
	*History
	segment *history.SegmentWriter // nil: none is open
}

// add writes the events of a batch whose last row is lastRow.
func (w *historyWriter) add(ctx context.Context, r *run, events []event.Event, lastRow int64) error {
	kept, err := w.withoutErased(ctx, r, events)
	if err != nil {
		return err
	}
	for _, e := range kept {
		if w.segment == nil {
			if w.segment, err = w.Dir.NewSegment(history.ImportPartition, lastRow); err != nil {
				return err
			}
		}
		if err := w.segment.Add(e); err != nil {
			return err
		}
	}
	return nil
}

// withoutErased returns the events that are newer than the last erasure of their user.
func (w *historyWriter) withoutErased(ctx context.Context, r *run, events []event.Event) ([]event.Event, error) {
	users := make([]string, len(events))
	for i, e := range events {
		users[i] = e.User
	}
	slices.Sort(users)
	users = slices.Compact(users)
	var erased []time.Time
	err := backoff.Retry(ctx, r.Logger, "look up erased users", func() (err error) {
		erased, err = w.Erasures.Erasures(ctx, users)
		return err
	})
	if err != nil {
		return nil, err
	}
	kept := make([]event.Event, 0, len(events))
	for _, e := range events {
		i, _ := slices.BinarySearch(users, e.User)
		if at := erased[i]; at.IsZero() || e.Time.After(at) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

func (w *historyWriter) full() bool {
	limit := w.segmentEvents
	if limit == 0 {
		limit = defaultSegmentEvents
	}
	return w.segment != nil && w.segment.Events() >= limit
}

// publish publishes the open segment and returns its number of events.
func (w *historyWriter) publish() (events int64, err error) {
	if w == nil || w.segment == nil {
		return 0, nil
	}
	segment := w.segment
	w.segment = nil
	return segment.Events(), segment.Publish()
}

func (w *historyWriter) discard() error {
	if w == nil || w.segment == nil {
		return nil
	}
	return w.segment.Discard()
}

// writeHistory writes the events of a batch to the history, if there is one, and stores in the
// resume file how far the file is imported: with a history, up to the end of the last published
// segment.
func (r *run) writeHistory(ctx context.Context, path string, size int64, b *batch) error {
	if r.history == nil {
		return r.Resume.advance(path, size, b.last)
	}
	if err := r.history.add(ctx, r, b.events, b.last); err != nil {
		return err
	}
	if !r.history.full() {
		return nil
	}
	if err := r.publishHistory(); err != nil {
		return err
	}
	return r.Resume.set(path, size, b.last, true)
}

func (r *run) publishHistory() error {
	events, err := r.history.publish()
	r.result.HistoryEvents += events
	return err
}
