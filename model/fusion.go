package model

import (
	"cmp"
	"slices"

	"genrec/model/examples"
	"genrec/model/tensor"
)

// Fused finds the best items by the beam search and the dense head together: the score
// of an item is (1-w) times the log-probability of its text in the search and w times
// that of the item in the head's softmax over all items, where w is the model's
// DenseWeight. A text that the search has not found counts like the last one that it
// has. It returns as many candidates as Search, or more; leaf i must be item i+1.
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
		found = append(found, fused(generated[i], dense[i], headOf[i], weight))
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

// fused weighs the two log-probabilities of each candidate of one request: those that
// the search found, best first, those that the head likes best, and what the head says
// of the former.
func fused(generated, dense, headOf []Candidate, weight float64) []Candidate {
	head := make(map[int]float64, len(headOf))
	for _, c := range headOf {
		head[c.Leaf] = c.LogProb
	}
	best := make(map[int]float64, len(generated)+len(dense))
	for _, c := range dense {
		best[c.Leaf] = (1-weight)*generated[len(generated)-1].LogProb + weight*c.LogProb
	}
	for _, c := range generated {
		best[c.Leaf] = (1-weight)*c.LogProb + weight*head[c.Leaf]
	}
	all := make([]Candidate, 0, len(best))
	for leaf, score := range best {
		all = append(all, Candidate{Leaf: leaf, LogProb: score})
	}
	slices.SortFunc(all, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.LogProb, a.LogProb), cmp.Compare(a.Leaf, b.Leaf))
	})
	return all
}
