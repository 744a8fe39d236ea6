package gate

import (
	"math"
	"time"
)

// Cutoff is the number of items of a list that count.
const Cutoff = 10

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
	popular     map[string]bool // the most popular items
	recommended map[string]bool // items in any list
	fastest     time.Duration   // of all batches

	lists, valid, slots, popularSlots int
}

// NewTally returns an empty Tally for a set of popular items.
func NewTally(popular map[string]bool) *Tally {
	return &Tally{popular: popular, recommended: make(map[string]bool), fastest: math.MaxInt64}
}

// Add adds a list, which is complete if it has completeLength items.
func (t *Tally) Add(items []string, scores []float64, completeLength int) {
	t.lists++
	valid := len(items) == completeLength
	seen := make(map[string]bool, len(items))
	for i, item := range items {
		valid = valid && !seen[item] && !math.IsNaN(scores[i]) && !math.IsInf(scores[i], 0)
		seen[item] = true
		if i < Cutoff {
			t.recommended[item] = true
			t.slots++
			if t.popular[item] {
				t.popularSlots++
			}
		}
	}
	if valid {
		t.valid++
	}
}

// Batch records the time of a batch. All recorded batches have the same size.
func (t *Tally) Batch(took time.Duration) { t.fastest = min(t.fastest, took) }

// Lists returns the summary, for a catalog of that many items.
func (t *Tally) Lists(catalog int) Lists {
	l := Lists{Valid: 1, Coverage: share(len(t.recommended), catalog), Popular: share(t.popularSlots, t.slots)}
	if t.lists > 0 {
		l.Valid = share(t.valid, t.lists)
	}
	if t.fastest < math.MaxInt64 {
		l.BatchSeconds = t.fastest.Seconds()
	}
	return l
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
