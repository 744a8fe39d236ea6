package stream

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// samplesOf returns four samples per second of a backlog that starts at begin seconds of events and grows by a
// fraction of the rate, with steps like those of commits.
func samplesOf(rate, begin, growth float64, window time.Duration) (samples []sample) {
	rng := rand.New(rand.NewPCG(1, 0))
	for at := time.Duration(0); at <= window; at += sampleEvery {
		backlog := rate * (begin + growth*at.Seconds() + 0.1*rng.Float64())
		samples = append(samples, sample{at, backlog})
	}
	return samples
}

func TestSteady(t *testing.T) {
	const rate = 1000
	for name, c := range map[string]struct {
		begin, growth float64
		window        time.Duration
		want          bool
	}{
		"no growth":                          {0.1, 0, 30 * time.Second, true},
		"growth below the limit":             {0.1, 0.005, 30 * time.Second, true},
		"growth above the limit":             {0.1, 0.02, 30 * time.Second, false},
		"backlog of the warm-up shrinks":     {2, -0.05, 30 * time.Second, true},
		"constant large backlog":             {1.5, 0, 30 * time.Second, false},
		"steps of commits in a short window": {0.1, 0.02, 3 * time.Second, true},
		"growth in a short window":           {0.1, 0.2, 3 * time.Second, false},
		"a single sample without backlog":    {0, 0, 0, true},
	} {
		got := trendOf(samplesOf(rate, c.begin, c.growth, c.window), rate)
		if got.steady() != c.want {
			t.Errorf("%s: steady is %v, want %v: %v", name, got.steady(), c.want, got)
		}
		if c.window >= 30*time.Second && math.Abs(got.growth-c.growth) > 0.002 {
			t.Errorf("%s: growth is %.4f of the rate, want %.4f", name, got.growth, c.growth)
		}
	}
}

func TestHighestSteady(t *testing.T) {
	for _, capacity := range []float64{3, 700, 1000, 40_000} {
		for _, estimate := range []float64{0.3 * capacity, capacity, 2.5 * capacity} {
			tests := 0
			got, err := highestSteady(estimate, func(rate float64) (rateResult, error) {
				tests++
				return rateResult{steady: rate <= capacity, served: min(rate, 1.05*capacity)}, nil
			})
			if err != nil || got > capacity || got*tolerance < capacity {
				t.Errorf("capacity %v, estimate %v: got %.1f (error %v)", capacity, estimate, got, err)
			}
			if tests > 10 {
				t.Errorf("capacity %v, estimate %v: %d tests, want at most 10", capacity, estimate, tests)
			}
		}
	}
	if got, err := highestSteady(1000, func(float64) (rateResult, error) { return rateResult{}, nil }); err == nil {
		t.Errorf("with no steady rate, got %v and no error", got)
	}
}

func TestQuantile(t *testing.T) {
	values := make([]float64, 100)
	for i := range values {
		values[i] = float64(100 - i)
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 51, 0.99: 100, 1: 100} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v of 1 to 100 is %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of no values is %v, want 0", got)
	}
}
