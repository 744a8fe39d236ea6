package demo

import (
	"cmp"
	"slices"
)

// cutOff is the length of the lists whose hit rate is measured.
const cutOff = 10

// hits counts the events whose item was in the user's list before the event.
type hits struct{ model, popularity, events int }

func (h hits) rate() float64           { return share(h.model, h.events) }
func (h hits) popularityRate() float64 { return share(h.popularity, h.events) }

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// popularity is the baseline: the items with the most events so far, without those that the
// user has interacted with.
type popularity struct {
	counts map[string]int
	seen   map[string]map[string]bool // by user
	top    []string                   // most frequent first
	stale  int                        // events since top was sorted
}

const (
	topSize = 300
	// resortAfter is the number of events after which the top is sorted again: counts change
	// little in between.
	resortAfter = 50
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

// contains is true if an item is among the n most popular ones that are new to a user.
func (p *popularity) contains(user, item string, n int) bool {
	if p.top == nil || p.stale >= resortAfter {
		p.sort()
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

func (p *popularity) sort() {
	items := make([]string, 0, len(p.counts))
	for item := range p.counts {
		items = append(items, item)
	}
	slices.SortFunc(items, func(a, b string) int {
		return cmp.Or(cmp.Compare(p.counts[b], p.counts[a]), cmp.Compare(a, b))
	})
	p.top, p.stale = items[:min(topSize, len(items))], 0
}
