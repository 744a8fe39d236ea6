package sessions

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// feedbackTTL is how long the counts of a day are kept.
const feedbackTTL = 90 * 24 * time.Hour

// Feedback is what came of a model version's recommendations on a day, as part of it.
type Feedback struct {
	Version, Day       string
	Interactions, Hits int64    // interactions after recommendations, and those of them that these had foretold
	Users              []uint64 // hashes
}

// Outcome is all Feedback of a version and a day.
type Outcome struct {
	Version, Day       string
	Interactions, Hits int64
	Users              int64 // about: a HyperLogLog counts them
}

// Day is the name of the day of a time, in UTC.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

const (
	interactionsField = "interactions"
	hitsField         = "hits"
	usersAtOnce       = 1000 // in one command
)

// AddFeedback adds to the counts, in one transaction where the user of Redis may do that.
func (s *Store) AddFeedback(ctx context.Context, f Feedback) error {
	counts, users := s.keys.Feedback(f.Version, f.Day)
	add := func(pipe redis.Pipeliner) error {
		pipe.HIncrBy(ctx, counts, interactionsField, f.Interactions)
		pipe.HIncrBy(ctx, counts, hitsField, f.Hits)
		pipe.Expire(ctx, counts, feedbackTTL)
		for i := 0; i < len(f.Users); i += usersAtOnce {
			some := f.Users[i:min(i+usersAtOnce, len(f.Users))]
			members := make([]any, len(some))
			for j, user := range some {
				members[j] = binary.BigEndian.AppendUint64(nil, user)
			}
			pipe.PFAdd(ctx, users, members...)
		}
		pipe.Expire(ctx, users, feedbackTTL)
		return nil
	}
	run := s.rdb.TxPipelined
	if !s.Transactions() { // with MULTI refused, what follows it would be done all the same
		run = s.rdb.Pipelined
	}
	_, err := run(ctx, add)
	if err != nil {
		return fmt.Errorf("count what came of the recommendations of version %q: %w", f.Version, err)
	}
	return nil
}

// Outcomes returns what there is of a version's days, in their order, and how many users
// all of them had together.
func (s *Store) Outcomes(ctx context.Context, version string, days []string) (outcomes []Outcome, users int64, err error) {
	counts := make([]*redis.MapStringStringCmd, len(days))
	counted := make([]*redis.IntCmd, len(days))
	all := make([]string, len(days))
	var together *redis.IntCmd
	_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, day := range days {
			key, usersKey := s.keys.Feedback(version, day)
			counts[i], counted[i], all[i] = pipe.HGetAll(ctx, key), pipe.PFCount(ctx, usersKey), usersKey
		}
		together = pipe.PFCount(ctx, all...)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read what came of the recommendations of version %q: %w", version, err)
	}
	for i, day := range days {
		var stored struct {
			Interactions int64 `redis:"interactions"`
			Hits         int64 `redis:"hits"`
		}
		if err := counts[i].Scan(&stored); err != nil {
			return nil, 0, fmt.Errorf("read what came of the recommendations of version %q on %s: %w", version, day, err)
		}
		if stored.Interactions > 0 {
			outcomes = append(outcomes, Outcome{Version: version, Day: day, Interactions: stored.Interactions, Hits: stored.Hits, Users: counted[i].Val()})
		}
	}
	return outcomes, together.Val(), nil
}
