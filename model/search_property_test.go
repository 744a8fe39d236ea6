package model

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/tokens"
)

// The search, which keeps states and walks the trie's tables on the device, finds what a
// plain one does that reads every text from its start: for catalogs of all kinds, fewer
// items than beams, items whose text begins another's, and empty histories.
func TestSearchIsThePlainSearch(t *testing.T) {
	ownThread(t)
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 7))
		shortest := 1 + rng.IntN(3)
		longest := shortest + rng.IntN(2)*rng.IntN(3)
		items := 1 + rng.IntN(min(60, int(math.Pow(9, float64(shortest)))))
		texts := shop(rng, items, shortest, longest)
		beams, spare := 1+rng.IntN(25), rng.IntN(4)

		config := testConfig(20, 5, 100)
		config.InitStd, config.EncoderLayers, config.DecoderLayers = 0.3, 1, 1+rng.IntN(2)
		m, err := New(config, int64(seed), testDevice(t))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := tokens.NewTrie(texts)
		if err != nil {
			t.Fatal(err)
		}
		searcher, err := m.NewSearcher(tree, beams, nil)
		if err != nil {
			t.Fatal(err)
		}
		inputs := make([]examples.Input, 1+rng.IntN(6))
		for i := range inputs {
			inputs[i] = drawInput(rng)
		}
		found, err := searcher.Search(t.Context(), inputs, spare)
		if err != nil {
			t.Fatal(err)
		}
		for i, in := range inputs {
			want := plainSearch(t, m, in, tree, texts, beams, beams+spare)
			name := fmt.Sprintf("seed %d: %d items of %d to %d tokens, %d beams and %d, input %d", seed, items, shortest, longest, beams, spare, i)
			if len(found[i]) != len(want) {
				t.Errorf("%s: %d items found, want %d", name, len(found[i]), len(want))
				continue
			}
			for place, got := range found[i] {
				if math.Abs(got.LogProb-want[place].LogProb) > 1e-3 {
					t.Errorf("%s, place %d: %+v, want %+v", name, place, got, want[place])
				}
			}
		}
		searcher.Close()
		m.Drop()
	}
}

// drawInput has no item now and then.
func drawInput(rng *rand.Rand) examples.Input {
	length := 3 + rng.IntN(8)*rng.IntN(2)
	in := examples.Input{Users: make([]int64, length), Items: make([]int64, length)}
	for i := range length {
		in.Tokens = append(in.Tokens, int64(rng.IntN(20)))
		if length > 3 {
			in.Items[i] = int64(rng.IntN(100))
		}
	}
	return in
}

// plainSearch follows the rules of Search, one text after the other.
func plainSearch(t *testing.T, m *Model, in examples.Input, tree *tokens.Trie, texts [][]int64, beams, keep int) []Candidate {
	t.Helper()
	prefix := len(tree.Prefix)
	type text struct {
		tokens []int64
		score  float64
	}
	leaf := make(map[string]int)
	allowed := make(map[string]map[int64]bool)
	for i, whole := range texts {
		free := whole[prefix:]
		leaf[fmt.Sprint(free)] = i
		for j, token := range free {
			start := fmt.Sprint(free[:j])
			if allowed[start] == nil {
				allowed[start] = make(map[int64]bool)
			}
			allowed[start][token] = true
		}
	}
	running := []text{{}}
	var ended []Candidate
	end := func(candidates []text) {
		for _, c := range candidates {
			if i, whole := leaf[fmt.Sprint(c.tokens)]; whole {
				ended = append(ended, Candidate{Leaf: i, LogProb: c.score})
			}
		}
		slices.SortFunc(ended, func(a, b Candidate) int { return cmp.Compare(b.LogProb, a.LogProb) })
		ended = ended[:min(len(ended), keep)]
	}
	for depth := 1; ; depth++ {
		var next []text
		for _, beam := range running {
			logProbs := readOn(m, in, slices.Concat(tree.Prefix, beam.tokens))
			for token := range allowed[fmt.Sprint(beam.tokens)] {
				next = append(next, text{append(slices.Clone(beam.tokens), token), beam.score + float64(logProbs[token])})
			}
		}
		slices.SortFunc(next, func(a, b text) int { return cmp.Compare(b.score, a.score) })
		first := func(n int) []text { return next[:min(len(next), n)] }
		if depth == tree.MaxDepth {
			end(first(keep))
			return ended
		}
		if depth < tree.MinDepth {
			running = first(beams)
			continue
		}
		end(first(keep))
		running = slices.DeleteFunc(slices.Clone(first(keep+beams)), func(c text) bool {
			_, whole := leaf[fmt.Sprint(c.tokens)]
			return whole
		})
		running = running[:min(len(running), beams)]
	}
}

// readOn is the distribution of the token behind a text.
func readOn(m *Model, in examples.Input, text []int64) []float32 {
	defer withoutGradients()()
	g := newGraph(m.device)
	defer g.Free()
	read := append([]int64{tokens.End, tokens.Begin}, text...)
	states, _, _ := m.network.decode(g, g.Ints(read, 1, int64(len(read))), encodePadded(g, m.network, []examples.Input{in}))
	return g.LogSoftmax(m.network.logits(g, g.Select(states, 1, int64(len(read)-1)))).Floats()
}
