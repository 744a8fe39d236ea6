package snapshot

import (
	"context"
	"errors"
	"fmt"

	"genrec/pkg/history"
	"genrec/sessions"
)

// gather divides all rows but those of the base by the hash of their users, in the order of
// arrival: what the base keeps for later, the segments, what Redis has beyond them.
func (t *builder) gather(ctx context.Context, segments []history.Segment) (*shuffleFiles, error) {
	s, err := newShuffleFiles(t.dir, t.limits.fanOut, 0)
	if err != nil {
		return nil, err
	}
	if err := t.gatherAll(ctx, s, segments); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

func (t *builder) gatherAll(ctx context.Context, s *shuffleFiles, segments []history.Segment) error {
	if t.base != nil {
		for _, file := range t.base.Later {
			if err := t.gatherFile(ctx, s, func() (*history.Reader[history.Row], error) { return openFile(t.base.Dir, file) }); err != nil {
				return err
			}
		}
	}
	for _, segment := range segments {
		if err := t.gatherFile(ctx, s, segment.Open); err != nil {
			return err
		}
	}
	if t.Hot != nil {
		if err := t.gatherHot(ctx, s); err != nil {
			return err
		}
	}
	return s.flush()
}

func (t *builder) gatherFile(ctx context.Context, s *shuffleFiles, open func() (*history.Reader[history.Row], error)) (err error) {
	rows, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for n := 0; ; n++ {
		if n%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		next, err := rows.Next()
		if err != nil {
			return unlessEnd(err)
		}
		if err := s.add(newRow(next)); err != nil {
			return err
		}
	}
}

func (t *builder) gatherHot(ctx context.Context, s *shuffleFiles) error {
	var err error
	t.skipped, err = t.Hot.Walk(ctx, func(sequence sessions.Sequence) error {
		for _, i := range sequence.Interactions {
			r := history.Row{ID: i.EventID, User: sequence.User, Item: i.Item, Time: i.Time.UnixMilli(), Type: i.Type}
			if err := s.add(newRow(r)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the sequences of all users: %w", err)
	}
	return nil
}
