package model

import (
	"genrec/model/examples"
	"genrec/model/tensor"
)

// layout is how the encoder's positions stand in a tensor: row by row with the padding, as
// (B, S, ...), or packed, as (N, ...): only those with a token, one row after the other.
// Packed, nothing is spent on padding.
type layout struct {
	rows, length int64
	places       []int64        // packed: where each of the N stands in the batch
	from         []int64        // packed: (B*S), which of the N stands in each place; any in the padding
	starts       *tensor.Tensor // packed: (B+1), which of the N each row begins with, and their number
}

func padded(b examples.Batch) layout { return layout{rows: int64(b.Rows), length: int64(b.Length)} }

func packed(g *graph, b examples.Batch) layout {
	l := layout{rows: int64(b.Rows), length: int64(b.Length), from: make([]int64, b.Rows*b.Length)}
	starts := []int64{0}
	for row, length := range b.Lengths {
		for i := range length {
			place := row*b.Length + int(i)
			l.from[place] = int64(len(l.places))
			l.places = append(l.places, int64(place))
		}
		starts = append(starts, int64(len(l.places)))
	}
	l.starts = g.As(g.Ints(starts, l.rows+1), tensor.Int32)
	return l
}

func (l layout) packed() bool { return l.places != nil }

// upload copies what a batch holds of each position, of the given sizes, to the device:
// (B, S, sizes) or (N, sizes).
func (l layout) upload(g *graph, data []int64, sizes ...int64) *tensor.Tensor {
	if !l.packed() {
		return g.Ints(data, append([]int64{l.rows, l.length}, sizes...)...)
	}
	each := 1
	for _, size := range sizes {
		each *= int(size)
	}
	chosen := make([]int64, 0, len(l.places)*each)
	for _, place := range l.places {
		chosen = append(chosen, data[int(place)*each:][:each]...)
	}
	return g.Ints(chosen, append([]int64{int64(len(l.places))}, sizes...)...)
}

// spread maps x (B, S, D) or (N, D) to (B, S, D).
func (l layout) spread(g *graph, x *tensor.Tensor) *tensor.Tensor {
	if !l.packed() {
		return x
	}
	from := g.Ints(l.from, int64(len(l.from)))
	return g.View(g.IndexSelect(x, 0, from), l.rows, l.length, -1) // (B, S, D)
}
