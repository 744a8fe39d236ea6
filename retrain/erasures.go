package retrain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"genrec/model/catalog"
	"genrec/pkg/backoff"
)

// Erasures says up to when users were forgotten, in the same order: the zero time for
// those who never were.
type Erasures interface {
	Erasures(ctx context.Context, users []string) ([]time.Time, error)
}

// ErrForgotten says that the snapshot has users who have been forgotten since.
var ErrForgotten = errors.New("users were forgotten since the snapshot was taken")

// clockSkew between who forgets users and who trains: the doubtful ones count as
// forgotten.
const clockSkew = time.Minute

const erasuresPage = 1000 // users asked for at a time

// takenAt is when the reading of the sequences began.
func (c Config) takenAt() time.Time {
	if c.Snapshot == nil {
		return time.Time{}
	}
	return c.Snapshot.Watermark
}

// refuseForgotten returns ErrForgotten if it applies. It waits for an answer as long as
// it takes: a training is at stake.
func (c Config) refuseForgotten(ctx context.Context, sequences []catalog.Sequence, since time.Time) error {
	if c.Erasures == nil {
		return nil
	}
	forgotten := 0
	for page := range slices.Chunk(sequences, erasuresPage) {
		users := make([]string, len(page))
		for i, s := range page {
			users[i] = s.User
		}
		var erased []time.Time
		err := backoff.Retry(ctx, c.Logger, "look whether users were forgotten", func() (err error) {
			erased, err = c.Erasures.Erasures(ctx, users)
			return err
		})
		if err != nil {
			return err
		}
		for _, at := range erased {
			if !at.IsZero() && !at.Before(since.Add(-clockSkew)) {
				forgotten++
			}
		}
	}
	if forgotten > 0 {
		return fmt.Errorf("%d %w", forgotten, ErrForgotten)
	}
	return nil
}
