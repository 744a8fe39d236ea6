package itemstats

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"genrec/pkg/parallel"
)

const (
	// leavesPerNode is the number of items below a node of the last inner level, about.
	leavesPerNode = 128
	// directionSample bounds the rows from which the principal direction of a cluster is computed.
	directionSample = 4096
	// directionIterations is the number of power iterations. The direction only halves a cluster and
	// need not be exact.
	directionIterations = 20
)

// clusterRows gives each row of the embeddings (items, dimensions) a unique code: its path in a balanced
// tree. Clusters are halved along their principal direction (Boley 1998), so that siblings differ in size
// by one item at most. The last number counts the items of a cluster, in the order of that direction.
func clusterRows(rows *mat.Dense, levels int) []Code {
	n := rows.RawMatrix().Rows
	codes, order := make([]Code, n), make([]int, n)
	for r := range codes {
		codes[r] = make(Code, levels)
		order[r] = r
	}
	clusters := [][]int{order}
	for level, halvings := range halvingsByLevel(n, levels) {
		for range halvings {
			halves := make([][]int, 2*len(clusters))
			parallel.For(len(clusters), func(i int) {
				sortAlongPrincipalDirection(rows, clusters[i])
				middle := len(clusters[i]) / 2
				halves[2*i], halves[2*i+1] = clusters[i][:middle], clusters[i][middle:]
			})
			clusters = halves
		}
		for i, cluster := range clusters {
			for _, r := range cluster {
				codes[r][level] = i % (1 << halvings)
			}
		}
	}
	parallel.For(len(clusters), func(i int) {
		sortAlongPrincipalDirection(rows, clusters[i])
		for number, r := range clusters[i] {
			codes[r][levels-1] = number
		}
	})
	return codes
}

// halvingsByLevel returns how often the clusters of each level but the last are halved. A node gets
// leavesPerNode items, fewer in small catalogs, in which paths and leaves are about equally many.
func halvingsByLevel(items, levels int) []int {
	logItems := math.Log2(max(1, float64(items)))
	total := int(math.Round(max(logItems/2, logItems-math.Log2(leavesPerNode))))
	halvings := make([]int, levels-1)
	for i := range halvings { // the first levels get the rest
		halvings[i] = min(bits.Len(CodebookSize-1), (total+len(halvings)-1-i)/len(halvings))
	}
	return halvings
}

// sortAlongPrincipalDirection sorts a cluster by the projections of its rows.
func sortAlongPrincipalDirection(rows *mat.Dense, cluster []int) {
	type projection struct {
		value float64
		row   int
	}
	direction := principalDirection(rows, cluster)
	sorted := make([]projection, len(cluster))
	for i, r := range cluster {
		sorted[i] = projection{floats.Dot(rows.RawRowView(r), direction), r}
	}
	slices.SortFunc(sorted, func(a, b projection) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.row, b.row))
	})
	for i, p := range sorted {
		cluster[i] = p.row
	}
}

// principalDirection is the leading eigenvector of the covariance of a cluster's rows, by power iteration.
func principalDirection(rows *mat.Dense, cluster []int) []float64 {
	_, width := rows.Dims()
	stride := (len(cluster) + directionSample - 1) / directionSample
	var sample [][]float64
	mean := make([]float64, width)
	for i := 0; i < len(cluster); i += stride {
		sample = append(sample, rows.RawRowView(cluster[i]))
		floats.Add(mean, sample[len(sample)-1])
	}
	floats.Scale(1/max(1, float64(len(sample))), mean)

	direction, next := make([]float64, width), make([]float64, width)
	for i := range direction { // any vector that is unlikely to be orthogonal to the result
		direction[i] = 1 / float64(i+1)
	}
	for range directionIterations {
		clear(next)
		offset := floats.Dot(mean, direction)
		for _, row := range sample {
			floats.AddScaled(next, floats.Dot(row, direction)-offset, row)
		}
		norm := floats.Norm(next, 2)
		if norm == 0 { // all rows are equal
			break
		}
		floats.ScaleTo(direction, 1/norm, next)
	}
	return direction
}
