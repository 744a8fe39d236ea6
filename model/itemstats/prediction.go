package itemstats

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

const (
	// maxHistory is the number of newest items of a history that vote. It bounds the time of a
	// prediction, which does not depend on the number of items in the catalog.
	maxHistory = 64
	// smoothing is the probability mass that is spread evenly over all items, so that none has
	// probability 0.
	smoothing = 0.01
)

// Prediction is a probability distribution over the next item, computed by Rules.Predict. An item's
// probability is proportional to its votes, that is the weights of the rules from the history to it.
// The zero value is ready for Rules.PredictInto.
type Prediction struct {
	rules *Rules
	items []int32   // with votes, without duplicates
	votes []float32 // by position in items
	total float64   // of all votes
	keys  []uint64  // scratch memory of Top
}

// Predict predicts the item that follows a history (oldest item first).
func (r *Rules) Predict(history []int) Prediction {
	var p Prediction
	r.PredictInto(&p, history)
	return p
}

// PredictInto is Predict with the memory of an earlier prediction, which it overwrites.
func (r *Rules) PredictInto(p *Prediction, history []int) {
	p.rules, p.items, p.votes, p.total = r, p.items[:0], p.votes[:0], 0
	scratch := r.votes.Get().(*[]float32)
	defer r.votes.Put(scratch)
	votes := *scratch
	recency := float32(1)
	for _, item := range slices.Backward(history[max(0, len(history)-maxHistory):]) {
		from, to := r.starts[item], r.starts[item+1]
		weights := r.weights[from:to]
		for i, target := range r.targets[from:to] {
			if votes[target] == 0 {
				p.items = append(p.items, target)
			}
			votes[target] += recency * weights[i]
		}
		recency *= recencyDecay[r.kind]
	}
	for _, item := range p.items {
		p.votes = append(p.votes, votes[item])
		p.total += float64(votes[item])
		votes[item] = 0
	}
}

// Top appends the k most probable items to dst, or fewer if fewer have votes, in no particular
// order; ties are broken by the lower index. The time is linear in the number of items with votes.
func (p *Prediction) Top(dst []int32, k int) []int32 {
	if k >= len(p.items) {
		return append(dst, p.items...)
	}
	p.keys = p.keys[:0]
	for i, item := range p.items {
		// The bits of positive floats sort like their values.
		p.keys = append(p.keys, uint64(math.Float32bits(p.votes[i]))<<32|uint64(^uint32(item)))
	}
	selectLargest(p.keys, k)
	for _, key := range p.keys[:max(0, k)] {
		dst = append(dst, int32(^uint32(key)))
	}
	return dst
}

// selectLargest moves the k largest keys to the front, by quickselect. After too many bad pivots it
// sorts, which bounds the time.
func selectLargest(keys []uint64, k int) {
	for tries := 2 * bits.Len(uint(len(keys))); len(keys) > 1 && k > 0 && k < len(keys); tries-- {
		if tries == 0 || len(keys) <= 16 {
			slices.SortFunc(keys, func(a, b uint64) int { return cmp.Compare(b, a) })
			return
		}
		a, b, c := keys[0], keys[len(keys)/2], keys[len(keys)-1]
		pivot := max(min(a, b), min(max(a, b), c)) // the median
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
		switch { // keys[:j+1] >= pivot >= keys[i:]
		case k <= j+1:
			keys = keys[:j+1]
		case k > i:
			keys, k = keys[i:], k-i
		default:
			return
		}
	}
}

// Ranked returns the k most probable items, or fewer if fewer have votes, most probable first; ties
// are broken by the lower index.
func (p *Prediction) Ranked(k int) []int {
	t := p.Table()
	defer t.Release()
	top := p.Top(nil, k)
	slices.SortFunc(top, func(a, b int32) int { return cmp.Or(cmp.Compare(t.itemVotes(b), t.itemVotes(a)), cmp.Compare(a, b)) })
	ranked := make([]int, len(top))
	for i, item := range top {
		ranked[i] = int(item)
	}
	return ranked
}

// LogProb returns the log-probability of an item, in nats. If no item has votes, as after an empty
// history, all items are equally probable. To look up many items, a Table is faster.
func (p *Prediction) LogProb(item int) float64 {
	if at := slices.Index(p.items, int32(item)); at >= 0 {
		return p.logProb(p.votes[at])
	}
	return p.logProb(0)
}

func (p *Prediction) logProb(votes float32) float64 {
	uniform := 1 / float64(p.rules.Items())
	if p.total == 0 {
		return math.Log(uniform)
	}
	return math.Log((1-smoothing)*float64(votes)/p.total + smoothing*uniform)
}

// LogProbTable looks up the log-probability of an item in constant time.
type LogProbTable struct {
	prediction *Prediction
	votes      *[]float32 // by item
	fallback   float64    // log-probability of an item without votes
}

// Table returns a LogProbTable, which is valid until the prediction is overwritten. It has to be
// released.
func (p *Prediction) Table() LogProbTable {
	t := LogProbTable{prediction: p, votes: p.rules.votes.Get().(*[]float32), fallback: p.logProb(0)}
	for i, item := range p.items {
		(*t.votes)[item] = p.votes[i]
	}
	return t
}

// LogProb is Prediction.LogProb.
func (t LogProbTable) LogProb(item int) float64 {
	if votes := (*t.votes)[item]; votes > 0 {
		return t.prediction.logProb(votes)
	}
	return t.fallback
}

func (t LogProbTable) itemVotes(item int32) float32 { return (*t.votes)[item] }

// Release returns the memory of the table. The table must not be used afterwards.
func (t LogProbTable) Release() {
	for _, item := range t.prediction.items {
		(*t.votes)[item] = 0
	}
	t.prediction.rules.votes.Put(t.votes)
}
