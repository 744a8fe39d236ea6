package rules

import (
	"fmt"
	"math"
	"slices"

	"genrec/model/safetensors"
)

// mostItems is how many items have numbers that a float32 holds exactly, as the file
// stores them.
const mostItems = 1 << 24

// Save writes the rules as a safetensors file of three vectors: how many rules each item
// has, and the item and the weight of each rule.
func (r *Rules) Save(path string) (err error) {
	if r.Items() > mostItems {
		return fmt.Errorf("write rules: %d items are more than the %d that a file holds", r.Items(), mostItems)
	}
	lengths := make([]float32, r.Items())
	for item := range lengths {
		lengths[item] = float32(r.starts[item+1] - r.starts[item])
	}
	to := make([]float32, len(r.to))
	for i, item := range r.to {
		to[i] = float32(item)
	}
	if err := safetensors.WriteFile(path, []safetensors.Tensor{
		vector("lengths", lengths), vector("to", to), vector("weights", r.weights),
	}); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}

func vector(name string, data []float32) safetensors.Tensor {
	return safetensors.Tensor{Name: name, Shape: []int64{int64(len(data))}, Data: data}
}

// Load reads what Save wrote of rules of a kind.
func Load(kind Kind, path string) (*Rules, error) {
	tensors, err := safetensors.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	named := make(map[string][]float32)
	for _, t := range tensors {
		named[t.Name] = t.Data
	}
	r, err := restored(kind, named["lengths"], named["to"], named["weights"])
	if err != nil {
		return nil, fmt.Errorf("read rules %s: %w", path, err)
	}
	return r, nil
}

func restored(kind Kind, lengths, to, weights []float32) (*Rules, error) {
	if len(to) != len(weights) {
		return nil, fmt.Errorf("%d rules but %d weights", len(to), len(weights))
	}
	r := empty(kind, len(lengths))
	r.to, r.weights = make([]int32, len(to)), weights
	for item, length := range lengths {
		if !whole(length, len(to)-r.starts[item]+1) {
			return nil, fmt.Errorf("item %d has %v rules, with %d of all left", item, length, len(to)-r.starts[item])
		}
		r.starts[item+1] = r.starts[item] + int(length)
	}
	if r.starts[len(lengths)] != len(to) {
		return nil, fmt.Errorf("%d rules, of which the items have %d", len(to), r.starts[len(lengths)])
	}
	for i, item := range to {
		if !whole(item, len(lengths)) {
			return nil, fmt.Errorf("rule %d leads to item %v of %d", i, item, len(lengths))
		}
		r.to[i] = int32(item)
	}
	if i := slices.IndexFunc(weights, func(w float32) bool { return !(w > 0) || math.IsInf(float64(w), 0) }); i >= 0 {
		return nil, fmt.Errorf("rule %d has the weight %v, must be positive", i, weights[i])
	}
	return r, nil
}

// whole says whether x is one of the integers 0..n-1.
func whole(x float32, n int) bool { return x >= 0 && x < float32(n) && x == float32(int(x)) }
