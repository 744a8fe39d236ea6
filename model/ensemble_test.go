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

// fusing is a model with random weights over items of three tokens, and what to ask it.
func fusing(t *testing.T, items, beams int) (*Searcher, []examples.Input) {
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

// byKind is what the rules of each kind say comes next.
type byKind = [itemstats.RuleKinds]itemstats.Prediction

// ask scores the inputs and fuses by the given weights: all candidates, best first.
func ask(t *testing.T, s *Searcher, inputs []examples.Input, next []byKind, w EnsembleWeights) [][]Candidate {
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
	for i, items := range evidence(t, s, requests, w) {
		found[i] = w.Top(nil, items, len(items))
	}
	return found
}

// evidence is what the components say of each candidate.
func evidence(t *testing.T, s *Searcher, requests []*rank.Request, w EnsembleWeights) [][]rank.ComponentScores {
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

var searchAlone, headAlone, rulesAlone = EnsembleWeights{}, EnsembleWeights{Dense: 1}, EnsembleWeights{Association: 1}

// With as many beams as items all parts know every item, so that the fusion must be the
// weighted sum of what they say exactly.
func TestFusionWeighsAllParts(t *testing.T) {
	ownThread(t)
	const items = 60
	searcher, inputs := fusing(t, items, items)
	histories := [][]int{{0, 5, 9, 3}, {1, 5, 4}, {2, 0}}
	sequential, association := itemstats.LearnRules(itemstats.Sequential, histories, items), itemstats.LearnRules(itemstats.Association, histories, items)
	var next []byKind
	for _, history := range [][]int{{5}, {1, 2}, nil} {
		next = append(next, byKind{sequential.Predict(history), association.Predict(history)})
	}
	text, dense := ask(t, searcher, inputs, nil, searchAlone), ask(t, searcher, inputs, nil, headAlone)
	for _, w := range []EnsembleWeights{
		{Dense: 0.25}, {Dense: 0.8}, {Sequential: 0.5}, {Dense: 0.3, Association: 0.7}, {Dense: 0.3, Sequential: 0.3, Association: 0.2},
	} {
		for row, found := range ask(t, searcher, inputs, next, w) {
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
					t.Errorf("weights %+v, request %d: item %d scores %.5f, the parts give %.5f", w, row, c.Leaf, c.LogProb, want[c.Leaf])
				}
				if i > 0 && c.LogProb > found[i-1].LogProb {
					t.Errorf("weights %+v, request %d: place %d scores more than the one before", w, row, i)
				}
			}
		}
	}
}

// Rules alone propose what they know, and need no model.
func TestRulesAlone(t *testing.T) {
	ownThread(t)
	searcher, inputs := fusing(t, 60, 20)
	next := itemstats.LearnRules(itemstats.Association, [][]int{{9, 0, 5, 5}}, 60).Predict([]int{0})
	found := ask(t, searcher, inputs[:1], []byKind{{itemstats.Association: next}}, rulesAlone)[0]
	if len(found) != 2 || found[0].Leaf != 5 || found[1].Leaf != 9 || found[1].LogProb != next.LogProb(9) {
		t.Errorf("found %v, want items 5 and 9 as the rules have them", found)
	}
}

func TestWeightsAddUp(t *testing.T) {
	for w, want := range map[EnsembleWeights]float64{
		{}: 1, {Dense: 0.7, Sequential: 0.3}: 0, {Dense: 0.1, Association: 0.2}: 0.7, {Dense: 0.1, Sequential: 0.2, Association: 0.3}: 0.4, {Sequential: 1}: 0,
	} {
		if err := w.Validate(); err != nil || math.Abs(w.Beams()-want) > 1e-12 {
			t.Errorf("%+v leave %v to the search (%v), want %v", w, w.Beams(), err, want)
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

// The head gives each item the softmax of the state behind the two marks against the
// item's ID embedding.
func TestDenseHeadIsASoftmaxOverItems(t *testing.T) {
	ownThread(t)
	const items = 60
	searcher, inputs := fusing(t, items, 20)
	found := ask(t, searcher, inputs, nil, headAlone)

	defer withoutGradients()()
	g := newPass(searcher.device, newPlainBackend())
	defer g.Free()
	_, states := searcher.start(g, searcher.network.upload(g, examples.NewBatch(inputs), padded(examples.NewBatch(inputs))))
	width := searcher.network.config.Width
	state, table := g.Select(states, 1, 1).Floats(), searcher.network.items.Floats() // (B, D), (Items+1, D)
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

// A narrow search misses items that the head or the rules like: they count like the last
// one found, which is at least what their text is worth.
func TestFusionKeepsWhatTheSearchMisses(t *testing.T) {
	ownThread(t)
	const items, narrow = 60, 4
	searcher, inputs := fusing(t, items, narrow)
	learned := itemstats.LearnRules(itemstats.Sequential, [][]int{{0, 41}, {0, 42}, {0, 43}}, items)
	next := slices.Repeat([]byKind{{itemstats.Sequential: learned.Predict([]int{0})}}, len(inputs))
	w := EnsembleWeights{Dense: 0.5, Sequential: 0.25}
	text, dense := ask(t, searcher, inputs, nil, searchAlone), ask(t, searcher, inputs, nil, headAlone)
	for row, found := range ask(t, searcher, inputs, next, w) {
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
				t.Errorf("request %d: item %d of the search is lost", row, c.Leaf)
			}
		}
	}
	for row, found := range ask(t, searcher, inputs, next, EnsembleWeights{Sequential: 0.25}) {
		for _, leaf := range []int{41, 42, 43} {
			if !slices.ContainsFunc(found, func(c Candidate) bool { return c.Leaf == leaf }) {
				t.Errorf("request %d: item %d of the rules is lost", row, leaf)
			}
		}
	}
}

// The decoder starts from the newest item, or from the mean of all items that are read,
// or from both.
func TestWhatTheDecoderStartsFrom(t *testing.T) {
	ownThread(t)
	searcher, _ := fusing(t, 30, 20)
	n := searcher.network
	inputs := []examples.Input{ // a word of two positions, and a history without a known item
		{Tokens: []int64{8, 8, 8, 8, 8}, Users: []int64{0, 0, 0, 0, 0}, Items: []int64{0, 4, 4, 7, 0}, Newest: 7},
		{Tokens: []int64{8, 8}, Users: []int64{0, 0}, Items: []int64{0, 0}},
	}
	table, width := n.items.Floats(), n.config.Width
	row := func(item int) []float32 { return table[item*width:][:width] }
	for _, c := range []struct{ newest, mean bool }{{true, false}, {false, true}, {true, true}} {
		n.config.StartFromNewest, n.config.StartFromMean = c.newest, c.mean
		defer withoutGradients()()
		g := newPass(searcher.device, newPlainBackend())
		defer g.Free()
		start := encodePadded(g, n, inputs).start.Floats() // (B, 1, D)
		for j := range width {
			want := float32(0)
			if c.newest {
				want += row(7)[j]
			}
			if c.mean {
				want += (2*row(4)[j] + row(7)[j]) / 3
			}
			if got := start[j]; math.Abs(float64(got-want)) > 1e-5 {
				t.Fatalf("from the newest %v, from the mean %v: element %d is %v, want %v", c.newest, c.mean, j, got, want)
			}
			if got := start[width+j]; got != 0 {
				t.Fatalf("without a known item, element %d is %v, want 0", j, got)
			}
		}
	}
	n.config.StartFromNewest, n.config.StartFromMean = false, false
	g := newPass(searcher.device, newPlainBackend())
	defer g.Free()
	if start := encodePadded(g, n, inputs).start; start != nil {
		t.Errorf("the decoder starts from %v, want its marks alone", start.Shape())
	}
}

// The newest item's embedding reaches the head through the decoder's start alone.
func TestDecoderStartsFromTheNewestItem(t *testing.T) {
	ownThread(t)
	searcher, inputs := fusing(t, 30, 20)
	same := slices.Clone(inputs[:2])
	same[1] = same[0]
	same[1].Newest++
	for _, starts := range []bool{true, false} {
		searcher.network.config.StartFromNewest = starts
		found := ask(t, searcher, same, nil, headAlone)
		differ := !slices.EqualFunc(found[0], found[1], func(a, b Candidate) bool {
			return a.Leaf == b.Leaf && math.Abs(a.LogProb-b.LogProb) < 1e-4
		})
		if differ != starts {
			t.Errorf("genrec_start_from_newest %v: another newest item changes the answer: %v", starts, differ)
		}
	}
}
