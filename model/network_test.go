package model

import (
	"math"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/tokens"
)

// ID embeddings (paper, equation 2): user 3 and item 3 have different ones, and a token without an ID has
// none.
func TestIDTablesAreSeparate(t *testing.T) {
	ownThread(t)
	m, err := New(testConfig(20, 5, 5), 1, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	encode := func(user, item int64) []float32 {
		defer withoutGradients()()
		p := newPass(m.device, newPlainBackend())
		defer p.Free()
		in := examples.Input{Tokens: []int64{0, 9, 2}, Users: []int64{0, user, 0}, Items: []int64{0, item, 0}}
		return encodePadded(p, m.network, []examples.Input{in}).states.Floats()
	}
	plain, asUser, asItem, both := encode(0, 0), encode(3, 0), encode(0, 3), encode(3, 3)
	for name, pair := range map[string][2][]float32{
		"a user's ID changes nothing":             {plain, asUser},
		"an item's ID changes nothing":            {plain, asItem},
		"user 3 and item 3 share their embedding": {asUser, asItem},
		"the item's ID hides the user's":          {asItem, both},
	} {
		if slices.Equal(pair[0], pair[1]) {
			t.Error(name)
		}
	}
	for _, table := range []string{usersName, itemsName} {
		if row := m.weights.byName[table].Floats()[:m.Config.Width]; slices.ContainsFunc(row, func(x float32) bool { return x != 0 }) {
			t.Errorf("%s: row 0, for tokens without an ID, is not zero", table)
		}
	}
}

// Training does not change row 0 of the ID tables.
func TestRowWithoutIDStaysZero(t *testing.T) {
	ownThread(t)
	sequences := cycles(40, rings, ringSize, 6)
	b := newBundle(t, sequences, 1)
	train(t, b, sequences, 2, 1)
	for _, table := range []string{usersName, itemsName} {
		values := b.Model.weights.byName[table].Floats()
		if slices.ContainsFunc(values[:b.Model.Config.Width], func(x float32) bool { return x != 0 }) {
			t.Errorf("%s: row 0 is no longer zero after training", table)
		}
	}
}

func TestMaxTokens(t *testing.T) {
	for positions, want := range map[int]int{1024: 512, 512: 512, 64: 64} {
		c := testConfig(20, 1, 1)
		if c.MaxPositions = positions; c.MaxTokens() != want {
			t.Errorf("%d positions take %d tokens, want %d", positions, c.MaxTokens(), want)
		}
	}
}

// A word in one position has the sum of its tokens' embeddings, without those of padding.
func TestWordPositionsSumTheTokens(t *testing.T) {
	ownThread(t)
	m, err := New(testConfig(20, 5, 5), 1, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	defer withoutGradients()()
	p := newPass(m.device, newPlainBackend())
	defer p.Free()
	table, width := m.network.tokens.Floats(), m.Config.Width
	ones := make([]float32, width)
	for i := range ones {
		ones[i] = 1 // as the tied output leaves it in a trained model
	}
	row := p.Narrow(m.network.tokens, 0, tokens.Pad, 1)
	row.Set(p.Floats(ones, 1, int64(width)))
	defer row.Zero()

	words := [][]int64{{0, tokens.Pad}, {7, 9}, {8, 8}}
	in := examples.Input{Users: make([]int64, 3), Items: make([]int64, 3)}
	for _, word := range words {
		in.Tokens = append(in.Tokens, word...)
	}
	shorter := examples.Input{Tokens: []int64{11, 12}, Users: make([]int64, 1), Items: make([]int64, 1)}
	b := examples.NewBatch([]examples.Input{in, shorter})
	got := m.network.embedTokens(p, m.network.upload(p, b, padded(b))).Floats() // (2, 3, D)
	for position, word := range words {
		for j := range width {
			want := 0.0
			for _, token := range word {
				if token != tokens.Pad {
					want += float64(table[int(token)*width+j])
				}
			}
			if x := float64(got[position*width+j]); math.Abs(x-want) > 1e-6 {
				t.Fatalf("element %d of the word %v is %.6f, the sum of its tokens %.6f", j, word, x, want)
			}
		}
	}
	if b.Length != 3 || b.Depth != 2 || b.Lengths[1] != 1 {
		t.Errorf("%d positions of %d tokens, %d in the shorter row; want 3 of 2, and 1", b.Length, b.Depth, b.Lengths[1])
	}
}

// Embeddings start from the given vectors, and stay random without one.
func TestInitItems(t *testing.T) {
	ownThread(t)
	const items = 3
	config := testConfig(20, 0, items)
	m, err := New(config, 1, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	before := m.weights.byName[itemsName].Floats()
	if err := m.InitItems([][]float32{{0.6, 0.8}, nil, {0.8, 0.6}}); err != nil {
		t.Fatal(err)
	}
	after := m.weights.byName[itemsName].Floats()
	at := func(weights []float32, item int) []float32 { return weights[item*config.Width:][:config.Width] }
	size := float32(config.InitStd * math.Sqrt2)
	if row := at(after, 1); row[0] != 0.6*size || row[1] != 0.8*size || !slices.Equal(row[2:], at(before, 1)[2:]) {
		t.Errorf("item 1 starts from %v, want its vector with elements of about %v, then the random ones", row, config.InitStd)
	}
	for _, item := range []int{0, 2} {
		if !slices.Equal(at(after, item), at(before, item)) {
			t.Errorf("row %d of the table changed without a vector", item)
		}
	}
}
