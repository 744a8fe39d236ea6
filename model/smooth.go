package model

import (
	"slices"

	"genrec/model/tensor"
	"genrec/pkg/parallel"
)

// Smooth moves the ID embedding of each item a share of the way to the middle of its
// neighbors, given by item number: what was learned by heart of one item alone fades, what
// those used alike have in common stays (Laplacian smoothing).
func (m *Model) SmoothItems(neighbors [][]int, share float64) (err error) {
	defer tensor.Catch(&err)
	defer withoutGradients()()
	g := newGraph(m.device)
	defer g.Free()
	table, width := m.weights.byName[itemsName], m.Config.Width
	before := table.Floats() // (Items+1, D), row by row
	after := slices.Clone(before)
	parallel.ForBlocks(len(neighbors), func(from, to int) {
		middle := make([]float32, width)
		for n := from; n < to; n++ {
			if len(neighbors[n]) == 0 {
				continue
			}
			between(middle, before, neighbors[n])
			for d, x := range middle {
				after[n*width+d] += float32(share) * (x - before[n*width+d])
			}
		}
	})
	table.Set(g.Floats(after, table.Shape()...))
	return nil
}
