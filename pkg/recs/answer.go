package recs

import (
	"context"
	"slices"
	"time"
)

// Answer is what is recommended to a user for a Query: the user's own list, without what
// is filtered, and if that leaves too few, popular items after it.
type Answer struct {
	User            string    `json:"user_id"`
	Source          string    `json:"source"` // of the first item, SourceNone without any
	RecID           string    `json:"rec_id,omitempty"`
	ModelVersion    string    `json:"model_version,omitempty"`
	SequenceVersion int64     `json:"sequence_version,omitempty"`
	GeneratedAt     time.Time `json:"generated_at,omitzero"`
	Items           []Item    `json:"items"` // best first; those of a source together
}

// Item is a recommended item. Scores of different sources cannot be compared.
type Item struct {
	ScoredItem
	Source string `json:"source"` // SourceModel or SourcePopular
}

// Read answers a query for each of the users, in the same order. A user whose stored list
// cannot be read counts as one without.
func (c *Client) Read(ctx context.Context, users []string, q Query) ([]Answer, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	if q.ExcludeSeen && c.opts.Seen == nil {
		return nil, errNoSeen
	}
	stored, err := c.readUsers(ctx, users, q.ExcludeSeen)
	if err != nil {
		return nil, err
	}
	popular, err := c.popularItems(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, list := range append(lists(stored), popular) {
		for _, scored := range list.Items {
			ids = append(ids, scored.Item)
		}
	}
	items, err := c.describe(ctx, ids)
	if err != nil {
		return nil, err
	}
	answers := make([]Answer, len(users))
	for i, id := range users {
		s := newSelection(q, items, stored[i].seen)
		s.add(stored[i].list, SourceModel)
		s.add(popular, SourcePopular)
		answers[i] = s.answer(id)
	}
	return answers, nil
}

func lists(users []user) []List {
	all := make([]List, len(users), len(users)+1)
	for i, u := range users {
		all[i] = u.list
	}
	return all
}

// selection is an answer that grows.
type selection struct {
	query   Query
	items   map[string]item
	without map[string]bool // excluded, seen or there already
	of      map[string]int  // items by category
	from    List            // of the first item
	chosen  []Item
}

func newSelection(q Query, items map[string]item, seen []string) *selection {
	s := &selection{query: q, items: items, of: make(map[string]int), without: make(map[string]bool), chosen: []Item{}}
	for _, id := range slices.Concat(q.Exclude, seen) {
		s.without[id] = true
	}
	return s
}

// add takes what passes all filters, until there are enough.
func (s *selection) add(l List, source string) {
	for _, scored := range l.Items {
		if len(s.chosen) == s.query.wanted() {
			return
		}
		if !s.passes(scored.Item) {
			continue
		}
		if len(s.chosen) == 0 {
			s.from, s.from.Source = l, source
		}
		s.chosen = append(s.chosen, Item{ScoredItem: scored, Source: source})
		s.without[scored.Item] = true
		for _, category := range s.items[scored.Item].categories {
			s.of[category]++
		}
	}
}

func (s *selection) passes(id string) bool {
	about := s.items[id]
	if about.hidden || s.without[id] || len(s.query.Categories) > 0 && !about.inOneOf(s.query.Categories) {
		return false
	}
	full := func(category string) bool { return s.of[category] >= s.query.PerCategory }
	return s.query.PerCategory == 0 || !slices.ContainsFunc(about.categories, full)
}

func (s *selection) answer(user string) Answer {
	a := Answer{User: user, Source: SourceNone, Items: s.chosen}
	if len(s.chosen) > 0 {
		a.Source, a.RecID, a.ModelVersion = s.from.Source, s.from.RecID, s.from.ModelVersion
		a.SequenceVersion, a.GeneratedAt = s.from.SequenceVersion, s.from.GeneratedAt
	}
	return a
}
