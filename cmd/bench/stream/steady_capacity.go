package stream

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	tolerance = 1.04 // of the bisection: the lowest unsteady rate divided by the highest steady one
	maxTests  = 14
	step      = 1.25 // factor between rates while no rate was unsteady
)

// rateResult is the result of a tested rate.
type rateResult struct {
	steady bool
	served float64 // lists per second; the maximum throughput if the backlog grew
}

// highestSteady finds the highest steady rate by bisection, starting from an upper estimate.
func highestSteady(estimate float64, test func(rate float64) (rateResult, error)) (float64, error) {
	low, high := 0.0, math.Inf(1)
	rate := 0.9 * estimate
	for range maxTests {
		t, err := test(rate)
		if err != nil {
			return 0, err
		}
		if t.steady {
			low = rate
		} else {
			high = rate
		}
		if high <= low*tolerance {
			return low, nil
		}
		rate = nextRate(low, high, t.served)
	}
	if low == 0 {
		return 0, errors.New("no rate is steady: the backlog grows at the lowest rate, too")
	}
	return low, nil
}

// nextRate returns the next rate to test between two bounds. If no steady rate is known, it is the throughput
// of the overloaded system, which is close to the capacity.
func nextRate(low, high, served float64) float64 {
	switch {
	case math.IsInf(high, 1):
		return low * step
	case low == 0:
		return min(max(0.97*served, high/2), high/tolerance)
	}
	return math.Sqrt(low * high)
}

// Limits of a steady rate.
const (
	maxGrowth  = 0.01 // of the backlog, as a fraction of the rate
	maxBacklog = 1.0  // at the end, in seconds of events
	// jitter is the growth, in seconds of events, that is allowed in any window: the backlog shrinks in
	// batches, which look like growth in short windows.
	jitter = 0.1
	// divergedBacklog is the backlog, in seconds of events, at which a test stops early.
	divergedBacklog = 3.0
)

// sample is the backlog at a time: events that are due and not yet covered by a list.
type sample struct {
	at      time.Duration // since the first sample
	backlog float64       // events
}

// trend is the development of the backlog in a window.
type trend struct {
	growth float64 // of the backlog, as a fraction of the rate
	last   float64 // backlog at the end, in seconds of events
	window time.Duration
}

// trendOf fits a line to the samples. The backlog at the end is the median of the last samples, since consumer
// groups commit in steps.
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

// steady reports whether the backlog is bounded.
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
