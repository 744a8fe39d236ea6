package codes

import (
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"

	"genrec/pkg/parallel"
)

// thinRows is how many rows are decomposed at a time: they stay in the cache.
const thinRows = 4096

// orthonormalize turns the columns of q (rows, columns) into an orthonormal basis
// of what they span. It decomposes q in blocks of rows and then their triangles,
// one below the other (TSQR, Demmel et al. 2012, arXiv:0808.2664).
func orthonormalize(q *mat.Dense) {
	n, k := q.Dims()
	blocks := max(1, n/thinRows) // the last one takes the rest too
	block := func(b int) *mat.Dense {
		to := (b + 1) * thinRows
		if b == blocks-1 {
			to = n
		}
		return part(q, b*thinRows, to)
	}
	triangles := mat.NewDense(blocks*k, k, nil)
	parallel.For(blocks, func(b int) {
		part(triangles, b*k, (b+1)*k).Copy(thinQR(block(b)))
	})
	thinQR(triangles)
	parallel.For(blocks, func(b int) {
		var product mat.Dense
		product.Mul(block(b), part(triangles, b*k, (b+1)*k))
		block(b).Copy(&product)
	})
}

// part is a view of the rows [from, to).
func part(m *mat.Dense, from, to int) *mat.Dense {
	_, columns := m.Dims()
	return m.Slice(from, to, 0, columns).(*mat.Dense)
}

// thinQR overwrites a with the first columns of its orthogonal factor and returns
// the triangle. mat.QR would give the whole factor, of (rows, rows).
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
