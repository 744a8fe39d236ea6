package model

import (
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/trie"
)

// What a recording answers is what is answered without, whoever asks the next time.
func TestRecordingAnswersWhoeverAsks(t *testing.T) {
	ownThread(t)
	device := testDevice(t)
	if device == CPU {
		t.Skip("recordings are a GPU's: set GENREC_TEST_DEVICE=cuda")
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
	tree, err := trie.Build(shop(rng, 60, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := m.NewSearcher(tree, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer searcher.Close()
	for again := range 6 {
		inputs := make([]examples.Input, 1+again%2)
		for i := range inputs {
			inputs[i] = drawInput(rng)
			inputs[i].Newest = int64(rng.IntN(5))
		}
		spare := rng.IntN(10)
		got, err := searcher.Search(inputs, spare)
		if err != nil {
			t.Fatal(err)
		}
		searcher.packed = false
		want, err := searcher.Search(inputs, spare)
		searcher.packed = true
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(a, b []Candidate) bool { return slices.EqualFunc(a, b, alike) }) {
			t.Errorf("asked for time %d, a search finds\n%+v, without recordings\n%+v", again+1, got, want)
		}
	}
	recorded := 0
	for _, known := range searcher.recordings.known {
		if known != nil {
			recorded++
		}
	}
	if recorded != 2 {
		t.Errorf("there are %d recordings, want one for each number of requests", recorded)
	}
}
