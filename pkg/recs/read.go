package recs

import (
	"context"
	"slices"
)

// Read answers a query for each of the users, in the same order. Items come from the user's own
// list; if that leaves too few, from the items similar to the user's newest ones; then from the
// popular items.
//
// The own lists take one round trip; a user with too few items takes more. An unreadable list is
// treated as missing, and so is an unreadable sequence: as for a sequence that has expired, seen
// items cannot be excluded then.
func (c *Client) Read(ctx context.Context, users []string, q Query) ([]Answer, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	stored, err := c.readUsers(ctx, users, q.ExcludeSeen)
	if err != nil {
		return nil, err
	}
	all := make([]*request, len(users))
	for i, id := range users {
		all[i] = &request{selection: newSelection(q, stored[i].seen), user: id, seen: stored[i].seen, candidates: stored[i].list}
	}
	if err := c.selectItems(ctx, all, SourceModel); err != nil {
		return nil, err
	}
	if short := incomplete(all); len(short) > 0 {
		if err := c.addSimilar(ctx, short, q.ExcludeSeen); err != nil {
			return nil, err
		}
	}
	if short := incomplete(all); len(short) > 0 {
		if err := c.addPopular(ctx, short); err != nil {
			return nil, err
		}
	}
	answers := make([]Answer, len(users))
	for i, r := range all {
		answers[i] = r.answer(r.user)
	}
	return answers, nil
}

// request is the query of one user in progress.
type request struct {
	*selection
	user       string
	seen       []string // items of the sequence, oldest first, if they have been read
	candidates List     // to select items from next
}

func incomplete(all []*request) (short []*request) {
	for _, r := range all {
		if !r.full() {
			short = append(short, r)
		}
	}
	return short
}

// selectItems selects items from the candidates of each request. The metadata of all of them is
// read in one round trip.
func (c *Client) selectItems(ctx context.Context, all []*request, source string) error {
	n := 0
	for _, r := range all {
		n += len(r.candidates.Items)
	}
	ids := make([]string, 0, n)
	for _, r := range all {
		for _, scored := range r.candidates.Items {
			ids = append(ids, scored.Item)
		}
	}
	items, err := c.readItems(ctx, ids)
	if err != nil {
		return err
	}
	for _, r := range all {
		r.add(r.candidates, items, source)
		items = items[len(r.candidates.Items):]
	}
	return nil
}

func (c *Client) addPopular(ctx context.Context, short []*request) error {
	popular, err := c.Popular(ctx)
	if err != nil {
		return err
	}
	for _, r := range short {
		r.candidates = popular
	}
	return c.selectItems(ctx, short, SourcePopular)
}

// selection collects the items that pass a query's filters.
type selection struct {
	query    Query
	excluded map[string]bool // by the query, seen, or already selected
	counts   map[string]int  // selected items by category; nil unless the query limits them
	first    List            // the list of the first item
	items    []Item
}

func newSelection(q Query, seen []string) *selection {
	s := &selection{query: q, excluded: make(map[string]bool, len(q.Exclude)+len(seen)+q.limit()), items: make([]Item, 0, q.limit())}
	for _, id := range q.Exclude {
		s.excluded[id] = true
	}
	for _, id := range seen {
		s.excluded[id] = true
	}
	if q.PerCategory > 0 {
		s.counts = make(map[string]int)
	}
	return s
}

func (s *selection) full() bool { return len(s.items) == s.query.limit() }

// add selects items of a list until the selection is full. items has the metadata of each.
func (s *selection) add(l List, items []item, source string) {
	for i, scored := range l.Items {
		if s.full() {
			return
		}
		if !s.passes(scored.Item, items[i]) {
			continue
		}
		if len(s.items) == 0 {
			s.first, s.first.Source = l, source
		}
		s.items = append(s.items, Item{ScoredItem: scored, Source: source})
		s.excluded[scored.Item] = true
		if s.counts != nil {
			for _, category := range items[i].categories {
				s.counts[category]++
			}
		}
	}
}

func (s *selection) passes(id string, i item) bool {
	if i.hidden || s.excluded[id] || len(s.query.Categories) > 0 && !i.inOneOf(s.query.Categories) {
		return false
	}
	full := func(category string) bool { return s.counts[category] >= s.query.PerCategory }
	return s.query.PerCategory == 0 || !slices.ContainsFunc(i.categories, full)
}

func (s *selection) answer(user string) Answer {
	a := Answer{User: user, Source: SourceNone, Items: s.items}
	if len(s.items) > 0 {
		a.Source, a.RecID, a.ModelVersion = s.first.Source, s.first.RecID, s.first.ModelVersion
		a.SequenceVersion, a.GeneratedAt = s.first.SequenceVersion, s.first.GeneratedAt
	}
	return a
}
