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

// The backends and layouts find what the plain backend finds in padded batches, whatever the decoder
// starts from.
func TestSearchMatchesPlainBackend(t *testing.T) {
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
		trie, err := tokens.NewTrie(shop(rng, 60, 2, 3))
		if err != nil {
			t.Fatal(err)
		}
		searcher, err := m.NewSearcher(trie, 10, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer searcher.Close()
		inputs := make([]examples.Input, 7)
		for i := range inputs {
			inputs[i] = drawInput(rng)
			inputs[i].Newest = int64(i)
		}
		chosen, plain, packedPlain := searcher.backend, newPlainBackend(), newPlainBackend()
		packedPlain.packed = true
		search := func(b backend) [][]Candidate {
			searcher.backend = b
			defer func() { searcher.backend = chosen }()
			found, err := searcher.Search(t.Context(), inputs, 0)
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		want := search(plain)
		for name, got := range map[string][][]Candidate{
			"chosen for the device": search(chosen), "plain, packed": search(packedPlain),
			"packed, with room": searchWithRoom(t, searcher, packedPlain, inputs),
		} {
			if !slices.EqualFunc(got, want, func(a, b []Candidate) bool { return slices.EqualFunc(a, b, alike) }) {
				t.Errorf("backend %s: the search finds\n%+v, plain and padded\n%+v", name, got, want)
			}
		}
	}
}

// searchWithRoom searches in a packed batch with rows, positions and candidates that no request uses, as
// CUDA graphs do.
func searchWithRoom(t *testing.T, s *Searcher, b backend, inputs []examples.Input) (found [][]Candidate) {
	t.Helper()
	chosen := s.backend
	s.backend = b
	defer func() { s.backend = chosen }()
	requests := make([]*rank.Request, len(inputs))
	for i := range requests {
		requests[i] = &rank.Request{Input: inputs[i]}
	}
	batch := padRows(requests, len(inputs)+2)
	roomy := packed(batch).padTo(int64(len(inputs)+2)*int64(batch.Length)+3, int64(batch.Length)+1)
	shape := batchShape{Heads: rank.Heads{Beams: true}, rows: int64(batch.Rows), spare: 5}
	if err := s.threads.each(t.Context(), 1, func(int, int) {
		defer libtorch.Inference()()
		p := s.newPass()
		defer p.Free()
		host := s.hostBatch(requests, batch, roomy, shape)
		ints, floats := host.upload(p)
		for _, of := range s.download(s.compute(p, s.network.onDevice(p, host, ints, floats), shape), requests) {
			var candidates []Candidate
			for i, leaf := range of.BeamLeaves {
				candidates = append(candidates, Candidate{Leaf: int(leaf), LogProb: float64(of.BeamLogProbs[i]), Searched: true})
			}
			found = append(found, candidates)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func alike(a, b Candidate) bool { return a.Leaf == b.Leaf && math.Abs(a.LogProb-b.LogProb) < 1e-4 }

func TestPackingRemovesPadding(t *testing.T) {
	inputs := []examples.Input{
		{Tokens: []int64{5, 6, 7}, Users: make([]int64, 3), Items: make([]int64, 3)},
		{Tokens: []int64{8}, Users: make([]int64, 1), Items: make([]int64, 1)},
	}
	batch := examples.NewBatch(inputs)
	arranged := packed(batch)
	if got := pack(arranged, batch.Tokens); len(got) != 4 || got[2] != 7 || got[3] != 8 {
		t.Errorf("packed tokens are %v, want 5 6 7 8", got)
	}
	if got := cuSeqlens(batch); !slices.Equal(got, []int64{0, 3, 4}) {
		t.Errorf("the rows begin at %v, want 0 and 3, and the end at 4", got)
	}
}
