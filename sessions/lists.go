package sessions

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// Put is the result of writing a list.
type Put struct {
	Written  bool   // false: the stored list is newer, or the sequence no longer exists
	Replaced string // rec_id of the list it replaced; "" if there was none
}

// PutLists writes the lists of users by compare-and-set. A list is not written if the stored one
// was generated from a newer sequence, or if its own sequence has expired, was erased or is
// unreadable. After an error, any of the lists may have been written.
func (s *Store) PutLists(ctx context.Context, lists []userstate.List) ([]Put, error) {
	action := fmt.Sprintf("write the recommendations of %d users", len(lists))
	values, errs := make([][]byte, len(lists)), make([]error, len(lists))
	inBlocks(len(lists), func(i int) { values[i], errs[i] = lists[i].Encode() })
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	puts, remaining := make([]Put, len(lists)), indices(len(lists))
	if s.optimistic() && len(lists) > 0 {
		var err error
		if remaining, err = s.replaceOlder(ctx, lists, values, puts); err != nil {
			return nil, fmt.Errorf("%s: %w", action, err)
		}
	}
	if len(remaining) == 0 {
		return puts, nil
	}
	calls := make([]call, len(remaining))
	for nth, i := range remaining {
		l := lists[i]
		calls[nth] = call{
			keys: []string{s.keys.List(l.User), s.keys.Sequence(l.User), s.keys.Erasure(l.User)},
			args: []any{strconv.FormatInt(l.SequenceVersion, 10), values[i], s.opts.RecommendationsTTL.Milliseconds()},
		}
	}
	results, err := s.evalEach(ctx, putScript, calls)
	if err != nil && results == nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	for nth, result := range results {
		i := remaining[nth]
		if err := result.Err(); err != nil && asUserError(lists[i].User, err) == nil {
			return nil, fmt.Errorf("%s: %w", action, err)
		}
		puts[i].Replaced, puts[i].Written = result.Val().(string)
	}
	return puts, nil
}

// replaceOlder is put.lua for the common case, in a transaction: the user has a list of an older
// sequence, and no erasure. It returns the indices of the users that remain for the script.
func (s *Store) replaceOlder(ctx context.Context, lists []userstate.List, values [][]byte, puts []Put) (remaining []int, err error) {
	keys, erasureKeys := make([]string, len(lists)), make([]string, len(lists))
	for i, l := range lists {
		keys[i], erasureKeys[i] = s.keys.List(l.User), s.keys.Erasure(l.User)
	}
	headers, versions := make([]*redis.StringCmd, len(lists)), make([]*redis.StringCmd, len(lists))
	var erasures *redis.SliceCmd
	read := func(pipe redis.Pipeliner) {
		erasures = pipe.MGet(ctx, erasureKeys...)
		for i, l := range lists {
			headers[i] = pipe.GetRange(ctx, keys[i], 0, userstate.ListHeaderBytes-1)
			versions[i] = pipe.GetRange(ctx, s.keys.Sequence(l.User), userstate.VersionStart, userstate.VersionEnd)
		}
	}
	replaced := make([]string, len(lists))
	write := func(tx redis.Pipeliner) {
		seen := make(map[string]bool, len(lists))
		for i, l := range lists {
			recID, oldVersion, ok := userstate.ParseListHeader(headers[i].Val())
			current := userstate.ParseVersion(versions[i].Val())
			repeated := seen[l.User]
			seen[l.User] = true
			erased := erasures.Err() != nil || erasures.Val()[i] != nil
			if repeated || !ok || erased || oldVersion > l.SequenceVersion || l.SequenceVersion > current {
				remaining = append(remaining, i)
				continue
			}
			replaced[i] = recID
			tx.Set(ctx, keys[i], values[i], s.opts.RecommendationsTTL)
		}
	}
	// Watching the lists is enough: this case needs an existing one, and Forget deletes it.
	committed, err := s.transact(ctx, keys, read, write)
	if err != nil || !committed {
		return indices(len(lists)), err
	}
	for i := range lists {
		puts[i] = Put{Written: true, Replaced: replaced[i]}
	}
	for _, i := range remaining {
		puts[i] = Put{}
	}
	return remaining, nil
}

// List returns the user's own list, or else the popular items. Without either, the error is
// recs.ErrNotFound.
func (s *Store) List(ctx context.Context, user string) (userstate.List, error) {
	return s.reader.List(ctx, user)
}

// Lists returns the users' own lists, in the same order. Missing and unreadable lists are zero.
func (s *Store) Lists(ctx context.Context, users []string) ([]userstate.List, error) {
	return s.reader.Lists(ctx, users)
}
