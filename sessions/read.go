package sessions

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/parallel"
	"genrec/pkg/userstate"
)

// UserState is what Redis holds of a user.
type UserState struct {
	Sequence Sequence       // its interactions have no EventID, whose decoding would take half of the time
	Stored   userstate.List // zero if there are none or they are unreadable, and are thus to be replaced
	Err      *UserError     // the sequence is unreadable, and Sequence has the user alone
}

// Read returns the states of users, in the same order. It takes one round trip, and a
// second one if there are users without a sequence, to find out why. A sequence that is
// unreadable fails its user alone.
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

// readMissing looks again for the sequences that are missing: to MGET, a key that holds no
// string is one that does not exist.
func (s *Store) readMissing(ctx context.Context, states []UserState, values []*redis.SliceCmd) error {
	var missing []int
	var again []*redis.StringCmd
	pipe := s.rdb.Pipeline()
	for i, value := range values {
		if value.Val()[0] == nil {
			missing = append(missing, i)
			again = append(again, pipe.Get(ctx, s.keys.Sequence(states[i].Sequence.User)))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, _ = pipe.Exec(ctx) // every answer has its own error
	for nth, i := range missing {
		user := &states[i]
		stored, err := again[nth].Result()
		switch {
		case err == nil: // written meanwhile
			user.decodeSequence(stored, s.opts.Window)
		case errors.Is(err, redis.Nil):
		default:
			if user.Err = ofUser(user.Sequence.User, err); user.Err == nil {
				return fmt.Errorf("read the sequences of %d users: %w", len(missing), err)
			}
		}
	}
	return nil
}

// inBlocks calls f for 0..n-1, on all cores where that is worth it.
func inBlocks(n int, f func(i int)) {
	const atOnce = 16 // some tenths of a millisecond
	if n < 2*atOnce {
		for i := range n {
			f(i)
		}
		return
	}
	parallel.For((n+atOnce-1)/atOnce, func(block int) {
		for i := block * atOnce; i < min(n, (block+1)*atOnce); i++ {
			f(i)
		}
	})
}
