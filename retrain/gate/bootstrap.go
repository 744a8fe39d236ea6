package gate

import (
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

const (
	resamples = 1000
	// confidence of an interval: 97.5 % for each of two hold-outs gives at least 95 % for both.
	confidence = 0.975
)

// Comparison is the paired comparison of a candidate and its baseline on one hold-out.
type Comparison struct {
	Users      int     `json:"users"`             // evaluated users
	WithHit    int     `json:"answered"`          // users with a hit by either model
	Candidate  float64 `json:"candidate_ndcg@10"` // mean of the candidate
	Baseline   float64 `json:"rival_ndcg@10"`     // mean of the baseline
	Difference float64 `json:"difference"`        // mean of the paired differences
	Low        float64 `json:"low"`               // of the 97.5 % interval of the difference
	High       float64 `json:"high"`              // of the same interval
}

// minWithHit is the number of users with a hit from which on the interval is reliable: with fewer, resamples
// hardly differ.
const minWithHit = 50

func (c Comparison) reliable() bool { return c.WithHit >= minWithHit }
func (c Comparison) better() bool   { return c.reliable() && c.Low > 0 }
func (c Comparison) worse() bool    { return c.reliable() && c.High < 0 }

// atMostWorse reports whether the candidate is shown to lose no more than a share of the baseline's
// NDCG@10.
func (c Comparison) atMostWorse(share float64) bool {
	return c.reliable() && c.Low > -share*c.Baseline
}

// compare computes a paired bootstrap over users. Most users have the same result in both: drawing the
// number of other users in a resample, and then only these, is equivalent to drawing all users, and many
// times faster.
func compare(candidate, baseline []float64, rng *rand.Rand) Comparison {
	users := len(candidate)
	if users == 0 {
		return Comparison{}
	}
	c := Comparison{Users: users}
	var differences []float64
	for i := range candidate {
		c.Candidate += candidate[i]
		c.Baseline += baseline[i]
		if max(candidate[i], baseline[i]) > 0 {
			c.WithHit++
		}
		if d := candidate[i] - baseline[i]; d != 0 {
			differences = append(differences, d)
		}
	}
	c.Candidate /= float64(users)
	c.Baseline /= float64(users)
	c.Difference = c.Candidate - c.Baseline
	if len(differences) == 0 {
		return c
	}
	drawn := distuv.Binomial{N: float64(users), P: float64(len(differences)) / float64(users), Src: rng}
	means := make([]float64, resamples)
	for i := range means {
		sum := 0.0
		for range int(drawn.Rand()) {
			sum += differences[rng.IntN(len(differences))]
		}
		means[i] = sum / float64(users)
	}
	slices.Sort(means)
	const tail = (1 - confidence) / 2
	c.Low = stat.Quantile(tail, stat.Empirical, means, nil)
	c.High = stat.Quantile(1-tail, stat.Empirical, means, nil)
	return c
}
