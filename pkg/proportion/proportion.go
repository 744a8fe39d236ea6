// Package proportion compares parts of counts, such as hit rates.
package proportion

import "math"

// z95 is the quantile of the normal distribution with 2.5 % above it.
const z95 = 1.959963984540054

// Of is a number of successes among a number of trials.
type Of struct{ Successes, Trials int64 }

// Rate is the part of the trials that were successes, 0 where there were no trials.
func (o Of) Rate() float64 {
	if o.Trials == 0 {
		return 0
	}
	return float64(o.Successes) / float64(o.Trials)
}

// Wilson is the 95 % interval around the rate by Wilson, which is right for few trials
// and rates near 0, too. Without trials it is all from 0 to 1.
func (o Of) Wilson() (low, high float64) {
	if o.Trials == 0 {
		return 0, 1
	}
	n, p := float64(o.Trials), o.Rate()
	center := (p + z95*z95/(2*n)) / (1 + z95*z95/n)
	half := z95 / (1 + z95*z95/n) * math.Sqrt(p*(1-p)/n+z95*z95/(4*n*n))
	return max(0, center-half), min(1, center+half)
}

// Test is the two-sided probability of a difference of the rates as large as this, or
// larger, if there is none: the z-test of two proportions with a common variance. It is 1
// where nothing can be said.
func Test(a, b Of) (p float64) {
	if a.Trials == 0 || b.Trials == 0 {
		return 1
	}
	n, m := float64(a.Trials), float64(b.Trials)
	together := float64(a.Successes+b.Successes) / (n + m)
	deviation := math.Sqrt(together * (1 - together) * (1/n + 1/m))
	if deviation == 0 {
		return 1
	}
	return math.Erfc(math.Abs(a.Rate()-b.Rate()) / deviation / math.Sqrt2)
}
