package model

import "genrec/model/tensor"

// finished are the best sequences that a search has ended so far: (B, K'), best
// first. Places without a sequence have the score -inf.
type finished struct{ scores, nodes *tensor.Tensor }

func (f finished) tensors() []*tensor.Tensor {
	if f.scores == nil {
		return nil
	}
	return []*tensor.Tensor{f.scores, f.nodes}
}

// with adds the continuations of a step and keeps the best.
func (f finished) with(g *graph, e expansion, keep int64) finished {
	if f.scores == nil {
		return finished{e.scores, e.nodes}
	}
	scores := g.Cat(1, f.scores, e.scores)
	best, index := g.TopK(scores, min(keep, scores.Shape()[1]))
	return finished{best, g.Gather(g.Cat(1, f.nodes, e.nodes), 1, index)}
}
