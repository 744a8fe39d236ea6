package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"genrec/model/examples"
	"genrec/model/itemstats"
	"genrec/model/rank"
	"genrec/model/tokens"
)

// randomSearcher returns a searcher of a random model over items of three tokens, and some inputs.
func randomSearcher(t *testing.T, items, beams int) (*Searcher, []examples.Input) {
	t.Helper()
	config := testConfig(20, 0, items)
	config.InitStd, config.StartFromNewest = 0.3, true // so that probabilities differ
	m, err := New(config, 9, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Drop)
	tree, err := tokens.NewTrie(shop(rand.New(rand.NewPCG(1, 1)), items, 3, 3))
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := m.NewSearcher(tree, beams, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { searcher.Close() })
	var inputs []examples.Input
	for newest := 1; newest <= 3; newest++ {
		length := 2 + newest
		inputs = append(inputs, examples.Input{
			Tokens: slices.Repeat([]int64{8}, length), Users: make([]int64, length),
			Items: slices.Repeat([]int64{int64(newest)}, length), Newest: int64(newest),
		})
	}
	return searcher, inputs
}

type predictions = [itemstats.RuleKinds]itemstats.Prediction

// fuse scores the inputs and fuses the scores: all candidates, best first.
func fuse(t *testing.T, s *Searcher, inputs []examples.Input, next []predictions, w EnsembleWeights) [][]Candidate {
	t.Helper()
	requests := make([]*rank.Request, len(inputs))
	for i := range requests {
		requests[i] = &rank.Request{Input: inputs[i]}
		if next == nil {
			continue
		}
		requests[i].Predictions = next[i]
		for kind, weight := range w.Rules() {
			if weight > 0 {
				for _, leaf := range requests[i].Predictions[kind].Top(nil, rank.Shortlist) {
					requests[i].Proposals = append(requests[i].Proposals, int64(leaf))
				}
			}
		}
	}
	found := make([][]Candidate, len(inputs))
	for i, items := range componentScores(t, s, requests, w) {
		found[i] = w.Top(nil, items, len(items))
	}
	return found
}

// componentScores returns those of the candidates for each request.
func componentScores(t *testing.T, s *Searcher, requests []*rank.Request, w EnsembleWeights) [][]rank.ComponentScores {
	t.Helper()
	scores := make([]rank.HeadScores, len(requests))
	if heads := w.Heads(); heads != (rank.Heads{}) {
		var err error
		if scores, err = s.Score(t.Context(), requests, heads); err != nil {
			t.Fatal(err)
		}
	}
	all := make([][]rank.ComponentScores, len(requests))
	fuser := rank.NewFuser(max(s.trie.Leaves, s.network.config.Items))
	for i, request := range requests {
		fuser.Fuse(request, scores[i], w, func(items []rank.ComponentScores) { all[i] = slices.Clone(items) })
	}
	return all
}

var beamsOnly, denseOnly, rulesOnly = EnsembleWeights{}, EnsembleWeights{Dense: 1}, EnsembleWeights{Association: 1}

// With as many beams as items, every component scores every item, and fusion is exactly the weighted sum.
func TestFusionIsWeightedSum(t *testing.T) {
	ownThread(t)
	const items = 60
	searcher, inputs := randomSearcher(t, items, items)
	histories := [][]int{{0, 5, 9, 3}, {1, 5, 4}, {2, 0}}
	sequential, association := itemstats.LearnRules(itemstats.Sequential, histories, items), itemstats.LearnRules(itemstats.Association, histories, items)
	var next []predictions
	for _, history := range [][]int{{5}, {1, 2}, nil} {
		next = append(next, predictions{sequential.Predict(history), association.Predict(history)})
	}
	text, dense := fuse(t, searcher, inputs, nil, beamsOnly), fuse(t, searcher, inputs, nil, denseOnly)
	for _, w := range []EnsembleWeights{
		{Dense: 0.25}, {Dense: 0.8}, {Sequential: 0.5}, {Dense: 0.3, Association: 0.7}, {Dense: 0.3, Sequential: 0.3, Association: 0.2},
	} {
		for row, found := range fuse(t, searcher, inputs, next, w) {
			if len(found) != items {
				t.Fatalf("weights %+v, request %d: %d items, want all %d", w, row, len(found), items)
			}
			want := make([]float64, items)
			for i := range items {
				want[text[row][i].Leaf] += w.Beams() * text[row][i].LogProb
				want[dense[row][i].Leaf] += w.Dense * dense[row][i].LogProb
				want[i] += w.Sequential*next[row][0].LogProb(i) + w.Association*next[row][1].LogProb(i)
			}
			for i, c := range found {
				if math.Abs(c.LogProb-want[c.Leaf]) > 1e-4 {
					t.Errorf("weights %+v, request %d: item %d scores %.5f, the weighted sum is %.5f", w, row, c.Leaf, c.LogProb, want[c.Leaf])
				}
				if i > 0 && c.LogProb > found[i-1].LogProb {
					t.Errorf("weights %+v, request %d: position %d scores more than the one before", w, row, i)
				}
			}
		}
	}
}

// Rules work without the network.
func TestRulesOnly(t *testing.T) {
	ownThread(t)
	searcher, inputs := randomSearcher(t, 60, 20)
	next := itemstats.LearnRules(itemstats.Association, [][]int{{9, 0, 5, 5}}, 60).Predict([]int{0})
	found := fuse(t, searcher, inputs[:1], []predictions{{itemstats.Association: next}}, rulesOnly)[0]
	if len(found) != 2 || found[0].Leaf != 5 || found[1].Leaf != 9 || found[1].LogProb != next.LogProb(9) {
		t.Errorf("found %v, want items 5 and 9 with the scores of the rules", found)
	}
}

func TestEnsembleWeights(t *testing.T) {
	for w, want := range map[EnsembleWeights]float64{
		{}: 1, {Dense: 0.7, Sequential: 0.3}: 0, {Dense: 0.1, Association: 0.2}: 0.7, {Dense: 0.1, Sequential: 0.2, Association: 0.3}: 0.4, {Sequential: 1}: 0,
	} {
		if err := w.Validate(); err != nil || math.Abs(w.Beams()-want) > 1e-12 {
			t.Errorf("%+v: the weight of the beam search is %v (%v), want %v", w, w.Beams(), err, want)
		}
	}
	for _, w := range []EnsembleWeights{
		{Dense: -0.1}, {Sequential: -0.1}, {Association: -0.1}, {Dense: 0.6, Sequential: 0.3, Association: 0.2}, {Dense: math.NaN()}, {Association: math.NaN()},
	} {
		if err := w.Validate(); err == nil || !strings.Contains(err.Error(), "genrec_dense_weight") {
			t.Errorf("%+v: error %v, want one that names the fields", w, err)
		}
	}
}

// The dense head is a softmax over the products of the state behind the start tokens and the items' ID
// embeddings.
func TestDenseHeadIsSoftmaxOverItems(t *testing.T) {
	ownThread(t)
	const items = 60
	searcher, inputs := randomSearcher(t, items, 20)
	found := fuse(t, searcher, inputs, nil, denseOnly)

	defer withoutGradients()()
	p := newPass(searcher.device, newPlainBackend())
	defer p.Free()
	_, states := searcher.start(p, searcher.network.upload(p, examples.NewBatch(inputs), padded(examples.NewBatch(inputs))))
	width := searcher.network.config.Width
	state, table := p.Select(states, 1, 1).Floats(), searcher.network.items.Floats() // (B, D), (Items+1, D)
	for row := range inputs {
		scores, sum := make([]float64, items), 0.0
		for i := range scores {
			for j := range width {
				scores[i] += float64(state[row*width+j]) * float64(table[(i+1)*width+j])
			}
			sum += math.Exp(scores[i])
		}
		for _, c := range found[row] {
			if want := scores[c.Leaf] - math.Log(sum); math.Abs(c.LogProb-want) > 1e-4 {
				t.Errorf("request %d: item %d has the log-probability %.5f, want %.5f", row, c.Leaf, c.LogProb, want)
			}
		}
	}
}

// Items that a narrow beam search misses get the score of the last one that it found, an upper bound.
func TestFusionKeepsItemsThatTheSearchMisses(t *testing.T) {
	ownThread(t)
	const items, narrow = 60, 4
	searcher, inputs := randomSearcher(t, items, narrow)
	learned := itemstats.LearnRules(itemstats.Sequential, [][]int{{0, 41}, {0, 42}, {0, 43}}, items)
	next := slices.Repeat([]predictions{{itemstats.Sequential: learned.Predict([]int{0})}}, len(inputs))
	w := EnsembleWeights{Dense: 0.5, Sequential: 0.25}
	text, dense := fuse(t, searcher, inputs, nil, beamsOnly), fuse(t, searcher, inputs, nil, denseOnly)
	for row, found := range fuse(t, searcher, inputs, next, w) {
		scores := make(map[int]float64)
		for _, c := range found {
			scores[c.Leaf] = c.LogProb
		}
		if len(scores) != len(found) {
			t.Errorf("request %d: %d candidates are %d items", row, len(found), len(scores))
		}
		last := text[row][len(text[row])-1].LogProb
		for _, c := range dense[row] {
			if slices.ContainsFunc(text[row], func(other Candidate) bool { return other.Leaf == c.Leaf }) {
				continue
			}
			want := w.Beams()*last + w.Dense*c.LogProb + w.Sequential*next[row][itemstats.Sequential].LogProb(c.Leaf)
			if got, there := scores[c.Leaf]; !there || math.Abs(got-want) > 1e-4 {
				t.Errorf("request %d: item %d, which the search missed, scores %.5f (%v), want %.5f", row, c.Leaf, got, there, want)
			}
		}
		for _, c := range text[row] {
			if _, there := scores[c.Leaf]; !there {
				t.Errorf("request %d: item %d of the beam search is missing", row, c.Leaf)
			}
		}
	}
	for row, found := range fuse(t, searcher, inputs, next, EnsembleWeights{Sequential: 0.25}) {
		for _, leaf := range []int{41, 42, 43} {
			if !slices.ContainsFunc(found, func(c Candidate) bool { return c.Leaf == leaf }) {
				t.Errorf("request %d: item %d of the rules is missing", row, leaf)
			}
		}
	}
}

// The decoder starts from the newest item, from the mean of all input items, or from both.
func TestDecoderStart(t *testing.T) {
	ownThread(t)
	searcher, _ := randomSearcher(t, 30, 20)
	n := searcher.network
	inputs := []examples.Input{ // an item of two positions, and a history without known items
		{Tokens: []int64{8, 8, 8, 8, 8}, Users: []int64{0, 0, 0, 0, 0}, Items: []int64{0, 4, 4, 7, 0}, Newest: 7},
		{Tokens: []int64{8, 8}, Users: []int64{0, 0}, Items: []int64{0, 0}},
	}
	table, width := n.items.Floats(), n.config.Width
	row := func(item int) []float32 { return table[item*width:][:width] }
	for _, c := range []struct{ newest, mean bool }{{true, false}, {false, true}, {true, true}} {
		n.config.StartFromNewest, n.config.StartFromMean = c.newest, c.mean
		defer withoutGradients()()
		p := newPass(searcher.device, newPlainBackend())
		defer p.Free()
		start := encodePadded(p, n, inputs).start.Floats() // (B, 1, D)
		for j := range width {
			want := float32(0)
			if c.newest {
				want += row(7)[j]
			}
			if c.mean {
				want += (2*row(4)[j] + row(7)[j]) / 3
			}
			if got := start[j]; math.Abs(float64(got-want)) > 1e-5 {
				t.Fatalf("newest %v, mean %v: element %d is %v, want %v", c.newest, c.mean, j, got, want)
			}
			if got := start[width+j]; got != 0 {
				t.Fatalf("without known items, element %d is %v, want 0", j, got)
			}
		}
	}
	n.config.StartFromNewest, n.config.StartFromMean = false, false
	p := newPass(searcher.device, newPlainBackend())
	defer p.Free()
	if start := encodePadded(p, n, inputs).start; start != nil {
		t.Errorf("the decoder starts from %v, want nothing but its start tokens", start.Shape())
	}
}

// The newest item affects the dense head only through the decoder's start.
func TestDecoderStartsFromNewestItem(t *testing.T) {
	ownThread(t)
	searcher, inputs := randomSearcher(t, 30, 20)
	same := slices.Clone(inputs[:2])
	same[1] = same[0]
	same[1].Newest++
	for _, starts := range []bool{true, false} {
		searcher.network.config.StartFromNewest = starts
		found := fuse(t, searcher, same, nil, denseOnly)
		differ := !slices.EqualFunc(found[0], found[1], func(a, b Candidate) bool {
			return a.Leaf == b.Leaf && math.Abs(a.LogProb-b.LogProb) < 1e-4
		})
		if differ != starts {
			t.Errorf("genrec_start_from_newest %v: another newest item changes the result: %v", starts, differ)
		}
	}
}

func TestItemLeavesHaveNoDenseHead(t *testing.T) {
	config := testConfig(20, 5, 30)
	config.ItemLeaves = true
	if err := config.Validate(); err != nil {
		t.Errorf("without a dense weight: %v", err)
	}
	config.Dense = 0.5
	if err := config.Validate(); err == nil || !strings.Contains(err.Error(), "genrec_dense_weight is 0.5") {
		t.Errorf("with a dense weight: error %v, want one with it", err)
	}
}
