package rules

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"genrec/model/safetensors"
	"genrec/pkg/parallel"
)

func TestNextAddsUpVotes(t *testing.T) {
	// 0 was followed by 1 twice at the next place and once by 2 one place further, and 1
	// by 2 once.
	histories := [][]int{{0, 1, 2}, {0, 1}, {3, 3}}
	const zero, one = 2 + fading, 3                      // counts of all rules of 0, of 1 (mutual)
	ofZero, ofOne := 1/math.Cbrt(zero), 1/math.Cbrt(one) // what each count votes for
	sequential, association := Learn(Sequential, histories, 5), Learn(Association, histories, 5)
	for _, test := range []struct {
		name    string
		rules   *Rules
		history []int
		want    map[int]float64 // shares of the votes
	}{
		{"one item", sequential, []int{0}, map[int]float64{1: 2 / zero, 2: fading / zero}},
		{"the last of all", sequential, []int{2}, nil},
		{"backwards", association, []int{1}, map[int]float64{0: 2. / one, 2: 1. / one}},
		{"older items have less of a say", sequential, []int{1, 0}, map[int]float64{
			1: ofZero * 2 / (ofZero*zero + float64(older[Sequential])), 2: (ofZero*fading + float64(older[Sequential])) / (ofZero*zero + float64(older[Sequential])),
		}},
		{"but more in association", association, []int{1, 0}, map[int]float64{
			0: float64(older[Association]) * ofOne * 2 / (ofZero*zero + float64(older[Association])*ofOne*one),
			1: ofZero * 2 / (ofZero*zero + float64(older[Association])*ofOne*one),
			2: (ofZero*fading + float64(older[Association])*ofOne) / (ofZero*zero + float64(older[Association])*ofOne*one),
		}},
		{"a repeated item follows itself", sequential, []int{3}, map[int]float64{3: 1}},
		{"one that stood alone", association, []int{4}, nil},
		{"no history", sequential, nil, nil},
	} {
		next := test.rules.Next(test.history)
		for item := range 5 {
			want := unknown/5 + (1-unknown)*test.want[item]
			if test.want == nil {
				want = 0.2
			}
			if got := math.Exp(next.LogProb(item)); math.Abs(got-want) > 1e-4 {
				t.Errorf("%s: item %d comes next with %.5f, want %.5f", test.name, item, got, want)
			}
		}
	}
}

func TestNextIsADistribution(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const items = 300
	histories := randomHistories(rng, 400, items)
	all := []*Rules{Learn(Sequential, histories, items), Learn(Association, histories, items)}
	for i := range 200 {
		r := all[i%2]
		history := make([]int, rng.IntN(100))
		for i := range history {
			history[i] = rng.IntN(items)
		}
		next, sum := r.Next(history), 0.0
		for item := range items {
			sum += math.Exp(next.LogProb(item))
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Fatalf("after %v the probabilities add up to %v", history, sum)
		}
		best := next.Best(20)
		for i := range best[:max(0, len(best)-1)] {
			if next.LogProb(best[i]) < next.LogProb(best[i+1]) {
				t.Fatalf("after %v item %d stands before the more probable %d", history, best[i], best[i+1])
			}
		}
		if len(best) > 0 {
			last := next.LogProb(best[len(best)-1])
			for item := range items {
				if next.LogProb(item) > last+1e-12 && !slices.Contains(best, item) {
					t.Fatalf("after %v item %d is missing among the best", history, item)
				}
			}
		}
		// What is older than the items asked changes nothing.
		older := append([]int{rng.IntN(items)}, history...)
		longer := r.Next(older)
		if len(history) >= asked && longer.LogProb(7) != next.LogProb(7) {
			t.Fatalf("the item before the newest %d of %v has a vote", asked, older)
		}
	}
}

// A table says what LogProb says, and the top is the beginning of the best, for any count.
func TestTableAndTop(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const items = 2000
	histories := randomHistories(rng, 3000, items)
	all := []*Rules{Learn(Sequential, histories, items), Learn(Association, histories, items)}
	var next Next // its memory is used again
	for i := range 200 {
		history := make([]int, rng.IntN(100))
		for j := range history {
			history[j] = rng.IntN(items)
		}
		next.Ask(all[i%2], history)
		table := next.Table()
		for range 50 {
			if item := rng.IntN(items); table.LogProb(item) != next.LogProb(item) {
				t.Fatalf("after %v the table says %v of item %d, want %v", history, table.LogProb(item), item, next.LogProb(item))
			}
		}
		table.Release()
		best := next.Best(items)
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

func TestLargestOfAnyKeys(t *testing.T) {
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
		largest(keys, count)
		count = min(count, len(keys))
		got := slices.Clone(keys[:count])
		slices.Sort(got)
		slices.Reverse(got)
		if !slices.Equal(got, want[:count]) {
			t.Fatalf("the largest %d are %v, want %v", count, got, want[:count])
		}
	}
}

// Users are asked about side by side.
func TestNextDoesNotMixWhoAsks(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const items = 300
	histories := randomHistories(rng, 400, items)
	r := Learn(Association, histories, items)
	want := make([]Next, len(histories))
	for i, history := range histories {
		want[i] = r.Next(history)
	}
	parallel.For(len(histories), func(i int) {
		if got := r.Next(histories[i]); !slices.Equal(got.votes, want[i].votes) || !slices.Equal(got.voted, want[i].voted) {
			t.Errorf("history %d has other votes when others are asked about, too", i)
		}
	})
}

func TestItemsKeepTheirStrongestRules(t *testing.T) {
	var histories [][]int
	for other := 1; other <= most+40; other++ {
		histories = append(histories, []int{0, other})
	}
	histories = append(histories, []int{0, most + 40}, []int{0, most + 39})
	r := Learn(Sequential, histories, most+41)
	if got := r.starts[1]; got != most {
		t.Fatalf("%d rules, want the %d strongest", got, most)
	}
	next := r.Next([]int{0})
	if got, want := next.Best(4), []int{most + 39, most + 40, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("the best are %v, want %v: those of larger counts, then the first", got, want)
	}
	if next.LogProb(most-2) <= next.LogProb(most-1) {
		t.Error("a weak rule was kept for a first one")
	}
}

func TestLearnIgnoresTheOrderOfUsers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	histories := randomHistories(rng, 200, 50)
	want := Learn(Association, histories, 50)
	rng.Shuffle(len(histories), func(i, j int) { histories[i], histories[j] = histories[j], histories[i] })
	if got := Learn(Association, histories, 50); !equal(got, want) {
		t.Error("the same histories in another order give other rules")
	}
}

func TestStore(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, want := range map[string]*Rules{
		"random":   Learn(Association, randomHistories(rng, 200, 50), 50),
		"no rules": Learn(Sequential, [][]int{{1}, {0}}, 3),
	} {
		path := filepath.Join(t.TempDir(), "rules")
		if err := want.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := Load(want.kind, path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !equal(got, want) {
			t.Errorf("%s: loaded rules differ from those saved", name)
		}
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	whole := func() [][]float32 { return [][]float32{{1, 0, 2}, {1, 0, 2}, {.5, 1, .25}} }
	for want, edit := range map[string]func([][]float32){
		"3 rules but 2 weights":           func(v [][]float32) { v[2] = v[2][:2] },
		"item 2 has 3 rules":              func(v [][]float32) { v[0][2] = 3 },
		"item 0 has -1 rules":             func(v [][]float32) { v[0][0] = -1 },
		"item 0 has 0.5 rules":            func(v [][]float32) { v[0][0] = .5 },
		"3 rules, of which the items":     func(v [][]float32) { v[0][2] = 1 },
		"rule 1 leads to item 3 of 3":     func(v [][]float32) { v[1][1] = 3 },
		"rule 0 leads to item NaN":        func(v [][]float32) { v[1][0] = float32(math.NaN()) },
		"rule 2 has the weight 0":         func(v [][]float32) { v[2][2] = 0 },
		"rule 2 has the weight +Inf":      func(v [][]float32) { v[2][2] = float32(math.Inf(1)) },
		"rule 0 has the weight NaN, must": func(v [][]float32) { v[2][0] = float32(math.NaN()) },
	} {
		vectors := whole()
		edit(vectors)
		path := filepath.Join(t.TempDir(), "rules")
		if err := safetensors.WriteFile(path, []safetensors.Tensor{
			vector("lengths", vectors[0]), vector("to", vectors[1]), vector("weights", vectors[2]),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(Sequential, path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want one with %q and the path", err, want)
		}
	}
}

// Whatever a file holds, it is refused, or its rules can be asked.
func FuzzLoad(f *testing.F) {
	path := filepath.Join(f.TempDir(), "rules")
	if err := Learn(Association, [][]int{{0, 1, 2}, {2, 0}}, 3).Save(path); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "rules")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Load(Association, path)
		if err != nil {
			return
		}
		for item := range r.Items() {
			next := r.Next([]int{item})
			for _, best := range next.Best(5) {
				if p := next.LogProb(best); math.IsNaN(p) {
					t.Fatalf("after item %d, item %d has the log-probability %v", item, best, p)
				}
			}
		}
	})
}

func randomHistories(rng *rand.Rand, users, items int) [][]int {
	histories := make([][]int, users)
	for i := range histories {
		for range rng.IntN(20) {
			histories[i] = append(histories[i], rng.IntN(items))
		}
	}
	return histories
}

func equal(a, b *Rules) bool {
	return a.kind == b.kind && slices.Equal(a.starts, b.starts) && slices.Equal(a.to, b.to) && slices.Equal(a.weights, b.weights)
}
