package stream

import (
	"errors"
	"math"
)

const (
	tolerance = 1.04 // of the bisection: the lowest failed rate over the highest steady one
	maxTests  = 14
	step      = 1.25 // to a bound that is not known yet
)

// tested is the result of a rate.
type tested struct {
	steady bool
	served float64 // lists a second, which is the most that can be done while the backlog grows
}

// highestSteady bisects for the highest rate that is steady, beginning near an estimate from
// above. It returns the last rate that was.
func highestSteady(estimate float64, test func(rate float64) (tested, error)) (float64, error) {
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
		return 0, errors.New("no rate is steady: the backlog grows at the lowest one, too")
	}
	return low, nil
}

// nextRate is the next one to test between two bounds. What an overloaded system serves is a
// better guess than the middle, because it is hardly less than what it can serve steadily.
func nextRate(low, high, served float64) float64 {
	switch {
	case math.IsInf(high, 1):
		return low * step
	case low == 0:
		return min(max(0.97*served, high/2), high/tolerance)
	}
	return math.Sqrt(low * high)
}
