package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
)

// Interaction is an element of a sequence.
type Interaction struct {
	EventID, Item, Type string
	Time                time.Time // millisecond precision, UTC
	Credited            string    // model version whose recommendations it was an answer to, as far as its rec_id says
}

// Sequence is what a user did, oldest first: chronological by the time of the
// events, ties by arrival. Its version grows by one for every event that
// changes it, and after an erasure goes on from the last one; a user without events
// has version 0.
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
	Added   int   // events that changed the sequence; the others were duplicates, too old or erased
}

// Append inserts events into the sequences of their users, each sequence
// atomically, all in one round trip, and answers in the order of the batch. It
// can be repeated: an event whose id is in the sequence changes nothing, nor
// does one that is no newer than the oldest of a full window, because it may
// have been there before, or than the erasure of its user (Forget). After an error, any part of the batch may have been
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
		calls[i] = call{keys: []string{s.keys.Sequence(b.User), s.erasureKey(b.User)}, args: args}
	}
	results, err := s.evalEach(ctx, appendScript, calls)
	for i := 0; err != nil && i < len(results); i++ {
		if of := (*UserError)(nil); errors.As(ofUser(batch[i].User, results[i].Err()), &of) {
			err = of
			break
		}
	}
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

// Sequences returns the sequences of users, in the same order. One that cannot be read
// gives a *UserError.
func (s *Store) Sequences(ctx context.Context, users []string) ([]Sequence, error) {
	stored := make([]*redis.StringCmd, len(users))
	pipe := s.rdb.Pipeline()
	for i, user := range users {
		stored[i] = pipe.Get(ctx, s.keys.Sequence(user))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil, fmt.Errorf("read the sequences of %d users: %w", len(users), err)
	}
	sequences := make([]Sequence, len(users))
	for i, user := range users {
		value, err := stored[i].Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("read the sequence: %w", ofUser(user, err))
		}
		sequences[i].User = user
		sequences[i].Version, sequences[i].Interactions, err = decodeSequence(value, s.opts.Window)
		if err != nil {
			return nil, fmt.Errorf("decode the sequence: %w", &UserError{User: user, Err: err})
		}
	}
	return sequences, nil
}

func (s *Store) appendArgs(b UserEvents) ([]any, error) {
	args := make([]any, 0, 2+2*len(b.Events))
	args = append(args, s.opts.Window, s.opts.SequenceTTL.Milliseconds())
	for _, e := range b.Events {
		id, rest, err := encodeEvent(e)
		if err != nil {
			return nil, fmt.Errorf("append event %q of user %q: %w", e.ID, b.User, err)
		}
		args = append(args, id, rest)
	}
	return args, nil
}
