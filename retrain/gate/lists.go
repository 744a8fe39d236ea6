package gate

import (
	"math"
	"time"
)

// Places is how many of a list count: those that NDCG@10 looks at.
const Places = 10

// Lists says what a recommender's lists were like, the first ten places of each.
type Lists struct {
	// Valid is the share of lists that are full, repeat nothing and have finite scores.
	Valid float64
	// Coverage is the share of the recommender's own catalog that is in any list.
	Coverage float64
	// Popular is the share of places that the most popular items take.
	Popular float64
	// BatchSeconds is what the quickest batch of users took.
	BatchSeconds float64
}

// Tally looks at lists as they come.
type Tally struct {
	popular map[string]bool
	met     map[string]bool
	quick   time.Duration

	lists, valid, places, popularPlaces int
}

// NewTally counts the popular items among others.
func NewTally(popular map[string]bool) *Tally {
	return &Tally{popular: popular, met: make(map[string]bool), quick: math.MaxInt64}
}

// Add looks at a list, which is full with a number of items.
func (t *Tally) Add(items []string, scores []float64, full int) {
	t.lists++
	valid := len(items) == full
	own := make(map[string]bool, len(items))
	for i, item := range items {
		valid = valid && !own[item] && !math.IsNaN(scores[i]) && !math.IsInf(scores[i], 0)
		own[item] = true
		if i < Places {
			t.met[item] = true
			t.places++
			if t.popular[item] {
				t.popularPlaces++
			}
		}
	}
	if valid {
		t.valid++
	}
}

// Batch notes how long a batch of lists took. All that are noted have equally many.
func (t *Tally) Batch(took time.Duration) { t.quick = min(t.quick, took) }

// Lists sums up, for a catalog of so many items.
func (t *Tally) Lists(catalog int) Lists {
	l := Lists{Valid: 1, Coverage: share(len(t.met), catalog), Popular: share(t.popularPlaces, t.places)}
	if t.lists > 0 {
		l.Valid = share(t.valid, t.lists)
	}
	if t.quick < math.MaxInt64 {
		l.BatchSeconds = t.quick.Seconds()
	}
	return l
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
