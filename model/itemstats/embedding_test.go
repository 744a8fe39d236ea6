package itemstats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func TestSimilarityMatrix(t *testing.T) {
	// Item 2 co-occurs with no other. In twelfths: 1-3 12+6, 3-4 12, 1-4 6+12.
	m := newSimilarityMatrix([][]int{{1, 3, 4, 1}, {2, 2}}, 6)
	if !slices.Equal(m.items, []int{1, 3, 4}) {
		t.Fatalf("rows for the items %v, want 1, 3, 4", m.items)
	}
	counts := [][]float64{{0, 18, 18}, {18, 0, 12}, {18, 12, 0}}
	degrees := []float64{36, 30, 30}
	for r, row := range m.rows {
		got := make([]float64, 3)
		for _, other := range row {
			got[other.column] += float64(other.value)
		}
		for c := range got {
			if want := counts[r][c] / math.Sqrt(degrees[r]*degrees[c]); math.Abs(got[c]-want) > 1e-6 {
				t.Errorf("items %d and %d have the similarity %f, want %f", m.items[r], m.items[c], got[c], want)
			}
		}
	}
}

func TestSimilarityMatrixWindow(t *testing.T) {
	m := newSimilarityMatrix([][]int{{0, 1, 2, 3, 4, 5}}, 6)
	for _, other := range m.rows[0] {
		if other.column == 5 {
			t.Error("items at distance 5 are similar")
		}
	}
	if len(m.rows[0]) != 4 {
		t.Errorf("the first of six items is similar to %d others, want 4", len(m.rows[0]))
	}
}

func TestEmbedSeparatesGroups(t *testing.T) {
	const groups = 3
	m := newSimilarityMatrix(randomHistories(rand.New(rand.NewPCG(6, 6)), 3_000, 300, groups), 300)
	rows, err := embed(m, rand.New(rand.NewPCG(7, 7)))
	if err != nil {
		t.Fatal(err)
	}
	if n, width := rows.Dims(); n != 300 || width != embeddingSize {
		t.Fatalf("the embedding is (%d, %d), want (300, %d)", n, width, embeddingSize)
	}
	var cosines mat.Dense
	cosines.Mul(rows, rows.T())
	for a := range 300 {
		for b := range 300 {
			cosine := cosines.At(a, b)
			if a == b && math.Abs(cosine-1) > 1e-9 {
				t.Fatalf("row %d has the squared length %f, want 1", a, cosine)
			}
			if a%groups != b%groups && math.Abs(cosine) > .1 {
				t.Fatalf("items %d and %d never co-occur, but the cosine of their rows is %f", a, b, cosine)
			}
		}
	}
}

func TestOrthonormalize(t *testing.T) {
	for _, c := range []struct {
		name          string
		rows, columns int
		same          bool // whether the last two columns are equal
	}{
		{"one number", 1, 1, false},
		{"square", 7, 7, false},
		{"blocks", 2*qrBlockRows + 100, 5, false},
		{"equal columns", qrBlockRows + 9, 4, true},
	} {
		rng := rand.New(rand.NewPCG(8, 8))
		a := mat.NewDense(c.rows, c.columns, nil)
		a.Apply(func(_, _ int, _ float64) float64 { return rng.NormFloat64() }, a)
		if c.same {
			a.SetCol(c.columns-1, mat.Col(nil, c.columns-2, a))
		}
		q := mat.DenseCopyOf(a)
		orthonormalize(q)

		var gram, projected mat.Dense
		gram.Mul(q.T(), q)
		for i := range c.columns {
			gram.Set(i, i, gram.At(i, i)-1)
		}
		if off := mat.Norm(&gram, 1); off > 1e-12 {
			t.Errorf("%s: the columns are %g away from orthonormal", c.name, off)
		}
		projected.Mul(q.T(), a)
		var back mat.Dense
		back.Mul(q, &projected)
		back.Sub(&back, a)
		if off := mat.Norm(&back, math.Inf(1)); off > 1e-9 {
			t.Errorf("%s: the columns have another span, %g away", c.name, off)
		}
	}
}

func TestEmbeddingsOfItemsUsedTogetherAreSimilar(t *testing.T) {
	const groups, items = 4, 200
	histories := randomHistories(rand.New(rand.NewPCG(6, 6)), 5*items, items, groups)
	learned, err := LearnCodes(histories, items+1, nil, 1) // the last item co-occurs with no other
	if err != nil {
		t.Fatal(err)
	}
	cosine := func(a, b []float32) (sum float64) {
		for i := range a {
			sum += float64(a[i]) * float64(b[i])
		}
		return sum
	}
	if learned.Embeddings[items] != nil {
		t.Errorf("an item without co-occurrence has the embedding %v", learned.Embeddings[items])
	}
	within, between := 0.0, 0.0
	for item := range items {
		v := learned.Embeddings[item]
		if norm := cosine(v, v); math.Abs(norm-1) > 1e-5 {
			t.Fatalf("the embedding of item %d has the squared length %.5f, want 1", item, norm)
		}
		within += cosine(v, learned.Embeddings[(item+groups)%items]) / items
		between += cosine(v, learned.Embeddings[(item+1)%items]) / items
	}
	if within < 0.5 || math.Abs(between) > 0.2 {
		t.Errorf("the mean cosine is %.2f within a group and %.2f between two, want far apart", within, between)
	}
}
