package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// After a model swap, one process refreshes the lists of all active users in the background:
// ScanActive finds the users whose list is of another version, and SetRefreshed records that the
// refresh is complete.

// ActiveUser is a user with a recent event.
type ActiveUser struct {
	User    string // ID of the user
	Version string // of the model that generated the user's list; "" if there is no list
}

// ScanActive calls fn with pages of the users whose newest event is not before since, in no
// particular order, and returns its first error. A user may come twice. It keeps one page in
// memory and transfers only a few bytes of each user's data.
func (s *Store) ScanActive(ctx context.Context, since time.Time, fn func([]ActiveUser) error) error {
	return s.scanKeys(ctx, func(keys []string) error {
		page, err := s.activeUsers(ctx, keys, since)
		if err != nil {
			return err
		}
		return fn(page)
	})
}

func (s *Store) activeUsers(ctx context.Context, sequenceKeys []string, since time.Time) (page []ActiveUser, err error) {
	newest := make([]*redis.StringCmd, len(sequenceKeys))
	lists := make([]*redis.StringCmd, len(sequenceKeys))
	pipe := s.rdb.Pipeline()
	for i, key := range sequenceKeys {
		newest[i] = pipe.GetRange(ctx, key, userstate.NewestStart, userstate.NewestEnd)
		lists[i] = pipe.GetRange(ctx, s.keys.List(s.keys.User(key)), 0, userstate.RecIDBytes-1)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, key := range sequenceKeys {
		for _, err := range []error{newest[i].Err(), lists[i].Err()} {
			if err != nil && asUserError(key, err) == nil {
				return nil, fmt.Errorf("read the last activity of %d users: %w", len(sequenceKeys), err)
			}
		}
		ms := userstate.ParseTime(newest[i].Val())
		if ms < 0 || ms < since.UnixMilli() {
			continue // unreadable, deleted in the meantime, or inactive
		}
		page = append(page, ActiveUser{User: s.keys.User(key), Version: userstate.VersionOf(userstate.ParseRecID(lists[i].Val()))})
	}
	return page, nil
}

// Refreshed returns the serving set for which the last background refresh was completed; "" if
// there was none.
func (s *Store) Refreshed(ctx context.Context) (servingSet string, err error) {
	servingSet, err = s.rdb.Get(ctx, s.keys.Refreshed()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read the state of the background refresh: %w", err)
	}
	return servingSet, nil
}

// SetRefreshed records that the background refresh for a serving set is complete.
func (s *Store) SetRefreshed(ctx context.Context, servingSet string) error {
	if err := s.rdb.Set(ctx, s.keys.Refreshed(), servingSet, 0).Err(); err != nil {
		return fmt.Errorf("write the state of the background refresh: %w", err)
	}
	return nil
}
