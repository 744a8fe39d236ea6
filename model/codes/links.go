package codes

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// weights is what two items used together count for, by the places between them:
// twelfths of 1, 1/2, 1/3 and 1/4, as integers so that their sums do not depend on
// the order of the histories.
var weights = [...]uint64{12, 6, 4, 3}

// links says how strongly items are used together: the symmetric sparse matrix
// D^-1/2 C D^-1/2, where C sums the weights and D the rows of C. It has rows for
// the items that are used with another one.
type links struct {
	items []int // by row, ascending
	rows  [][]link
}

type link struct {
	row    int32
	weight float32
}

// newLinks counts what is used together in the histories of items 0..items-1.
func newLinks(histories [][]int, items int) *links {
	l := &links{}
	places := make([]int, items) // in the unmerged list of an item
	eachPair(histories, func(a, b int, _ uint64) {
		places[a]++
		places[b]++
	})
	rowOf := make([]int, items)
	var lists [][]uint64 // by row: the other row in the upper half, the weight in the lower
	for item, n := range places {
		if n > 0 {
			rowOf[item] = len(l.items)
			l.items = append(l.items, item)
			lists = append(lists, make([]uint64, 0, n))
		}
	}
	eachPair(histories, func(a, b int, weight uint64) {
		x, y := rowOf[a], rowOf[b]
		lists[x] = append(lists[x], uint64(y)<<32|weight)
		lists[y] = append(lists[y], uint64(x)<<32|weight)
	})

	degrees := make([]float64, len(lists))
	inBlocks(len(lists), func(from, to int) {
		for r := from; r < to; r++ {
			lists[r] = merged(lists[r])
			for _, entry := range lists[r] {
				degrees[r] += float64(uint32(entry))
			}
		}
	})
	l.rows = make([][]link, len(lists))
	inBlocks(len(lists), func(from, to int) {
		for r := from; r < to; r++ {
			l.rows[r] = make([]link, len(lists[r]))
			for i, entry := range lists[r] {
				other := entry >> 32
				weight := float64(uint32(entry)) / math.Sqrt(degrees[r]*degrees[other])
				l.rows[r][i] = link{row: int32(other), weight: float32(weight)}
			}
			lists[r] = nil
		}
	})
	return l
}

// eachPair calls f for every two items that stand near each other in a history.
func eachPair(histories [][]int, f func(a, b int, weight uint64)) {
	for _, h := range histories {
		for i, a := range h {
			for between, weight := range weights {
				if j := i + 1 + between; j < len(h) && h[j] != a {
					f(a, h[j], weight)
				}
			}
		}
	}
}

// merged sorts the entries of a row and adds up those of the same other row.
func merged(entries []uint64) []uint64 {
	slices.Sort(entries)
	sums := entries[:0]
	for _, entry := range entries {
		if last := len(sums) - 1; last >= 0 && sums[last]>>32 == entry>>32 {
			sums[last] += entry & math.MaxUint32
		} else {
			sums = append(sums, entry)
		}
	}
	return slices.Clone(sums)
}

// times sets out to l q + shift q; both are (rows, columns).
func (l *links) times(out, q *mat.Dense, shift float64) {
	inBlocks(len(l.rows), func(from, to int) {
		for r := from; r < to; r++ {
			sum := out.RawRowView(r)
			floats.ScaleTo(sum, shift, q.RawRowView(r))
			for _, other := range l.rows[r] {
				floats.AddScaled(sum, float64(other.weight), q.RawRowView(int(other.row)))
			}
		}
	})
}
