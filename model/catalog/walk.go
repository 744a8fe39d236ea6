package catalog

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

const (
	// nearby is how far apart two items of a history may be to count as used together.
	nearby = 4
	// trail is how many of the last items of the walk attract the next one.
	trail = 10
)

// walk orders items so that items used together follow each other: it goes from
// item to item, each time to the one most similar to those just passed, and
// starts again at the most frequent item left when no similar one is left. The
// similarity is the cosine of co-occurrence within a short stretch of a history,
// close neighbors counting more. Items must be numbered from 0 in histories.
func walk(histories [][]int, items int) []int {
	counts := make([]float64, items)
	together := make([]map[int]float64, items)
	for i := range together {
		together[i] = make(map[int]float64)
	}
	for _, h := range histories {
		for i, a := range h {
			counts[a]++
			for j := i + 1; j < min(len(h), i+1+nearby); j++ {
				if b := h[j]; a != b {
					together[a][b] += 1 / float64(j-i)
					together[b][a] += 1 / float64(j-i)
				}
			}
		}
	}
	frequent := make([]int, items)
	for i := range frequent {
		frequent[i] = i
	}
	slices.SortStableFunc(frequent, func(a, b int) int { return cmp.Compare(counts[b], counts[a]) })

	order := make([]int, 0, items)
	visited := make([]bool, items)
	attraction := make(map[int]float64)
	attract := func(item int, sign float64) {
		for other, weight := range together[item] {
			attraction[other] += sign * weight / math.Sqrt(counts[item]*counts[other])
		}
	}
	for len(order) < items {
		next := best(attraction, visited)
		for next < 0 {
			if !visited[frequent[0]] {
				next = frequent[0]
			}
			frequent = frequent[1:]
		}
		visited[next] = true
		order = append(order, next)
		attract(next, 1)
		if len(order) > trail {
			left := order[len(order)-1-trail]
			attract(left, -1)
			maps.DeleteFunc(attraction, func(item int, weight float64) bool { return visited[item] || weight < 1e-9 })
		}
	}
	return order
}

// best is the unvisited item with the strongest attraction, -1 if there is none.
func best(attraction map[int]float64, visited []bool) int {
	found := -1
	for item, weight := range attraction {
		if visited[item] {
			continue
		}
		if found < 0 || weight > attraction[found] || weight == attraction[found] && item < found {
			found = item
		}
	}
	return found
}
