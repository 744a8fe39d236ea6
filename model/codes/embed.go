package codes

import (
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

const (
	// dimensions is the length of an embedding.
	dimensions = 64
	// columns is how many vectors the iteration carries, more than are wanted, so
	// that the wanted ones settle sooner.
	columns = 96
	// powerRounds is how often the iteration multiplies. The vectors only feed a
	// clustering and need not settle to the last digit.
	powerRounds = 12
	// shift makes the iteration prefer large eigenvalues to very negative ones: all
	// are in [-1, 1].
	shift = .5
)

// embed turns the items of the links so that those used together point the same
// way: (linked items, dimensions), fewer dimensions for fewer items. These are the
// leading eigenvectors of the links, each as long as its eigenvalue, with rows of
// unit length (Ng, Jordan and Weiss 2001), found by subspace iteration and a
// Rayleigh-Ritz step (Halko, Martinsson and Tropp 2011, arXiv:0909.4061).
func embed(l *links, rng *rand.Rand) (*mat.Dense, error) {
	n := len(l.items)
	if n == 0 {
		return &mat.Dense{}, nil
	}
	k := min(columns, n)
	q, product := mat.NewDense(n, k, nil), mat.NewDense(n, k, nil)
	for i := range q.RawMatrix().Data {
		q.RawMatrix().Data[i] = rng.NormFloat64()
	}
	for range powerRounds {
		l.times(product, q, shift)
		orthonormalize(product)
		q, product = product, q
	}

	l.times(product, q, 0)
	var small mat.Dense
	small.Mul(q.T(), product)
	var eigen mat.EigenSym
	if !eigen.Factorize(mat.NewSymDense(k, small.RawMatrix().Data), true) {
		return nil, fmt.Errorf("eigenvectors of the links of %d items: no convergence", n)
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	values := eigen.Values(nil) // ascending
	rest := max(0, k-dimensions)
	scaled := mat.DenseCopyOf(vectors.Slice(0, k, rest, k))
	scaled.Apply(func(_, j int, v float64) float64 { return v * max(0, values[rest+j]) }, scaled)

	rows := mat.NewDense(n, k-rest, nil)
	rows.Mul(q, scaled)
	for r := range n {
		if norm := floats.Norm(rows.RawRowView(r), 2); norm > 0 {
			floats.Scale(1/norm, rows.RawRowView(r))
		}
	}
	return rows, nil
}
