package sessions

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"genrec/pkg/recs"
)

// What readers get is owned by package recs; a Store writes it.
type (
	// Recommendations is what genrec recommends to a user.
	Recommendations = recs.List
	// ScoredItem is a recommended item.
	ScoredItem = recs.ScoredItem
)

// Where recommendations come from: Recommendations.Source.
const (
	SourceModel   = recs.SourceModel
	SourcePopular = recs.SourcePopular
)

// ErrNotFound is returned for a user without recommendations while there is no
// fallback either.
var ErrNotFound = recs.ErrNotFound

// Put says what became of recommendations that were to be written.
type Put struct {
	Written  bool
	Replaced string // rec_id of those before, empty if there were none
}

// PutRecommendations writes the recommendations of users, each unless those
// stored are of a newer sequence or its own sequence is gone, expired, forgotten or
// unreadable. After an error, any of them may have been written.
func (s *Store) PutRecommendations(ctx context.Context, recs []Recommendations) ([]Put, error) {
	calls, errs := make([]call, len(recs)), make([]error, len(recs))
	inBlocks(len(recs), func(i int) {
		r := recs[i]
		var value []byte
		value, errs[i] = r.Encode()
		calls[i] = call{
			keys: []string{s.keys.List(r.User), s.keys.Sequence(r.User), s.erasureKey(r.User)},
			args: []any{strconv.FormatInt(r.SequenceVersion, 10), value, s.opts.RecommendationsTTL.Milliseconds()},
		}
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	results, err := s.evalEach(ctx, putScript, calls)
	if err != nil && results == nil {
		return nil, fmt.Errorf("write the recommendations of %d users: %w", len(recs), err)
	}
	puts := make([]Put, len(recs))
	for i, result := range results {
		if err := result.Err(); err != nil && ofUser(recs[i].User, err) == nil {
			return nil, fmt.Errorf("write the recommendations of %d users: %w", len(recs), err)
		}
		puts[i].Replaced, puts[i].Written = result.Val().(string)
	}
	return puts, nil
}

// PutPopular replaces the fallback, which never expires.
func (s *Store) PutPopular(ctx context.Context, r Recommendations) error {
	r.User, r.Source = "", SourcePopular
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
func (s *Store) Recommendations(ctx context.Context, user string) (Recommendations, error) {
	return s.reader.List(ctx, user)
}

// RecommendationsOf returns those that users have of their own, in the same
// order. They are zero for a user without, and where the stored value cannot
// be read and is thus to be replaced.
func (s *Store) RecommendationsOf(ctx context.Context, users []string) ([]Recommendations, error) {
	return s.reader.Lists(ctx, users)
}

// Seen returns the items of a stored sequence, for recs.Options.
func Seen(sequence string) ([]string, error) { return decodeItems(sequence, MaxWindow) }
