package model

import (
	"cmp"
	"fmt"
	"slices"

	"genrec/model/examples"
	"genrec/model/rules"
	"genrec/model/tensor"
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

// shortlist is how many items the dense head and the rules each propose.
const shortlist = 100

// gather asks the parts that have a weight about each input, whose rules say what comes
// next (none of them needed if they have no weight). The items are those that the search
// found, those that the head likes best and those that the rules do, spare more of each
// than would do otherwise. A text that the search has not found counts like the last one
// that it has, which is at least what it is worth.
func (s *Searcher) gather(inputs []examples.Input, next []rules.Next, w Weights, spare int) (gathered [][]evidence, err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	g, h := newGraph(s.device), newGraph(s.device)
	defer g.Free()
	defer h.Free() // the head's tensors outlive the search's steps

	rows := len(inputs)
	found := make([]proposals, rows)
	var logProbs *tensor.Tensor
	if w.Beams() > 0 || w.Dense > 0 {
		b, states := s.start(g, examples.NewBatch(inputs))
		if w.Dense > 0 {
			logProbs = h.LogSoftmax(s.network.itemScores(h, states)) // (B, Items)
			_, best := h.TopK(logProbs, int64(min(shortlist+spare, s.tree.Leaves)))
			for i, leaves := range perRow(best.Ints(), rows) {
				found[i].dense = leaves
			}
		}
		if w.Beams() > 0 {
			for i, candidates := range s.read(s.search(g, b, s.beams+int64(spare)), int64(rows)) {
				found[i].beams = candidates
			}
		}
	}
	if w.Rules > 0 {
		for i := range found {
			found[i].rules = next[i].Best(shortlist + spare)
		}
	}
	gathered = make([][]evidence, rows)
	for i := range found {
		gathered[i] = found[i].items()
		if w.Rules > 0 {
			for j := range gathered[i] {
				gathered[i][j].rules = next[i].LogProb(gathered[i][j].leaf)
			}
		}
	}
	if w.Dense > 0 {
		s.askHead(h, logProbs, gathered)
	}
	return gathered, nil
}

// perRow splits the elements of a matrix.
func perRow(all []int64, rows int) [][]int64 {
	return slices.Collect(slices.Chunk(all, len(all)/rows))
}

// askHead looks up the log-probabilities (B, Items) of what was gathered.
func (s *Searcher) askHead(g *graph, logProbs *tensor.Tensor, gathered [][]evidence) {
	most := 0
	for _, row := range gathered {
		most = max(most, len(row))
	}
	columns := make([]int64, len(gathered)*most) // any in the places left over
	for i, row := range gathered {
		for j, item := range row {
			columns[i*most+j] = int64(item.leaf)
		}
	}
	at := g.Ints(columns, int64(len(gathered)), int64(most))
	values := g.Gather(logProbs, 1, at).Floats() // (B, most)
	for i, row := range gathered {
		for j := range row {
			row[j].dense = float64(values[i*most+j])
		}
	}
}

// proposals are the items that the parts want to be considered for one request.
type proposals struct {
	beams []Candidate // best first
	dense []int64
	rules []int
}

// items lists each item once, with its log-probability in the search.
func (p proposals) items() []evidence {
	listed := make(map[int]bool, len(p.beams)+len(p.dense)+len(p.rules))
	var all []evidence
	add := func(leaf int, logProb float64) {
		if !listed[leaf] {
			listed[leaf] = true
			all = append(all, evidence{leaf: leaf, beams: logProb})
		}
	}
	last := 0.0
	for _, c := range p.beams {
		add(c.Leaf, c.LogProb)
		last = c.LogProb
	}
	for _, leaf := range p.dense {
		add(int(leaf), last)
	}
	for _, leaf := range p.rules {
		add(leaf, last)
	}
	return all
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
