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

// Feedback is an increment of the counts of a model version and a day.
type Feedback struct {
	Version      string   // model version that is credited
	Day          string   // see Day
	Interactions int64    // interactions of users who had recommendations of the version
	Hits         int64    // those of them with a recommended item
	Users        []uint64 // hashes of the users
}

// Outcome is the total of a model version and a day.
type Outcome struct {
	Version      string // model version
	Day          string // see Day
	Interactions int64  // see Feedback
	Hits         int64  // see Feedback
	Users        int64  // estimated with a HyperLogLog
}

// Day returns the UTC date of a time as YYYY-MM-DD.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

const (
	interactionsField = "interactions"
	hitsField         = "hits"
	usersPerCommand   = 1000
)

// AddFeedback adds to the counts, in one transaction if Redis permits it.
func (s *Store) AddFeedback(ctx context.Context, f Feedback) error {
	counts, users := s.keys.Feedback(f.Version, f.Day)
	add := func(pipe redis.Pipeliner) error {
		pipe.HIncrBy(ctx, counts, interactionsField, f.Interactions)
		pipe.HIncrBy(ctx, counts, hitsField, f.Hits)
		pipe.Expire(ctx, counts, feedbackTTL)
		for i := 0; i < len(f.Users); i += usersPerCommand {
			some := f.Users[i:min(i+usersPerCommand, len(f.Users))]
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
	if !s.Transactions() { // Redis would refuse MULTI but execute the commands that follow
		run = s.rdb.Pipelined
	}
	_, err := run(ctx, add)
	if err != nil {
		return fmt.Errorf("add to the feedback of version %q: %w", f.Version, err)
	}
	return nil
}

// Outcomes returns the totals of a version on the given days, in their order, without the days
// that have none, and the number of different users over all days.
func (s *Store) Outcomes(ctx context.Context, version string, days []string) (outcomes []Outcome, users int64, err error) {
	counts := make([]*redis.MapStringStringCmd, len(days))
	usersOfDay := make([]*redis.IntCmd, len(days))
	usersKeys := make([]string, len(days))
	var allUsers *redis.IntCmd
	_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, day := range days {
			var key string
			key, usersKeys[i] = s.keys.Feedback(version, day)
			counts[i], usersOfDay[i] = pipe.HGetAll(ctx, key), pipe.PFCount(ctx, usersKeys[i])
		}
		allUsers = pipe.PFCount(ctx, usersKeys...)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the feedback of version %q: %w", version, err)
	}
	for i, day := range days {
		var stored struct {
			Interactions int64 `redis:"interactions"`
			Hits         int64 `redis:"hits"`
		}
		if err := counts[i].Scan(&stored); err != nil {
			return nil, 0, fmt.Errorf("read the feedback of version %q on %s: %w", version, day, err)
		}
		if stored.Interactions > 0 {
			outcomes = append(outcomes, Outcome{Version: version, Day: day, Interactions: stored.Interactions, Hits: stored.Hits, Users: usersOfDay[i].Val()})
		}
	}
	return outcomes, allUsers.Val(), nil
}
