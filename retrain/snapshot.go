package retrain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"genrec/model/catalog"
	"genrec/sessions"
)

// Source is where the sequences of all users are.
type Source interface {
	Scan(ctx context.Context, each func(sessions.Sequence) error) error
}

// ErrNoData says that there is nothing to train on.
var ErrNoData = errors.New("no interactions to train on: produce events first, and let ingest run")

// Snapshot reads every user's sequence, in the order of user ids so that equal
// contents give an equal snapshot.
func Snapshot(ctx context.Context, source Source) ([]catalog.Sequence, error) {
	var all []catalog.Sequence
	err := source.Scan(ctx, func(s sessions.Sequence) error {
		if len(s.Interactions) == 0 {
			return nil
		}
		items := make([]string, len(s.Interactions))
		for i, interaction := range s.Interactions {
			items[i] = interaction.Item
		}
		all = append(all, catalog.Sequence{User: s.User, Items: items, Newest: s.Interactions[len(items)-1].Time})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take a snapshot of all sequences: %w", err)
	}
	if len(all) == 0 {
		return nil, ErrNoData
	}
	slices.SortFunc(all, func(a, b catalog.Sequence) int { return cmp.Compare(a.User, b.User) })
	return all, nil
}
