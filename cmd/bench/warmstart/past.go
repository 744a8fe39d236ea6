package warmstart

import (
	"math"
	"math/rand/v2"
	"slices"

	"genrec/model/catalog"
)

const (
	newShare      = 0.1  // of the interactions
	launchedShare = 0.01 // of the items
)

// pastOf returns a dataset without its newest tenth of interactions. The dataset has no times, so they are
// simulated: a user arrives at a random time, and interactions are spread evenly from then to the end. One
// percent of the items are launched in the newest tenth, which also contains the interactions of a user from
// the first such item on. So the newest tenth has existing users, new users and new items.
func pastOf(all []catalog.Sequence, seed uint64) (past []catalog.Sequence) {
	rng := rand.New(rand.NewPCG(seed, 0))
	launched := launches(all, rng)
	times := make([][]float64, len(all))
	var sorted []float64
	for i, s := range all {
		arrival := rng.Float64()
		for j, item := range s.Items {
			at := arrival + (1-arrival)*float64(j+1)/float64(len(s.Items)+1)
			if launched[item] || (j > 0 && math.IsInf(times[i][j-1], 1)) {
				at = math.Inf(1)
			}
			times[i] = append(times[i], at)
		}
		sorted = append(sorted, times[i]...)
	}
	slices.Sort(sorted)
	cut := sorted[int((1-newShare)*float64(len(sorted)))]
	for i, s := range all {
		n, _ := slices.BinarySearch(times[i], cut)
		if n > 0 {
			past = append(past, catalog.Sequence{User: s.User, Items: s.Items[:n]})
		}
	}
	return past
}

func launches(all []catalog.Sequence, rng *rand.Rand) map[string]bool {
	items := distinct(all)
	launched := make(map[string]bool)
	for _, i := range rng.Perm(len(items))[:int(launchedShare*float64(len(items)))] {
		launched[items[i]] = true
	}
	return launched
}

// distinct returns the sorted distinct items.
func distinct(all []catalog.Sequence) (items []string) {
	seen := make(map[string]bool)
	for _, s := range all {
		for _, item := range s.Items {
			if !seen[item] {
				seen[item] = true
				items = append(items, item)
			}
		}
	}
	slices.Sort(items)
	return items
}

func interactions(all []catalog.Sequence) (n int) {
	for _, s := range all {
		n += len(s.Items)
	}
	return n
}
