package sessions

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
)

// Interaction is an element of a sequence.
type Interaction struct {
	EventID, Item, Type string
	Time                time.Time // millisecond precision, UTC
}

// Sequence is what a user did, oldest first: chronological by the time of the
// events, ties by arrival. Its version grows by one for every event that
// changes it; a user without events has version 0.
type Sequence struct {
	User         string
	Version      int64
	Interactions []Interaction
}

// UserEvents are new events of one user in order of arrival.
type UserEvents struct {
	User   string
	Events []event.Event
}

// Appended says what an append did.
type Appended struct {
	User    string
	Version int64 // of the sequence after the append
	Added   int   // events that changed the sequence; the others were duplicates or too old
}

// Append inserts events into the sequences of their users, each sequence
// atomically, all in one round trip, and answers in the order of the batch. It
// can be repeated: an event whose id is in the sequence changes nothing, nor
// does one that is no newer than the oldest of a full window, because it may
// have been there before. After an error, any part of the batch may have been
// appended.
//
// The events must be as event.Decode returns them.
func (s *Store) Append(ctx context.Context, batch []UserEvents) ([]Appended, error) {
	calls := make([]call, len(batch))
	for i, b := range batch {
		args, err := s.appendArgs(b)
		if err != nil {
			return nil, err
		}
		calls[i] = call{keys: []string{s.sequenceKey(b.User), s.versionKey(b.User)}, args: args}
	}
	results, err := s.evalEach(ctx, appendScript, calls)
	if err != nil {
		return nil, fmt.Errorf("append to the sequences of %d users: %w", len(batch), err)
	}
	appended := make([]Appended, len(batch))
	for i, b := range batch {
		answer, err := results[i].Int64Slice()
		if err != nil || len(answer) != 2 {
			return nil, fmt.Errorf("append to the sequence of user %q: unexpected answer %v: %w", b.User, results[i].Val(), err)
		}
		appended[i] = Appended{User: b.User, Version: answer[0], Added: int(answer[1])}
	}
	return appended, nil
}

// Sequences returns the sequences of users, in the same order.
func (s *Store) Sequences(ctx context.Context, users []string) ([]Sequence, error) {
	versions := make([]*redis.StringCmd, len(users))
	entries := make([]*redis.ZSliceCmd, len(users))
	pipe := s.rdb.Pipeline()
	for i, user := range users {
		// An append between the two reads must not give an old sequence its new
		// version: that would pass for up to date.
		versions[i] = pipe.Get(ctx, s.versionKey(user))
		entries[i] = pipe.ZRangeWithScores(ctx, s.sequenceKey(user), int64(-s.opts.Window), -1)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read the sequences of %d users: %w", len(users), err)
	}
	sequences := make([]Sequence, len(users))
	for i, user := range users {
		version, err := versions[i].Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("read the sequence version of user %q: %w", user, err)
		}
		members, err := entries[i].Result()
		if err != nil {
			return nil, fmt.Errorf("read the sequence of user %q: %w", user, err)
		}
		sequences[i] = Sequence{User: user, Version: version, Interactions: decodeMembers(members)}
	}
	return sequences, nil
}

// An interaction is a member of the sorted set, "event_id FS item_id FS type".
// Its score is its time and, to order interactions of the same millisecond, a
// counter; a float64 holds that exactly until the year 2248.
const (
	fieldSeparator = "\x1f" // a control character, so in no id
	maxTies        = 1024
	maxMilli       = 1<<53/maxTies - 1
)

func (s *Store) appendArgs(b UserEvents) ([]any, error) {
	args := make([]any, 0, 2+2*len(b.Events))
	args = append(args, s.opts.Window, maxTies)
	for _, e := range b.Events {
		ms := e.Time.UnixMilli()
		if ms < -maxMilli || ms > maxMilli {
			return nil, fmt.Errorf("append event %q of user %q: time %v cannot be stored", e.ID, b.User, e.Time)
		}
		args = append(args, strconv.FormatInt(ms, 10), strings.Join([]string{e.ID, e.Item, e.Type}, fieldSeparator))
	}
	return args, nil
}

func decodeMembers(members []redis.Z) []Interaction {
	interactions := make([]Interaction, len(members))
	for i, z := range members {
		id, rest, _ := strings.Cut(z.Member.(string), fieldSeparator)
		item, kind, _ := strings.Cut(rest, fieldSeparator)
		interactions[i] = Interaction{EventID: id, Item: item, Type: kind, Time: timeOf(z.Score)}
	}
	return interactions
}

func timeOf(score float64) time.Time {
	const bits = 10                                   // maxTies is 1<<bits
	return time.UnixMilli(int64(score) >> bits).UTC() // rounds down, also before 1970
}
