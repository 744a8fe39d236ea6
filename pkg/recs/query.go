package recs

import (
	"cmp"
	"fmt"
)

// Bounds of a Query.
const (
	DefaultN      = 10
	MaxN          = 100
	MaxExclude    = 200
	MaxCategories = 50
)

// Query says which items are wanted. Items that are blocked or unavailable never are.
type Query struct {
	N           int      // most items, 0: DefaultN
	Exclude     []string // items
	ExcludeSeen bool     // without the items of the user's sequence
	Categories  []string // with any: only items of one of them
	PerCategory int      // most items of one category, 0: any number
}

// Validate says in words what is out of bounds.
func (q Query) Validate() error {
	switch {
	case q.N < 0 || q.N > MaxN:
		return fmt.Errorf("n is %d: it must be from 1 to %d", q.N, MaxN)
	case q.PerCategory < 0 || q.PerCategory > MaxN:
		return fmt.Errorf("diversity is %d: it must be from 1 to %d, the most items of one category", q.PerCategory, MaxN)
	case len(q.Exclude) > MaxExclude:
		return fmt.Errorf("exclude names %d items: at most %d are accepted", len(q.Exclude), MaxExclude)
	case len(q.Categories) > MaxCategories:
		return fmt.Errorf("category names %d: at most %d are accepted", len(q.Categories), MaxCategories)
	}
	return nil
}

func (q Query) wanted() int { return cmp.Or(q.N, DefaultN) }
