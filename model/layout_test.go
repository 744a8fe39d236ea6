package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/rank"
	"genrec/model/tokens"
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
		tree, err := tokens.NewTrie(shop(rng, 60, 2, 3))
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
			if found[packed], err = searcher.Search(t.Context(), inputs, 0); err != nil {
				t.Fatal(err)
			}
		}
		requests := make([]*rank.Request, len(inputs))
		for i := range requests {
			requests[i] = &rank.Request{Input: inputs[i]}
		}
		batch := padRows(requests, len(inputs)+2)
		roomy := packed(batch).upTo(int64(len(inputs)+2)*int64(batch.Length)+3, int64(batch.Length)+1)
		p := plan{Heads: rank.Heads{Beams: true}, rows: int64(batch.Rows), spare: 5}
		var longer [][]Candidate
		if err := searcher.crew.each(t.Context(), 1, func(int, int) {
			defer libtorch.Inference()()
			g := newGraph(searcher.device)
			defer g.Free()
			f := searcher.feed(requests, batch, roomy, p)
			ints, numbers := f.upload(g)
			for _, of := range searcher.read(searcher.compute(g, searcher.network.views(g, f, ints, numbers), p), requests) {
				var candidates []Candidate
				for i, leaf := range of.BeamLeaves {
					candidates = append(candidates, Candidate{Leaf: int(leaf), LogProb: float64(of.BeamLogProbs[i])})
				}
				longer = append(longer, candidates)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(longer, found[true], func(a, b []Candidate) bool { return slices.EqualFunc(a, b, alike) }) {
			t.Errorf("with rows, positions and candidates that no request reads, a search finds\n%+v, without\n%+v", longer, found[true])
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
	inputs := []examples.Input{
		{Tokens: []int64{5, 6, 7}, Users: make([]int64, 3), Items: make([]int64, 3)},
		{Tokens: []int64{8}, Users: make([]int64, 1), Items: make([]int64, 1)},
	}
	batch := examples.NewBatch(inputs)
	l := packed(batch)
	if got := chosen(l, batch.Tokens); len(got) != 4 || got[2] != 7 || got[3] != 8 {
		t.Errorf("packed tokens are %v, want 5 6 7 8", got)
	}
	if got := l.cumulativeLengths(batch); !slices.Equal(got, []int64{0, 3, 4}) {
		t.Errorf("the rows begin at %v, want 0 and 3, and the end at 4", got)
	}
}
