// Package itemstats learns from item co-occurrence in users' histories, without a neural network:
//
//   - Item codes: a short, unique sequence of numbers for each item, such that items used together
//     share a prefix. The generative model writes items as these codes (LearnCodes).
//   - Rules: which items follow an item, or occur near it, and how strongly. They are components
//     of the score next to the network (LearnRules, Rules.Predict).
//
// Both start from the same counts: a sparse row of co-occurring items for each item, weighted by
// their distance in a history. For codes, the counts are normalized to a similarity matrix, whose
// leading eigenvectors embed the items (embedding.go); a balanced tree of clusters turns the embeddings
// into codes (clustering.go), and items that join a catalog later are placed among the items that they
// resemble (code_tree.go). Rules keep the strongest counts of each item.
//
// Items are indices in [0, items). A history is the items of one user, oldest first. Results
// depend neither on the order of the histories nor on the number of CPU cores.
package itemstats

import (
	"math"
	"slices"

	"genrec/pkg/parallel"
)

// cooccurrence is an item with its weighted co-occurrence count, packed so that values sort by item.
type cooccurrence uint64

func newCooccurrence(item int, count uint32) cooccurrence {
	return cooccurrence(item)<<32 | cooccurrence(count)
}

func (c cooccurrence) item() int { return int(c >> 32) }

func (c cooccurrence) count() int { return int(uint32(c)) }

// window holds the weights of a co-occurrence by the distance of the two items in a history:
// element 0 is the weight of adjacent items. Weights are integers, so that sums do not depend on
// the order of the histories.
type window struct {
	following []uint32 // counted for the earlier item: the later one follows it
	preceding []uint32 // counted for the later item; of equal length, or nil for none
}

// count returns the items that co-occur with each of the items 0..items-1, in ascending order. Time
// and memory grow linearly with the interactions: each one makes an entry of 8 bytes for every
// distance and direction of the window.
func (w window) count(histories [][]int, items int) [][]cooccurrence {
	lengths := make([]int, items) // of the rows, before duplicates are merged
	w.forEach(histories, func(item, _ int, _ uint32) { lengths[item]++ })
	rows := make([][]cooccurrence, items)
	for item, n := range lengths {
		if n > 0 {
			rows[item] = make([]cooccurrence, 0, n)
		}
	}
	w.forEach(histories, func(item, other int, count uint32) {
		rows[item] = append(rows[item], newCooccurrence(other, count))
	})
	parallel.ForBlocks(items, func(from, to int) {
		for item := from; item < to; item++ {
			rows[item] = mergeDuplicates(rows[item])
		}
	})
	return rows
}

// forEach calls f for each co-occurrence of an item with another one.
func (w window) forEach(histories [][]int, f func(item, other int, count uint32)) {
	for _, h := range histories {
		for i, item := range h {
			for distance, count := range w.following {
				j := i + 1 + distance
				if j >= len(h) {
					break
				}
				f(item, h[j], count)
				if w.preceding != nil {
					f(h[j], item, w.preceding[distance])
				}
			}
		}
	}
}

// mergeDuplicates sorts a row and sums the counts of each item. Counts saturate at the largest
// uint32, because an overflow would change the item.
func mergeDuplicates(row []cooccurrence) []cooccurrence {
	slices.Sort(row)
	merged := row[:0]
	for _, c := range row {
		if last := len(merged) - 1; last >= 0 && merged[last].item() == c.item() {
			merged[last] = newCooccurrence(c.item(), uint32(min(merged[last].count()+c.count(), math.MaxUint32)))
		} else {
			merged = append(merged, c)
		}
	}
	return slices.Clone(merged)
}
