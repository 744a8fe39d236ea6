package model

import (
	"cmp"
	"fmt"
	"slices"
)

// Weights is how much the parts count in the score of an item: the weighted sum of what
// they give for its log-probability. What the two leave of 1 is that of the beam search.
type Weights struct {
	Dense float64 `json:"genrec_dense_weight"` // of the dense head
	Rules float64 `json:"genrec_rules_weight"` // of the sequential rules
}

// Beams is the weight of the beam search.
func (w Weights) Beams() float64 {
	const rounding = 1e-9
	if left := 1 - w.Dense - w.Rules; left > rounding {
		return left
	}
	return 0
}

// Validate says what is wrong with the weights.
func (w Weights) Validate() error {
	if !(w.Dense >= 0 && w.Rules >= 0 && w.Dense+w.Rules <= 1+1e-9) {
		return fmt.Errorf("genrec_dense_weight is %v and genrec_rules_weight %v: they must not be negative, nor more than 1 together", w.Dense, w.Rules)
	}
	return nil
}

// evidence is what the parts say of one item, as log-probabilities. A part that was not
// asked says 0.
type evidence struct {
	leaf                int // of the trie: the item's dense number less 1
	beams, dense, rules float64
}

// weighed are the candidates of one request, best first.
func (w Weights) weighed(items []evidence) []Candidate {
	candidates := make([]Candidate, len(items))
	for i, e := range items {
		candidates[i] = Candidate{Leaf: e.leaf, LogProb: w.Beams()*e.beams + w.Dense*e.dense + w.Rules*e.rules}
	}
	slices.SortFunc(candidates, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.LogProb, a.LogProb), cmp.Compare(a.Leaf, b.Leaf))
	})
	return candidates
}
