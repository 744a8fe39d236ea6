package rules

import (
	"cmp"
	"math"
	"slices"
)

const (
	// asked is how many of the newest items of a history have a vote, and fading what
	// each older one's is worth.
	asked = 32
	// unknown is the share of the probability that all items have alike, so that none is
	// impossible.
	unknown = 0.01
)

// Next is a distribution over the item that comes next.
type Next struct {
	items  int
	votes  map[int]float64
	ballot float64 // all votes together
}

// Next asks the newest items of a history (oldest first) what comes after them.
func (r *Rules) Next(history []int) Next {
	n := Next{items: r.Items(), votes: make(map[int]float64)}
	vote := 1.0
	for _, item := range slices.Backward(history[max(0, len(history)-asked):]) {
		for i := r.starts[item]; i < r.starts[item+1]; i++ {
			weight := vote * float64(r.weights[i])
			n.votes[int(r.after[i])] += weight
			n.ballot += weight
		}
		vote *= fading
	}
	return n
}

// LogProb is the log-probability of an item, in nats. Without a vote, as after an empty
// history, all items are equally probable.
func (n Next) LogProb(item int) float64 {
	uniform := 1 / float64(n.items)
	if n.ballot == 0 {
		return math.Log(uniform)
	}
	return math.Log((1-unknown)*n.votes[item]/n.ballot + unknown*uniform)
}

// Best are the items with the most votes, at most count, of equals the first.
func (n Next) Best(count int) []int {
	items := make([]int, 0, len(n.votes))
	for item := range n.votes {
		items = append(items, item)
	}
	slices.SortFunc(items, func(a, b int) int {
		return cmp.Or(cmp.Compare(n.votes[b], n.votes[a]), cmp.Compare(a, b))
	})
	return items[:min(count, len(items))]
}
