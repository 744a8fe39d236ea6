package itemstats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"

	"genrec/pkg/parallel"
)

// symmetricWindow weighs a co-occurrence by 1/distance, up to distance 4, in twelfths.
var symmetricWindow = window{following: []uint32{12, 6, 4, 3}, preceding: []uint32{12, 6, 4, 3}}

// similarityMatrix is the sparse symmetric matrix D^-1/2 C D^-1/2, where C holds the co-occurrence
// counts and the diagonal matrix D their row sums. It has rows for the items that co-occur with
// another one.
type similarityMatrix struct {
	items []int // by row, ascending
	rows  [][]matrixEntry
}

// matrixEntry is a non-zero element of a row.
type matrixEntry struct {
	column int32
	value  float32
}

func newSimilarityMatrix(histories [][]int, items int) *similarityMatrix {
	m := &similarityMatrix{}
	counts := symmetricWindow.count(histories, items)
	rowOf, degrees := make([]int, items), make([]float64, items)
	for item, others := range counts {
		counts[item] = slices.DeleteFunc(others, func(c cooccurrence) bool { return c.item() == item })
		for _, other := range counts[item] {
			degrees[item] += float64(other.count())
		}
		if len(counts[item]) > 0 {
			rowOf[item] = len(m.items)
			m.items = append(m.items, item)
		}
	}
	m.rows = make([][]matrixEntry, len(m.items))
	parallel.ForBlocks(len(m.rows), func(from, to int) {
		for r := from; r < to; r++ {
			item := m.items[r]
			m.rows[r] = make([]matrixEntry, len(counts[item]))
			for i, other := range counts[item] {
				value := float64(other.count()) / math.Sqrt(degrees[item]*degrees[other.item()])
				m.rows[r][i] = matrixEntry{column: int32(rowOf[other.item()]), value: float32(value)}
			}
			counts[item] = nil // free memory
		}
	})
	return m
}

// multiply sets out = m q + shift q; out and q are (rows, vectors).
func (m *similarityMatrix) multiply(out, q *mat.Dense, shift float64) {
	parallel.ForBlocks(len(m.rows), func(from, to int) {
		for r := from; r < to; r++ {
			sum := out.RawRowView(r)
			floats.ScaleTo(sum, shift, q.RawRowView(r))
			for _, e := range m.rows[r] {
				floats.AddScaled(sum, float64(e.value), q.RawRowView(int(e.column)))
			}
		}
	})
}

const (
	// embeddingSize is the number of dimensions of an embedding.
	embeddingSize = 64
	// subspaceSize is the number of vectors that the subspace iteration carries: more than
	// embeddingSize, so that the leading ones converge sooner.
	subspaceSize = 96
	// powerIterations is the number of multiplications. The eigenvectors are only clustered and need
	// not be exact.
	powerIterations = 12
	// eigenvalueShift makes the iteration prefer large positive eigenvalues to negative ones of
	// equal magnitude: all are in [-1, 1].
	eigenvalueShift = .5
)

// embed returns a spectral embedding of the items in the rows of m: (rows, embeddingSize), or fewer
// columns if there are fewer rows. The embeddings are the rows of the leading eigenvectors, each
// scaled by its eigenvalue, normalized to unit length (Ng, Jordan and Weiss 2001). The eigenvectors
// are found by subspace iteration and a Rayleigh-Ritz step (Halko, Martinsson and Tropp 2011,
// arXiv:0909.4061).
func embed(m *similarityMatrix, rng *rand.Rand) (*mat.Dense, error) {
	n := len(m.items)
	if n == 0 {
		return &mat.Dense{}, nil
	}
	k := min(subspaceSize, n)
	q, product := mat.NewDense(n, k, nil), mat.NewDense(n, k, nil)
	for i := range q.RawMatrix().Data {
		q.RawMatrix().Data[i] = rng.NormFloat64()
	}
	for range powerIterations {
		m.multiply(product, q, eigenvalueShift)
		orthonormalize(product)
		q, product = product, q
	}

	m.multiply(product, q, 0)
	var projected mat.Dense // (k, k)
	projected.Mul(q.T(), product)
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(k, projected.RawMatrix().Data), true) {
		return nil, fmt.Errorf("eigenvectors of the similarity matrix of %d items: no convergence", n)
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	values := eigen.Values(nil) // ascending
	dropped := max(0, k-embeddingSize)
	scaled := mat.DenseCopyOf(vectors.Slice(0, k, dropped, k))
	scaled.Apply(func(_, j int, v float64) float64 { return v * max(0, values[dropped+j]) }, scaled)

	rows := mat.NewDense(n, k-dropped, nil)
	rows.Mul(q, scaled)
	for r := range n {
		if norm := floats.Norm(rows.RawRowView(r), 2); norm > 0 {
			floats.Scale(1/norm, rows.RawRowView(r))
		}
	}
	return rows, nil
}

// qrBlockRows is the number of rows that are factorized at a time, small enough for the CPU cache.
const qrBlockRows = 4096

// orthonormalize replaces the columns of q (rows, columns) by an orthonormal basis of their span.
// It factorizes blocks of rows, and then their stacked triangles (TSQR, Demmel et al. 2012,
// arXiv:0808.2664).
func orthonormalize(q *mat.Dense) {
	n, k := q.Dims()
	blocks := max(1, n/qrBlockRows) // the last one takes the remaining rows too
	block := func(b int) *mat.Dense {
		to := (b + 1) * qrBlockRows
		if b == blocks-1 {
			to = n
		}
		return rowRange(q, b*qrBlockRows, to)
	}
	triangles := mat.NewDense(blocks*k, k, nil)
	parallel.For(blocks, func(b int) {
		rowRange(triangles, b*k, (b+1)*k).Copy(thinQR(block(b)))
	})
	thinQR(triangles)
	parallel.For(blocks, func(b int) {
		var product mat.Dense
		product.Mul(block(b), rowRange(triangles, b*k, (b+1)*k))
		block(b).Copy(&product)
	})
}

// rowRange is a view of the rows [from, to).
func rowRange(m *mat.Dense, from, to int) *mat.Dense {
	_, columns := m.Dims()
	return m.Slice(from, to, 0, columns).(*mat.Dense)
}

// thinQR overwrites a (rows, columns) with the first columns of its orthogonal factor and returns
// the triangular one. mat.QR would compute the whole orthogonal factor, of (rows, rows).
func thinQR(a *mat.Dense) (triangle *mat.Dense) {
	raw := a.RawMatrix()
	tau, size := make([]float64, raw.Cols), make([]float64, 1)
	lapack64.Geqrf(raw, tau, size, -1)
	work := make([]float64, int(size[0]))
	lapack64.Geqrf(raw, tau, work, len(work))

	triangle = mat.NewDense(raw.Cols, raw.Cols, nil)
	for i := range raw.Cols {
		copy(triangle.RawRowView(i)[i:], a.RawRowView(i)[i:])
	}

	lapack64.Orgqr(raw, tau, size, -1)
	work = make([]float64, int(size[0]))
	lapack64.Orgqr(raw, tau, work, len(work))
	return triangle
}
