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

// Forget removes the sequences and recommendations of users, and leaves an erasure of
// each: events up to now (or up to the newest that the user had, if that is later) and
// recommendations under way are ignored from then on, also when they are delivered
// again. Later events begin a new sequence, whose versions go on from the old one. It
// says of which users there was anything, and can be repeated.
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

// Erasures returns up to when users were forgotten, in the same order: the zero time
// for those who never were. An unreadable erasure is logged and counts as one of all events,
// so that it keeps no other user out of a training and brings nobody back.
func (s *Store) Erasures(ctx context.Context, users []string) ([]time.Time, error) {
	stored := make([]*redis.StringCmd, len(users))
	pipe := s.rdb.Pipeline()
	for i, user := range users {
		stored[i] = pipe.Get(ctx, s.keys.Erasure(user))
	}
	_, _ = pipe.Exec(ctx) // every answer has its own error
	erased := make([]time.Time, len(users))
	for i, user := range users {
		value, err := stored[i].Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err == nil {
			erased[i], err = userstate.DecodeErasure(value)
		} else if ofUser(user, err) == nil {
			return nil, fmt.Errorf("read the erasures of %d users: %w", len(users), err)
		}
		if err != nil {
			erased[i] = userstate.Forever
			s.opts.Logger.WarnContext(ctx, "left out all events of a user whose erasure is unreadable: run genrec forget",
				"user", user, "key", s.keys.Erasure(user), "err", err)
		}
	}
	return erased, nil
}
