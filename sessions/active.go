package sessions

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/redisconn"
	"genrec/pkg/userstate"
)

// ActiveUser is a user who did something lately.
type ActiveUser struct {
	User    string
	Version string // of the model that made their recommendations, empty if none did
}

// ScanActive calls fn with the users whose newest event is not before since, a page after
// the other, in no order, and returns its first error. A user may come twice. It holds
// nothing but a page: of the users' data, Redis sends some bytes.
func (s *Store) ScanActive(ctx context.Context, since time.Time, fn func([]ActiveUser) error) error {
	masters, err := redisconn.Masters(ctx, s.rdb)
	if err != nil {
		return err
	}
	pattern := s.keys.SequencePattern()
	for _, master := range masters {
		for cursor, more := uint64(0), true; more; more = cursor != 0 {
			var keys []string
			if keys, cursor, err = master.Scan(ctx, cursor, pattern, scanPage).Result(); err != nil {
				return fmt.Errorf("scan the sequences in Redis: %w", err)
			}
			page, err := s.activeOf(ctx, keys, since)
			if err == nil {
				err = fn(page)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) activeOf(ctx context.Context, sequenceKeys []string, since time.Time) (page []ActiveUser, err error) {
	newest := make([]*redis.StringCmd, len(sequenceKeys))
	lists := make([]*redis.StringCmd, len(sequenceKeys))
	pipe := s.rdb.Pipeline()
	for i, key := range sequenceKeys {
		newest[i] = pipe.GetRange(ctx, key, userstate.NewestStart, userstate.NewestEnd)
		lists[i] = pipe.GetRange(ctx, s.keys.List(s.keys.User(key)), 0, userstate.RecIDBytes-1)
	}
	_, _ = pipe.Exec(ctx) // every answer has its own error
	for i, key := range sequenceKeys {
		for _, err := range []error{newest[i].Err(), lists[i].Err()} {
			if err != nil && ofUser(key, err) == nil {
				return nil, fmt.Errorf("read when %d users were active: %w", len(sequenceKeys), err)
			}
		}
		ms := userstate.ParseTime(newest[i].Val())
		if ms < 0 || ms < since.UnixMilli() {
			continue // gone meanwhile, if not inactive
		}
		page = append(page, ActiveUser{User: s.keys.User(key), Version: userstate.VersionOf(userstate.ParseRecID(lists[i].Val()))})
	}
	return page, nil
}
