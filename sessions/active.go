package sessions

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/redisconn"
)

// Active is a user who did something lately.
type Active struct {
	User    string
	Version string // of the model that made their recommendations, empty if none did
}

// ScanActive calls fn with the users whose newest event is not before since, a page after
// the other, in no order, and returns its first error. A user may come twice. It holds
// nothing but a page: of the users' data, Redis sends some bytes.
func (s *Store) ScanActive(ctx context.Context, since time.Time, fn func([]Active) error) error {
	masters, err := redisconn.Masters(ctx, s.rdb)
	if err != nil {
		return err
	}
	pattern := escapeGlob(s.sequencePrefix()) + "*"
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

func (s *Store) activeOf(ctx context.Context, sequenceKeys []string, since time.Time) (page []Active, err error) {
	newest := make([]*redis.StringCmd, len(sequenceKeys))
	lists := make([]*redis.StringCmd, len(sequenceKeys))
	pipe := s.rdb.Pipeline()
	for i, key := range sequenceKeys {
		newest[i] = pipe.GetRange(ctx, key, -timeWidth, -1)
		lists[i] = pipe.GetRange(ctx, s.keys.List(s.userOf(key)), 0, recIDWithin)
	}
	_, _ = pipe.Exec(ctx) // every answer has its own error
	for i, key := range sequenceKeys {
		for _, err := range []error{newest[i].Err(), lists[i].Err()} {
			if err != nil && ofUser(key, err) == nil {
				return nil, fmt.Errorf("read when %d users were active: %w", len(sequenceKeys), err)
			}
		}
		ms, err := strconv.ParseInt(newest[i].Val(), timeBase, 64)
		if err != nil || ms < since.UnixMilli() {
			continue // gone meanwhile, if not inactive
		}
		recID, _ := strings.CutPrefix(lists[i].Val(), recIDBegin)
		recID, _, _ = strings.Cut(recID, `"`)
		page = append(page, Active{User: s.userOf(key), Version: VersionOf(recID)})
	}
	return page, nil
}

// A list begins with its rec_id, which names the version.
const (
	recIDBegin  = `{"rec_id":"`
	recIDWithin = 127
)
