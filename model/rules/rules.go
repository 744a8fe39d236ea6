// Package rules counts which items come after which, or near which, and says what comes
// next by that: sequential and association rules (Ludewig and Jannach 2018,
// arXiv:1803.09587). A network sees items as points among others and blurs what it has
// seen a few times; rules keep it.
//
// Learning takes time and memory in proportion to the interactions: 10 million of a
// million items 20 s and 3.2 GB on 2 cores for association rules, 60 an item of 8 bytes
// each. The rules of an item are bounded, and so are the items of a history that are
// asked: the time for what comes next does not grow with the number of items.
package rules

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"genrec/model/pairs"
	"genrec/pkg/parallel"
)

// Kind is what rules count (Ludewig and Jannach 2018). Which one says more depends on how
// much the order of items does.
type Kind int

// The kinds of rules, and their number.
const (
	Sequential  Kind = iota // lead to what came after an item
	Association             // lead to what stood near an item
	Kinds
)

func (k Kind) String() string { return [Kinds]string{"sequential", "association"}[k] }

// older is what the vote of each older item of a history is worth.
var older = [Kinds]float32{0.8, 0.95}

const (
	// places is how far from an item others still count, and fading what each place
	// further is worth.
	places, fading = 8, 0.8
	// unit is what the next place counts for, in integers.
	unit = 1000
	// most is how many rules an item has, those with the largest counts.
	most = 256
)

// Rules holds for each item those that it leads to.
type Rules struct {
	kind    Kind
	starts  []int // by item, and one more: where its rules begin
	to      []int32
	weights []float32
	sums    sync.Pool // of *[]float32, by item: votes while they are counted or looked up, otherwise 0
}

// Learn counts the histories, each the items of one user among 0..items-1, oldest first.
func Learn(kind Kind, histories [][]int, items int) *Rules {
	weights := pairs.Weights{}
	for place := range places {
		weights.After = append(weights.After, uint32(unit*math.Pow(fading, float64(place))))
	}
	if kind == Association {
		weights.Before = weights.After
	}
	counted := pairs.Count(histories, items, weights)
	r := empty(kind, items)
	parallel.ForBlocks(items, func(from, to int) {
		for item := from; item < to; item++ {
			counted[item] = strongest(counted[item])
		}
	})
	for item, row := range counted {
		r.add(row)
		r.starts[item+1] = len(r.to)
	}
	return r
}

func empty(kind Kind, items int) *Rules {
	r := &Rules{kind: kind, starts: make([]int, items+1)}
	r.sums.New = func() any {
		sums := make([]float32, items)
		return &sums
	}
	return r
}

// strongest keeps at most as many rules as an item may have, of equals the first.
func strongest(row []pairs.Pair) []pairs.Pair {
	if len(row) <= most {
		return row
	}
	slices.SortFunc(row, func(a, b pairs.Pair) int {
		return cmp.Or(cmp.Compare(b.Count(), a.Count()), cmp.Compare(a.Item(), b.Item()))
	})
	row = row[:most]
	slices.Sort(row)
	return row
}

// add appends the rules of the next item. A vote is worth more the more often the item
// leads somewhere, which makes it surer, but not as many times more.
func (r *Rules) add(row []pairs.Pair) {
	total := 0
	for _, p := range row {
		total += p.Count()
	}
	for _, p := range row {
		r.to = append(r.to, int32(p.Item()))
		r.weights = append(r.weights, float32(float64(p.Count())/unit/math.Cbrt(float64(total)/unit)))
	}
}

// Items is the number of items.
func (r *Rules) Items() int { return len(r.starts) - 1 }

// Len is the number of rules.
func (r *Rules) Len() int { return len(r.to) }
