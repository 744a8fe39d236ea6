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

// MostNear is of how many items it is written what is popular near them, the most popular
// ones: that bounds what Redis keeps of it.
const MostNear = 10_000

// leader is what the leading model says of all users and items.
type leader struct {
	popular userstate.List
	near    iter.Seq2[string, userstate.SimilarItems]
	hasNear bool // known once near has been written
}

// lead tells keepShared which model leads now.
func (r *run) lead(l leader) {
	select {
	case <-r.leads: // it has not begun with the one before
	default:
	}
	r.leads <- l
}

// keepShared writes what is popular near items by each model that comes to lead, beside
// what is generated: it takes about a second. From time to time it looks whether Redis still
// has what is there for all users, and writes it again if not.
func (r *run) keepShared(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.restoreEvery)
	defer tick.Stop()
	var current *leader // nil: no model leads yet
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l := <-r.leads:
			current = &l
			if err := r.putNear(ctx, current); err != nil {
				return err
			}
		case <-tick.C:
			if err := r.restore(ctx, current); err != nil {
				return err
			}
		}
	}
}

func (r *run) putNear(ctx context.Context, l *leader) error {
	return backoff.Retry(ctx, r.cfg.Logger, "write what is popular near items", func() error {
		return r.sessions.PutSimilar(ctx, func(yield func(string, userstate.SimilarItems) bool) {
			for item, near := range l.near {
				l.hasNear = true
				if !yield(item, near) {
					return
				}
			}
		})
	})
}

// restore writes again what Redis has lost of what is there for all users.
func (r *run) restore(ctx context.Context, l *leader) error {
	var found sessions.SharedKeys
	err := backoff.Retry(ctx, r.cfg.Logger, "look for the keys of all users", func() (err error) {
		found, err = r.sessions.SharedKeys(ctx)
		return err
	})
	if err != nil {
		return err
	}
	lost := func(what string) {
		r.cfg.Logger.WarnContext(ctx, "Redis has lost a key: writing it again", "key", what)
	}
	if !found.Format {
		lost("format")
		err := backoff.Retry(ctx, r.cfg.Logger, "note the format of sequences", func() error {
			err := r.sessions.ClaimFormat(ctx)
			if errors.Is(err, sessions.ErrFormat) {
				return backoff.Permanent(err)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("after Redis has lost its data: %w", err)
		}
	}
	if l == nil {
		return nil
	}
	if !found.Popular {
		lost("popular")
		if err := r.putPopular(ctx, l.popular); err != nil {
			return err
		}
	}
	if l.hasNear && !found.Similar {
		lost("near")
		return r.putNear(ctx, l)
	}
	return nil
}
