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

// nobody is a user that cannot be: no id has a control character.
const nobody = "\x00"

const (
	// Probed users lie that far apart in a Redis Cluster, so that each of its masters has some.
	probedSlots = userstate.HashSlots / 32
	// What a probe that was killed leaves ends by itself.
	probeTTL = 10 * time.Second
)

// Probe does what services do, for users that cannot be, and removes what it has written. It
// finds what only a write shows: a replica that is only read, a full Redis, a missing right.
func (s *Store) Probe(ctx context.Context) error {
	probe := *s
	probe.opts.SequenceTTL, probe.opts.RecommendationsTTL = probeTTL, probeTTL
	users := probedUsers()
	err := probe.writeAndRead(ctx, users)
	return WithHint(errors.Join(err, probe.remove(ctx, users, err != nil)))
}

func probedUsers() (users []string) {
	suffix := "}" + nobody + rand.Text()
	for slot := 0; slot < userstate.HashSlots; slot += probedSlots {
		users = append(users, userstate.HashTag(slot)+suffix)
	}
	return users
}

// isProbed tells whether a user is one of a probe.
func isProbed(user string) bool { return strings.Contains(user, nobody) }

// probedVersion is of no model.
const probedVersion = nobody

// writeAndRead writes twice: scripts begin what transactions then go on with.
func (s *Store) writeAndRead(ctx context.Context, users []string) error {
	for nth := range 2 {
		batch := make([]UserEvents, len(users))
		for i, user := range users {
			batch[i] = UserEvents{User: user, Events: []event.Event{{
				ID: fmt.Sprint("probe-", nth), User: user, Item: "probe", Type: event.DefaultType, Time: time.UnixMilli(1),
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
	if err := s.AddFeedback(ctx, Feedback{Version: probedVersion, Day: Day(time.UnixMilli(1)), Users: []uint64{1}}); err != nil {
		return err
	}
	lease, err := s.Acquire(ctx, rand.Text(), probeTTL)
	if err != nil || lease == nil {
		return err
	}
	return lease.Release(ctx)
}

// remove deletes what writeAndRead has written. If that has failed, so may this.
func (s *Store) remove(ctx context.Context, users []string, failed bool) error {
	counts, counted := s.keys.Feedback(probedVersion, Day(time.UnixMilli(1)))
	pipe := s.rdb.Pipeline()
	pipe.Del(ctx, counts, counted)
	for _, user := range users {
		pipe.Del(ctx, s.keys.Sequence(user), s.keys.List(user))
	}
	if _, err := pipe.Exec(ctx); err != nil && !failed {
		return fmt.Errorf("remove what was written as a probe: %w", err)
	}
	return nil
}
