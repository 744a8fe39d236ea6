package model

import (
	"iter"
	"math"

	"genrec/model/itemstats"
)

// Near lists the most popular items, each with the others that stood near it most often in
// the snapshot, best first, with their share of what did; without association rules, those
// that came after it. It may be called beside Recommend, and after Close.
func (r *Recommender) SimilarItems(items, others int) iter.Seq2[string, []Ranked] {
	return func(yield func(string, []Ranked) bool) {
		counted := r.bundle.Rules[itemstats.Association]
		if counted == nil {
			counted = r.bundle.Rules[itemstats.Sequential]
		}
		if counted == nil {
			return
		}
		popular, _ := r.bundle.Catalog.Popular(items)
		for _, item := range popular {
			next := counted.Predict(Leaves([]int{r.bundle.Catalog.ItemIndex(item)}))
			var near []Ranked
			for _, leaf := range next.Ranked(others) {
				near = append(near, Ranked{Item: r.bundle.Catalog.ItemID(leaf + 1), Probability: math.Exp(next.LogProb(leaf))})
			}
			if len(near) > 0 && !yield(item, near) {
				return
			}
		}
	}
}
