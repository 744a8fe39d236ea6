package model

import (
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/tokens"
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
	tree, err := tokens.NewTrie(shop(rng, 60, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := m.NewSearcher(tree, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer searcher.Close()
	for again := range 40 {
		inputs := make([]examples.Input, 1+again%5)
		for i := range inputs {
			inputs[i] = drawInput(rng)
			inputs[i].Newest = int64(rng.IntN(5))
		}
		spare := rng.IntN(10)
		got, err := searcher.Search(t.Context(), inputs, spare)
		if err != nil {
			t.Fatal(err)
		}
		searcher.packed = false
		want, err := searcher.Search(t.Context(), inputs, spare)
		searcher.packed = true
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(a, b []Candidate) bool { return slices.EqualFunc(a, b, alike) }) {
			t.Errorf("asked for time %d, a search finds\n%+v, without recordings\n%+v", again+1, got, want)
		}
	}
	recorded := 0
	for _, r := range searcher.recordings {
		for _, known := range r.known.Values() {
			if known != nil {
				recorded++
			}
		}
	}
	if recorded == 0 {
		t.Error("nothing was recorded")
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

// However many plans are met, a thread keeps few of them.
func TestRecordingsAreBounded(t *testing.T) {
	r := newRecordings()
	defer r.free()
	for rows := range int64(10 * mostRecordings) {
		r.known.Add(plan{rows: rows}, nil)
	}
	if n := r.known.Len(); n != mostRecordings {
		t.Errorf("%d plans are remembered, want %d", n, mostRecordings)
	}
}
