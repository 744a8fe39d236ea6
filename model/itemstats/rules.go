package itemstats

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"

	"genrec/model/safetensors"
	"genrec/pkg/parallel"
)

// RuleKind is the kind of co-occurrence that rules count (Ludewig and Jannach 2018,
// arXiv:1803.09587). Which kind is more accurate depends on how much the order of items matters.
type RuleKind int

// The kinds of rules, and their number.
const (
	Sequential  RuleKind = iota // items that follow an item
	Association                 // items before or after an item
	RuleKinds
)

// String is the name of the kind, as in names of files and metrics.
func (k RuleKind) String() string { return [RuleKinds]string{"sequential", "association"}[k] }

// recencyDecay is the factor by which each older item of a history votes less.
var recencyDecay = [RuleKinds]float32{0.8, 0.95}

const (
	// ruleWindow is the largest distance of co-occurring items, and distanceDecay the factor by
	// which each further step of distance counts less.
	ruleWindow, distanceDecay = 8, 0.8
	// ruleUnit is the integer weight of adjacent items.
	ruleUnit = 1000
	// maxRules bounds the rules of an item; those with the largest counts are kept.
	maxRules = 256
	// maxStoredItems is the number of items whose indices float32 represents exactly, which is how
	// the file stores them.
	maxStoredItems = 1 << 24
)

// Rules are weighted rules from each item to the items that co-occur with it. A network generalizes
// over similar items and blurs what it has seen a few times; rules memorize it.
type Rules struct {
	kind    RuleKind
	starts  []int // by item, and the end of the last item's: offsets into targets and weights
	targets []int32
	weights []float32
	votes   sync.Pool // of *[]float32, by item: scratch memory that is all 0 while it is not in use
}

// LearnRules learns rules between the items 0..items-1 from histories. Time and memory grow linearly
// with the interactions: for association rules, 10 million interactions with 1 million items take
// 20 s and 3.2 GB on 2 cores, and result in 60 rules of 8 bytes per item.
func LearnRules(kind RuleKind, histories [][]int, items int) *Rules {
	var w window
	for distance := range ruleWindow {
		w.following = append(w.following, uint32(ruleUnit*math.Pow(distanceDecay, float64(distance))))
	}
	if kind == Association {
		w.preceding = w.following
	}
	counts := w.count(histories, items)
	r := emptyRules(kind, items)
	parallel.ForBlocks(items, func(from, to int) {
		for item := from; item < to; item++ {
			counts[item] = strongest(counts[item])
		}
	})
	for item, row := range counts {
		r.append(row)
		r.starts[item+1] = len(r.targets)
	}
	return r
}

func emptyRules(kind RuleKind, items int) *Rules {
	r := &Rules{kind: kind, starts: make([]int, items+1)}
	r.votes.New = func() any {
		votes := make([]float32, items)
		return &votes
	}
	return r
}

// strongest keeps the maxRules items with the largest counts; ties are broken by the lower index.
func strongest(row []cooccurrence) []cooccurrence {
	if len(row) <= maxRules {
		return row
	}
	slices.SortFunc(row, func(a, b cooccurrence) int {
		return cmp.Or(cmp.Compare(b.count(), a.count()), cmp.Compare(a.item(), b.item()))
	})
	row = row[:maxRules]
	slices.Sort(row)
	return row
}

// append adds the rules of the next item. Dividing by the cube root of the item's total gives
// frequent items, whose counts are more reliable, larger weights, but less than in proportion.
func (r *Rules) append(row []cooccurrence) {
	total := 0
	for _, c := range row {
		total += c.count()
	}
	for _, c := range row {
		r.targets = append(r.targets, int32(c.item()))
		r.weights = append(r.weights, float32(float64(c.count())/ruleUnit/math.Cbrt(float64(total)/ruleUnit)))
	}
}

// Items is the number of items.
func (r *Rules) Items() int { return len(r.starts) - 1 }

// Len is the number of rules.
func (r *Rules) Len() int { return len(r.targets) }

// Save writes the rules as a safetensors file with three vectors: the number of rules of each item
// (lengths), and the target item (to) and weight (weights) of each rule.
func (r *Rules) Save(path string) (err error) {
	if r.Items() > maxStoredItems {
		return fmt.Errorf("write rules: %d items, but the file format is limited to %d", r.Items(), maxStoredItems)
	}
	lengths := make([]float32, r.Items())
	for item := range lengths {
		lengths[item] = float32(r.starts[item+1] - r.starts[item])
	}
	targets := make([]float32, len(r.targets))
	for i, item := range r.targets {
		targets[i] = float32(item)
	}
	if err := safetensors.WriteFile(path, []safetensors.Tensor{
		vector("lengths", lengths), vector("to", targets), vector("weights", r.weights),
	}); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}

func vector(name string, data []float32) safetensors.Tensor {
	return safetensors.Tensor{Name: name, Shape: []int64{int64(len(data))}, Data: data}
}

// LoadRules reads and validates a file that Save wrote for rules of this kind.
func LoadRules(kind RuleKind, path string) (*Rules, error) {
	tensors, err := safetensors.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	named := make(map[string][]float32)
	for _, t := range tensors {
		named[t.Name] = t.Data
	}
	r, err := decodeRules(kind, named["lengths"], named["to"], named["weights"])
	if err != nil {
		return nil, fmt.Errorf("read rules %s: %w", path, err)
	}
	return r, nil
}

func decodeRules(kind RuleKind, lengths, targets, weights []float32) (*Rules, error) {
	if len(targets) != len(weights) {
		return nil, fmt.Errorf("%d rules but %d weights", len(targets), len(weights))
	}
	r := emptyRules(kind, len(lengths))
	r.targets, r.weights = make([]int32, len(targets)), weights
	for item, length := range lengths {
		if !isIndex(length, len(targets)-r.starts[item]+1) {
			return nil, fmt.Errorf("item %d has %v rules, but %d are left", item, length, len(targets)-r.starts[item])
		}
		r.starts[item+1] = r.starts[item] + int(length)
	}
	if r.starts[len(lengths)] != len(targets) {
		return nil, fmt.Errorf("%d rules, but those of all items are %d", len(targets), r.starts[len(lengths)])
	}
	for i, item := range targets {
		if !isIndex(item, len(lengths)) {
			return nil, fmt.Errorf("rule %d has the target item %v of %d", i, item, len(lengths))
		}
		r.targets[i] = int32(item)
	}
	if i := slices.IndexFunc(weights, func(w float32) bool { return !(w > 0) || math.IsInf(float64(w), 0) }); i >= 0 {
		return nil, fmt.Errorf("rule %d has the weight %v, must be positive and finite", i, weights[i])
	}
	return r, nil
}

// isIndex reports whether x is one of the integers 0..n-1.
func isIndex(x float32, n int) bool { return x >= 0 && x < float32(n) && x == float32(int(x)) }
