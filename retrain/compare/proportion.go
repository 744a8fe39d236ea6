package compare

import "math"

// z95 is the 97.5 % quantile of the normal distribution.
const z95 = 1.959963984540054

// proportion is a number of successes among a number of trials, such as hits among interactions.
type proportion struct{ successes, trials int64 }

// rate is the share of successes; 0 without trials.
func (p proportion) rate() float64 {
	if p.trials == 0 {
		return 0
	}
	return float64(p.successes) / float64(p.trials)
}

// wilson is the 95 % Wilson score interval of the rate, which is accurate for few trials and for
// rates near 0, too. Without trials it is 0 to 1.
func (p proportion) wilson() (low, high float64) {
	if p.trials == 0 {
		return 0, 1
	}
	n, rate := float64(p.trials), p.rate()
	center := (rate + z95*z95/(2*n)) / (1 + z95*z95/n)
	half := z95 / (1 + z95*z95/n) * math.Sqrt(rate*(1-rate)/n+z95*z95/(4*n*n))
	return max(0, center-half), min(1, center+half)
}

// zTest is the p-value of the two-sided z-test of two proportions with a pooled variance. It is 1
// without trials, and if all or none of them were successes.
func zTest(a, b proportion) (p float64) {
	if a.trials == 0 || b.trials == 0 {
		return 1
	}
	n, m := float64(a.trials), float64(b.trials)
	pooled := float64(a.successes+b.successes) / (n + m)
	deviation := math.Sqrt(pooled * (1 - pooled) * (1/n + 1/m))
	if deviation == 0 {
		return 1
	}
	return math.Erfc(math.Abs(a.rate()-b.rate()) / deviation / math.Sqrt2)
}
