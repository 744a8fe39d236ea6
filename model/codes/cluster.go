package codes

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"genrec/pkg/parallel"
)

const (
	// sampleRows is on how many rows at most centers are found.
	sampleRows = 50_000
	// clusterRounds is how often centers move.
	clusterRounds = 20
	// clusterRows is how many rows there are a cluster at least, on average: a
	// cluster of one row would tell nothing about its item.
	clusterRows = 4
)

// cluster finds at most Size centers of the rows by k-means: (centers, dimensions).
func cluster(rows *mat.Dense, rng *rand.Rand) *mat.Dense {
	sample := sampled(rows, rng)
	centers := spread(sample, rng)
	var before []int
	for range clusterRounds {
		of, _ := nearest(sample, centers)
		if slices.Equal(of, before) {
			break
		}
		move(centers, sample, of)
		before = of
	}
	return centers
}

func sampled(rows *mat.Dense, rng *rand.Rand) *mat.Dense {
	n, width := rows.Dims()
	if n <= sampleRows {
		return rows
	}
	sample := mat.NewDense(sampleRows, width, nil)
	for i, r := range rng.Perm(n)[:sampleRows] {
		sample.SetRow(i, rows.RawRowView(r))
	}
	return sample
}

// spread starts with rows far from each other (k-means++, Arthur and Vassilvitskii
// 2007). Where few rows differ, there are fewer centers.
func spread(sample *mat.Dense, rng *rand.Rand) *mat.Dense {
	n, width := sample.Dims()
	wanted := min(Size, (n+clusterRows-1)/clusterRows)
	gap := slices.Repeat([]float64{math.Inf(1)}, n) // squared, to the nearest center
	var centers []float64
	for next := rng.IntN(n); next >= 0 && len(centers) < wanted*width; next = draw(gap, rng) {
		center := sample.RawRowView(next)
		centers = append(centers, center...)
		parallel.ForBlocks(n, func(from, to int) {
			for r := from; r < to; r++ {
				gap[r] = min(gap[r], squared(sample.RawRowView(r), center))
			}
		})
	}
	return mat.NewDense(len(centers)/width, width, centers)
}

// draw picks a row with a probability in proportion to its gap, -1 when there is
// none left.
func draw(gap []float64, rng *rand.Rand) int {
	left := rng.Float64() * floats.Sum(gap)
	drawn := -1
	for r, g := range gap {
		if g > 0 {
			drawn = r
			if left -= g; left < 0 {
				break
			}
		}
	}
	return drawn
}

// nearest finds the center nearest to each row, and the squared distance to it.
func nearest(rows, centers *mat.Dense) (number []int, distance []float64) {
	n, _ := rows.Dims()
	k, _ := centers.Dims()
	norms := make([]float64, k) // squared
	for c := range norms {
		norms[c] = floats.Dot(centers.RawRowView(c), centers.RawRowView(c))
	}
	number, distance = make([]int, n), make([]float64, n)
	parallel.ForBlocks(n, func(from, to int) {
		var products mat.Dense
		products.Mul(part(rows, from, to), centers.T())
		for r := from; r < to; r++ {
			best := math.Inf(1)
			for c, product := range products.RawRowView(r - from) {
				if d := norms[c] - 2*product; d < best {
					best, number[r] = d, c
				}
			}
			distance[r] = best + floats.Dot(rows.RawRowView(r), rows.RawRowView(r))
		}
	})
	return number, distance
}

// move puts each center into the middle of its rows; one without rows stays.
func move(centers, sample *mat.Dense, of []int) {
	k, width := centers.Dims()
	sums, counts := mat.NewDense(k, width, nil), make([]float64, k)
	for r, c := range of {
		floats.Add(sums.RawRowView(c), sample.RawRowView(r))
		counts[c]++
	}
	for c, count := range counts {
		if count > 0 {
			floats.ScaleTo(centers.RawRowView(c), 1/count, sums.RawRowView(c))
		}
	}
}

// squared is the squared distance of two points.
func squared(a, b []float64) float64 {
	sum := 0.
	for i, x := range a {
		d := x - b[i]
		sum += d * d
	}
	return sum
}
