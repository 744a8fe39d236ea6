package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/parallel"
	"genrec/pkg/userstate"
)

// Sequence contains a user's interactions, oldest first: ordered by the time of the events, ties
// by arrival.
type Sequence struct {
	User         string                  // ID of the user
	Version      int64                   // grows by one per event that changes the sequence, also across an erasure; 0: no events
	Interactions []userstate.Interaction // the newest, at most Options.Window
}

// UserState is what Redis holds of a user.
type UserState struct {
	Sequence Sequence       // without event IDs, which take half of the decoding time
	Stored   userstate.List // the user's own list; zero if there is none or it is unreadable
	Err      *UserError     // non-nil if the sequence is unreadable: then Sequence has only the user
}

// Read returns the states of users, in the same order. It takes one round trip, and a second one
// if users have no sequence. An unreadable sequence fails only its user.
func (s *Store) Read(ctx context.Context, users []string) ([]UserState, error) {
	if len(users) == 0 {
		return nil, nil
	}
	values := make([]*redis.SliceCmd, len(users))
	pipe := s.rdb.Pipeline()
	for i, user := range users {
		values[i] = pipe.MGet(ctx, s.keys.Sequence(user), s.keys.List(user))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read the sequences and recommendations of %d users: %w", len(users), err)
	}
	states := make([]UserState, len(users))
	inBlocks(len(users), func(i int) {
		value := values[i].Val()
		states[i].Sequence.User = users[i]
		if stored, exists := value[0].(string); exists {
			states[i].decodeSequence(stored, s.opts.Window)
		}
		if stored, exists := value[1].(string); exists {
			if list, err := userstate.DecodeListString(stored); err == nil {
				states[i].Stored = list
			}
		}
	})
	return states, s.readMissing(ctx, states, values)
}

func (u *UserState) decodeSequence(stored string, window int) {
	version, newest, err := userstate.DecodeWithoutIDs(stored, window)
	if err != nil {
		u.Err = &UserError{User: u.Sequence.User, Err: fmt.Errorf("decode the sequence: %w", err)}
		return
	}
	u.Sequence.Version, u.Sequence.Interactions = version, newest
}

// readMissing reads the missing sequences again with GET, because MGET treats a key that holds no
// string like one that does not exist.
func (s *Store) readMissing(ctx context.Context, states []UserState, values []*redis.SliceCmd) error {
	var missing []int
	var replies []*redis.StringCmd
	pipe := s.rdb.Pipeline()
	for i, value := range values {
		if value.Val()[0] == nil {
			missing = append(missing, i)
			replies = append(replies, pipe.Get(ctx, s.keys.Sequence(states[i].Sequence.User)))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for nth, i := range missing {
		user := &states[i]
		stored, err := replies[nth].Result()
		switch {
		case err == nil: // written in the meantime
			user.decodeSequence(stored, s.opts.Window)
		case errors.Is(err, redis.Nil):
		default:
			if user.Err = asUserError(user.Sequence.User, err); user.Err == nil {
				return fmt.Errorf("read the sequences of %d users: %w", len(missing), err)
			}
		}
	}
	return nil
}

// Sequences returns the sequences of users, in the same order. Users with an unreadable sequence
// are returned together as UserErrors; the sequences of all others are valid nonetheless.
func (s *Store) Sequences(ctx context.Context, users []string) ([]Sequence, error) {
	stored := make([]*redis.StringCmd, len(users))
	pipe := s.rdb.Pipeline()
	for i, user := range users {
		stored[i] = pipe.Get(ctx, s.keys.Sequence(user))
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	action := fmt.Sprintf("read the sequences of %d users", len(users))
	failed := make([]*UserError, len(users))
	for i, user := range users {
		if err := stored[i].Err(); err != nil && !errors.Is(err, redis.Nil) {
			if failed[i] = asUserError(user, err); failed[i] == nil {
				return nil, fmt.Errorf("%s: %w", action, err)
			}
		}
	}
	sequences := make([]Sequence, len(users))
	inBlocks(len(users), func(i int) {
		sequences[i].User = users[i]
		if failed[i] != nil {
			return
		}
		version, newest, err := userstate.DecodeSequence(stored[i].Val(), s.opts.Window)
		if err != nil {
			failed[i] = &UserError{User: users[i], Err: fmt.Errorf("decode the sequence: %w", err)}
			return
		}
		sequences[i].Version, sequences[i].Interactions = version, newest
	})
	unreadable := UserErrors(slices.DeleteFunc(failed, func(e *UserError) bool { return e == nil }))
	return sequences, unreadable.orNil(action)
}

// inBlocks calls f for 0 to n-1, on all cores if there is enough to do.
func inBlocks(n int, f func(i int)) {
	const blockSize = 16 // some tenths of a millisecond
	if n < 2*blockSize {
		for i := range n {
			f(i)
		}
		return
	}
	parallel.For((n+blockSize-1)/blockSize, func(block int) {
		for i := block * blockSize; i < min(n, (block+1)*blockSize); i++ {
			f(i)
		}
	})
}
