package rules

import (
	"cmp"
	"math"
	"slices"
)

const (
	// asked is how many of the newest items of a history have a vote.
	asked = 64
	// unknown is the share of the probability that all items have alike, so that none is
	// impossible.
	unknown = 0.01
)

// Next is a distribution over the item that comes next.
type Next struct {
	items  int
	voted  []int32 // ascending
	votes  []float64
	ballot float64 // all votes together
}

// Next asks the newest items of a history (oldest first) what they lead to.
func (r *Rules) Next(history []int) Next {
	n := Next{items: r.Items()}
	counting := r.sums.Get().(*[]float64)
	defer r.sums.Put(counting)
	sums := *counting
	vote := 1.0
	for _, item := range slices.Backward(history[max(0, len(history)-asked):]) {
		for i := r.starts[item]; i < r.starts[item+1]; i++ {
			to := r.to[i]
			if sums[to] == 0 {
				n.voted = append(n.voted, to)
			}
			sums[to] += vote * float64(r.weights[i])
		}
		vote *= older[r.kind]
	}
	slices.Sort(n.voted)
	n.votes = make([]float64, len(n.voted))
	for i, item := range n.voted {
		n.votes[i] = sums[item]
		n.ballot += sums[item]
		sums[item] = 0
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
	share := 0.0
	if i, found := slices.BinarySearch(n.voted, int32(item)); found {
		share = n.votes[i] / n.ballot
	}
	return math.Log((1-unknown)*share + unknown*uniform)
}

// Best are the items with the most votes, at most count, of equals the first.
func (n Next) Best(count int) []int {
	if count <= 0 {
		return nil
	}
	least := 0.0
	if len(n.votes) > count {
		sorted := slices.Clone(n.votes)
		slices.Sort(sorted)
		least = sorted[len(sorted)-count]
	}
	var best []int // in the list
	for i, votes := range n.votes {
		if votes >= least {
			best = append(best, i)
		}
	}
	slices.SortStableFunc(best, func(a, b int) int { return cmp.Compare(n.votes[b], n.votes[a]) })
	best = best[:min(count, len(best))]
	for i, at := range best {
		best[i] = int(n.voted[at])
	}
	return best
}
