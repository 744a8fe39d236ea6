package rules

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

const (
	// asked is how many of the newest items of a history have a vote.
	asked = 64
	// unknown is the share of the probability that all items have alike, so that none is
	// impossible.
	unknown = 0.01
)

// Next is a distribution over the item that comes next. The zero value is ready for Ask.
type Next struct {
	rules *Rules
	voted []int32   // items with votes, each once
	votes []float32 // of each of them
	total float64   // of all votes
	keys  []uint64  // scratch of Top
}

// Next asks the newest items of a history (oldest first) what they lead to.
func (r *Rules) Next(history []int) Next {
	var n Next
	n.Ask(r, history)
	return n
}

// Ask is Rules.Next into memory that n has from before.
func (n *Next) Ask(r *Rules, history []int) {
	n.rules, n.voted, n.votes, n.total = r, n.voted[:0], n.votes[:0], 0
	scratch := r.sums.Get().(*[]float32)
	defer r.sums.Put(scratch)
	sums := *scratch
	vote := float32(1)
	for _, item := range slices.Backward(history[max(0, len(history)-asked):]) {
		from, to := r.starts[item], r.starts[item+1]
		weights := r.weights[from:to]
		for i, leads := range r.to[from:to] {
			if sums[leads] == 0 {
				n.voted = append(n.voted, leads)
			}
			sums[leads] += vote * weights[i]
		}
		vote *= older[r.kind]
	}
	for _, item := range n.voted {
		n.votes = append(n.votes, sums[item])
		n.total += float64(sums[item])
		sums[item] = 0
	}
}

// Top appends to items those with the most votes, at most count, of equals the first. They
// come in no particular order, in time proportional to the number of items with votes.
func (n *Next) Top(items []int32, count int) []int32 {
	if count >= len(n.voted) {
		return append(items, n.voted...)
	}
	n.keys = n.keys[:0]
	for i, item := range n.voted {
		// Positive floats sort like their bits.
		n.keys = append(n.keys, uint64(math.Float32bits(n.votes[i]))<<32|uint64(^uint32(item)))
	}
	largest(n.keys, count)
	for _, key := range n.keys[:max(0, count)] {
		items = append(items, int32(^uint32(key)))
	}
	return items
}

// largest moves the count largest keys to the front, by quickselect. Where pivots are bad too
// often it sorts, which bounds the time.
func largest(keys []uint64, count int) {
	for tries := 2 * bits.Len(uint(len(keys))); len(keys) > 1 && count > 0 && count < len(keys); tries-- {
		if tries == 0 || len(keys) <= 16 {
			slices.SortFunc(keys, func(a, b uint64) int { return cmp.Compare(b, a) })
			return
		}
		a, b, c := keys[0], keys[len(keys)/2], keys[len(keys)-1]
		pivot := max(min(a, b), min(max(a, b), c)) // their median
		i, j := 0, len(keys)-1
		for i <= j {
			for keys[i] > pivot {
				i++
			}
			for keys[j] < pivot {
				j--
			}
			if i <= j {
				keys[i], keys[j] = keys[j], keys[i]
				i++
				j--
			}
		}
		switch { // now keys[:j+1] >= pivot >= keys[i:]
		case count <= j+1:
			keys = keys[:j+1]
		case count > i:
			keys, count = keys[i:], count-i
		default:
			return
		}
	}
}

// Best are the items with the most votes, at most count, best first, of equals the first.
func (n *Next) Best(count int) []int {
	t := n.Table()
	defer t.Release()
	top := n.Top(nil, count)
	slices.SortFunc(top, func(a, b int32) int { return cmp.Or(cmp.Compare(t.votes(b), t.votes(a)), cmp.Compare(a, b)) })
	best := make([]int, len(top))
	for i, item := range top {
		best[i] = int(item)
	}
	return best
}

// LogProb is the log-probability of an item, in nats. Without a vote, as after an empty
// history, all items are equally probable. For many items, a Table is faster.
func (n *Next) LogProb(item int) float64 {
	if at := slices.Index(n.voted, int32(item)); at >= 0 {
		return n.logProb(n.votes[at])
	}
	return n.logProb(0)
}

func (n *Next) logProb(votes float32) float64 {
	uniform := 1 / float64(n.rules.Items())
	if n.total == 0 {
		return math.Log(uniform)
	}
	return math.Log((1-unknown)*float64(votes)/n.total + unknown*uniform)
}

// Table is a Next by item.
type Table struct {
	next  *Next
	sums  *[]float32
	unset float64 // log-probability of an item without a vote
}

// Table returns the distribution for looking up items in constant time. Release gives its
// memory back for others to use.
func (n *Next) Table() Table {
	t := Table{next: n, sums: n.rules.sums.Get().(*[]float32), unset: n.logProb(0)}
	for i, item := range n.voted {
		(*t.sums)[item] = n.votes[i]
	}
	return t
}

// LogProb is Next.LogProb.
func (t Table) LogProb(item int) float64 {
	if votes := (*t.sums)[item]; votes > 0 {
		return t.next.logProb(votes)
	}
	return t.unset
}

func (t Table) votes(item int32) float32 { return (*t.sums)[item] }

// Release ends the use of the table.
func (t Table) Release() {
	for _, item := range t.next.voted {
		(*t.sums)[item] = 0
	}
	t.next.rules.sums.Put(t.sums)
}
