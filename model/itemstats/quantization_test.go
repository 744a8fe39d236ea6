package itemstats

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func TestQuantizeRespectsCapacity(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, c := range []struct {
		name        string
		rows, kinds int // number of distinct rows
	}{
		{"all rows equal", 3 * CodebookSize, 1},
		{"three kinds of rows", 5 * CodebookSize, 3},
		{"all rows different", 5 * CodebookSize, 5 * CodebookSize},
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
		prefixes, codes := make(map[int]int), make(map[string]bool)
		for _, code := range quantize(rows, 2, rng) {
			prefixes[code[0]]++
			codes[fmt.Sprint(code)] = true
		}
		if len(codes) != c.rows {
			t.Errorf("%s: %d different codes for %d rows", c.name, len(codes), c.rows)
		}
		for number, n := range prefixes {
			if n > CodebookSize {
				t.Errorf("%s: %d codes start with %d, want %d at most", c.name, n, number, CodebookSize)
			}
		}
	}
}

// If a center is full, the rows closest to it keep it.
func TestAssignPrefersTheClosestRows(t *testing.T) {
	a := assigner{
		rows:     mat.NewDense(4, 1, []float64{3, 1, 0, 2}),
		centers:  mat.NewDense(2, 1, []float64{0, 100}),
		capacity: 1,
	}
	a.number, a.distance = nearestCenters(a.rows, a.centers)
	a.assign([]int{0, 1, 2, 3})
	// Two centers take a row each; the other two get numbers without center.
	for row, want := range []int{3, 1, 0, 2} {
		if a.number[row] != want {
			t.Errorf("row %d has the number %d, want %d", row, a.number[row], want)
		}
	}
}

func TestKMeansFindsTheMeans(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	const n = maxSample + 1_000 // more than are sampled
	rows := mat.NewDense(n, 2, nil)
	for r := range n {
		rows.Set(r, r%2, 10)
	}
	centers := kMeans(rows, rng)
	if k, _ := centers.Dims(); k != 2 {
		t.Fatalf("%d centers of two kinds of rows, want 2", k)
	}
	number, distance := nearestCenters(rows, centers)
	for r := range n {
		if number[r] != number[r%2] || distance[r] > 1e-9 {
			t.Fatalf("row %d is %g away from center %d, want 0 from center %d", r, distance[r], number[r], number[r%2])
		}
	}
}
