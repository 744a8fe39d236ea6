package itemstats

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func TestClustersAreBalanced(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, c := range []struct {
		name                string
		rows, kinds, levels int // kinds: number of distinct rows
		clusters            []int
	}{
		{"all rows equal", 768, 1, 2, []int{32}},
		{"three kinds of rows", 1_280, 3, 2, []int{32}},
		{"all rows different", 1_280, 1_280, 2, []int{32}},
		{"Beauty's size", 12_101, 12_101, 2, []int{128}},
		{"three levels", 50_000, 500, 3, []int{32, 16}},
		{"fewer rows than nodes", 3, 3, 2, []int{2}},
		{"one row", 1, 1, 2, []int{1}},
	} {
		rows := mat.NewDense(c.rows, 4, nil)
		rows.Apply(func(r, _ int, _ float64) float64 {
			if r < c.kinds {
				return rng.NormFloat64()
			}
			return 0
		}, rows)
		for r := c.kinds; r < c.rows; r++ {
			rows.SetRow(r, rows.RawRowView(r%c.kinds))
		}
		counts := make([]map[string]int, c.levels)
		for level := range counts {
			counts[level] = make(map[string]int)
		}
		for _, code := range clusterRows(rows, c.levels) {
			for level := range code {
				counts[level][fmt.Sprint(code[:level+1])]++
			}
		}
		if len(counts[c.levels-1]) != c.rows {
			t.Errorf("%s: %d different codes for %d rows", c.name, len(counts[c.levels-1]), c.rows)
		}
		nodes := 1
		for level, fanOut := range c.clusters {
			nodes *= fanOut
			var sizes []int
			for _, n := range counts[level] {
				sizes = append(sizes, n)
			}
			if len(sizes) != min(nodes, c.rows) || slices.Max(sizes)-slices.Min(sizes) > 1 {
				t.Errorf("%s: level %d has %d nodes of %d to %d items, want %d nodes of equal size",
					c.name, level, len(sizes), slices.Min(sizes), slices.Max(sizes), nodes)
			}
		}
	}
}

func TestNoNodeHasMoreItemsThanNumbers(t *testing.T) {
	for items := 1; items < 200_000_000; items += 1 + items/7 {
		levels, err := codeLevels(items, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		nodes := 1
		for _, halvings := range halvingsByLevel(items, levels) {
			nodes <<= halvings
		}
		if most := (items + nodes - 1) / nodes; most > CodebookSize*3/4 {
			t.Errorf("%d items in %d levels: %d nodes have up to %d items, want at most three quarters of %d", items, levels, nodes, most, CodebookSize)
		}
	}
}

// Rows in two distant groups are separated by the first halving.
func TestClustersFollowThePrincipalDirection(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	const n = 3 * directionSample // more than are sampled
	rows := mat.NewDense(n, 2, nil)
	for r := range n {
		rows.SetRow(r, []float64{rng.NormFloat64(), float64(r%2)*100 + rng.NormFloat64()})
	}
	groups := make(map[int]int) // by first number
	for r, code := range clusterRows(rows, 2) {
		if group, seen := groups[code[0]]; seen && group != r%2 {
			t.Fatalf("rows of both groups have the first number %d", code[0])
		}
		groups[code[0]] = r % 2
	}
}
