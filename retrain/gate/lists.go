package gate

import (
	"math"
	"time"
)

// Places is the cut-off of NDCG@10.
const Places = 10

// Lists summarizes the top 10 of a model's lists.
type Lists struct {
	// Valid is the share of lists that are complete, without repeated items, and with finite scores.
	Valid float64
	// Coverage is the share of the model's catalog that occurs in any list.
	Coverage float64
	// Popular is the share of slots filled by the most popular items.
	Popular float64
	// BatchSeconds is the time of the fastest batch.
	BatchSeconds float64
}

// Tally collects Lists.
type Tally struct {
	popular map[string]bool
	met     map[string]bool
	quick   time.Duration

	lists, valid, places, popularPlaces int
}

// NewTally returns an empty Tally for a set of popular items.
func NewTally(popular map[string]bool) *Tally {
	return &Tally{popular: popular, met: make(map[string]bool), quick: math.MaxInt64}
}

// Add adds a list that is complete with full items.
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

// Batch records the time of a batch. All recorded batches have the same size.
func (t *Tally) Batch(took time.Duration) { t.quick = min(t.quick, took) }

// Lists returns the summary, for a catalog of that many items.
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
