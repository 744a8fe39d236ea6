package model

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/tokens"
	"genrec/model/trie"
)

// With as many beams as there are items nothing is cut off, so the search has to
// find every item with the probability that reading its whole text gives.
func TestWideSearchIsExhaustive(t *testing.T) {
	ownThread(t)
	sequences := cycles(60, 12, 11, 6) // 132 items: three digits, two levels
	b := newBundle(t, sequences, 9)
	train(t, b, sequences, 1, 9)
	builder := examples.NewBuilder(examples.Config{Catalog: b.Catalog, Tokenizer: b.Vocabulary, MaxTokens: 512})
	var texts [][]int64
	for n := 1; n <= b.Catalog.Items(); n++ {
		texts = append(texts, builder.ItemTokens(n))
	}
	tree, err := trie.Build(texts)
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := b.Model.NewSearcher(tree, len(texts))
	if err != nil {
		t.Fatal(err)
	}
	defer searcher.Close()

	var inputs []examples.Input
	for _, h := range histories(b.Catalog, sequences[:5]) {
		h.Items = h.Items[:1+len(inputs)] // inputs of different length, to test the padding
		inputs = append(inputs, builder.Next(h))
	}
	found, err := searcher.Search(inputs, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, candidates := range found {
		want := scoreAll(t, b.Model, inputs[i], texts)
		if len(candidates) != len(want) {
			t.Fatalf("input %d: %d items found, want all %d", i, len(candidates), len(want))
		}
		for place, c := range candidates {
			if math.Abs(c.LogProb-want[c.Leaf]) > 1e-4 {
				t.Errorf("input %d, item %d: log-probability %.5f, want %.5f", i, c.Leaf+1, c.LogProb, want[c.Leaf])
			}
			if place > 0 && c.LogProb > candidates[place-1].LogProb {
				t.Errorf("input %d: candidates %d and %d are out of order", i, place-1, place)
			}
		}
	}
}

// A narrow search may miss an item, but what it finds has the right probability and
// the best item of all is almost always among it.
func TestNarrowSearchFindsTheBest(t *testing.T) {
	ownThread(t)
	sequences := cycles(120, 12, 11, 6)
	b := newBundle(t, sequences, 10)
	train(t, b, sequences, 3, 10)
	queries := make([]Query, len(sequences))
	for i, s := range sequences {
		queries[i] = Query(s)
	}
	best := func(beams int) (items []string) {
		ranker, err := NewRanker(b, RankerConfig{Beams: beams, Items: 1, AllowSeen: true})
		if err != nil {
			t.Fatal(err)
		}
		defer ranker.Close()
		ranked, err := ranker.Rank(queries)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range ranked {
			items = append(items, r[0].Item)
		}
		return items
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

// scoreAll reads every text with the decoder in one go, without cache or trie.
func scoreAll(t *testing.T, m *Model, in examples.Input, texts [][]int64) []float64 {
	t.Helper()
	defer withoutGradients()()
	g := newGraph(m.device)
	defer g.Free()
	var repeated []examples.Input
	var ids []int64
	length := len(texts[0]) + 1
	for _, text := range texts {
		repeated = append(repeated, in)
		ids = append(ids, tokens.End, tokens.Begin)
		ids = append(ids, text[:len(text)-1]...)
	}
	states, _, _ := m.network.decode(g, ids, int64(length), m.network.encode(g, examples.NewBatch(repeated)))
	logProbs := g.LogSoftmax(m.network.logits(g, states)).Floats() // (items, T, V)
	vocabulary := m.Config.Vocabulary
	scores := make([]float64, len(texts))
	for i, text := range texts {
		const forced = 2 // `item` and `_` stand in every text: the search does not count them
		for j := forced; j < len(text); j++ {
			scores[i] += float64(logProbs[(i*length+j+1)*vocabulary+int(text[j])])
		}
	}
	if !slices.IsSortedFunc(texts, func(a, b []int64) int { return cmp.Compare(len(a), len(b)) }) {
		t.Fatal("texts must have one length")
	}
	return scores
}
