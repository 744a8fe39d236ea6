package model

import (
	"slices"

	"genrec/model/examples"
	"genrec/model/tensor"
)

// layout is how the encoder's positions stand in a tensor: row by row with the padding, as
// (B, S, ...), or packed, as (N, ...): only those with a token, one row after the other.
// Packed, nothing is spent on padding.
type layout struct {
	rows, length int64
	places       []int64        // packed: where each of the N stands in the batch
	starts       *tensor.Tensor // packed: (B+1), which of the N each row begins with, and the end of the last
}

func padded(b examples.Batch) layout { return layout{rows: int64(b.Rows), length: int64(b.Length)} }

func packed(g *graph, b examples.Batch) layout {
	l := padded(b)
	starts := []int64{0}
	for row, length := range b.Lengths {
		for i := range length {
			l.places = append(l.places, int64(row*b.Length)+i)
		}
		starts = append(starts, int64(len(l.places)))
	}
	l.starts = g.As(g.Ints(starts, l.rows+1), tensor.Int32)
	return l
}

// upTo fills a packed layout up to a number of positions, which no row reads; every row is
// then allowed to be as long.
func (l layout) upTo(positions int) layout {
	l.places = append(l.places, slices.Repeat(l.places[:1], positions-len(l.places))...)
	l.length = int64(positions)
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

// spreading is which of the N positions stands in each place of (B, S), any in the padding;
// nil if they are not packed.
func (l layout) spreading(g *graph, b examples.Batch) *tensor.Tensor {
	if !l.packed() {
		return nil
	}
	from := make([]int64, l.rows*l.length)
	at := int64(0)
	for row, length := range b.Lengths {
		for i := range length {
			from[int64(row)*l.length+i] = at
			at++
		}
	}
	return g.Ints(from, l.rows*l.length)
}
