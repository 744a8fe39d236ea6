package gate

import (
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

const (
	resamples = 1000
	// confidence of an interval. There are two hold-outs, and with 97.5 % for each it is
	// 95 % that both intervals hold.
	confidence = 0.975
)

// Comparison is a candidate beside its rival on the same questions, one of each user:
// means of NDCG@10, their difference, and its 97.5 % interval.
type Comparison struct {
	Users      int     `json:"users"`
	Answered   int     `json:"answered"` // users whose item at least one of them found
	Candidate  float64 `json:"candidate_ndcg@10"`
	Rival      float64 `json:"rival_ndcg@10"`
	Difference float64 `json:"difference"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
}

// leastAnswered makes the interval one to rely on: with fewer, resamples differ too little
// from each other.
const leastAnswered = 50

func (c Comparison) telling() bool { return c.Answered >= leastAnswered }
func (c Comparison) better() bool  { return c.telling() && c.Low > 0 }
func (c Comparison) worse() bool   { return c.telling() && c.High < 0 }

// atMostWorse says that the candidate is shown to lose no more than a share of what
// the rival has.
func (c Comparison) atMostWorse(share float64) bool {
	return c.telling() && c.Low > -share*c.Rival
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
