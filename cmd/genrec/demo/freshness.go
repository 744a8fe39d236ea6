package demo

import (
	"math"
	"slices"
	"sync"
	"time"
)

// freshness collects the times from the production of an event to the write of the
// recommendations that include it, for events since start.
type freshness struct {
	mu    sync.Mutex
	since time.Time
	times []time.Duration
}

func (f *freshness) start() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = time.Now()
}

// add returns how long an event waited; events before start do not count.
func (f *freshness) add(produced, written time.Time) (took time.Duration, counts bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() || produced.Before(f.since) {
		return 0, false
	}
	took = written.Sub(produced)
	f.times = append(f.times, took)
	return took, true
}

func (f *freshness) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.times)
}

// quantile is the smallest time that at least a share q of the events did not exceed.
func (f *freshness) quantile(q float64) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(f.times))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[max(0, rank)]
}
