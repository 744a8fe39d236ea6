package model

import (
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/tokens"
)

// A replayed CUDA graph gives what the plain backend gives, for each new batch.
func TestGraphReplayMatchesPlainBackend(t *testing.T) {
	ownThread(t)
	device := testDevice(t)
	if device == CPU {
		t.Skip("CUDA graphs need a GPU: set GENREC_TEST_DEVICE=cuda")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	config := testConfig(20, 5, 100)
	config.InitStd = 0.3
	config.WordPositions, config.StartFromNewest, config.StartFromMean = true, true, true
	m, err := New(config, 1, device)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	tree, err := tokens.NewTrie(shop(rng, 60, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := m.NewSearcher(tree, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer searcher.Close()
	chosen := searcher.backend
	for run := range 40 {
		inputs := make([]examples.Input, 1+run%5)
		for i := range inputs {
			inputs[i] = drawInput(rng)
			inputs[i].Newest = int64(rng.IntN(5))
		}
		spare := rng.IntN(10)
		got, err := searcher.Search(t.Context(), inputs, spare)
		if err != nil {
			t.Fatal(err)
		}
		searcher.backend = newPlainBackend()
		want, err := searcher.Search(t.Context(), inputs, spare)
		searcher.backend = chosen
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(a, b []Candidate) bool { return slices.EqualFunc(a, b, alike) }) {
			t.Errorf("run %d: the search finds\n%+v, with the plain backend\n%+v", run+1, got, want)
		}
	}
	captured := 0
	for _, cache := range chosen.(*cudaBackend).graphs {
		for _, batch := range cache.graphs.Values() {
			if batch != nil {
				captured++
			}
		}
	}
	if captured == 0 {
		t.Error("no graph was captured")
	}
}

func TestRoundUp(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 7: 8, 9: 12, 13: 16, 200: 256, 256: 256} {
		if got := roundUp(n, 1); got != want {
			t.Errorf("%d is rounded up to %d, want %d", n, got, want)
		}
	}
	if got := roundUp(65, 32); got != 96 {
		t.Errorf("65 in units of 32 is rounded up to %d, want 96", got)
	}
}

func TestGraphCacheIsBounded(t *testing.T) {
	c := newGraphCache()
	defer c.free()
	for rows := range int64(10 * maxGraphs) {
		c.graphs.Add(batchShape{rows: rows}, nil)
	}
	if n := c.graphs.Len(); n != maxGraphs {
		t.Errorf("%d shapes are kept, want %d", n, maxGraphs)
	}
}
