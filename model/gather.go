package model

import (
	"genrec/model/examples"
	"genrec/model/rules"
	"genrec/model/tensor"
)

// shortlist is how many items the dense head and the rules of each kind propose.
const shortlist = 100

// byKind is what the rules of each kind say comes next.
type byKind [rules.Kinds]rules.Next

// gather asks the parts that have a weight about each input; next is what the rules say
// comes after it, and needed where they have one. The items are those that the search
// found, those that the head likes best and those that the rules do, spare more of each
// than would do otherwise. A text that the search has not found counts like the last one
// that it has, which is at least what it is worth.
func (s *Searcher) gather(inputs []examples.Input, next []byKind, w Weights, spare int) (gathered [][]evidence, err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	g := newGraph(s.device)
	defer g.Free()

	found, logProbs := s.askNetwork(g, inputs, w, spare)
	gathered = make([][]evidence, len(inputs))
	for i := range inputs {
		for kind, weight := range w.Rules() {
			if weight > 0 {
				found[i].rules = append(found[i].rules, next[i][kind].Best(shortlist+spare)...)
			}
		}
		gathered[i] = found[i].items()
		for kind, weight := range w.Rules() {
			if weight > 0 {
				for j, item := range gathered[i] {
					gathered[i][j].rules[kind] = next[i][kind].LogProb(item.leaf)
				}
			}
		}
	}
	if w.Dense > 0 {
		lookUp(g, logProbs, gathered)
	}
	return gathered, nil
}

// askNetwork runs the search and the head, as far as they have a weight. It also returns
// the head's log-probabilities of all items (B, Items).
func (s *Searcher) askNetwork(g *graph, inputs []examples.Input, w Weights, spare int) (found []proposals, logProbs *tensor.Tensor) {
	rows := len(inputs)
	found = make([]proposals, rows)
	if w.Beams() == 0 && w.Dense == 0 {
		return found, nil
	}
	searching := newGraph(s.device) // its steps free what they leave behind
	defer searching.Free()
	b, states := s.start(searching, examples.NewBatch(inputs))
	if w.Dense > 0 {
		logProbs = g.LogSoftmax(s.network.itemScores(g, states)) // (B, Items)
		_, best := g.TopK(logProbs, int64(min(shortlist+spare, s.tree.Leaves)))
		leaves := best.Ints() // row by row
		for i := range found {
			found[i].dense = leaves[i*len(leaves)/rows : (i+1)*len(leaves)/rows]
		}
	}
	if w.Beams() > 0 {
		ended := s.search(searching, b, s.beams+int64(spare))
		for i, candidates := range s.read(ended, int64(rows)) {
			found[i].beams = candidates
		}
	}
	return found, logProbs
}

// lookUp adds the head's log-probabilities (B, Items) to what was gathered.
func lookUp(g *graph, logProbs *tensor.Tensor, gathered [][]evidence) {
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
