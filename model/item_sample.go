package model

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"genrec/model/examples"
	"genrec/model/tensor"
)

// itemSample bounds the work and memory of a training step for large catalogs. A step trains on a small item
// table: the rows of the items in its batch, and those of other items drawn uniformly. Gradients, the
// optimizer and the softmax over items see that table only, so that their cost does not grow with the
// catalog. Each drawn item stands for all that were not drawn: its logit is raised by the log of their ratio
// (sampled softmax, Jean et al. 2015, arXiv:1412.2007), and the items of the batch count as they are.
//
// Rows and moments of items outside the sample stay as they are until they are drawn (lazy Adam).
type itemSample struct {
	model  *Model            // that trains, with the small item table
	all    [3]*tensor.Tensor // (Items+1, D): the item table, and the optimizer's moments of it
	sample [3]*tensor.Tensor // (S+1, D): of the sampled items
	bias   *tensor.Tensor    // (1, S): added to the logits of items
	scope  *tensor.Scope     // owns the moments of all items, the sampled table, and the bias

	items  []int64 // of the sample: row i+1 is of items[i]
	number []int32 // by item, its row in the sample, or 0
}

// newItemSample is for samples of a size below the number of items of the model. useMoments completes it.
func newItemSample(m *Model, size int) *itemSample {
	s := &itemSample{scope: newScope(m.device), number: make([]int32, m.Config.Items+1)}
	width := int64(m.Config.Width)
	table := s.scope.Zeros(int64(size)+1, width)
	s.all[0], s.sample[0] = m.weights.byName[itemsName], table
	s.bias = s.scope.Zeros(1, int64(size))

	weights := *m.weights
	weights.byName = maps.Clone(weights.byName)
	weights.byName[itemsName] = table
	config := m.Config
	config.Items = size
	s.model = &Model{Config: config, device: m.device, weights: &weights}
	return s
}

// useMoments takes the optimizer's moments of the sampled table.
func (s *itemSample) useMoments(mean, square *tensor.Tensor) {
	s.sample[1], s.sample[2] = mean, square
	shape := s.all[0].Shape()
	s.all[1], s.all[2] = s.scope.Zeros(shape...), s.scope.Zeros(shape...)
}

// load draws the sample of a batch and returns the batch with items by their rows in the sample.
func (s *itemSample) load(batch []examples.Example, rng *rand.Rand) ([]examples.Example, error) {
	defer withoutGradients()()
	s.items = s.items[:0]
	mapped := make([]examples.Example, len(batch))
	for i, e := range batch {
		e.Items = slices.Clone(e.Items)
		for j, item := range e.Items {
			e.Items[j] = s.add(item)
		}
		e.Newest, e.Item = s.add(e.Newest), s.add(e.Item)
		mapped[i] = e
	}
	size, catalog := s.model.Config.Items, len(s.number)-1
	used := len(s.items)
	if used > size {
		s.clear()
		return nil, fmt.Errorf("a batch has %d different items, but a step trains at most %d", used, size)
	}
	for len(s.items) < size {
		s.add(1 + rng.Int64N(int64(catalog)))
	}
	bias := make([]float32, size)
	for i := used; i < size; i++ {
		bias[i] = float32(math.Log(float64(catalog-used) / float64(size-used)))
	}
	s.bias.SetFloats(bias)
	s.clear()

	scope := newScope(s.model.device)
	defer scope.Free()
	rows := scope.Ints(s.items, int64(size))
	for i, all := range s.all {
		scope.Narrow(s.sample[i], 0, 1, int64(size)).Set(scope.IndexSelect(all, 0, rows))
	}
	return mapped, nil
}

// add adds an item unless it is in the sample, and returns its row.
func (s *itemSample) add(item int64) int64 {
	if item == noID {
		return noID
	}
	if s.number[item] == 0 {
		s.items = append(s.items, item)
		s.number[item] = int32(len(s.items))
	}
	return int64(s.number[item])
}

func (s *itemSample) clear() {
	for _, item := range s.items {
		s.number[item] = 0
	}
}

// store copies the rows of the sample back.
func (s *itemSample) store() {
	defer withoutGradients()()
	scope := newScope(s.model.device)
	defer scope.Free()
	rows := scope.Ints(s.items, int64(len(s.items)))
	for i, all := range s.all {
		all.SetRows(rows, scope.Narrow(s.sample[i], 0, 1, int64(len(s.items))))
	}
}
