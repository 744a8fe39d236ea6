package model

import (
	"math"

	"genrec/model/examples"
	"genrec/model/tensor"
	"genrec/model/tokens"
)

// uploaded is a batch on the device, of which the encoder's positions stand as the layout says.
type uploaded struct {
	layout
	tokens    *tensor.Tensor // (B, S) or (N), or with P tokens a position (B, S, P) or (N, P)
	users     *tensor.Tensor // (B, S) or (N)
	items     *tensor.Tensor // (B, S) or (N)
	positions *tensor.Tensor // (B, S) or (N)
	mask      *tensor.Tensor // (B, 1, 1, S): 0 on tokens, -inf on padding; None if there is none
	newest    *tensor.Tensor // (B, 1): items; nil unless the decoder starts from them
	shares    *tensor.Tensor // (B, S, 1): of each position in the mean of the items; nil unless the decoder starts from it
	spreading *tensor.Tensor // (B*S): the layout's, where there are shares
	within    *tensor.Tensor // (B, K'): 0 for the places among which a request's search ends, -inf behind; nil if all end at once
}

// upload also says how many sequences the searches of requests keep, of the most of them.
func (s *Searcher) upload(g *graph, requests []request, b examples.Batch, as layout, spare int64) uploaded {
	u := s.network.upload(g, b, as)
	if s.tree.FirstLeaf == s.tree.Depth {
		return u
	}
	keep := s.beams + spare
	within := make([]float32, as.rows*keep)
	for row, r := range requests {
		for i := s.beams + int64(r.spare); i < keep; i++ {
			within[int64(row)*keep+i] = float32(math.Inf(-1))
		}
	}
	u.within = g.Floats(within, as.rows, keep)
	return u
}

func (n *network) upload(g *graph, b examples.Batch, as layout) uploaded {
	u := uploaded{
		layout:    as,
		users:     as.upload(g, b.Users),
		items:     as.upload(g, b.Items),
		positions: as.upload(g, n.positions(b)),
		mask:      n.paddingMask(g, b, as),
	}
	if b.Depth == 1 {
		u.tokens = as.upload(g, b.Tokens)
	} else {
		u.tokens = as.upload(g, b.Tokens, int64(b.Depth))
	}
	if n.config.StartFromNewest {
		u.newest = g.Ints(b.Newest, as.rows, 1)
	}
	if n.config.StartFromMean {
		u.shares = n.floats(g, itemShares(b, int(as.length)), as.rows, as.length, 1)
		u.spreading = as.spreading(g, b)
	}
	return u
}

// tensors are those that the batch has, without the mask.
func (u uploaded) tensors() (all []*tensor.Tensor) {
	for _, t := range []*tensor.Tensor{u.starts, u.tokens, u.users, u.items, u.positions, u.newest, u.shares, u.spreading, u.within} {
		if t != nil {
			all = append(all, t)
		}
	}
	return all
}

// set takes the contents of a batch of the same shape.
func (u uploaded) set(from uploaded) {
	theirs := from.tensors()
	for i, t := range u.tensors() {
		t.Set(theirs[i])
	}
}

// spread maps x (B, S, D) or (N, D) to (B, S, D).
func (u uploaded) spread(g *graph, x *tensor.Tensor) *tensor.Tensor {
	if u.spreading == nil {
		return x
	}
	return g.View(g.IndexSelect(x, 0, u.spreading), u.rows, u.length, -1) // (B, S, D)
}

// itemShares weighs the positions with an item alike (B, S), so that their sum is a mean.
func itemShares(b examples.Batch, length int) []float32 {
	shares := make([]float32, b.Rows*length)
	for row := range b.Rows {
		items := b.Items[row*b.Length:][:b.Length]
		count := 0
		for _, item := range items {
			if item != noID {
				count++
			}
		}
		for i, item := range items {
			if item != noID {
				shares[row*length+i] = 1 / float32(count)
			}
		}
	}
	return shares
}

func (n *network) positions(b examples.Batch) []int64 {
	positions := make([]int64, len(b.Users))
	for i := range positions {
		if n.config.NewestFirst {
			positions[i] = b.Distance[i] + positionOffset
		} else {
			positions[i] = int64(i%b.Length) + positionOffset
		}
	}
	return positions
}

func (n *network) paddingMask(g *graph, b examples.Batch, as layout) *tensor.Tensor {
	if as.packed() {
		return tensor.None
	}
	mask := make([]float32, as.rows*as.length)
	for row, length := range b.Lengths {
		for i := length; i < as.length; i++ {
			mask[int64(row)*as.length+i] = float32(math.Inf(-1))
		}
	}
	return n.floats(g, mask, as.rows, 1, 1, as.length)
}

// embedWords maps the tokens at each position to the sum of their embeddings (B, S, D) or
// (N, D), of which padding is no part.
func (n *network) embedWords(g *graph, ids *tensor.Tensor, as layout) *tensor.Tensor {
	embedded := g.Embedding(n.tokens, ids, tokens.Pad) // (B, S, D), or (B, S, P, D)
	shape, perPosition := ids.Shape(), 2
	if as.packed() {
		perPosition = 1
	}
	if len(shape) == perPosition {
		return embedded
	}
	present := g.View(g.As(g.Not(g.Equals(ids, tokens.Pad)), n.kind), append(shape, 1)...) // (B, S, P, 1)
	return g.Sum(g.Multiply(embedded, present), -2)                                        // (B, S, D)
}
