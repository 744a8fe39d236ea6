package demo

import (
	"cmp"
	"slices"
)

// popularity is the baseline: the items with the most events so far, without
// those that the user already has.
type popularity struct {
	counts map[string]int
	seen   map[string]map[string]bool // by user
	top    []string                   // most frequent first
	stale  int                        // events since top was made
}

const (
	topSize = 300
	// renewAfter events the order of the top is made again: often enough, since the
	// counts behind it hardly move in between.
	renewAfter = 50
)

func newPopularity() *popularity {
	return &popularity{counts: make(map[string]int), seen: make(map[string]map[string]bool)}
}

func (p *popularity) add(user, item string) {
	p.counts[item]++
	if p.seen[user] == nil {
		p.seen[user] = make(map[string]bool)
	}
	p.seen[user][item] = true
	p.stale++
}

// contains says whether an item is among the n most popular that a user does not
// have.
func (p *popularity) contains(user, item string, n int) bool {
	if p.top == nil || p.stale >= renewAfter {
		p.renew()
	}
	for _, popular := range p.top {
		if p.seen[user][popular] {
			continue
		}
		if popular == item {
			return true
		}
		if n--; n == 0 {
			break
		}
	}
	return false
}

func (p *popularity) renew() {
	items := make([]string, 0, len(p.counts))
	for item := range p.counts {
		items = append(items, item)
	}
	slices.SortFunc(items, func(a, b string) int {
		return cmp.Or(cmp.Compare(p.counts[b], p.counts[a]), cmp.Compare(a, b))
	})
	p.top, p.stale = items[:min(topSize, len(items))], 0
}
