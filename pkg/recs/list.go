// Package recs reads recommendations from Redis, as any program may: docs/REDIS.md is
// the contract for other languages. It owns the lists, their keys, and what shops tell
// of their items; package sessions writes the lists.
package recs

import (
	"bytes"
	"fmt"
	"time"

	"github.com/segmentio/encoding/json"
)

// Where recommendations come from.
const (
	SourceModel   = "model"   // generated from the user's sequence
	SourceContext = "context" // popular near the user's newest items; only in an Answer
	SourcePopular = "popular" // the fallback, the same for every user
	SourceNone    = "none"    // there is nothing to recommend; only in an Answer
)

// ScoredItem is a recommended item; a higher score is better.
type ScoredItem struct {
	Item  string  `json:"item_id"`
	Score float64 `json:"score"`
}

// List is what genrec recommends to a user. Its JSON form is the value of the
// user's key in Redis and a public contract.
type List struct {
	RecID           string       `json:"rec_id"`
	User            string       `json:"user_id,omitempty"` // empty: the fallback
	ModelVersion    string       `json:"model_version"`
	SequenceVersion int64        `json:"sequence_version"` // of the sequence they were generated from
	GeneratedAt     time.Time    `json:"generated_at"`     // RFC 3339, stored in UTC with millisecond precision
	Source          string       `json:"source"`           // SourceModel or SourcePopular
	Items           []ScoredItem `json:"items"`            // best first
}

// Encode returns the JSON form.
func (l List) Encode() ([]byte, error) {
	l.GeneratedAt = l.GeneratedAt.UTC().Truncate(time.Millisecond)
	if l.Items == nil {
		l.Items = []ScoredItem{} // not null
	}
	value, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode recommendations of user %q: %w", l.User, err)
	}
	return value, nil
}

// Decode reads the JSON form.
func Decode(value []byte) (List, error) { return decode(bytes.Clone(value)) }

// DecodeString reads the JSON form.
func DecodeString(value string) (List, error) { return decode([]byte(value)) }

// decode returns a list whose strings share the memory of value: one allocation instead of
// one per item.
func decode(value []byte) (l List, err error) {
	rest, err := json.Parse(value, &l, json.ZeroCopy)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow the JSON text", len(rest))
	}
	return l, err
}

// DecodeNear reads the JSON form of what is popular near an item.
func DecodeNear(value []byte) (n Near, err error) {
	err = json.Unmarshal(value, &n)
	return n, err
}

// Encode returns the JSON form.
func (n Near) Encode() ([]byte, error) {
	value, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("encode what is popular near an item: %w", err)
	}
	return value, nil
}
