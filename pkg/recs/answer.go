package recs

import (
	"slices"
	"time"
)

// Answer is what is recommended to a user for a Query: the user's own list, without what
// is filtered, and if that leaves too few, what is popular near the user's newest items,
// and then what is popular with everybody.
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
	Source string `json:"source"` // SourceModel, SourceContext or SourcePopular
}

// selection is an answer that grows.
type selection struct {
	query   Query
	without map[string]bool // excluded, seen or there already
	of      map[string]int  // items by category, counted if the query asks for diversity
	from    List            // of the first item
	chosen  []Item
}

func newSelection(q Query, seen []string) *selection {
	s := &selection{query: q, without: make(map[string]bool, len(q.Exclude)+len(seen)+q.wanted()), chosen: make([]Item, 0, q.wanted())}
	for _, id := range q.Exclude {
		s.without[id] = true
	}
	for _, id := range seen {
		s.without[id] = true
	}
	if q.PerCategory > 0 {
		s.of = make(map[string]int)
	}
	return s
}

func (s *selection) full() bool { return len(s.chosen) == s.query.wanted() }

// add takes what passes all filters, until there are enough. about tells of each of the
// list's items.
func (s *selection) add(l List, about []item, source string) {
	for i, scored := range l.Items {
		if s.full() {
			return
		}
		if !s.passes(scored.Item, about[i]) {
			continue
		}
		if len(s.chosen) == 0 {
			s.from, s.from.Source = l, source
		}
		s.chosen = append(s.chosen, Item{ScoredItem: scored, Source: source})
		s.without[scored.Item] = true
		if s.of != nil {
			for _, category := range about[i].categories {
				s.of[category]++
			}
		}
	}
}

func (s *selection) passes(id string, about item) bool {
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
