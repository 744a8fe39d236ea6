package model

import (
	"cmp"
	"fmt"
	"slices"

	"genrec/model/rules"
)

// Weights is how much the parts count in the score of an item: the weighted sum of what
// they give for its log-probability. What the weights leave of 1 is that of the beam
// search.
type Weights struct {
	Dense       float64 `json:"genrec_dense_weight"`       // of the dense head
	Sequential  float64 `json:"genrec_sequential_weight"`  // of the sequential rules
	Association float64 `json:"genrec_association_weight"` // of the association rules
}

// Rules are the weights of the rules by their kind.
func (w Weights) Rules() [rules.Kinds]float64 {
	return [rules.Kinds]float64{rules.Sequential: w.Sequential, rules.Association: w.Association}
}

const rounding = 1e-9

// Beams is the weight of the beam search.
func (w Weights) Beams() float64 {
	if left := 1 - w.Dense - w.Sequential - w.Association; left > rounding {
		return left
	}
	return 0
}

// Validate says what is wrong with the weights.
func (w Weights) Validate() error {
	if !(min(w.Dense, w.Sequential, w.Association) >= 0 && w.Dense+w.Sequential+w.Association <= 1+rounding) {
		return fmt.Errorf("genrec_dense_weight is %v, genrec_sequential_weight %v and genrec_association_weight %v: they must not be negative, nor more than 1 together",
			w.Dense, w.Sequential, w.Association)
	}
	return nil
}

// evidence is what the parts say of one item, as log-probabilities. A part that was not
// asked says 0.
type evidence struct {
	leaf         int // of the trie: the item's dense number less 1
	beams, dense float64
	rules        [rules.Kinds]float64
}

// score is the weighted sum of the evidence.
func (w Weights) score(e evidence) float64 {
	score := w.Beams()*e.beams + w.Dense*e.dense
	for kind, weight := range w.Rules() {
		score += weight * e.rules[kind]
	}
	return score
}

// weighed are the candidates of one request, best first.
func (w Weights) weighed(items []evidence) []Candidate {
	candidates := make([]Candidate, len(items))
	for i, e := range items {
		candidates[i] = Candidate{Leaf: e.leaf, LogProb: w.score(e)}
	}
	slices.SortFunc(candidates, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.LogProb, a.LogProb), cmp.Compare(a.Leaf, b.Leaf))
	})
	return candidates
}
