package codes

import (
	"cmp"
	"slices"

	"genrec/pkg/cores"
)

// Neighbors lists, for each item that is not known, the known ones whose vectors are most
// alike, at most so many, the nearest first. They are looked for among the items with the
// same leading number, so that the time grows with the items of a number and not with all.
func (l Learned) Neighbors(known []bool, most int) [][]int {
	leading := make([][]int, Size)
	for item, code := range l.Codes {
		if known[item] && l.Vectors[item] != nil {
			leading[code[0]] = append(leading[code[0]], item)
		}
	}
	found := make([][]int, len(l.Codes))
	cores.InBlocks(len(found), func(from, to int) {
		for item := from; item < to; item++ {
			if vector := l.Vectors[item]; !known[item] && vector != nil {
				found[item] = l.nearest(vector, leading[l.Codes[item][0]], most)
			}
		}
	})
	return found
}

func (l Learned) nearest(vector []float32, among []int, most int) []int {
	type candidate struct {
		item  int
		alike float32
	}
	candidates := make([]candidate, len(among))
	for i, item := range among {
		candidates[i].item = item
		for d, x := range l.Vectors[item] {
			candidates[i].alike += x * vector[d]
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.alike, a.alike), cmp.Compare(a.item, b.item))
	})
	var items []int
	for _, c := range candidates[:min(most, len(candidates))] {
		items = append(items, c.item)
	}
	return items
}
