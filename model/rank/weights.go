package rank

import (
	"fmt"
	"slices"

	"genrec/model/itemstats"
)

// EnsembleWeights are the shares of the components in the score of an item: the weighted sum of the
// log-probabilities that they give it. The beam search has what the others leave of 1.
type EnsembleWeights struct {
	Dense       float64 `json:"genrec_dense_weight"`       // of the dense head
	Sequential  float64 `json:"genrec_sequential_weight"`  // of the sequential rules
	Association float64 `json:"genrec_association_weight"` // of the association rules
}

// Rules are the weights of the rules by their kind.
func (w EnsembleWeights) Rules() [itemstats.RuleKinds]float64 {
	return [itemstats.RuleKinds]float64{itemstats.Sequential: w.Sequential, itemstats.Association: w.Association}
}

const rounding = 1e-9

// Beams is the weight of the beam search.
func (w EnsembleWeights) Beams() float64 {
	if left := 1 - w.Dense - w.Sequential - w.Association; left > rounding {
		return left
	}
	return 0
}

// Heads are the parts of the network that have a weight.
func (w EnsembleWeights) Heads() Heads { return Heads{Beams: w.Beams() > 0, Dense: w.Dense > 0} }

// Validate reports what is wrong with the weights.
func (w EnsembleWeights) Validate() error {
	if !(min(w.Dense, w.Sequential, w.Association) >= 0 && w.Dense+w.Sequential+w.Association <= 1+rounding) {
		return fmt.Errorf("genrec_dense_weight is %v, genrec_sequential_weight %v and genrec_association_weight %v: they must not be negative, nor more than 1 together",
			w.Dense, w.Sequential, w.Association)
	}
	return nil
}

// ComponentScores is what the components say of one item, as log-probabilities: 0 from one that was
// not run.
type ComponentScores struct {
	Leaf         int // of the trie: the item's dense number less 1
	Beams, Dense float64
	Rules        [itemstats.RuleKinds]float64
}

// Score is the weighted sum of the evidence.
func (w EnsembleWeights) Score(e *ComponentScores) float64 {
	return w.Beams()*e.Beams + w.Dense*e.Dense + w.Sequential*e.Rules[itemstats.Sequential] + w.Association*e.Rules[itemstats.Association]
}

// Candidate is an item with the log-probability that a component, or all of them together,
// give it, in nats.
type Candidate struct {
	Leaf    int
	LogProb float64
}

// before orders candidates, best first, of equals the one with the lower number.
func (c Candidate) before(other Candidate) bool {
	return c.LogProb > other.LogProb || c.LogProb == other.LogProb && c.Leaf < other.Leaf
}

// Top appends the best of the items to top, at most count, best first. It keeps no more than
// those sorted, which is faster than sorting all for the few that a list has.
func (w EnsembleWeights) Top(top []Candidate, items []ComponentScores, count int) []Candidate {
	first := len(top)
	for i := range items {
		c := Candidate{Leaf: items[i].Leaf, LogProb: w.Score(&items[i])}
		if len(top)-first == count {
			if count == 0 || !c.before(top[len(top)-1]) {
				continue
			}
			top = top[:len(top)-1]
		}
		at := len(top)
		for at > first && c.before(top[at-1]) {
			at--
		}
		top = slices.Insert(top, at, c)
	}
	return top
}
