package model

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"genrec/model/examples"
	"genrec/model/rank"
	"genrec/model/tensor"
	"genrec/model/tokens"
)

func TestMicroBatchesHoldEachRequestOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, threads := range []int{1, 2, 5} {
		s := &Searcher{device: CPU, threads: testThreads(t, threads)}
		for _, requests := range []int{1, 2, 3, 7, 8, 9, 64, 100} {
			all := make([]*rank.Request, requests)
			for i := range all {
				all[i] = &rank.Request{Input: examples.Input{Users: make([]int64, 1+rng.IntN(60))}}
			}
			batches := s.microBatches(all)
			if len(batches) != requests && len(batches)%threads != 0 {
				t.Errorf("%d requests, %d threads: %d micro-batches, some threads have less to do", requests, threads, len(batches))
			}
			var numbers []int
			shortest := math.MaxInt
			for _, batch := range batches {
				if len(batch) == 0 || len(batch) > maxRowsCPU {
					t.Errorf("%d requests, %d threads: a micro-batch of %d, want 1 to %d", requests, threads, len(batch), maxRowsCPU)
				}
				for _, n := range batch {
					if all[n].Input.Positions() > shortest {
						t.Errorf("%d requests, %d threads: lengths are mixed, which costs padding", requests, threads)
					}
					shortest = min(shortest, all[n].Input.Positions())
				}
				numbers = append(numbers, batch...)
			}
			slices.Sort(numbers)
			for i, n := range numbers {
				if len(numbers) != requests || n != i {
					t.Fatalf("%d requests, %d threads: the micro-batches hold %v", requests, threads, numbers)
				}
			}
		}
	}
}

func testThreads(t *testing.T, threads int) threadPool {
	t.Helper()
	c, err := newThreadPool(CPU, threads, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestThreadPool(t *testing.T) {
	for _, threads := range []int{0, 1, 3} {
		c := testThreads(t, threads)
		for _, n := range []int{0, 1, 2, 10} {
			counts := make([]atomic.Int32, n)
			if err := c.each(t.Context(), n, func(_, i int) { counts[i].Add(1) }); err != nil {
				t.Error(err)
			}
			for i := range counts {
				if got := counts[i].Load(); got != 1 {
					t.Errorf("%d threads: %d of %d was run %d times", threads, i, n, got)
				}
			}
		}
		var failure *tensor.Error
		err := c.each(t.Context(), 5, func(_, i int) {
			if i == 3 {
				panic(&tensor.Error{Message: "out of memory"})
			}
		})
		if !errors.As(err, &failure) {
			t.Errorf("%d threads: error %v, want that of the operation that failed", threads, err)
		}
	}
}

// Recommendations do not depend on the other users of a batch.
func TestRankingDoesNotDependOnTheBatch(t *testing.T) {
	ownThread(t)
	sequences := cycles(120, rings, ringSize, 6)
	for i := range sequences {
		sequences[i].Items = sequences[i].Items[:1+i%6] // histories of all lengths
	}
	b := newBundle(t, sequences, 3)
	b.Model.Config.EnsembleWeights = EnsembleWeights{Dense: 0.5}
	ranker, err := NewRanker(b, RankerConfig{Beams: 5, Items: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer ranker.Close()
	queries := []Query{{User: "nobody"}}
	for _, s := range sequences[:40] {
		queries = append(queries, Query{User: s.User, Items: s.Items})
	}
	together, err := ranker.Rank(t.Context(), queries)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range queries {
		alone, err := ranker.Rank(t.Context(), []Query{q})
		if err != nil {
			t.Fatal(err)
		}
		for place, want := range alone[0] {
			got := together[i][place]
			if math.Abs(got.Probability-want.Probability) > 1e-4*want.Probability {
				t.Errorf("user %s, position %d: %v among %d users, %v alone", q.User, place, got, len(queries), want)
			}
		}
	}
}

// The beam search does not run if its ensemble weight is 0.
func TestRankerBeams(t *testing.T) {
	ownThread(t)
	b := newBundle(t, cycles(20, rings, ringSize, 6), 3)
	for dense, want := range map[float64]int{0: 5, .5: 5, 1: 0} {
		ranker, err := NewRanker(b, RankerConfig{Beams: 5, Items: 5, DenseWeight: &dense})
		if err != nil {
			t.Fatal(err)
		}
		if got := ranker.Beams(); got != want {
			t.Errorf("with a weight of the dense head of %v: %d beams, want %d", dense, got, want)
		}
		if err := ranker.Close(); err != nil {
			t.Error(err)
		}
	}
}

// bfloat16 has 8 bits of precision, and gives about the same results.
func TestBFloat16RanksAboutTheSame(t *testing.T) {
	ownThread(t)
	sequences := cycles(120, rings, ringSize, 6)
	b := newBundle(t, sequences, 10)
	train(t, b, sequences, 3, 10)
	best := func(p Precision) []string {
		c := DefaultRankerConfig()
		c.Precision, c.AllowSeen = p, true
		return bestItems(t, b, c, sequences)
	}
	rounded, exact := best(BFloat16), best(Float32)
	same := 0
	for i := range exact {
		if rounded[i] == exact[i] {
			same++
		}
	}
	if same < len(exact)*95/100 {
		t.Errorf("in bfloat16 the best item is the same for %d of %d users, want 95 %% at least", same, len(exact))
	}
}

func TestParsePrecision(t *testing.T) {
	for _, p := range precisions {
		if got, err := ParsePrecision(p.String()); err != nil || got != p {
			t.Errorf("%v is read as %v (%v)", p, got, err)
		}
	}
	if p, err := ParsePrecision("int3"); err == nil {
		t.Errorf("int3 is read as %v, want an error", p)
	}
}

// bfloat16 also applies to GenRec's additions to BART: words of several tokens, decoder starts, and the
// dense head.
func TestBFloat16OfWordsAndDenseHead(t *testing.T) {
	ownThread(t)
	rng := rand.New(rand.NewPCG(5, 6))
	config := testConfig(20, 5, 100)
	config.WordPositions, config.StartFromNewest, config.StartFromMean = true, true, true
	m, err := New(config, 1, testDevice(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Drop()
	inBFloat16, err := m.WithPrecision(BFloat16)
	if err != nil {
		t.Fatal(err)
	}
	defer inBFloat16.Drop()
	tree, err := tokens.NewTrie(shop(rng, 60, 2, 2))
	if err != nil {
		t.Fatal(err)
	}
	requests := make([]*rank.Request, 5)
	for i := range requests {
		in := drawInput(rng)
		in.Tokens, in.Newest = slices.Concat(in.Tokens, in.Tokens), int64(1+i) // two tokens a position
		requests[i] = &rank.Request{Input: in}
	}
	scores := func(m *Model) (all []map[int]rank.ComponentScores) {
		searcher, err := m.NewSearcher(tree, 60, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer searcher.Close()
		for _, items := range componentScores(t, searcher, requests, EnsembleWeights{Dense: 0.5}) {
			byLeaf := make(map[int]rank.ComponentScores)
			for _, e := range items {
				byLeaf[e.Leaf] = e
			}
			all = append(all, byLeaf)
		}
		return all
	}
	exact, rounded := scores(m), scores(inBFloat16)
	for i := range exact {
		for leaf, want := range exact[i] {
			got := rounded[i][leaf]
			if math.Abs(got.Beams-want.Beams) > 0.05 || math.Abs(got.Dense-want.Dense) > 0.05 {
				t.Errorf("request %d, item %d: %+v in bfloat16, %+v in float32", i, leaf, got, want)
			}
		}
	}
}
