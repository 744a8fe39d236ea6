package model

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/rank"
	"genrec/model/tokens"
)

// shop draws the texts of a catalog: `item`, `_`, then shortest to longest tokens.
func shop(rng *rand.Rand, items, shortest, longest int) [][]int64 {
	var texts [][]int64
	met := make(map[string]bool)
	for len(texts) < items {
		text := []int64{6, 7}
		for range shortest + rng.IntN(longest-shortest+1) {
			text = append(text, int64(8+rng.IntN(9)))
		}
		if key := fmt.Sprint(text); !met[key] {
			met[key] = true
			texts = append(texts, text)
		}
	}
	return terminated(texts)
}

// With as many beams as items nothing is pruned: the search finds every item, with the probability of its
// whole text in one forward pass.
func TestWideSearchIsExhaustive(t *testing.T) {
	for _, c := range []struct {
		name              string
		shortest, longest int
	}{{"texts of one length", 3, 3}, {"texts of any length", 1, 4}} {
		t.Run(c.name, func(t *testing.T) {
			ownThread(t)
			config := testConfig(20, 5, 100)
			config.InitStd = 0.3 // so that probabilities differ
			m, err := New(config, 9, testDevice(t))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Drop()
			texts := shop(rand.New(rand.NewPCG(1, 1)), 100, c.shortest, c.longest)
			tree, err := tokens.NewTrie(texts)
			if err != nil {
				t.Fatal(err)
			}
			searcher, err := m.NewSearcher(tree, len(texts), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer searcher.Close()

			var inputs []examples.Input
			for length := 3; length < 12; length += 2 { // different ones, to test the padding
				in := examples.Input{Users: make([]int64, length), Items: make([]int64, length)}
				for i := range length {
					in.Tokens = append(in.Tokens, int64((7*i+length)%20))
					in.Items[i] = int64(i * length % 100)
				}
				inputs = append(inputs, in)
			}
			found, err := searcher.Search(t.Context(), inputs, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i, candidates := range found {
				want := scoreAll(t, m, inputs[i], texts)
				if len(candidates) != len(want) {
					t.Fatalf("input %d: %d items found, want all %d", i, len(candidates), len(want))
				}
				for place, c := range candidates {
					if math.Abs(c.LogProb-want[c.Leaf]) > 1e-4 {
						t.Errorf("input %d, item %d: log-probability %.5f, want %.5f", i, c.Leaf, c.LogProb, want[c.Leaf])
					}
					if place > 0 && c.LogProb > candidates[place-1].LogProb {
						t.Errorf("input %d: candidates %d and %d are out of order", i, place-1, place)
					}
				}
			}
		})
	}
}

// A narrow search may miss an item, but almost never the best one.
func TestNarrowSearchFindsTheBest(t *testing.T) {
	ownThread(t)
	sequences := cycles(120, 12, 11, 6)
	b := newBundle(t, sequences, 10)
	train(t, b, sequences, 3, 10)
	best := func(beams int) []string {
		return bestItems(t, b, RankerConfig{Beams: beams, Items: 1, AllowSeen: true}, sequences)
	}
	narrow, all := best(5), best(b.Catalog.Items())
	same := 0
	for i := range all {
		if narrow[i] == all[i] {
			same++
		}
	}
	if same < len(all)*95/100 {
		t.Errorf("5 beams find the best item for %d of %d users, want at least 95 %%", same, len(all))
	}
}

// bestItems returns the best item for each user.
func bestItems(t *testing.T, b Bundle, c RankerConfig, sequences []catalog.Sequence) (items []string) {
	t.Helper()
	ranker, err := NewRanker(b, c)
	if err != nil {
		t.Fatal(err)
	}
	defer ranker.Close()
	queries := make([]Query, len(sequences))
	for i, s := range sequences {
		queries[i] = Query{User: s.User, Items: s.Items}
	}
	ranked, err := ranker.Rank(t.Context(), queries)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ranked {
		items = append(items, r[0].Item)
	}
	return items
}

// scoreAll scores every text in one forward pass of the decoder, without cache or trie.
func scoreAll(t *testing.T, m *Model, in examples.Input, texts [][]int64) []float64 {
	t.Helper()
	defer withoutGradients()()
	p := newPass(m.device, newPlainBackend())
	defer p.Free()
	repeated := make([]examples.Input, len(texts))
	all := make([]examples.Example, len(texts))
	for i, text := range texts {
		repeated[i] = in
		all[i].Labels = append([]int64{tokens.Begin}, text...)
	}
	targets := examples.NewTargets(all)
	ids := p.Ints(targets.Inputs, int64(len(texts)), int64(targets.Length))
	states, _, _ := m.network.decode(p, ids, encodePadded(p, m.network, repeated))
	logProbs := logSoftmax(m.network.logits(p, states).Floats(), m.Config.Vocabulary) // (items, T, V)
	scores := make([]float64, len(texts))
	for i, text := range texts {
		const forced = 2 // `item` and `_` begin every text: the search does not score them
		for j := forced; j < len(text); j++ {
			scores[i] += float64(logProbs[(i*targets.Length+j+1)*m.Config.Vocabulary+int(text[j])])
		}
	}
	return scores
}

// The search, with its KV cache and the trie's tables on the device, matches a reference that reads every
// text from its start: for catalogs of many kinds, fewer items than beams, texts that are prefixes of
// others, and empty histories.
func TestSearchMatchesReference(t *testing.T) {
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
			want := referenceSearch(t, m, in, tree, texts, beams, beams+spare)
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

// leafModel has items as leaves, in a tree of three levels.
func leafModel(t *testing.T, rng *rand.Rand, items int) (*Model, *tokens.Trie) {
	t.Helper()
	config := testConfig(20, 5, items)
	config.InitStd, config.DecoderLayers = 0.3, 1+rng.IntN(2)
	config.ItemLeaves, config.PathWeight = true, rng.Float64()
	m, err := New(config, rng.Int64(), testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Drop)
	tree, err := tokens.NewTrie(codeTexts(items))
	if err != nil {
		t.Fatal(err)
	}
	return m, tree
}

// The score of an item that is a leaf matches a reference that reads each path from its start. A search of
// few beams finds items below the best paths only; one of all paths, every item.
func TestItemLeavesMatchReference(t *testing.T) {
	ownThread(t)
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 8))
		items, beams := 6+rng.IntN(100), 1+rng.IntN(8)
		m, tree := leafModel(t, rng, items)
		searcher, err := m.NewSearcher(tree, beams, nil)
		if err != nil {
			t.Fatal(err)
		}
		inputs := make([]examples.Input, 1+rng.IntN(6))
		for i := range inputs {
			inputs[i] = drawInput(rng)
			for j := range inputs[i].Items {
				inputs[i].Items[j] %= int64(items)
			}
		}
		proposals := []int64{0, int64(items - 1), int64(items / 2)}
		requests := make([]*rank.Request, len(inputs))
		for i, in := range inputs {
			requests[i] = &rank.Request{Input: in, Proposals: proposals}
		}
		found, err := searcher.Score(t.Context(), requests, rank.Heads{Beams: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, in := range inputs {
			want, wantProposals := referenceLeaves(m, in, tree, items, beams, proposals)
			name := fmt.Sprintf("seed %d: %d items, %d beams, input %d", seed, items, beams, i)
			if len(found[i].BeamLeaves) != min(len(want), rank.Shortlist) {
				t.Errorf("%s: %d items found, want %d", name, len(found[i].BeamLeaves), len(want))
				continue
			}
			for place, leaf := range found[i].BeamLeaves {
				got := float64(found[i].BeamLogProbs[place])
				if difference := math.Abs(got - want[int(leaf)]); !(difference < 1e-3) {
					t.Errorf("%s, place %d: leaf %d with %.4f, want %.4f", name, place, leaf, got, want[int(leaf)])
				}
				if place > 0 && found[i].BeamLogProbs[place] > found[i].BeamLogProbs[place-1] {
					t.Errorf("%s: candidates %d and %d are out of order", name, place-1, place)
				}
			}
			for j, want := range wantProposals {
				if difference := math.Abs(float64(found[i].ProposalBeams[j]) - want); !(difference < 1e-3) {
					t.Errorf("%s: proposal %d has %.4f, want %.4f", name, proposals[j], found[i].ProposalBeams[j], want)
				}
			}
		}
		searcher.Close()
	}
}

// referenceLeaves computes the log-probabilities of the items below the best paths, by leaf, and of the
// proposals, one path after the other.
func referenceLeaves(m *Model, in examples.Input, tree *tokens.Trie, items, beams int, proposals []int64) (found map[int]float64, ofProposals []float64) {
	defer withoutGradients()()
	type path struct {
		tokens []int64
		score  float64
	}
	texts := codeTexts(items)
	below := make(map[string][]int)
	allowed := make(map[string]map[int64]bool)
	for i, text := range texts {
		free := text[len(tree.Prefix):]
		below[fmt.Sprint(free[:len(free)-1])] = append(below[fmt.Sprint(free[:len(free)-1])], i)
		for j := range len(free) - 1 {
			if allowed[fmt.Sprint(free[:j])] == nil {
				allowed[fmt.Sprint(free[:j])] = make(map[int64]bool)
			}
			allowed[fmt.Sprint(free[:j])][free[j]] = true
		}
	}
	running := []path{{}}
	for range tree.MaxDepth - 1 {
		var next []path
		for _, beam := range running {
			logProbs := nextToken(m, in, slices.Concat(tree.Prefix, beam.tokens))
			for token := range allowed[fmt.Sprint(beam.tokens)] {
				next = append(next, path{append(slices.Clone(beam.tokens), token), beam.score + float64(logProbs[token])})
			}
		}
		slices.SortFunc(next, func(a, b path) int { return cmp.Compare(b.score, a.score) })
		running = next[:min(len(next), beams)]
	}
	p := newPass(m.device, newPlainBackend())
	defer p.Free()
	states, _, _ := m.network.decode(p, p.Ints([]int64{tokens.End, tokens.Begin}, 1, 2), encodePadded(p, m.network, []examples.Input{in}))
	products := m.network.itemLogits(p, states).Floats()
	found, sum := make(map[int]float64), 0.0
	for _, beam := range running {
		for _, leaf := range below[fmt.Sprint(beam.tokens)] {
			found[leaf] = float64(products[leaf]) + m.Config.PathWeight*beam.score
			sum += math.Exp(found[leaf])
		}
	}
	for leaf := range found {
		found[leaf] -= math.Log(sum)
	}
	for _, leaf := range proposals {
		ofProposals = append(ofProposals, float64(products[leaf])+m.Config.PathWeight*running[len(running)-1].score-math.Log(sum))
	}
	return found, ofProposals
}

// drawInput draws an input, sometimes without items.
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

// referenceSearch is Searcher.Search, one text after the other.
func referenceSearch(t *testing.T, m *Model, in examples.Input, tree *tokens.Trie, texts [][]int64, beams, keep int) []Candidate {
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
			logProbs := nextToken(m, in, slices.Concat(tree.Prefix, beam.tokens))
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

// nextToken returns the log-probabilities of the token behind a text.
func nextToken(m *Model, in examples.Input, text []int64) []float32 {
	defer withoutGradients()()
	p := newPass(m.device, newPlainBackend())
	defer p.Free()
	read := append([]int64{tokens.End, tokens.Begin}, text...)
	states, _, _ := m.network.decode(p, p.Ints(read, 1, int64(len(read))), encodePadded(p, m.network, []examples.Input{in}))
	return logSoftmax(m.network.logits(p, p.Select(states, 1, int64(len(read)-1))).Floats(), m.Config.Vocabulary)
}

// logSoftmax replaces each row of logits by its log-probabilities.
func logSoftmax(logits []float32, width int) []float32 {
	for row := range slices.Chunk(logits, width) {
		sum := 0.0
		for _, x := range row {
			sum += math.Exp(float64(x))
		}
		for i, x := range row {
			row[i] = float32(float64(x) - math.Log(sum))
		}
	}
	return logits
}
