package model

import (
	"cmp"
	"math"
	"slices"

	"genrec/model/examples"
	"genrec/model/tensor"
)

// Fused finds the most probable items by the beam search and the dense head together:
// the probability of an item is a mixture, (1-w) of what the search gives to its text
// and w of the head's softmax over all items, where w is the model's DenseWeight. A
// text that the search has not found counts as impossible there. It returns as many
// candidates as Search, or more; leaf i must be item i+1.
func (s *Searcher) Fused(inputs []examples.Input, spare int) (found [][]Candidate, err error) {
	weight := s.network.config.DenseWeight
	if weight == 0 {
		return s.Search(inputs, spare)
	}
	defer tensor.Catch(&err)
	defer withoutGradients()()
	g, h := newGraph(s.device), newGraph(s.device)
	defer g.Free()
	defer h.Free() // the head's tensors outlive the search's steps

	rows, keep := len(inputs), s.beams+int64(spare)
	b, states := s.start(g, examples.NewBatch(inputs))
	logProbs := h.LogSoftmax(s.network.itemScores(h, states)) // (B, Items)
	best, columns := h.TopK(logProbs, min(keep, int64(s.tree.Leaves)))
	dense := candidates(best.Floats(), columns.Ints(), rows)
	if weight == 1 {
		return dense, nil
	}
	ended := s.search(g, b, keep)
	generated := s.read(ended, int64(rows))
	at := s.leafColumns(h, ended) // (B, K')
	headOf := candidates(h.Gather(logProbs, 1, at).Floats(), at.Ints(), rows)
	for i := range rows {
		found = append(found, mixed(generated[i], dense[i], headOf[i], weight))
	}
	return found, nil
}

// leafColumns are the head's columns of the sequences found (B, K'), any for a place
// without a sequence.
func (s *Searcher) leafColumns(g *graph, f finished) *tensor.Tensor {
	inner := int64(s.tree.InnerNodes)
	leaves := g.Fill(f.nodes, g.Not(g.AtLeast(f.nodes, inner)), float64(inner))
	return g.Add(leaves, g.Ints([]int64{-inner}, 1, 1))
}

// candidates splits scores and leaves, row by row.
func candidates(scores []float32, leaves []int64, rows int) [][]Candidate {
	width := len(scores) / rows
	split := make([][]Candidate, rows)
	for i, score := range scores {
		split[i/width] = append(split[i/width], Candidate{Leaf: int(leaves[i]), LogProb: float64(score)})
	}
	return split
}

// mixed adds up the probabilities of one request's candidates: of the search, of the
// head's best, and what the head gives to those of the search.
func mixed(generated, dense, headOf []Candidate, weight float64) []Candidate {
	head := make(map[int]float64, len(dense)+len(headOf))
	for _, c := range slices.Concat(headOf, dense) {
		head[c.Leaf] = weight * math.Exp(c.LogProb)
	}
	probability := make(map[int]float64, len(head))
	for _, c := range dense {
		probability[c.Leaf] = head[c.Leaf]
	}
	for _, c := range generated {
		probability[c.Leaf] = head[c.Leaf] + (1-weight)*math.Exp(c.LogProb)
	}
	all := make([]Candidate, 0, len(probability))
	for leaf, p := range probability {
		all = append(all, Candidate{Leaf: leaf, LogProb: math.Log(p)})
	}
	slices.SortFunc(all, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.LogProb, a.LogProb), cmp.Compare(a.Leaf, b.Leaf))
	})
	return all
}
