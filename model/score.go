package model

import (
	"context"
	"math"

	"genrec/model/examples"
	"genrec/model/rank"
	"genrec/model/tensor"
)

var _ rank.Network = (*Searcher)(nil)

// Score runs the beam search, the dense head or both.
func (s *Searcher) Score(ctx context.Context, requests []*rank.Request, heads rank.Heads) ([]rank.HeadScores, error) {
	scores := make([]rank.HeadScores, len(requests))
	err := s.inParts(ctx, requests, func(thread int, g *graph, numbers []int, part []*rank.Request) {
		for i, of := range s.score(thread, g, part, heads) {
			scores[numbers[i]] = of
		}
	})
	return scores, err
}

// plan is what the operations for a batch depend on, beside the contents of its feed.
type plan struct {
	rank.Heads
	rows, positions int64
	spare           int64 // candidates that each component proposes beyond those for a request without history
	proposals       int64 // of rules, for each row
}

// output is what the network computes for a batch, on the device.
type output struct {
	leaves  *tensor.Tensor // (B, K+H): found by the search, then by the dense head
	numbers *tensor.Tensor // (B, K+H+K+R): the search's log-probabilities, then the head's of these leaves and of the rules' proposals
	beams   int64          // K
	dense   int64          // H
}

func (s *Searcher) score(thread int, g *graph, requests []*rank.Request, heads rank.Heads) []rank.HeadScores {
	p := plan{Heads: heads, rows: int64(len(requests))}
	for _, r := range requests {
		p.spare = max(p.spare, int64(r.Spare))
		if heads.Dense {
			p.proposals = max(p.proposals, int64(len(r.Proposals)))
		}
	}
	if s.device != CPU && s.packed {
		return s.scoreOnGPU(s.recordings[thread], g, requests, p)
	}
	batch := batchOf(requests)
	as := padded(batch)
	if s.packed {
		as = packed(batch)
	}
	f := s.feed(requests, batch, as, p)
	ints, numbers := f.upload(g)
	return s.read(s.compute(g, s.network.views(g, f, ints, numbers), p), requests)
}

// feed collects the batch, and what the plan needs of the requests. Rows beyond the requests
// have no proposals.
func (s *Searcher) feed(requests []*rank.Request, b examples.Batch, as layout, p plan) *feed {
	f := s.network.feed(b, as)
	if p.proposals > 0 {
		proposals := make([]int64, as.rows*p.proposals)
		for row, r := range requests {
			copy(proposals[int64(row)*p.proposals:], r.Proposals)
		}
		f.proposals = f.putInts(proposals, as.rows, p.proposals)
	}
	if p.Beams && s.tree.MinDepth < s.tree.MaxDepth {
		keep := s.beams + p.spare
		within := make([]float32, as.rows*keep)
		for row, r := range requests {
			for i := s.beams + int64(r.Spare); i < keep; i++ {
				within[int64(row)*keep+i] = float32(math.Inf(-1))
			}
		}
		f.within = f.putNumbers(within, as.rows, keep)
	}
	return f
}

// compute runs the heads. What it returns belongs to g.
func (s *Searcher) compute(g *graph, u uploaded, p plan) (out output) {
	searching := s.newGraph() // its steps free what they leave behind
	defer searching.Free()
	b, states := s.start(searching, u)
	var items, best *tensor.Tensor
	if p.Dense {
		items = s.network.itemScores(g, states)                                    // (B, Items)
		best = g.Largest(items, min(rank.Shortlist+p.spare, int64(s.tree.Leaves))) // (B, H)
		out.dense = best.Shape()[1]
	}
	if !p.Beams {
		out.leaves = best
		out.numbers = g.LogProbs(items, join(g, best, u.proposals))
		return out
	}
	ended := s.search(searching, b, s.beams+p.spare, u.within)
	out.beams = ended.nodes.Shape()[1]
	found := s.leafNumbers(g, ended.nodes) // (B, K)
	out.leaves = join(g, found, best)
	out.numbers = g.Cat(1, ended.scores)
	if p.Dense {
		out.numbers = g.Cat(1, ended.scores, g.LogProbs(items, join(g, best, found, u.proposals)))
	}
	return out
}

// join concatenates those of the tensors (B, n) that are there.
func join(g *graph, tensors ...*tensor.Tensor) *tensor.Tensor {
	var all []*tensor.Tensor
	for _, t := range tensors {
		if t != nil {
			all = append(all, t)
		}
	}
	return g.Cat(1, all...)
}

// leafNumbers maps nodes to the numbers of their leaves, and inner nodes, which stand for no
// sequence, to any.
func (s *Searcher) leafNumbers(g *graph, nodes *tensor.Tensor) *tensor.Tensor {
	return g.AtLeastZero(g.Plus(nodes, -int64(s.tree.InnerNodes)))
}

// read copies the scores of the requests to the host. Each gets as many candidates as it needs,
// whatever the others of its batch do.
func (s *Searcher) read(out output, requests []*rank.Request) []rank.HeadScores {
	leaves, numbers := out.leaves.Ints(), out.numbers.Floats()
	rows := len(leaves) / int(out.beams+out.dense)
	width := len(numbers) / rows
	scores := make([]rank.HeadScores, len(requests))
	for i, r := range requests {
		row, own := numbers[i*width:][:width:width], leaves[i*int(out.beams+out.dense):][:out.beams+out.dense]
		beams := min(int(out.beams), int(s.beams)+r.Spare)
		for beams > 0 && math.IsInf(float64(row[beams-1]), -1) { // fillers come last
			beams--
		}
		of := rank.HeadScores{BeamLeaves: own[:beams], BeamLogProbs: row[:beams]}
		if out.dense > 0 {
			dense, rest := min(int(out.dense), rank.Shortlist+r.Spare), row[out.beams:]
			of.DenseLeaves, of.DenseLogProbs = own[out.beams:][:dense], rest[:dense]
			of.BeamDense, of.ProposalDense = rest[out.dense:][:beams], rest[out.dense+out.beams:]
		}
		scores[i] = of
	}
	return scores
}

func batchOf(requests []*rank.Request) examples.Batch {
	inputs := make([]examples.Input, len(requests))
	for i, r := range requests {
		inputs[i] = r.Input
	}
	return examples.NewBatch(inputs)
}
