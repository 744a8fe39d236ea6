package model

import (
	"genrec/model/examples"
	"genrec/model/tensor"
)

// layout is how the encoder's positions stand in a tensor: row by row with the padding, as
// (B, S, ...), or packed, as (N, ...): only those with a token, one row after the other.
// Packed, what looks at one position at a time spends nothing on padding.
type layout struct {
	rows, length int64
	places       []int64        // packed: where each of the N stands in the batch
	at           *tensor.Tensor // packed: (N), its place in B*S
	from         *tensor.Tensor // packed: (B*S), which of the N stands in each place; any in the padding
}

func padded(b examples.Batch) layout { return layout{rows: int64(b.Rows), length: int64(b.Length)} }

// aligned is what a GPU's attention wants the number of positions to be a multiple of.
const aligned = 8

func packed(g *graph, b examples.Batch) layout {
	l := layout{rows: int64(b.Rows), length: int64(b.Length+aligned-1) / aligned * aligned}
	from := make([]int64, l.rows*l.length)
	var at []int64
	for row, length := range b.Lengths {
		for i := range length {
			place := int64(row)*l.length + i
			from[place] = int64(len(at))
			at = append(at, place)
			l.places = append(l.places, int64(row*b.Length)+i)
		}
	}
	l.at, l.from = g.Ints(at, int64(len(at))), g.Ints(from, int64(len(from)))
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
	return g.View(g.IndexSelect(x, 0, l.from), l.rows, l.length, -1) // (B, S, D)
}

// gather maps x (B, S, D) to (B, S, D) or (N, D).
func (l layout) gather(g *graph, x *tensor.Tensor) *tensor.Tensor {
	if !l.packed() {
		return x
	}
	return g.IndexSelect(g.View(x, l.rows*l.length, -1), 0, l.at) // (N, D)
}
