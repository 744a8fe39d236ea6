package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model/examples"
	"genrec/model/trie"
)

// fusing is a model with random weights over items of three tokens, and what to ask it.
func fusing(t *testing.T, items, beams int) (*Model, *Searcher, []examples.Input) {
	t.Helper()
	config := testConfig(20, 0, items)
	config.InitStd, config.StartFromNewest = 0.3, true // so that probabilities differ
	m, err := New(config, 9, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Drop)
	tree, err := trie.Build(shop(rand.New(rand.NewPCG(1, 1)), items, 3, 3))
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := m.NewSearcher(tree, beams)
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
	return m, searcher, inputs
}

func ask(t *testing.T, m *Model, s *Searcher, inputs []examples.Input, weight float64) [][]Candidate {
	t.Helper()
	m.SetDenseWeight(weight)
	found, err := s.Fused(inputs, 0)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// With as many beams as items both parts know every item, so that the fusion must be
// the weighted sum of the two exactly.
func TestFusionWeighsBothParts(t *testing.T) {
	ownThread(t)
	const items = 60
	m, searcher, inputs := fusing(t, items, items)
	text, dense := ask(t, m, searcher, inputs, 0), ask(t, m, searcher, inputs, 1)
	for _, weight := range []float64{0.25, 0.8} {
		for row, found := range ask(t, m, searcher, inputs, weight) {
			if len(found) != items {
				t.Fatalf("request %d: %d items, want all %d", row, len(found), items)
			}
			want := make([]float64, items)
			for i := range items {
				want[text[row][i].Leaf] += (1 - weight) * text[row][i].LogProb
				want[dense[row][i].Leaf] += weight * dense[row][i].LogProb
			}
			for i, c := range found {
				if math.Abs(c.LogProb-want[c.Leaf]) > 1e-4 {
					t.Errorf("weight %v, request %d: item %d scores %.5f, the two parts give %.5f", weight, row, c.Leaf, c.LogProb, want[c.Leaf])
				}
				if i > 0 && c.LogProb > found[i-1].LogProb {
					t.Errorf("weight %v, request %d: place %d scores more than the one before", weight, row, i)
				}
			}
		}
	}
}

// The head gives each item the softmax of the state behind the two marks against the
// item's ID embedding.
func TestDenseHeadIsASoftmaxOverItems(t *testing.T) {
	ownThread(t)
	const items = 60
	m, searcher, inputs := fusing(t, items, 20)
	found := ask(t, m, searcher, inputs, 1)

	defer withoutGradients()()
	g := newGraph(m.device)
	defer g.Free()
	_, states := searcher.start(g, examples.NewBatch(inputs))
	width := m.Config.Width
	state, table := g.Select(states, 1, 1).Floats(), m.network.items.Floats() // (B, D), (Items+1, D)
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

// A narrow search misses items that the head likes: they count like the last one found,
// which is at least what their text is worth.
func TestFusionKeepsWhatTheSearchMisses(t *testing.T) {
	ownThread(t)
	const items, narrow, weight = 60, 4, 0.8
	m, searcher, inputs := fusing(t, items, narrow)
	text, dense := ask(t, m, searcher, inputs, 0), ask(t, m, searcher, inputs, 1)
	for row, found := range ask(t, m, searcher, inputs, weight) {
		scores := make(map[int]float64)
		for _, c := range found {
			scores[c.Leaf] = c.LogProb
		}
		last := text[row][len(text[row])-1].LogProb
		for _, c := range dense[row] {
			want := (1-weight)*last + weight*c.LogProb
			if slices.ContainsFunc(text[row], func(other Candidate) bool { return other.Leaf == c.Leaf }) {
				continue
			}
			if got, there := scores[c.Leaf]; !there || math.Abs(got-want) > 1e-4 {
				t.Errorf("request %d: item %d, which only the head found, scores %.5f (%v), want %.5f", row, c.Leaf, got, there, want)
			}
		}
		for _, c := range text[row] {
			if _, there := scores[c.Leaf]; !there {
				t.Errorf("request %d: item %d of the search is lost", row, c.Leaf)
			}
		}
	}
}

// The newest item's embedding reaches the head through the decoder's start alone.
func TestDecoderStartsFromTheNewestItem(t *testing.T) {
	ownThread(t)
	m, searcher, inputs := fusing(t, 30, 20)
	same := slices.Clone(inputs[:2])
	same[1] = same[0]
	same[1].Newest++
	for _, starts := range []bool{true, false} {
		m.network.config.StartFromNewest = starts
		found := ask(t, m, searcher, same, 1)
		differ := !slices.EqualFunc(found[0], found[1], func(a, b Candidate) bool {
			return a.Leaf == b.Leaf && math.Abs(a.LogProb-b.LogProb) < 1e-4
		})
		if differ != starts {
			t.Errorf("genrec_start_from_newest %v: another newest item changes the answer: %v", starts, differ)
		}
	}
}
