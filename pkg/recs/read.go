package recs

import (
	"context"
)

// Read answers a query for each of the users, in the same order. A user whose stored list
// is unreadable counts as one without, and so does one whose sequence is: as for a user whose
// sequence has expired, seen items cannot be left out then. The own lists take one round
// trip; only those whom they leave with too few items ask for more.
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
		all[i] = &request{selection: newSelection(q, stored[i].seen), user: id, seen: stored[i].seen, list: stored[i].list}
	}
	if err := c.add(ctx, all, SourceModel); err != nil {
		return nil, err
	}
	if short := unanswered(all); len(short) > 0 {
		if err := c.addContext(ctx, short, q.ExcludeSeen); err != nil {
			return nil, err
		}
	}
	if short := unanswered(all); len(short) > 0 {
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

// request is a user who is being answered.
type request struct {
	*selection
	user string
	seen []string // items of the sequence, oldest first, once they have been read
	list List     // what comes next
}

func unanswered(all []*request) (short []*request) {
	for _, r := range all {
		if !r.full() {
			short = append(short, r)
		}
	}
	return short
}

// add lets each take from its list. What is known of the items is asked for at once.
func (c *Client) add(ctx context.Context, all []*request, source string) error {
	n := 0
	for _, r := range all {
		n += len(r.list.Items)
	}
	ids := make([]string, 0, n)
	for _, r := range all {
		for _, scored := range r.list.Items {
			ids = append(ids, scored.Item)
		}
	}
	about, err := c.describe(ctx, ids)
	if err != nil {
		return err
	}
	for _, r := range all {
		r.add(r.list, about, source)
		about = about[len(r.list.Items):]
	}
	return nil
}

func (c *Client) addPopular(ctx context.Context, short []*request) error {
	popular, err := c.Popular(ctx)
	if err != nil {
		return err
	}
	for _, r := range short {
		r.list = popular
	}
	return c.add(ctx, short, SourcePopular)
}
