package itemstats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/pkg/parallel"
)

func TestPredictSumsVotes(t *testing.T) {
	// Item 0 was followed by 1 twice at distance 1, and by 2 once at distance 2; 1 was followed by 2
	// once.
	histories := [][]int{{0, 1, 2}, {0, 1}, {3, 3}}
	const zero, one = 2 + distanceDecay, 3               // total counts of the rules of item 0, and of item 1 (association)
	ofZero, ofOne := 1/math.Cbrt(zero), 1/math.Cbrt(one) // the weight of a count of 1
	sequential, association := LearnRules(Sequential, histories, 5), LearnRules(Association, histories, 5)
	for _, test := range []struct {
		name    string
		rules   *Rules
		history []int
		want    map[int]float64 // shares of the votes
	}{
		{"one item", sequential, []int{0}, map[int]float64{1: 2 / zero, 2: distanceDecay / zero}},
		{"an item that nothing follows", sequential, []int{2}, nil},
		{"backwards", association, []int{1}, map[int]float64{0: 2. / one, 2: 1. / one}},
		{"older items vote less", sequential, []int{1, 0}, map[int]float64{
			1: ofZero * 2 / (ofZero*zero + float64(recencyDecay[Sequential])), 2: (ofZero*distanceDecay + float64(recencyDecay[Sequential])) / (ofZero*zero + float64(recencyDecay[Sequential])),
		}},
		{"older items vote more in association rules", association, []int{1, 0}, map[int]float64{
			0: float64(recencyDecay[Association]) * ofOne * 2 / (ofZero*zero + float64(recencyDecay[Association])*ofOne*one),
			1: ofZero * 2 / (ofZero*zero + float64(recencyDecay[Association])*ofOne*one),
			2: (ofZero*distanceDecay + float64(recencyDecay[Association])*ofOne) / (ofZero*zero + float64(recencyDecay[Association])*ofOne*one),
		}},
		{"a repeated item follows itself", sequential, []int{3}, map[int]float64{3: 1}},
		{"an item without co-occurrence", association, []int{4}, nil},
		{"no history", sequential, nil, nil},
	} {
		next := test.rules.Predict(test.history)
		for item := range 5 {
			want := smoothing/5 + (1-smoothing)*test.want[item]
			if test.want == nil {
				want = 0.2
			}
			if got := math.Exp(next.LogProb(item)); math.Abs(got-want) > 1e-4 {
				t.Errorf("%s: the probability of item %d is %.5f, want %.5f", test.name, item, got, want)
			}
		}
	}
}

func TestPredictionIsADistribution(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const items = 300
	histories := uniformHistories(rng, 400, items)
	all := []*Rules{LearnRules(Sequential, histories, items), LearnRules(Association, histories, items)}
	for i := range 200 {
		r := all[i%2]
		history := make([]int, rng.IntN(100))
		for i := range history {
			history[i] = rng.IntN(items)
		}
		next, sum := r.Predict(history), 0.0
		for item := range items {
			sum += math.Exp(next.LogProb(item))
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Fatalf("after %v the probabilities add up to %v", history, sum)
		}
		best := next.Ranked(20)
		for i := range best[:max(0, len(best)-1)] {
			if next.LogProb(best[i]) < next.LogProb(best[i+1]) {
				t.Fatalf("after %v item %d is ranked before the more probable %d", history, best[i], best[i+1])
			}
		}
		if len(best) > 0 {
			last := next.LogProb(best[len(best)-1])
			for item := range items {
				if next.LogProb(item) > last+1e-12 && !slices.Contains(best, item) {
					t.Fatalf("after %v item %d is missing from the best", history, item)
				}
			}
		}
		// Items before the newest maxHistory do not vote.
		older := append([]int{rng.IntN(items)}, history...)
		longer := r.Predict(older)
		if len(history) >= maxHistory && longer.LogProb(7) != next.LogProb(7) {
			t.Fatalf("the item before the newest %d of %v has a vote", maxHistory, older)
		}
	}
}

// A table agrees with LogProb, and Top with Ranked for any k.
func TestPredictionTableAndTop(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const items = 2000
	histories := uniformHistories(rng, 3000, items)
	all := []*Rules{LearnRules(Sequential, histories, items), LearnRules(Association, histories, items)}
	var next Prediction // reused
	for i := range 200 {
		history := make([]int, rng.IntN(100))
		for j := range history {
			history[j] = rng.IntN(items)
		}
		all[i%2].PredictInto(&next, history)
		table := next.Table()
		for range 50 {
			if item := rng.IntN(items); table.LogProb(item) != next.LogProb(item) {
				t.Fatalf("after %v the table has the log-probability %v for item %d, want %v", history, table.LogProb(item), item, next.LogProb(item))
			}
		}
		table.Release()
		best := next.Ranked(items)
		for _, count := range []int{0, 1, rng.IntN(300), len(best), items} {
			var top []int
			for _, item := range next.Top(nil, count) {
				top = append(top, int(item))
			}
			want := slices.Clone(best[:min(count, len(best))])
			slices.Sort(top)
			slices.Sort(want)
			if !slices.Equal(top, want) {
				t.Fatalf("after %v the top %d are %v, want %v", history, count, top, want)
			}
		}
	}
}

func TestSelectLargest(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range 2000 {
		keys := make([]uint64, rng.IntN(200))
		for j := range keys {
			switch i % 4 {
			case 0:
				keys[j] = rng.Uint64()
			case 1:
				keys[j] = rng.Uint64N(3) // many equal ones
			case 2:
				keys[j] = uint64(j)
			default:
				keys[j] = uint64(max(j, len(keys)-j))
			}
		}
		want := slices.Clone(keys)
		slices.Sort(want)
		slices.Reverse(want)
		count := rng.IntN(len(keys) + 2)
		selectLargest(keys, count)
		count = min(count, len(keys))
		got := slices.Clone(keys[:count])
		slices.Sort(got)
		slices.Reverse(got)
		if !slices.Equal(got, want[:count]) {
			t.Fatalf("the largest %d are %v, want %v", count, got, want[:count])
		}
	}
}

// Concurrent predictions do not share scratch memory.
func TestPredictIsSafeForConcurrentUse(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const items = 300
	histories := uniformHistories(rng, 400, items)
	r := LearnRules(Association, histories, items)
	want := make([]Prediction, len(histories))
	for i, history := range histories {
		want[i] = r.Predict(history)
	}
	parallel.For(len(histories), func(i int) {
		if got := r.Predict(histories[i]); !slices.Equal(got.votes, want[i].votes) || !slices.Equal(got.items, want[i].items) {
			t.Errorf("history %d has other votes in a concurrent prediction", i)
		}
	})
}

// 10,000 items of skewed popularity, histories of 10 items.
func BenchmarkPredict(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	const items = 10_000
	histories := make([][]int, 20_000)
	for i := range histories {
		for range 10 {
			histories[i] = append(histories[i], int(items*rng.Float64()*rng.Float64()*rng.Float64()))
		}
	}
	r := LearnRules(Association, histories, items)
	b.ReportMetric(float64(r.Len())/items, "rules/item")
	for i := 0; b.Loop(); i++ {
		next := r.Predict(histories[i%len(histories)])
		for _, item := range next.Ranked(120) {
			next.LogProb(item)
		}
	}
}
