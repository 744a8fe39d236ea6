package codes

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"genrec/model/pairs"
	"genrec/pkg/parallel"
)

// together counts a pair of neighbors as 12 and those with one to three others between
// them as a half, a third and a quarter of that, whichever comes first.
var together = pairs.Weights{After: []uint32{12, 6, 4, 3}, Before: []uint32{12, 6, 4, 3}}

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
	near := pairs.Count(histories, items, together)
	rowOf, degrees := make([]int, items), make([]float64, items)
	for item, others := range near {
		near[item] = slices.DeleteFunc(others, func(p pairs.Pair) bool { return p.Item() == item })
		for _, other := range near[item] {
			degrees[item] += float64(other.Count())
		}
		if len(near[item]) > 0 {
			rowOf[item] = len(l.items)
			l.items = append(l.items, item)
		}
	}
	l.rows = make([][]link, len(l.items))
	parallel.ForBlocks(len(l.rows), func(from, to int) {
		for r := from; r < to; r++ {
			item := l.items[r]
			l.rows[r] = make([]link, len(near[item]))
			for i, other := range near[item] {
				weight := float64(other.Count()) / math.Sqrt(degrees[item]*degrees[other.Item()])
				l.rows[r][i] = link{row: int32(rowOf[other.Item()]), weight: float32(weight)}
			}
			near[item] = nil
		}
	})
	return l
}

// times sets out to l q + shift q; both are (rows, columns).
func (l *links) times(out, q *mat.Dense, shift float64) {
	parallel.ForBlocks(len(l.rows), func(from, to int) {
		for r := from; r < to; r++ {
			sum := out.RawRowView(r)
			floats.ScaleTo(sum, shift, q.RawRowView(r))
			for _, other := range l.rows[r] {
				floats.AddScaled(sum, float64(other.weight), q.RawRowView(int(other.row)))
			}
		}
	})
}
