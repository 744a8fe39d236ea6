package importer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/event"
	"genrec/pkg/history"
)

// segmentEvents is how many events of a file are in one segment of the history, at most. It is
// what a run does again that was killed.
const segmentEvents = 1_000_000

// Erasures says up to when users were forgotten, in the same order: the zero time for those who
// never were.
type Erasures interface {
	Erasures(ctx context.Context, users []string) ([]time.Time, error)
}

// History keeps all events, also those that the sequences have no room for.
type History struct {
	Dir      *history.Dir
	Erasures Erasures // whose events are left out

	most int64 // events of a segment; zero: segmentEvents
}

// past is the segment of a file's events that is being written.
type past struct {
	*History
	draft *history.SegmentWriter // nil: none
}

// add writes the events of a batch that ends with a row.
func (p *past) add(ctx context.Context, r *run, events []event.Event, row int64) error {
	kept, err := p.withoutForgotten(ctx, r, events)
	if err != nil {
		return err
	}
	for _, e := range kept {
		if p.draft == nil {
			if p.draft, err = p.Dir.NewSegment(history.ImportPartition, row); err != nil {
				return err
			}
		}
		if err := p.draft.Add(e); err != nil {
			return err
		}
	}
	return nil
}

func (p *past) withoutForgotten(ctx context.Context, r *run, events []event.Event) ([]event.Event, error) {
	users := make([]string, len(events))
	for i, e := range events {
		users[i] = e.User
	}
	slices.Sort(users)
	users = slices.Compact(users)
	var erased []time.Time
	err := backoff.Retry(ctx, r.Logger, "look whether users were forgotten", func() (err error) {
		erased, err = p.Erasures.Erasures(ctx, users)
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

// full says whether it is time to publish.
func (p *past) full() bool {
	most := p.most
	if most == 0 {
		most = segmentEvents
	}
	return p.draft != nil && p.draft.Events() >= most
}

// publish puts the segment in place, and says how many events it has.
func (p *past) publish() (events int64, err error) {
	if p == nil || p.draft == nil {
		return 0, nil
	}
	draft := p.draft
	p.draft = nil
	return draft.Events(), draft.Publish()
}

func (p *past) discard() error {
	if p == nil || p.draft == nil {
		return nil
	}
	if err := p.draft.Discard(); err != nil {
		return fmt.Errorf("leave no half of a segment: %w", err)
	}
	return nil
}

// remember keeps the events of a batch in the history, if there is one, and how far the file is
// done: with a history, up to the end of a segment that is on the disk.
func (r *run) remember(ctx context.Context, path string, size int64, b *batch) error {
	if r.past == nil {
		return r.Place.reach(path, size, b.last)
	}
	if err := r.past.add(ctx, r, b.events, b.last); err != nil {
		return err
	}
	if !r.past.full() {
		return nil
	}
	if err := r.keep(); err != nil {
		return err
	}
	return r.Place.set(path, size, b.last, true)
}

// keep publishes what is left of a file.
func (r *run) keep() error {
	events, err := r.past.publish()
	r.result.Archived += events
	return err
}
