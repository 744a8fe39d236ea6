package model

import (
	"slices"
	"testing"

	"genrec/model/examples"
)

// The paper's ID embeddings (equation 2): user 3 and item 3 are two things, and a token
// without an ID is plain BART.
func TestIDTablesAreSeparate(t *testing.T) {
	ownThread(t)
	m, err := New(testConfig(20, 5, 5), 1, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	encode := func(user, item int64) []float32 {
		defer withoutGradients()()
		g := newGraph(m.device)
		defer g.Free()
		in := examples.Input{Tokens: []int64{0, 9, 2}, Users: []int64{0, user, 0}, Items: []int64{0, item, 0}}
		return m.network.encode(g, examples.NewBatch([]examples.Input{in})).states.Floats()
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

// Training must leave row 0 of the tables alone, too.
func TestTokensWithoutIDLearnNone(t *testing.T) {
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

func TestInputsAreCutAtThePapersLength(t *testing.T) {
	for positions, want := range map[int]int{1024: 512, 512: 512, 64: 64} {
		c := testConfig(20, 1, 1)
		if c.MaxPositions = positions; c.MaxTokens() != want {
			t.Errorf("%d positions take %d tokens, want %d", positions, c.MaxTokens(), want)
		}
	}
}
