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
	Answered   int     `json:"answered"`          // users with a hit by either model
	Candidate  float64 `json:"candidate_ndcg@10"` // mean of the candidate
	Rival      float64 `json:"rival_ndcg@10"`     // mean of the baseline
	Difference float64 `json:"difference"`        // mean of the paired differences
	Low        float64 `json:"low"`               // of the 97.5 % interval of the difference
	High       float64 `json:"high"`              // of the same interval
}

// leastAnswered is the number of users with hits from which on the interval is reliable: with fewer,
// resamples hardly differ.
const leastAnswered = 50

func (c Comparison) reliable() bool { return c.Answered >= leastAnswered }
func (c Comparison) better() bool   { return c.reliable() && c.Low > 0 }
func (c Comparison) worse() bool    { return c.reliable() && c.High < 0 }

// atMostWorse reports whether the candidate is shown to lose no more than a share of the baseline's
// NDCG@10.
func (c Comparison) atMostWorse(share float64) bool {
	return c.reliable() && c.Low > -share*c.Rival
}

// compare bootstraps over users, in pairs. Most users get the same from both; drawing
// how many of the others are in a resample, and then those alone, is the same as drawing
// all users, and many times quicker.
func compare(candidate, rival []float64, rng *rand.Rand) Comparison {
	users := len(candidate)
	if users == 0 {
		return Comparison{}
	}
	c := Comparison{Users: users}
	var differences []float64
	for i := range candidate {
		c.Candidate += candidate[i]
		c.Rival += rival[i]
		if max(candidate[i], rival[i]) > 0 {
			c.Answered++
		}
		if d := candidate[i] - rival[i]; d != 0 {
			differences = append(differences, d)
		}
	}
	c.Candidate /= float64(users)
	c.Rival /= float64(users)
	c.Difference = c.Candidate - c.Rival
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
