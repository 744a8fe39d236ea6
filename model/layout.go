package model

import (
	"slices"

	"genrec/model/examples"
)

// layout is how the encoder's positions stand in a tensor: row by row with padding, as
// (B, S, ...), or packed, as (N, ...): only those with a token, one row after the other, so
// that no work is spent on padding.
type layout struct {
	rows   int64
	length int64   // padded: S; packed: the longest row, at most
	places []int64 // packed: which of the batch's (B, S) positions each of the N is
}

func padded(b examples.Batch) layout { return layout{rows: int64(b.Rows), length: int64(b.Length)} }

func packed(b examples.Batch) layout {
	l := padded(b)
	for row, length := range b.Lengths {
		for i := range length {
			l.places = append(l.places, int64(row*b.Length)+i)
		}
	}
	return l
}

// upTo fills a packed layout up to a number of positions, which belong to no row, and lets
// rows be as long as given.
func (l layout) upTo(positions, length int64) layout {
	l.places = append(l.places, slices.Repeat(l.places[:1], int(positions)-len(l.places))...)
	l.length = length
	return l
}

func (l layout) packed() bool { return l.places != nil }

// shape is (B, S) or (N).
func (l layout) shape() []int64 {
	if l.packed() {
		return []int64{int64(len(l.places))}
	}
	return []int64{l.rows, l.length}
}

// cumulativeLengths (B+1) are where the rows begin among packed positions, and the end of the
// last one.
func (l layout) cumulativeLengths(b examples.Batch) []int64 {
	starts := make([]int64, 1, l.rows+1)
	for _, length := range b.Lengths {
		starts = append(starts, starts[len(starts)-1]+length)
	}
	return starts
}

// chosen picks from the batch's data (B, S, sizes) what stands in the layout.
func chosen[T int64 | float32](l layout, data []T, sizes ...int64) []T {
	if !l.packed() {
		return data
	}
	each := 1
	for _, size := range sizes {
		each *= int(size)
	}
	picked := make([]T, 0, len(l.places)*each)
	for _, place := range l.places {
		picked = append(picked, data[int(place)*each:][:each]...)
	}
	return picked
}
