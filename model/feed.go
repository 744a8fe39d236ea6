package model

import (
	"math"

	"genrec/model/examples"
	"genrec/model/tensor"
)

// feed is a batch on the host, laid out so that one copy brings all of its integers to the
// device and another one all of its numbers. What a feed holds where depends on its shape
// alone, so that a recorded CUDA graph can be replayed on another feed of the same shape.
type feed struct {
	layout
	ints    []int64
	numbers []float32

	tokens    slot // (B, S) or (N), or with P tokens a position (B, S, P) or (N, P)
	users     slot // (B, S) or (N)
	items     slot // (B, S) or (N)
	positions slot // (B, S) or (N)
	starts    slot // (B+1), packed: cumulative lengths
	newest    slot // (B, 1), if the decoder starts from it
	proposals slot // (B, R), if there are any
	mask      slot // (B, 1, 1, S), padded
	shares    slot // (B, S) or (N), if the decoder starts from the mean of the items
	within    slot // (B, K'), if sequences end before the last step
}

// slot is where a tensor's elements are in a feed; no shape: there is no such tensor.
type slot struct {
	from  int64
	shape []int64
}

func (f *feed) putInts(data []int64, shape ...int64) slot {
	s := slot{int64(len(f.ints)), shape}
	f.ints = append(f.ints, data...)
	return s
}

func (f *feed) putNumbers(data []float32, shape ...int64) slot {
	s := slot{int64(len(f.numbers)), shape}
	f.numbers = append(f.numbers, data...)
	return s
}

// of returns the slot's part of what was uploaded, without a copy.
func (s slot) of(g *graph, uploaded *tensor.Tensor) *tensor.Tensor {
	if s.shape == nil {
		return nil
	}
	n := int64(1)
	for _, size := range s.shape {
		n *= size
	}
	return g.View(g.Narrow(uploaded, 0, s.from, n), s.shape...)
}

// feed collects what the network reads of a batch.
func (n *network) feed(b examples.Batch, as layout) *feed {
	f := &feed{layout: as}
	put := func(data []int64, sizes ...int64) slot {
		return f.putInts(chosen(as, data, sizes...), append(as.shape(), sizes...)...)
	}
	if b.Depth == 1 {
		f.tokens = put(b.Tokens)
	} else {
		f.tokens = put(b.Tokens, int64(b.Depth))
	}
	f.users, f.items, f.positions = put(b.Users), put(b.Items), put(n.positions(b))
	starts := as.cumulativeLengths(b)
	if as.packed() {
		f.starts = f.putInts(starts, as.rows+1)
	} else {
		f.mask = f.putNumbers(paddingMask(b, as), as.rows, 1, 1, as.length)
	}
	if n.config.StartFromNewest {
		f.newest = f.putInts(b.Newest, as.rows, 1)
	}
	if n.config.StartFromMean {
		shares := chosen(as, itemShares(b))
		if as.packed() {
			clear(shares[starts[as.rows]:]) // positions of no row, which the last one must not count
		}
		f.shares = f.putNumbers(shares, as.shape()...)
	}
	return f
}

// upload copies the feed to the device: all integers and all numbers, the latter nil if there
// are none.
func (f *feed) upload(g *graph) (ints, numbers *tensor.Tensor) {
	ints = g.Ints(f.ints, int64(len(f.ints)))
	if len(f.numbers) > 0 {
		numbers = g.Floats(f.numbers, int64(len(f.numbers)))
	}
	return ints, numbers
}

// uploaded is a batch on the device. Its tensors have the shapes of the feed's slots.
type uploaded struct {
	layout
	tokens, users, items, positions *tensor.Tensor
	starts                          *tensor.Tensor // nil unless packed
	packing                         packing        // the same for attention
	newest                          *tensor.Tensor // nil unless the decoder starts from it
	shares                          *tensor.Tensor // nil unless the decoder starts from the mean
	mask                            *tensor.Tensor // 0 on tokens, -inf on padding; None if packed
	within                          *tensor.Tensor // nil if all sequences end at the last step
	proposals                       *tensor.Tensor // nil if there are none
}

// views takes apart what upload returned.
func (n *network) views(g *graph, f *feed, ints, numbers *tensor.Tensor) uploaded {
	kind := func(x *tensor.Tensor) *tensor.Tensor {
		if x == nil {
			return nil
		}
		return g.As(x, n.kind)
	}
	u := uploaded{
		layout: f.layout,
		tokens: f.tokens.of(g, ints), users: f.users.of(g, ints), items: f.items.of(g, ints), positions: f.positions.of(g, ints),
		newest: f.newest.of(g, ints), proposals: f.proposals.of(g, ints),
		shares: kind(f.shares.of(g, numbers)), within: f.within.of(g, numbers), mask: tensor.None,
	}
	if f.packed() {
		u.starts = f.starts.of(g, ints)
		u.packing = packing{g.As(u.starts, tensor.Int32), f.length}
	} else {
		u.mask = kind(f.mask.of(g, numbers))
	}
	return u
}

// upload copies a batch to the device, with its encoder positions as the layout says.
func (n *network) upload(g *graph, b examples.Batch, as layout) uploaded {
	f := n.feed(b, as)
	ints, numbers := f.upload(g)
	return n.views(g, f, ints, numbers)
}

// itemShares weighs the positions with an item alike (B, S), so that their sum is a mean.
func itemShares(b examples.Batch) []float32 {
	shares := make([]float32, b.Rows*b.Length)
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
				shares[row*b.Length+i] = 1 / float32(count)
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

func paddingMask(b examples.Batch, as layout) []float32 {
	mask := make([]float32, as.rows*as.length)
	for row, length := range b.Lengths {
		for i := length; i < as.length; i++ {
			mask[int64(row)*as.length+i] = float32(math.Inf(-1))
		}
	}
	return mask
}
