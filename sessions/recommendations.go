package sessions

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// Put says what became of recommendations that were to be written.
type Put struct {
	Written  bool
	Replaced string // rec_id of those before, empty if there were none
}

// PutLists writes the recommendations of users, each unless those
// stored are of a newer sequence or its own sequence is gone, expired, forgotten or
// unreadable. After an error, any of them may have been written.
func (s *Store) PutLists(ctx context.Context, recs []userstate.List) ([]Put, error) {
	what := fmt.Sprintf("write the recommendations of %d users", len(recs))
	values, errs := make([][]byte, len(recs)), make([]error, len(recs))
	inBlocks(len(recs), func(i int) { values[i], errs[i] = recs[i].Encode() })
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	puts, left := make([]Put, len(recs)), allOf(len(recs))
	if s.optimistic() && len(recs) > 0 {
		var err error
		if left, err = s.replaceOlder(ctx, recs, values, puts); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
	}
	if len(left) == 0 {
		return puts, nil
	}
	calls := make([]call, len(left))
	for nth, i := range left {
		r := recs[i]
		calls[nth] = call{
			keys: []string{s.keys.List(r.User), s.keys.Sequence(r.User), s.keys.Erasure(r.User)},
			args: []any{strconv.FormatInt(r.SequenceVersion, 10), values[i], s.opts.RecommendationsTTL.Milliseconds()},
		}
	}
	results, err := s.evalEach(ctx, putScript, calls)
	if err != nil && results == nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	for nth, result := range results {
		i := left[nth]
		if err := result.Err(); err != nil && ofUser(recs[i].User, err) == nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		puts[i].Replaced, puts[i].Written = result.Val().(string)
	}
	return puts, nil
}

// replaceOlder replaces, in a transaction, the recommendations of users who were never
// forgotten and whose stored ones are of an older sequence. It returns who is left.
func (s *Store) replaceOlder(ctx context.Context, recs []userstate.List, values [][]byte, puts []Put) (left []int, err error) {
	lists, erasureKeys := make([]string, len(recs)), make([]string, len(recs))
	for i, r := range recs {
		lists[i], erasureKeys[i] = s.keys.List(r.User), s.keys.Erasure(r.User)
	}
	headers, versions := make([]*redis.StringCmd, len(recs)), make([]*redis.StringCmd, len(recs))
	var erasures *redis.SliceCmd
	read := func(pipe redis.Pipeliner) {
		erasures = pipe.MGet(ctx, erasureKeys...)
		for i, r := range recs {
			headers[i] = pipe.GetRange(ctx, lists[i], 0, userstate.ListHeaderBytes-1)
			versions[i] = pipe.GetRange(ctx, s.keys.Sequence(r.User), userstate.VersionStart, userstate.VersionEnd)
		}
	}
	replaced := make([]string, len(recs))
	write := func(tx redis.Pipeliner) {
		seen := make(map[string]bool, len(recs))
		for i, r := range recs {
			id, old, ok := userstate.ParseListHeader(headers[i].Val())
			current := userstate.ParseVersion(versions[i].Val())
			again := seen[r.User]
			seen[r.User] = true
			if again || !ok || erasures.Err() != nil || erasures.Val()[i] != nil || old > r.SequenceVersion || r.SequenceVersion > current {
				left = append(left, i)
				continue
			}
			replaced[i] = id
			tx.Set(ctx, lists[i], values[i], s.opts.RecommendationsTTL)
		}
	}
	// Forget deletes the list: to watch the lists is enough for users who have one.
	committed, err := s.transact(ctx, lists, read, write)
	if err != nil || !committed {
		return allOf(len(recs)), err
	}
	for i := range recs {
		puts[i] = Put{Written: true, Replaced: replaced[i]}
	}
	for _, i := range left {
		puts[i] = Put{}
	}
	return left, nil
}

// PutPopular replaces the fallback, which never expires.
func (s *Store) PutPopular(ctx context.Context, r userstate.List) error {
	r.User, r.Source = "", userstate.SourcePopular
	value, err := r.Encode()
	if err != nil {
		return err
	}
	if err := s.rdb.Set(ctx, s.keys.Popular(), value, 0).Err(); err != nil {
		return fmt.Errorf("write the popular items: %w", err)
	}
	return nil
}

// Recommendations returns those of the user, or else the fallback. If there is
// neither, the error is ErrNotFound.
func (s *Store) List(ctx context.Context, user string) (userstate.List, error) {
	return s.reader.List(ctx, user)
}

// Lists returns those that users have of their own, in the same
// order. They are zero for a user without, and where the stored value cannot
// be read and is thus to be replaced.
func (s *Store) Lists(ctx context.Context, users []string) ([]userstate.List, error) {
	return s.reader.Lists(ctx, users)
}
