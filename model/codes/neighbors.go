package codes

import (
	"cmp"
	"slices"

	"genrec/pkg/parallel"
)

// mostBeside is how many items on either side of one, in the order of the codes, its
// neighbors are looked for among.
const mostBeside = 256

// Neighbors lists for each item the known ones whose vectors are most alike, at most so many,
// the nearest first. They are looked for among the items with the same leading number that
// stand beside it in the order of the codes, so that the time grows as the items do.
func (l Learned) Neighbors(known []bool, most int) [][]int {
	leading := make([][]int, Size)
	for item, code := range l.Codes {
		if known[item] && l.Vectors[item] != nil {
			leading[code[0]] = append(leading[code[0]], item)
		}
	}
	for _, items := range leading {
		slices.SortStableFunc(items, l.compare)
	}
	found := make([][]int, len(l.Codes))
	parallel.ForBlocks(len(found), func(from, to int) {
		for item := from; item < to; item++ {
			if l.Vectors[item] != nil {
				found[item] = l.nearest(item, l.beside(item, leading[l.Codes[item][0]]), most)
			}
		}
	})
	return found
}

func (l Learned) compare(a, b int) int { return slices.Compare(l.Codes[a], l.Codes[b]) }

// beside cuts items in the order of their codes to those around one.
func (l Learned) beside(item int, items []int) []int {
	at, _ := slices.BinarySearchFunc(items, item, l.compare)
	return items[max(0, at-mostBeside):min(len(items), at+mostBeside)]
}

func (l Learned) nearest(item int, among []int, most int) []int {
	type candidate struct {
		item  int
		alike float32
	}
	vector := l.Vectors[item]
	var best []candidate // at most so many, the nearest first
	for _, other := range among {
		if other == item {
			continue
		}
		c := candidate{item: other}
		for d, x := range l.Vectors[other] {
			c.alike += x * vector[d]
		}
		if len(best) == most && c.alike < best[most-1].alike {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, c, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(b.alike, a.alike), cmp.Compare(a.item, b.item))
		})
		if at < most {
			best = slices.Insert(best[:min(len(best), most-1)], at, c)
		}
	}
	var items []int
	for _, c := range best {
		items = append(items, c.item)
	}
	return items
}
