// Package pairs counts which items stand near each other in histories.
//
// Time and memory grow in proportion to the interactions: each one makes an entry of 8
// bytes, or two, for each of the next items that it is counted with.
package pairs

import (
	"math"
	"slices"

	"genrec/pkg/parallel"
)

// Pair is an item with what it counts for beside another one, packed so that pairs sort
// by the item.
type Pair uint64

// Item is the number of the item.
func (p Pair) Item() int { return int(p >> 32) }

// Count is what the two count for together.
func (p Pair) Count() int { return int(uint32(p)) }

func pair(item int, count uint32) Pair { return Pair(item)<<32 | Pair(count) }

// Weights is what one item counts for beside another by the places from the first to
// the second, the next place first. They are integers, so that sums do not depend on
// the order of the histories.
type Weights struct {
	After  []uint32 // the later item beside the earlier one
	Before []uint32 // the earlier item beside the later one, of equal length; nil for nothing
}

// Count returns for each of the items 0..items-1 those that count beside it, in
// ascending order. A history holds the items of one user, oldest first.
func Count(histories [][]int, items int, w Weights) [][]Pair {
	places := make([]int, items) // in the unmerged list of an item
	w.each(histories, func(item, _ int, _ uint32) { places[item]++ })
	near := make([][]Pair, items)
	for item, n := range places {
		if n > 0 {
			near[item] = make([]Pair, 0, n)
		}
	}
	w.each(histories, func(item, other int, count uint32) { near[item] = append(near[item], pair(other, count)) })
	parallel.ForBlocks(items, func(from, to int) {
		for item := from; item < to; item++ {
			near[item] = merged(near[item])
		}
	})
	return near
}

// each calls f for everything that counts beside an item.
func (w Weights) each(histories [][]int, f func(item, other int, count uint32)) {
	for _, h := range histories {
		for i, item := range h {
			for place, count := range w.After {
				j := i + 1 + place
				if j >= len(h) {
					break
				}
				f(item, h[j], count)
				if w.Before != nil {
					f(h[j], item, w.Before[place])
				}
			}
		}
	}
}

// merged sorts pairs and adds up those of the same item; counts end at the largest that a
// pair holds, for one more would be another item's.
func merged(pairs []Pair) []Pair {
	slices.Sort(pairs)
	sums := pairs[:0]
	for _, p := range pairs {
		if last := len(sums) - 1; last >= 0 && sums[last].Item() == p.Item() {
			sums[last] = pair(p.Item(), uint32(min(sums[last].Count()+p.Count(), math.MaxUint32)))
		} else {
			sums = append(sums, p)
		}
	}
	return slices.Clone(sums)
}
