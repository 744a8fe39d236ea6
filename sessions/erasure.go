package sessions

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// Forget deletes the sequences and lists of users and writes an erasure for each. From then on,
// events up to now (or up to the user's newest event, if that is later) are ignored, however
// often they are delivered, and so are lists generated from the deleted sequence. Later events
// start a new sequence whose versions continue from the old one. found reports for which users
// there was data. Forget is idempotent.
func (s *Store) Forget(ctx context.Context, users []string, now time.Time) (found []bool, err error) {
	calls := make([]call, len(users))
	for i, user := range users {
		calls[i] = call{
			keys: []string{s.keys.Sequence(user), s.keys.List(user), s.keys.Erasure(user)},
			args: []any{strconv.FormatInt(now.UnixMilli(), 10)},
		}
	}
	results, err := s.evalEach(ctx, forgetScript, calls)
	if err != nil {
		return nil, fmt.Errorf("forget %d users: %w", len(users), err)
	}
	found = make([]bool, len(users))
	for i, result := range results {
		if found[i], err = result.Bool(); err != nil {
			return nil, fmt.Errorf("forget user %q: %w", users[i], err)
		}
	}
	return found, nil
}

// Erasures returns the times up to which users were erased, in the same order, and the zero time
// for users without an erasure. An unreadable erasure is logged and treated as covering all
// events: an erased user does not reappear, and the other users can still be read.
func (s *Store) Erasures(ctx context.Context, users []string) ([]time.Time, error) {
	stored := make([]*redis.StringCmd, len(users))
	pipe := s.rdb.Pipeline()
	for i, user := range users {
		stored[i] = pipe.Get(ctx, s.keys.Erasure(user))
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	erased := make([]time.Time, len(users))
	for i, user := range users {
		value, err := stored[i].Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err == nil {
			erased[i], err = userstate.DecodeErasure(value)
		} else if asUserError(user, err) == nil {
			return nil, fmt.Errorf("read the erasures of %d users: %w", len(users), err)
		}
		if err != nil {
			erased[i] = userstate.Forever
			s.opts.Logger.WarnContext(ctx, "ignoring all events of a user with an unreadable erasure: run genrec forget",
				"user", user, "key", s.keys.Erasure(user), "err", err)
		}
	}
	return erased, nil
}
