package recs

import (
	"cmp"
	"fmt"
	"time"
)

// Limits of a Query.
const (
	DefaultN      = 10
	MaxN          = 100
	MaxExclude    = 200
	MaxCategories = 50
)

// Query selects items. Blocked and unavailable items are never selected.
type Query struct {
	N           int      // maximum number of items; default DefaultN
	Exclude     []string // item IDs to leave out
	ExcludeSeen bool     // leave out the items of the user's sequence
	Categories  []string // if not empty, only items of at least one of these categories
	PerCategory int      // maximum number of items per category; 0: unlimited
}

// Validate returns an error that names the first parameter out of range.
func (q Query) Validate() error {
	switch {
	case q.N < 0 || q.N > MaxN:
		return fmt.Errorf("n is %d: it must be from 1 to %d", q.N, MaxN)
	case q.PerCategory < 0 || q.PerCategory > MaxN:
		return fmt.Errorf("diversity is %d: it must be from 1 to %d, the maximum number of items per category", q.PerCategory, MaxN)
	case len(q.Exclude) > MaxExclude:
		return fmt.Errorf("exclude has %d items: at most %d are accepted", len(q.Exclude), MaxExclude)
	case len(q.Categories) > MaxCategories:
		return fmt.Errorf("category has %d values: at most %d are accepted", len(q.Categories), MaxCategories)
	}
	return nil
}

func (q Query) limit() int { return cmp.Or(q.N, DefaultN) }

// Answer contains the recommendations of a user for a Query. Its JSON form is the response of the
// HTTP API.
type Answer struct {
	User            string    `json:"user_id"`                    // ID of the user
	Source          string    `json:"source"`                     // of the first item; SourceNone without items
	RecID           string    `json:"rec_id,omitempty"`           // of the list of the first item
	ModelVersion    string    `json:"model_version,omitempty"`    // of the same list
	SequenceVersion int64     `json:"sequence_version,omitempty"` // of the same list
	GeneratedAt     time.Time `json:"generated_at,omitzero"`      // of the same list
	Items           []Item    `json:"items"`                      // best first, those of one source together
}

// Item is a recommended item. Scores of different sources are not comparable.
type Item struct {
	ScoredItem
	Source string `json:"source"` // SourceModel, SourceContext or SourcePopular
}
