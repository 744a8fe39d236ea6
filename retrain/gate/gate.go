// Package gate decides whether a candidate model replaces the current one.
//
// Both models are evaluated on the same users. The gate compares NDCG@10 on two hold-outs: the
// last item of each user (leave-one-out) and the items that came after the current version's
// snapshot (newest). A paired bootstrap over users gives a confidence interval of each
// difference, at 97.5 % so that both hold together at 95 %: a candidate whose interval excludes
// zero is better or worse, and one with new items may also be promoted if it is shown to lose at
// most a tenth. Independent checks reject candidates with invalid lists, low coverage, too many
// popular items or high latency, whatever their NDCG@10. Without a current version the baseline
// is a list of the most popular items.
package gate

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// margin is the share of the current NDCG@10 that a candidate with new items may lose.
const margin = 0.1

// minGrowth is the growth in interactions that replaces evidence while there are too few users with hits:
// otherwise a young shop would keep its first model until it has hundreds of users.
const minGrowth = 2

// Popularity is the baseline if there is no current version.
const Popularity = "popularity"

// Results are the results of a model on the evaluation set: NDCG@10 per user, in the same order for all
// models.
type Results struct {
	// LeaveOneOut has the gains of all evaluated users, whose last item is held out.
	LeaveOneOut []float64
	// Newest has those of users whose last item is newer than the current version's snapshot.
	Newest []float64
	// Lists describes the recommendation lists.
	Lists Lists
}

// Verdict is the gate's decision on a candidate.
type Verdict struct {
	Promoted bool   `json:"promoted"` // whether the candidate passed
	Reason   string `json:"reason"`   // for display
	// Baseline is the current version, or Popularity.
	Baseline    string     `json:"rival"`
	Newest      Comparison `json:"newest"`
	LeaveOneOut Comparison `json:"leave_one_out"`
	Gains
	// Checks are the results of all requirements on lists.
	Checks []Check `json:"checks"`
}

// Gains are advantages of a candidate over the current version that do not depend on hits.
type Gains struct {
	// NewItems is the number of items that only the candidate knows.
	NewItems int `json:"new_items"`
	// Growth is the ratio of interactions that the two were trained on.
	Growth float64 `json:"growth"`
}

// Candidate is a new version to be decided on.
type Candidate struct {
	Results
	// PopularTargets is the share of popular items among the held-out items.
	PopularTargets float64
	Seed           int64 // of the bootstrap
}

// random returns the random numbers of the bootstrap.
func (c Candidate) random() *rand.Rand {
	const stream = 21
	return rand.New(rand.NewPCG(uint64(c.Seed), stream))
}

// CompareWithCurrent decides between a candidate and the current version.
func (c Candidate) CompareWithCurrent(version string, current Results, gains Gains) Verdict {
	v := Verdict{Baseline: version, Gains: gains, Checks: check(c.Lists, &current.Lists, c.PopularTargets)}
	rng := c.random()
	v.Newest = compare(c.Newest, current.Newest, rng)
	v.LeaveOneOut = compare(c.LeaveOneOut, current.LeaveOneOut, rng)
	v.Promoted, v.Reason = v.decide()
	return v
}

func (v Verdict) decide() (promoted bool, reason string) {
	summary := v.LeaveOneOut.summary("leave-one-out", v.Baseline)
	if v.Newest.reliable() {
		summary = v.Newest.summary("the newest interactions", v.Baseline) + "; " + summary
	}
	if failed := v.failures(); failed != "" {
		return false, failed + "; " + summary
	}
	if !v.LeaveOneOut.reliable() {
		reason = fmt.Sprintf("not enough evidence: of %d users, %d have a hit by either version, and at least %d are needed",
			v.LeaveOneOut.Users, v.LeaveOneOut.WithHit, minWithHit)
		if v.Growth < minGrowth || v.LeaveOneOut.High < 0 {
			return false, reason
		}
		return true, fmt.Sprintf("%s; but it was trained on %.1f times as many interactions as %s", reason, v.Growth, v.Baseline)
	}
	switch {
	case v.Newest.worse() || v.LeaveOneOut.worse():
		return false, "worse: " + summary
	case v.Newest.better() || v.LeaveOneOut.better():
		return true, "better: " + summary
	case v.NewItems == 0:
		return false, "not shown to be better, and over the same items: " + summary
	case v.LeaveOneOut.atMostWorse(margin):
		return true, fmt.Sprintf("not worse by %.0f %% or more, and it has %d items that %s does not have: %s", 100*margin, v.NewItems, v.Baseline, summary)
	}
	return false, fmt.Sprintf("not shown to be better, nor to lose less than %.0f %%, which would suffice with its %d new items: %s", 100*margin, v.NewItems, summary)
}

// minUsers is the number of evaluated users from which on a first version must be better than popular
// items.
const minUsers = 100

// CompareWithPopular decides on a candidate when there is no current version, for the given reason. The
// baseline is the list of popular items; with too few users to evaluate, the candidate passes.
func (c Candidate) CompareWithPopular(reason string, popularity []float64) Verdict {
	v := Verdict{Baseline: Popularity, Checks: check(c.Lists, nil, c.PopularTargets)}
	v.LeaveOneOut = compare(c.LeaveOneOut, popularity, c.random())
	summary := v.LeaveOneOut.summary("leave-one-out", "the popular items")
	switch failed := v.failures(); {
	case failed != "":
		v.Reason = failed
	case v.LeaveOneOut.Users < minUsers:
		v.Promoted, v.Reason = true, fmt.Sprintf("too few users to compare it with the popular items: %d of %d", v.LeaveOneOut.Users, minUsers)
	case v.LeaveOneOut.Difference > 0: // no significance needed: nothing else serves
		v.Promoted, v.Reason = true, "better than the popular items: "+summary
	default:
		v.Reason = "not better than the popular items: " + summary
	}
	v.Reason = reason + "; " + v.Reason
	return v
}

// failures lists the failed checks.
func (v Verdict) failures() string {
	var failed []string
	for _, c := range v.Checks {
		if !c.Passed {
			failed = append(failed, c.failure)
		}
	}
	return strings.Join(failed, "; ")
}

func (c Comparison) summary(set, baseline string) string {
	return fmt.Sprintf("NDCG@10 on %s of %d users is %.4f, that of %s %.4f (%+.4f, 97.5 %% interval %+.4f to %+.4f)",
		set, c.Users, c.Candidate, baseline, c.Baseline, c.Difference, c.Low, c.High)
}
