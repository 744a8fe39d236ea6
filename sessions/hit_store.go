package sessions

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// hitsTTL is how long the counts of a day are kept.
const hitsTTL = 90 * 24 * time.Hour

// HitCounts is an increment of the counts of a model version and a day.
type HitCounts struct {
	Version      string   // model version that is credited
	Day          string   // see Day
	Interactions int64    // interactions of users who had recommendations of the version
	Hits         int64    // those of them with a recommended item
	Users        []uint64 // hashes of the users
}

// DailyHits is the total of a model version and a day.
type DailyHits struct {
	Version      string // model version
	Day          string // see Day
	Interactions int64  // see HitCounts
	Hits         int64  // see HitCounts
	Users        int64  // estimated with a HyperLogLog
}

// Day returns the UTC date of a time as YYYY-MM-DD.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

const (
	interactionsField = "interactions"
	hitsField         = "hits"
	usersPerCommand   = 1000
)

// AddHits adds to the counts, in one transaction if Redis permits it.
func (s *Store) AddHits(ctx context.Context, c HitCounts) error {
	counts, users := s.keys.Hits(c.Version, c.Day)
	add := func(pipe redis.Pipeliner) error {
		pipe.HIncrBy(ctx, counts, interactionsField, c.Interactions)
		pipe.HIncrBy(ctx, counts, hitsField, c.Hits)
		pipe.Expire(ctx, counts, hitsTTL)
		for i := 0; i < len(c.Users); i += usersPerCommand {
			some := c.Users[i:min(i+usersPerCommand, len(c.Users))]
			members := make([]any, len(some))
			for j, user := range some {
				members[j] = binary.BigEndian.AppendUint64(nil, user)
			}
			pipe.PFAdd(ctx, users, members...)
		}
		pipe.Expire(ctx, users, hitsTTL)
		return nil
	}
	run := s.rdb.TxPipelined
	if !s.Transactions() { // Redis would refuse MULTI but execute the commands that follow
		run = s.rdb.Pipelined
	}
	_, err := run(ctx, add)
	if err != nil {
		return fmt.Errorf("add to the hit counts of version %q: %w", c.Version, err)
	}
	return nil
}

// DailyHits returns the totals of a version on the given days, in their order, without the days
// that have none, and the number of different users over all days.
func (s *Store) DailyHits(ctx context.Context, version string, days []string) (daily []DailyHits, users int64, err error) {
	counts := make([]*redis.MapStringStringCmd, len(days))
	usersOfDay := make([]*redis.IntCmd, len(days))
	usersKeys := make([]string, len(days))
	var allUsers *redis.IntCmd
	_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, day := range days {
			var key string
			key, usersKeys[i] = s.keys.Hits(version, day)
			counts[i], usersOfDay[i] = pipe.HGetAll(ctx, key), pipe.PFCount(ctx, usersKeys[i])
		}
		allUsers = pipe.PFCount(ctx, usersKeys...)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the hit counts of version %q: %w", version, err)
	}
	for i, day := range days {
		var stored struct {
			Interactions int64 `redis:"interactions"`
			Hits         int64 `redis:"hits"`
		}
		if err := counts[i].Scan(&stored); err != nil {
			return nil, 0, fmt.Errorf("read the hit counts of version %q on %s: %w", version, day, err)
		}
		if stored.Interactions > 0 {
			daily = append(daily, DailyHits{Version: version, Day: day, Interactions: stored.Interactions, Hits: stored.Hits, Users: usersOfDay[i].Val()})
		}
	}
	return daily, allUsers.Val(), nil
}
