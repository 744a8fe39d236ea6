package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/event"
	"genrec/pkg/userstate"
)

// Sequence is what a user did, oldest first: chronological by the time of the
// events, ties by arrival. Its version grows by one for every event that
// changes it, and after an erasure goes on from the last one; a user without events
// has version 0.
type Sequence struct {
	User         string
	Version      int64
	Interactions []userstate.Interaction
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
// have been there before, or than the erasure of its user (Forget).
//
// Users whose sequence is unreadable are reported together as UserErrors, and the others
// are appended to and answered nonetheless. After any other error, any part of the batch
// may have been appended.
//
// The events must be as event.Decode returns them.
func (s *Store) Append(ctx context.Context, batch []UserEvents) ([]Appended, error) {
	what := fmt.Sprintf("append to the sequences of %d users", len(batch))
	entries := make([][]userstate.Entry, len(batch))
	for i, b := range batch {
		var err error
		if entries[i], err = encodeEvents(b); err != nil {
			return nil, err
		}
	}
	appended, left := make([]Appended, len(batch)), allOf(len(batch))
	for i, b := range batch {
		appended[i].User = b.User
	}
	if s.optimistic() && len(batch) > 0 {
		var err error
		if left, err = s.appendNewer(ctx, entries, appended); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	if len(left) == 0 {
		return appended, nil
	}
	calls := make([]call, len(left))
	for nth, i := range left {
		user := batch[i].User
		calls[nth] = call{keys: []string{s.keys.Sequence(user), s.keys.Erasure(user)}, args: s.appendArgs(entries[i])}
	}
	results, err := s.evalEach(ctx, appendScript, calls)
	if err != nil && results == nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	var unreadable UserErrors
	for nth, i := range left {
		user := batch[i].User
		answer, err := results[nth].Int64Slice()
		if err != nil {
			of := ofUser(user, err)
			if of == nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			unreadable = append(unreadable, of)
			continue
		}
		if len(answer) != 2 {
			return nil, fmt.Errorf("append to the sequence of user %q: unexpected answer %v", user, results[nth].Val())
		}
		appended[i].Version, appended[i].Added = answer[0], int(answer[1])
	}
	return appended, unreadable.orNil(what)
}

// Sequences returns the sequences of users, in the same order. Those that are unreadable
// are reported together as UserErrors, and the others returned nonetheless.
func (s *Store) Sequences(ctx context.Context, users []string) ([]Sequence, error) {
	stored := make([]*redis.StringCmd, len(users))
	pipe := s.rdb.Pipeline()
	for i, user := range users {
		stored[i] = pipe.Get(ctx, s.keys.Sequence(user))
	}
	_, _ = pipe.Exec(ctx) // every answer has its own error
	what := fmt.Sprintf("read the sequences of %d users", len(users))
	failed := make([]*UserError, len(users))
	for i, user := range users {
		if err := stored[i].Err(); err != nil && !errors.Is(err, redis.Nil) {
			if failed[i] = ofUser(user, err); failed[i] == nil {
				return nil, fmt.Errorf("%s: %w", what, err)
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
	return sequences, unreadable.orNil(what)
}

func encodeEvents(b UserEvents) ([]userstate.Entry, error) {
	entries := make([]userstate.Entry, len(b.Events))
	for i, e := range b.Events {
		var err error
		if entries[i], err = userstate.EncodeEvent(e); err != nil {
			return nil, fmt.Errorf("append event %q of user %q: %w", e.ID, b.User, err)
		}
	}
	return entries, nil
}

func (s *Store) appendArgs(entries []userstate.Entry) []any {
	args := make([]any, 0, 2+2*len(entries))
	args = append(args, s.opts.Window, s.opts.SequenceTTL.Milliseconds())
	for _, e := range entries {
		args = append(args, e.Key, e.Rest)
	}
	return args
}
