package itemstats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"genrec/pkg/parallel"
)

// quantize gives each row of the embeddings (items, dimensions) a unique code, by residual
// quantization: each level clusters the residuals, that is the embeddings less the centers of the
// levels before, and the code has the number of a center near the item's residual. It overwrites
// the rows with the last residuals.
func quantize(rows *mat.Dense, levels int, rng *rand.Rand) []Code {
	codes := make([]Code, rows.RawMatrix().Rows)
	group := make([]int, len(codes))
	for r := range codes {
		codes[r] = make(Code, levels)
		group[r] = r
	}
	if len(codes) == 0 {
		return codes
	}
	groups := [][]int{group} // rows that share the prefix of their codes
	for level := range levels {
		if level > 0 {
			groups = splitGroups(groups, codes, level-1)
		}
		a := assigner{rows: rows, centers: kMeans(rows, rng), capacity: codeCount(levels - level - 1)}
		a.number, a.distance = nearestCenters(rows, a.centers)
		parallel.For(len(groups), func(i int) { a.assign(groups[i]) })
		for r, number := range a.number {
			codes[r][level] = number
			if k, _ := a.centers.Dims(); number < k {
				floats.Sub(rows.RawRowView(r), a.centers.RawRowView(number))
			}
		}
	}
	return codes
}

// splitGroups divides each group by the number at a level.
func splitGroups(groups [][]int, codes []Code, level int) [][]int {
	var divided [][]int
	for _, group := range groups {
		byNumber := make([][]int, CodebookSize)
		for _, r := range group {
			byNumber[codes[r][level]] = append(byNumber[codes[r][level]], r)
		}
		for _, rows := range byNumber {
			if len(rows) > 0 {
				divided = append(divided, rows)
			}
		}
	}
	return divided
}

// assigner assigns the rows of a group the numbers of one level.
type assigner struct {
	rows, centers *mat.Dense
	number        []int     // by row, initially that of the nearest center
	distance      []float64 // by row, squared, to the nearest center
	capacity      int       // rows of one group that may have the same number
}

// assign moves rows of a group whose nearest center is full to the nearest one with capacity, or,
// if all are full, to a number without a center. Rows closest to their center take precedence.
func (a *assigner) assign(group []int) {
	slices.SortFunc(group, func(x, y int) int {
		return cmp.Or(cmp.Compare(a.distance[x], a.distance[y]), cmp.Compare(x, y))
	})
	used := make([]int, CodebookSize)
	for _, r := range group {
		if used[a.number[r]] == a.capacity {
			a.number[r] = a.nearestFree(r, used)
		}
		used[a.number[r]]++
	}
}

func (a *assigner) nearestFree(row int, used []int) int {
	k, _ := a.centers.Dims()
	found, least := -1, math.Inf(1)
	for number := range k {
		if used[number] == a.capacity {
			continue
		}
		if distance := squaredDistance(a.rows.RawRowView(row), a.centers.RawRowView(number)); distance < least {
			found, least = number, distance
		}
	}
	if found < 0 {
		found = k + slices.IndexFunc(used[k:], func(n int) bool { return n < a.capacity })
	}
	return found
}

const (
	// maxSample bounds the rows on which k-means runs.
	maxSample = 50_000
	// kMeansIterations bounds the updates of the centers.
	kMeansIterations = 20
	// rowsPerCluster is the minimum average size of a cluster: one of a single row would not
	// generalize.
	rowsPerCluster = 4
)

// kMeans finds at most CodebookSize centers of the rows: (centers, dimensions).
func kMeans(rows *mat.Dense, rng *rand.Rand) *mat.Dense {
	sample := sampleRows(rows, rng)
	centers := initialCenters(sample, rng)
	var before []int
	for range kMeansIterations {
		number, _ := nearestCenters(sample, centers)
		if slices.Equal(number, before) {
			break
		}
		updateCenters(centers, sample, number)
		before = number
	}
	return centers
}

func sampleRows(rows *mat.Dense, rng *rand.Rand) *mat.Dense {
	n, width := rows.Dims()
	if n <= maxSample {
		return rows
	}
	sample := mat.NewDense(maxSample, width, nil)
	for i, r := range rng.Perm(n)[:maxSample] {
		sample.SetRow(i, rows.RawRowView(r))
	}
	return sample
}

// initialCenters chooses rows that are far from each other (k-means++, Arthur and Vassilvitskii
// 2007). If fewer distinct rows exist, it returns fewer centers.
func initialCenters(sample *mat.Dense, rng *rand.Rand) *mat.Dense {
	n, width := sample.Dims()
	wanted := min(CodebookSize, (n+rowsPerCluster-1)/rowsPerCluster)
	distance := slices.Repeat([]float64{math.Inf(1)}, n) // squared, to the nearest center
	var centers []float64
	for next := rng.IntN(n); next >= 0 && len(centers) < wanted*width; next = drawWeighted(distance, rng) {
		center := sample.RawRowView(next)
		centers = append(centers, center...)
		parallel.ForBlocks(n, func(from, to int) {
			for r := from; r < to; r++ {
				distance[r] = min(distance[r], squaredDistance(sample.RawRowView(r), center))
			}
		})
	}
	return mat.NewDense(len(centers)/width, width, centers)
}

// drawWeighted draws an index with a probability proportional to its weight, or returns -1 if all
// weights are zero.
func drawWeighted(weights []float64, rng *rand.Rand) int {
	left := rng.Float64() * floats.Sum(weights)
	drawn := -1
	for i, w := range weights {
		if w > 0 {
			drawn = i
			if left -= w; left < 0 {
				break
			}
		}
	}
	return drawn
}

// nearestCenters returns for each row the number of the nearest center and the squared distance to
// it.
func nearestCenters(rows, centers *mat.Dense) (number []int, distance []float64) {
	n, _ := rows.Dims()
	k, _ := centers.Dims()
	norms := make([]float64, k) // squared
	for c := range norms {
		norms[c] = floats.Dot(centers.RawRowView(c), centers.RawRowView(c))
	}
	number, distance = make([]int, n), make([]float64, n)
	parallel.ForBlocks(n, func(from, to int) {
		var products mat.Dense
		products.Mul(rowRange(rows, from, to), centers.T())
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

// updateCenters moves each center to the mean of its rows. A center without rows stays.
func updateCenters(centers, sample *mat.Dense, number []int) {
	k, width := centers.Dims()
	sums, counts := mat.NewDense(k, width, nil), make([]float64, k)
	for r, c := range number {
		floats.Add(sums.RawRowView(c), sample.RawRowView(r))
		counts[c]++
	}
	for c, count := range counts {
		if count > 0 {
			floats.ScaleTo(centers.RawRowView(c), 1/count, sums.RawRowView(c))
		}
	}
}

func squaredDistance(a, b []float64) float64 {
	sum := 0.
	for i, x := range a {
		d := x - b[i]
		sum += d * d
	}
	return sum
}
