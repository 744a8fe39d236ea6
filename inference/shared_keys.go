package inference

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"genrec/pkg/backoff"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// MaxItemsWithSimilar is the number of items, the most popular ones, whose similar items are
// written: it bounds their size in Redis.
const MaxItemsWithSimilar = 10_000

// leader is the loaded model with the largest share of the users. Its popular and similar items
// serve users without a list.
type leader struct {
	popular    userstate.List
	similar    iter.Seq2[string, userstate.SimilarItems]
	hasSimilar bool // known once similar has been written
}

func newLeader(model Generator) *leader {
	return &leader{similar: model.SimilarItems(), popular: userstate.List{
		RecID:        userstate.NewRecID(""), // without a version: events credit none
		ModelVersion: model.Version(),
		GeneratedAt:  time.Now(),
		Source:       userstate.SourcePopular,
		Items:        model.Popular(),
	}}
}

// maintainSharedKeys writes the similar items of each new leader, which takes about a second, and
// restores keys that are common to all users after Redis has lost them.
func (r *run) maintainSharedKeys(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.restoreEvery)
	defer tick.Stop()
	var current *leader // nil before the first
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case current = <-r.leaders:
			if err := r.putSimilar(ctx, current); err != nil {
				return err
			}
		case <-tick.C:
			if err := r.restoreSharedKeys(ctx, current); err != nil {
				return err
			}
		}
	}
}

func (r *run) putPopular(ctx context.Context, popular userstate.List) error {
	return backoff.Retry(ctx, r.cfg.Logger, "write the popular items", func() error {
		return r.sessions.PutPopular(ctx, popular)
	})
}

func (r *run) putSimilar(ctx context.Context, l *leader) error {
	return backoff.Retry(ctx, r.cfg.Logger, "write the similar items", func() error {
		return r.sessions.PutSimilar(ctx, func(yield func(string, userstate.SimilarItems) bool) {
			for item, similar := range l.similar {
				l.hasSimilar = true
				if !yield(item, similar) {
					return
				}
			}
		})
	})
}

// restoreSharedKeys rewrites the shared keys that Redis has lost, by a restart without persistence
// for instance. The leader may be nil.
func (r *run) restoreSharedKeys(ctx context.Context, l *leader) error {
	var found sessions.SharedKeys
	err := backoff.Retry(ctx, r.cfg.Logger, "check the shared keys", func() (err error) {
		found, err = r.sessions.SharedKeys(ctx)
		return err
	})
	if err != nil {
		return err
	}
	logLost := func(key string) {
		r.cfg.Logger.WarnContext(ctx, "Redis has lost a shared key; writing it again", "key", key)
	}
	if !found.Format {
		logLost("format")
		err := backoff.Retry(ctx, r.cfg.Logger, "record the format of sequences", func() error {
			err := r.sessions.ClaimFormat(ctx)
			if errors.Is(err, sessions.ErrFormat) {
				return backoff.Permanent(err)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("restore the format after Redis has lost its data: %w", err)
		}
	}
	if l == nil {
		return nil
	}
	if !found.Popular {
		logLost("popular")
		if err := r.putPopular(ctx, l.popular); err != nil {
			return err
		}
	}
	if l.hasSimilar && !found.Similar {
		logLost("near")
		return r.putSimilar(ctx, l)
	}
	return nil
}
