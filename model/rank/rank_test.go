package rank

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"genrec/model/catalog"
	"genrec/model/examples"
	"genrec/model/itemstats"
	"genrec/model/tokens"
	"genrec/pkg/parallel"
)

const shopItems = 300

// fakeNetwork scores items by random numbers that depend on the request's newest item, so that tests can
// compute them, too. It counts the calls in progress.
type fakeNetwork struct {
	beams  int
	mu     sync.Mutex
	inCall int
	fail   func([]*Request) error
	gate   chan struct{} // blocks every call, unless it is nil
}

func (n *fakeNetwork) Score(ctx context.Context, requests []*Request, heads Heads) ([]HeadScores, error) {
	n.mu.Lock()
	n.inCall++
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.inCall--
		n.mu.Unlock()
	}()
	if n.gate != nil {
		select {
		case <-n.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if n.fail != nil {
		if err := n.fail(requests); err != nil {
			return nil, err
		}
	}
	all := make([]HeadScores, len(requests))
	parallel.For(len(requests), func(i int) { all[i] = n.score(requests[i], heads) })
	return all, nil
}

func (n *fakeNetwork) score(r *Request, heads Heads) (s HeadScores) {
	if heads.Beams {
		for _, c := range best(shopItems, n.beams+r.Spare, func(leaf int) float64 { return textLogProb(r.Input, leaf) }) {
			s.BeamLeaves, s.BeamLogProbs = append(s.BeamLeaves, int64(c.Leaf)), append(s.BeamLogProbs, float32(c.LogProb))
		}
	}
	if !heads.Dense {
		return s
	}
	dense := func(leaf int) float64 { return denseLogProb(r.Input, leaf) }
	for _, c := range best(shopItems, Shortlist+r.Spare, dense) {
		s.DenseLeaves, s.DenseLogProbs = append(s.DenseLeaves, int64(c.Leaf)), append(s.DenseLogProbs, float32(c.LogProb))
	}
	for _, leaf := range s.BeamLeaves {
		s.BeamDense = append(s.BeamDense, float32(dense(int(leaf))))
	}
	for _, leaf := range r.Proposals {
		s.ProposalDense = append(s.ProposalDense, float32(dense(int(leaf))))
	}
	return s
}

func best(items, count int, logProb func(leaf int) float64) []Candidate {
	all := make([]Candidate, items)
	for leaf := range all {
		all[leaf] = Candidate{Leaf: leaf, LogProb: float64(float32(logProb(leaf)))}
	}
	slices.SortFunc(all, func(a, b Candidate) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	return all[:min(count, items)]
}

func textLogProb(in examples.Input, leaf int) float64 { return noise(in.Newest, leaf, 1) }

func denseLogProb(in examples.Input, leaf int) float64 { return noise(in.Newest, leaf, 2) }

func noise(newest int64, leaf int, head uint64) float64 {
	return -1 - 10*rand.New(rand.NewPCG(uint64(newest)<<20|uint64(leaf), head)).Float64()
}

type shop struct {
	catalog *catalog.Catalog
	queries []Query
	rules   [itemstats.RuleKinds]*itemstats.Rules
}

func newShop(t *testing.T) shop {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var sequences []catalog.Sequence
	for u := range 400 {
		s := catalog.Sequence{User: fmt.Sprint("user-", u)}
		for range 1 + rng.IntN(20) {
			s.Items = append(s.Items, fmt.Sprint("item-", rng.IntN(shopItems)))
		}
		sequences = append(sequences, s)
	}
	for i := range shopItems { // each item at least once
		sequences[i].Items = append(sequences[i].Items, fmt.Sprint("item-", i))
	}
	c, err := catalog.Build(sequences, catalog.Options{Text: catalog.Numbered})
	if err != nil {
		t.Fatal(err)
	}
	s := shop{catalog: c}
	var histories [][]int
	for _, sequence := range sequences {
		var leaves []int
		for _, n := range c.ItemIndices(sequence.Items) {
			leaves = append(leaves, n-1)
		}
		histories = append(histories, leaves)
		s.queries = append(s.queries, Query{User: sequence.User, Items: append(sequence.Items, "unknown")})
	}
	s.queries = append(s.queries, Query{User: "nobody"})
	for kind := range itemstats.RuleKinds {
		s.rules[kind] = itemstats.LearnRules(kind, histories, c.Items())
	}
	return s
}

func (s shop) ranker(n Network, allowSeen bool) *Ranker {
	return New(Config{
		Catalog: s.catalog, Rules: s.rules, Network: n, Items: 20, AllowSeen: allowSeen,
		Builder: examples.NewBuilder(examples.Config{Catalog: s.catalog, Tokenizer: tokens.NewDigits(), MaxTokens: 512}),
	})
}

// reference ranks one query in the simplest way: candidates in maps, predictions looked up one by one, and
// everything sorted.
func (s shop) reference(q Query, w EnsembleWeights, n *fakeNetwork, allowSeen bool) []Ranked {
	numbers := s.catalog.ItemIndices(q.Items)
	var leaves []int
	seen := make(map[int]bool)
	in := examples.Input{}
	for _, number := range numbers {
		leaves = append(leaves, number-1)
		in.Newest = int64(number)
		if !allowSeen {
			seen[number-1] = true
		}
	}
	text := make(map[int]float64)
	candidates := make(map[int]bool)
	last := 0.0
	if w.Beams() > 0 {
		for _, c := range best(shopItems, n.beams+len(seen), func(leaf int) float64 { return textLogProb(in, leaf) }) {
			text[c.Leaf], last, candidates[c.Leaf] = c.LogProb, c.LogProb, true
		}
	}
	if w.Dense > 0 {
		for _, c := range best(shopItems, Shortlist+len(seen), func(leaf int) float64 { return denseLogProb(in, leaf) }) {
			candidates[c.Leaf] = true
		}
	}
	next := make([]itemstats.Prediction, itemstats.RuleKinds)
	for kind, weight := range w.Rules() {
		if weight > 0 {
			next[kind] = s.rules[kind].Predict(leaves)
			for _, leaf := range next[kind].Ranked(Shortlist + len(seen)) {
				candidates[leaf] = true
			}
		}
	}
	var scored []Candidate
	for leaf := range candidates {
		if seen[leaf] {
			continue
		}
		c := Candidate{Leaf: leaf}
		if w.Beams() > 0 {
			logProb, found := text[leaf]
			if !found {
				logProb = last
			}
			c.LogProb += w.Beams() * logProb
		}
		if w.Dense > 0 {
			c.LogProb += w.Dense * float64(float32(denseLogProb(in, leaf)))
		}
		for kind, weight := range w.Rules() {
			if weight > 0 {
				c.LogProb += weight * next[kind].LogProb(leaf)
			}
		}
		scored = append(scored, c)
	}
	slices.SortFunc(scored, func(a, b Candidate) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	var list []Ranked
	for _, c := range scored[:min(20, len(scored))] {
		list = append(list, Ranked{Item: s.catalog.ItemID(c.Leaf + 1), Probability: math.Exp(c.LogProb)})
	}
	return list
}

// Concurrent callers get the reference ranking of each query, for several ensemble weights, with and
// without seen items.
func TestRankMatchesReference(t *testing.T) {
	s := newShop(t)
	for _, allowSeen := range []bool{false, true} {
		for _, w := range []EnsembleWeights{
			{}, {Dense: 1}, {Sequential: 1}, {Dense: .4, Sequential: .3, Association: .2}, {Dense: .5, Association: .5}, {Association: .3},
		} {
			n := &fakeNetwork{beams: 20}
			r := s.ranker(n, allowSeen)
			var callers sync.WaitGroup
			for caller := range 4 {
				callers.Go(func() {
					queries := s.queries[caller*100 : (caller+1)*100]
					ranked, _, err := r.Rank(t.Context(), queries, w)
					if err != nil {
						t.Error(err)
						return
					}
					for i := 0; i < len(queries); i += 9 {
						want := s.reference(queries[i], w, n, allowSeen)
						if !slices.EqualFunc(ranked[i], want, func(a, b Ranked) bool {
							return a.Item == b.Item && math.Abs(a.Probability-b.Probability) <= 1e-6*b.Probability
						}) {
							t.Errorf("weights %+v, seen items allowed %t, query %d: got\n%v, want\n%v", w, allowSeen, i, ranked[i], want)
							return
						}
					}
				})
			}
			callers.Wait()
		}
	}
}

// Candidates that were retrieved once are ranked by different weights as if retrieved by them.
func TestRetrievedRanksByDifferentWeights(t *testing.T) {
	s := newShop(t)
	r := s.ranker(&fakeNetwork{beams: 20}, false)
	retrieved, err := r.Retrieve(t.Context(), s.queries, EnsembleWeights{Dense: .25, Sequential: .25, Association: .25})
	if err != nil {
		t.Fatal(err)
	}
	w := EnsembleWeights{Dense: .4, Sequential: .3, Association: .2}
	want, _, err := r.Rank(t.Context(), s.queries, w)
	if err != nil {
		t.Fatal(err)
	}
	got := retrieved.Rank(w)
	for i := range s.queries {
		if !slices.Equal(got[i], want[i]) {
			t.Fatalf("query %d: got\n%v, want\n%v", i, got[i], want[i])
		}
	}
	targets := make([]string, len(s.queries))
	for position := range 25 {
		for i, list := range want {
			targets[i] = "unknown"
			if position < len(list) {
				targets[i] = list[position].Item
			}
		}
		for i, got := range retrieved.Positions(w, targets) {
			if want := position; targets[i] == "unknown" && got != -1 || targets[i] != "unknown" && got != want {
				t.Fatalf("query %d: %q is at position %d, want %d", i, targets[i], got, want)
			}
		}
	}
}

// While the network scores the queries of one call, another call is prepared.
func TestCallsOverlap(t *testing.T) {
	s := newShop(t)
	n := &fakeNetwork{beams: 5, gate: make(chan struct{})}
	r := s.ranker(n, false)
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() {
			if _, _, err := r.Rank(t.Context(), s.queries[:10], EnsembleWeights{}); err != nil {
				t.Error(err)
			}
		})
	}
	inNetwork := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.inCall
	}
	for deadline := time.Now().Add(time.Minute); inNetwork() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the second call does not reach the network during the first")
		}
	}
	close(n.gate)
	callers.Wait()
	n.gate = make(chan struct{})

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Rank(ctx, s.queries[:10], EnsembleWeights{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after the end of the context", err)
	}
}

// A panic on any of the goroutines reaches the caller, which can recover from it.
func TestPanicsReachTheCaller(t *testing.T) {
	s := newShop(t)
	n := &fakeNetwork{beams: 5}
	r := s.ranker(n, false)
	r.Rules[itemstats.Sequential] = nil // so that preparing panics
	func() {
		defer func() {
			var p *parallel.Panic
			if err, ok := recover().(error); !ok || !errors.As(err, &p) {
				t.Errorf("recovered %v, want the panic of a goroutine", err)
			}
		}()
		_, _, err := r.Rank(t.Context(), s.queries, EnsembleWeights{Sequential: .5})
		t.Errorf("Rank returned after a panic (error %v)", err)
	}()
	if ranked, _, err := r.Rank(t.Context(), s.queries, EnsembleWeights{Dense: .5}); err != nil || len(ranked) != len(s.queries) {
		t.Errorf("after a panic: %d lists, error %v", len(ranked), err)
	}
	broken := errors.New("device lost")
	n.fail = func([]*Request) error { return broken }
	if _, _, err := r.Rank(t.Context(), s.queries, EnsembleWeights{}); !errors.Is(err, broken) {
		t.Errorf("error %v, want the network's", err)
	}
}

func TestTop(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		items := make([]ComponentScores, rng.IntN(60))
		for i := range items {
			items[i] = ComponentScores{Leaf: i, Dense: float64(rng.IntN(20))} // with ties
		}
		rng.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		count := rng.IntN(70)
		got := EnsembleWeights{Dense: 1}.Top(nil, items, count)
		var want []Candidate
		for _, e := range items {
			want = append(want, Candidate{Leaf: e.Leaf, LogProb: e.Dense})
		}
		slices.SortFunc(want, func(a, b Candidate) int {
			if a.before(b) {
				return -1
			}
			return 1
		})
		if !slices.Equal(got, want[:min(count, len(want))]) {
			t.Fatalf("the top %d of %v are %v", count, items, got)
		}
	}
}
