package sessions

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
)

// invalidUser is an ID that no user can have, because IDs contain no control characters.
const invalidUser = "\x00"

const (
	// probeSlotStep is the distance in hash slots between the users of a probe: each master of a
	// Redis Cluster serves some of them.
	probeSlotStep = userstate.HashSlots / 32

	// probeTTL lets the keys of a probe that was killed expire.
	probeTTL = 10 * time.Second

	// probeVersion is a model version that does not exist.
	probeVersion = invalidUser
)

// Probe performs the reads and writes of the services for users that cannot exist, and deletes
// what it wrote. It detects problems that only a write reveals: a read-only replica, exhausted
// memory, missing permissions.
func (s *Store) Probe(ctx context.Context) error {
	probe := *s
	probe.opts.SequenceTTL, probe.opts.RecommendationsTTL = probeTTL, probeTTL
	users := probeUsers()
	err := probe.writeAndRead(ctx, users)
	return WithHint(errors.Join(err, probe.removeProbe(ctx, users, err != nil)))
}

func probeUsers() (users []string) {
	suffix := "}" + invalidUser + rand.Text()
	for slot := 0; slot < userstate.HashSlots; slot += probeSlotStep {
		users = append(users, userstate.HashTag(slot)+suffix)
	}
	return users
}

// isProbeUser reports whether a user belongs to a probe.
func isProbeUser(user string) bool { return strings.Contains(user, invalidUser) }

// writeAndRead writes twice: the first round takes the scripts, the second one transactions.
func (s *Store) writeAndRead(ctx context.Context, users []string) error {
	for round := range 2 {
		batch := make([]UserEvents, len(users))
		for i, user := range users {
			batch[i] = UserEvents{User: user, Events: []event.Event{{
				ID: fmt.Sprint("probe-", round), User: user, Item: "probe", Type: event.DefaultType, Time: time.UnixMilli(1),
			}}}
		}
		appended, err := s.Append(ctx, batch)
		if err != nil {
			return err
		}
		lists := make([]userstate.List, len(users))
		for i, a := range appended {
			lists[i] = userstate.List{
				RecID: userstate.NewRecID("probe"), User: a.User, SequenceVersion: a.Version, Source: userstate.SourceModel, GeneratedAt: time.UnixMilli(1),
			}
		}
		if _, err := s.PutLists(ctx, lists); err != nil {
			return err
		}
	}
	if _, err := s.Read(ctx, users); err != nil {
		return err
	}
	if err := s.AddHits(ctx, HitCounts{Version: probeVersion, Day: Day(time.UnixMilli(1)), Users: []uint64{1}}); err != nil {
		return err
	}
	lease, err := s.Acquire(ctx, rand.Text(), probeTTL)
	if err != nil || lease == nil {
		return err
	}
	return lease.Release(ctx)
}

// removeProbe deletes what writeAndRead wrote. If that failed, errors of the deletion are ignored.
func (s *Store) removeProbe(ctx context.Context, users []string, failed bool) error {
	counts, counted := s.keys.Hits(probeVersion, Day(time.UnixMilli(1)))
	pipe := s.rdb.Pipeline()
	pipe.Del(ctx, counts, counted)
	for _, user := range users {
		pipe.Del(ctx, s.keys.Sequence(user), s.keys.List(user))
	}
	if _, err := pipe.Exec(ctx); err != nil && !failed {
		return fmt.Errorf("delete the keys of a probe: %w", err)
	}
	return nil
}
