package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/trie"
)

// A search over packed inputs finds what one over padded ones does, whatever the decoder
// starts from.
func TestPackedIsPadded(t *testing.T) {
	ownThread(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, word := range []bool{false, true} {
		config := testConfig(20, 5, 100)
		config.InitStd = 0.3
		config.WordPositions, config.StartFromNewest, config.StartFromMean = word, word, word
		m, err := New(config, 1, testDevice(t))
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
		inputs := make([]examples.Input, 7)
		for i := range inputs {
			inputs[i] = drawInput(rng)
			inputs[i].Newest = int64(i)
		}
		found := make(map[bool][][]Candidate)
		for _, packed := range []bool{false, true} {
			searcher.packed = packed
			if found[packed], err = searcher.Search(inputs, 0); err != nil {
				t.Fatal(err)
			}
		}
		g := newGraph(searcher.device)
		defer g.Free()
		batch := examples.NewBatch(inputs)
		requests := make([]request, len(inputs))
		roomy := searcher.upload(g, requests, batch, packed(g, batch).upTo(len(inputs)*batch.Length+3), 5)
		longer := searcher.candidates(searcher.answer(g, roomy, questions{beams: true}, 5).ended, requests)
		if !slices.EqualFunc(longer, found[true], func(a, b []Candidate) bool { return slices.EqualFunc(a, b, alike) }) {
			t.Errorf("with positions that no row reads and places that nobody asks for, a search finds\n%+v, without\n%+v", longer, found[true])
		}
		for i, want := range found[false] {
			if len(found[true][i]) != len(want) {
				t.Fatalf("input %d: %d items packed, %d padded", i, len(found[true][i]), len(want))
			}
			for place, got := range found[true][i] {
				if !alike(got, want[place]) {
					t.Errorf("input %d, place %d: %+v packed, %+v padded", i, place, got, want[place])
				}
			}
		}
	}
}

func alike(a, b Candidate) bool { return a.Leaf == b.Leaf && math.Abs(a.LogProb-b.LogProb) < 1e-4 }

func TestLayoutLeavesOutPadding(t *testing.T) {
	ownThread(t)
	g := newGraph(CPU)
	defer g.Free()
	inputs := []examples.Input{
		{Tokens: []int64{5, 6, 7}, Users: make([]int64, 3), Items: make([]int64, 3)},
		{Tokens: []int64{8}, Users: make([]int64, 1), Items: make([]int64, 1)},
	}
	batch := examples.NewBatch(inputs)
	l := packed(g, batch)
	ids := l.upload(g, batch.Tokens)
	if got := ids.Ints(); len(got) != 4 || got[2] != 7 || got[3] != 8 {
		t.Errorf("packed tokens are %v, want 5 6 7 8", got)
	}
	if got := l.starts.Shape(); len(got) != 1 || got[0] != 3 {
		t.Errorf("the starts of 2 rows and their end are %v", got)
	}
	spread := uploaded{layout: l, spreading: l.spreading(g, batch)}.spread(g, g.View(ids, -1, 1))
	if shape := spread.Shape(); shape[0] != 2 || shape[1] != 3 {
		t.Fatalf("spread, they are %v, want 2 rows of 3", shape)
	}
	if got := spread.Ints(); got[0] != 5 || got[2] != 7 || got[3] != 8 {
		t.Errorf("spread, they are %v, want 5 6 7 8 and any", got)
	}
}
