package itemstats

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

const (
	// orderWindow is the largest distance in a history at which two items co-occur.
	orderWindow = 4
	// recentItems is the number of last items in the order that attract the next one.
	recentItems = 10
)

// OrderByCooccurrence returns the items 0..items-1 in an order in which items used together are close
// to each other. It is greedy: the next item is the one most similar to the last ones, or, if none is
// similar, the most frequent one that is left. Similarity is the cosine of co-occurrence, weighted by
// 1/distance.
func OrderByCooccurrence(histories [][]int, items int) []int {
	counts := make([]float64, items)
	cooccurrences := make([]map[int]float64, items)
	for i := range cooccurrences {
		cooccurrences[i] = make(map[int]float64)
	}
	for _, h := range histories {
		for i, a := range h {
			counts[a]++
			for j := i + 1; j < min(len(h), i+1+orderWindow); j++ {
				if b := h[j]; a != b {
					cooccurrences[a][b] += 1 / float64(j-i)
					cooccurrences[b][a] += 1 / float64(j-i)
				}
			}
		}
	}
	byFrequency := make([]int, items)
	for i := range byFrequency {
		byFrequency[i] = i
	}
	slices.SortStableFunc(byFrequency, func(a, b int) int { return cmp.Compare(counts[b], counts[a]) })

	order := make([]int, 0, items)
	placed := make([]bool, items)
	similarity := make(map[int]float64) // to the recent items
	addSimilarity := func(item int, sign float64) {
		for other, weight := range cooccurrences[item] {
			similarity[other] += sign * weight / math.Sqrt(counts[item]*counts[other])
		}
	}
	for len(order) < items {
		next := mostSimilar(similarity, placed)
		for next < 0 {
			if !placed[byFrequency[0]] {
				next = byFrequency[0]
			}
			byFrequency = byFrequency[1:]
		}
		placed[next] = true
		order = append(order, next)
		addSimilarity(next, 1)
		if len(order) > recentItems {
			addSimilarity(order[len(order)-1-recentItems], -1)
			maps.DeleteFunc(similarity, func(item int, weight float64) bool { return placed[item] || weight < 1e-9 })
		}
	}
	return order
}

// mostSimilar returns the item with the largest similarity that is not placed yet, or -1.
func mostSimilar(similarity map[int]float64, placed []bool) int {
	found := -1
	for item, weight := range similarity {
		if placed[item] {
			continue
		}
		if found < 0 || weight > similarity[found] || weight == similarity[found] && item < found {
			found = item
		}
	}
	return found
}
