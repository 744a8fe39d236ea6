package itemstats

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"genrec/model/safetensors"
)

func TestLearnRulesKeepsTheStrongest(t *testing.T) {
	var histories [][]int
	for other := 1; other <= maxRules+40; other++ {
		histories = append(histories, []int{0, other})
	}
	histories = append(histories, []int{0, maxRules + 40}, []int{0, maxRules + 39})
	r := LearnRules(Sequential, histories, maxRules+41)
	if got := r.starts[1]; got != maxRules {
		t.Fatalf("%d rules, want the %d strongest", got, maxRules)
	}
	next := r.Predict([]int{0})
	if got, want := next.Ranked(4), []int{maxRules + 39, maxRules + 40, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("the best are %v, want %v: larger counts first, then lower indices", got, want)
	}
	if next.LogProb(maxRules-2) <= next.LogProb(maxRules-1) {
		t.Error("a weaker rule was kept")
	}
}

func TestLearnRulesIgnoresTheOrderOfUsers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	histories := uniformHistories(rng, 200, 50)
	want := LearnRules(Association, histories, 50)
	rng.Shuffle(len(histories), func(i, j int) { histories[i], histories[j] = histories[j], histories[i] })
	if got := LearnRules(Association, histories, 50); !equalRules(got, want) {
		t.Error("the rules depend on the order of the histories")
	}
}

func TestSaveAndLoadRules(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, want := range map[string]*Rules{
		"random":   LearnRules(Association, uniformHistories(rng, 200, 50), 50),
		"no rules": LearnRules(Sequential, [][]int{{1}, {0}}, 3),
	} {
		path := filepath.Join(t.TempDir(), "rules")
		if err := want.Save(path); err != nil {
			t.Fatal(err)
		}
		got, err := LoadRules(want.kind, path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !equalRules(got, want) {
			t.Errorf("%s: loaded rules differ from those saved", name)
		}
	}
}

func TestLoadRulesRejectsInvalidFiles(t *testing.T) {
	whole := func() [][]float32 { return [][]float32{{1, 0, 2}, {1, 0, 2}, {.5, 1, .25}} }
	for want, edit := range map[string]func([][]float32){
		"3 rules but 2 weights":                 func(v [][]float32) { v[2] = v[2][:2] },
		"item 2 has 3 rules":                    func(v [][]float32) { v[0][2] = 3 },
		"item 0 has -1 rules":                   func(v [][]float32) { v[0][0] = -1 },
		"item 0 has 0.5 rules":                  func(v [][]float32) { v[0][0] = .5 },
		"3 rules, but those of all items are 2": func(v [][]float32) { v[0][2] = 1 },
		"rule 1 has the target item 3 of 3":     func(v [][]float32) { v[1][1] = 3 },
		"rule 0 has the target item NaN":        func(v [][]float32) { v[1][0] = float32(math.NaN()) },
		"rule 2 has the weight 0":               func(v [][]float32) { v[2][2] = 0 },
		"rule 2 has the weight +Inf":            func(v [][]float32) { v[2][2] = float32(math.Inf(1)) },
		"rule 0 has the weight NaN, must":       func(v [][]float32) { v[2][0] = float32(math.NaN()) },
	} {
		vectors := whole()
		edit(vectors)
		path := filepath.Join(t.TempDir(), "rules")
		if err := safetensors.WriteFile(path, []safetensors.Tensor{
			vector("lengths", vectors[0]), vector("to", vectors[1]), vector("weights", vectors[2]),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadRules(Sequential, path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want one with %q and the path", err, want)
		}
	}
}

// Any file is rejected, or gives rules that can predict.
func FuzzLoadRules(f *testing.F) {
	path := filepath.Join(f.TempDir(), "rules")
	if err := LearnRules(Association, [][]int{{0, 1, 2}, {2, 0}}, 3).Save(path); err != nil {
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
		r, err := LoadRules(Association, path)
		if err != nil {
			return
		}
		for item := range r.Items() {
			next := r.Predict([]int{item})
			for _, best := range next.Ranked(5) {
				if p := next.LogProb(best); math.IsNaN(p) {
					t.Fatalf("after item %d, item %d has the log-probability %v", item, best, p)
				}
			}
		}
	})
}

func uniformHistories(rng *rand.Rand, users, items int) [][]int {
	histories := make([][]int, users)
	for i := range histories {
		for range rng.IntN(20) {
			histories[i] = append(histories[i], rng.IntN(items))
		}
	}
	return histories
}

func equalRules(a, b *Rules) bool {
	return a.kind == b.kind && slices.Equal(a.starts, b.starts) && slices.Equal(a.targets, b.targets) && slices.Equal(a.weights, b.weights)
}
