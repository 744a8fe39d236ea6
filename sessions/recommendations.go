package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Where recommendations come from: Recommendations.Source.
const (
	SourceModel   = "model"   // generated from the user's sequence
	SourcePopular = "popular" // the fallback, the same for every user
)

// ErrNotFound is returned for a user without recommendations while there is no
// fallback either.
var ErrNotFound = errors.New("no recommendations")

// ScoredItem is a recommended item; a higher score is better.
type ScoredItem struct {
	Item  string  `json:"item_id"`
	Score float64 `json:"score"`
}

// Recommendations is what genrec recommends to a user. Its JSON form is the
// value of the user's key in Redis and a public contract.
type Recommendations struct {
	RecID           string       `json:"rec_id"`
	User            string       `json:"user_id,omitempty"` // empty: the fallback
	ModelVersion    string       `json:"model_version"`
	SequenceVersion int64        `json:"sequence_version"` // of the sequence they were generated from
	GeneratedAt     time.Time    `json:"generated_at"`     // RFC 3339, stored in UTC with millisecond precision
	Source          string       `json:"source"`           // SourceModel or SourcePopular
	Items           []ScoredItem `json:"items"`            // best first
}

// Put says what became of recommendations that were to be written.
type Put struct {
	Written  bool
	Replaced string // rec_id of those before, empty if there were none
}

// PutRecommendations writes the recommendations of users, each unless those
// stored are of a newer sequence or its own sequence is gone, expired or forgotten.
// After an error, any of them may have been written.
func (s *Store) PutRecommendations(ctx context.Context, recs []Recommendations) ([]Put, error) {
	calls := make([]call, len(recs))
	for i, r := range recs {
		value, err := r.encode()
		if err != nil {
			return nil, err
		}
		calls[i] = call{
			keys: []string{s.recsKey(r.User), s.sequenceKey(r.User), s.erasureKey(r.User)},
			args: []any{strconv.FormatInt(r.SequenceVersion, 10), value, s.opts.RecommendationsTTL.Milliseconds()},
		}
	}
	results, err := s.evalEach(ctx, putScript, calls)
	if err != nil {
		return nil, fmt.Errorf("write the recommendations of %d users: %w", len(recs), err)
	}
	puts := make([]Put, len(recs))
	for i, result := range results {
		puts[i].Replaced, puts[i].Written = result.Val().(string)
	}
	return puts, nil
}

// PutPopular replaces the fallback, which never expires.
func (s *Store) PutPopular(ctx context.Context, r Recommendations) error {
	r.User, r.Source = "", SourcePopular
	value, err := r.encode()
	if err != nil {
		return err
	}
	if err := s.rdb.Set(ctx, s.popularKey(), value, 0).Err(); err != nil {
		return fmt.Errorf("write the popular items: %w", err)
	}
	return nil
}

// Recommendations returns those of the user, or else the fallback. If there is
// neither, the error is ErrNotFound.
func (s *Store) Recommendations(ctx context.Context, user string) (Recommendations, error) {
	value, err := s.rdb.Get(ctx, s.recsKey(user)).Bytes()
	if errors.Is(err, redis.Nil) {
		value, err = s.rdb.Get(ctx, s.popularKey()).Bytes()
	}
	switch {
	case errors.Is(err, redis.Nil):
		return Recommendations{}, fmt.Errorf("user %q: %w", user, ErrNotFound)
	case err != nil:
		return Recommendations{}, fmt.Errorf("read the recommendations of user %q: %w", user, err)
	}
	r, err := decodeRecommendations(value)
	if err != nil {
		return Recommendations{}, fmt.Errorf("decode the recommendations of user %q: %w", user, err)
	}
	r.User = user
	return r, nil
}

// RecommendationsOf returns those that users have of their own, in the same
// order. They are zero for a user without, and where the stored value cannot
// be read and is thus to be replaced.
func (s *Store) RecommendationsOf(ctx context.Context, users []string) ([]Recommendations, error) {
	values := make([]*redis.StringCmd, len(users))
	pipe := s.rdb.Pipeline()
	for i, user := range users {
		values[i] = pipe.Get(ctx, s.recsKey(user))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read the recommendations of %d users: %w", len(users), err)
	}
	recs := make([]Recommendations, len(users))
	for i, user := range users {
		value, err := values[i].Bytes()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the recommendations of user %q: %w", user, err)
		}
		if r, err := decodeRecommendations(value); err == nil {
			recs[i] = r
		}
	}
	return recs, nil
}

func decodeRecommendations(value []byte) (r Recommendations, err error) {
	err = json.Unmarshal(value, &r)
	return r, err
}

func (r Recommendations) encode() ([]byte, error) {
	r.GeneratedAt = r.GeneratedAt.UTC().Truncate(time.Millisecond)
	if r.Items == nil {
		r.Items = []ScoredItem{} // not null
	}
	value, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode recommendations of user %q: %w", r.User, err)
	}
	return value, nil
}
