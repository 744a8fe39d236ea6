package stream

import (
	"fmt"
	"slices"
	"time"
)

// When a rate is steady.
const (
	maxGrowth  = 0.01 // of the rate: how fast the backlog may grow
	maxBacklog = 1.0  // seconds' worth of events at the end
	// jitter is how much the backlog may grow in any window, in seconds' worth of events: it is
	// worked off in batches, and short windows would see their steps as growth.
	jitter = 0.1
	// diverged is the backlog, in seconds' worth of events, at which a rate is given up early.
	diverged = 3.0
)

// sample is the backlog at a time: events that are due and not answered by a list.
type sample struct {
	at      time.Duration // since the first sample
	backlog float64       // events
}

// trend is what samples say about a rate.
type trend struct {
	growth float64 // of the backlog, as a fraction of the rate
	last   float64 // backlog at the end, in seconds' worth of events
	window time.Duration
}

// trendOf fits a line to the samples. The end is the median of the last ones, since groups
// commit in steps.
func trendOf(samples []sample, rate float64) trend {
	if len(samples) == 0 {
		return trend{}
	}
	var meanX, meanY, xy, xx float64
	for _, s := range samples {
		meanX += s.at.Seconds() / float64(len(samples))
		meanY += s.backlog / float64(len(samples))
	}
	for _, s := range samples {
		dx := s.at.Seconds() - meanX
		xy += dx * (s.backlog - meanY)
		xx += dx * dx
	}
	t := trend{window: samples[len(samples)-1].at - samples[0].at}
	if xx > 0 {
		t.growth = xy / xx / rate
	}
	const lastSamples = 4
	var last []float64
	for _, s := range samples[max(0, len(samples)-lastSamples):] {
		last = append(last, s.backlog)
	}
	t.last = quantile(last, 0.5) / rate
	return t
}

// steady tells whether lag does not grow.
func (t trend) steady() bool {
	allowed := maxGrowth
	if seconds := t.window.Seconds(); seconds > 0 {
		allowed = max(allowed, jitter/seconds)
	}
	return t.growth < allowed && t.last < maxBacklog
}

func (t trend) String() string {
	return fmt.Sprintf("backlog grows by %+.1f %% of the rate, ends at %.2f s", 100*t.growth, t.last)
}

// quantile returns the q-quantile of values, which it sorts; 0 without any.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

// median sorts its argument.
func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
