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

// margin is the share of the current NDCG@10 that a candidate may lose, at most, for the
// items that only it knows.
const margin = 0.1

// muchMore is from how many times the current version's interactions on a candidate needs
// no evidence while there can't be any: a young shop would else keep the model of its
// first hour until it has hundreds of users.
const muchMore = 2

// Popularity is the rival of a candidate where there is no version that it could replace.
const Popularity = "popularity"

// Answers is what a recommender answered: the NDCG@10 of each question, in one order
// for all who are asked.
type Answers struct {
	// LeaveOneOut asks for the last item of users.
	LeaveOneOut []float64
	// Newest does for users whose last item came after the current version's snapshot.
	Newest []float64
	Lists  Lists
}

// Verdict is what becomes of a candidate, and why.
type Verdict struct {
	Promoted bool   `json:"promoted"`
	Reason   string `json:"reason"`
	// Rival is the current version, or Popularity.
	Rival       string     `json:"rival"`
	Newest      Comparison `json:"newest"`
	LeaveOneOut Comparison `json:"leave_one_out"`
	Gains
	Checks []Check `json:"checks"`
}

// Gains are what a candidate has before the current version whatever it answers.
type Gains struct {
	// NewItems is how many items it can recommend and the current version can't.
	NewItems int `json:"new_items"`
	// Growth is how many times the current version's interactions it was made of.
	Growth float64 `json:"growth"`
}

// Candidate asks to become the current version.
type Candidate struct {
	Answers
	// Taken is the share of popular items in what users took.
	Taken float64
	Seed  int64 // of the bootstrap
}

// random is the bootstrap's.
func (c Candidate) random() *rand.Rand {
	const stream = 21
	return rand.New(rand.NewPCG(uint64(c.Seed), stream))
}

// Against decides between a candidate and the current version.
func (c Candidate) Against(version string, current Answers, gains Gains) Verdict {
	v := Verdict{Rival: version, Gains: gains, Checks: check(c.Lists, &current.Lists, c.Taken)}
	rng := c.random()
	v.Newest = compare(c.Newest, current.Newest, rng)
	v.LeaveOneOut = compare(c.LeaveOneOut, current.LeaveOneOut, rng)
	v.Promoted, v.Reason = v.decide()
	return v
}

func (v Verdict) decide() (promoted bool, reason string) {
	told := v.LeaveOneOut.tell("leave-one-out", v.Rival)
	if v.Newest.telling() {
		told = v.Newest.tell("the newest interactions", v.Rival) + "; " + told
	}
	if failed := v.failures(); failed != "" {
		return false, failed + "; " + told
	}
	if !v.LeaveOneOut.telling() {
		reason = fmt.Sprintf("not enough evidence: of %d users, %d found their item in a list of either, and it takes %d",
			v.LeaveOneOut.Users, v.LeaveOneOut.Answered, leastAnswered)
		if v.Growth < muchMore || v.LeaveOneOut.High < 0 {
			return false, reason
		}
		return true, fmt.Sprintf("%s; but it was made of %.1f times as many interactions as %s", reason, v.Growth, v.Rival)
	}
	switch {
	case v.Newest.worse() || v.LeaveOneOut.worse():
		return false, "worse: " + told
	case v.Newest.better() || v.LeaveOneOut.better():
		return true, "better: " + told
	case v.NewItems == 0:
		return false, "not shown to be better, and over the same items: " + told
	case v.LeaveOneOut.atMostWorse(margin):
		return true, fmt.Sprintf("as good within %.0f %%, and it knows %d items that %s doesn't: %s", 100*margin, v.NewItems, v.Rival, told)
	}
	return false, fmt.Sprintf("not shown to be better, nor as good within %.0f %%, which would do for its %d new items: %s", 100*margin, v.NewItems, told)
}

// leastUsers is from how many users on a first version must be better than popularity.
const leastUsers = 100

// Alone decides about a candidate that has no version to replace, for the reason given.
// Its rival is the list of popular items; where too few users can be asked, nothing is
// lost by serving it.
func (c Candidate) Alone(why string, popularity []float64) Verdict {
	v := Verdict{Rival: Popularity, Checks: check(c.Lists, nil, c.Taken)}
	v.LeaveOneOut = compare(c.LeaveOneOut, popularity, c.random())
	told := v.LeaveOneOut.tell("leave-one-out", "the popular items")
	switch failed := v.failures(); {
	case failed != "":
		v.Reason = failed
	case v.LeaveOneOut.Users < leastUsers:
		v.Promoted, v.Reason = true, fmt.Sprintf("too few users to compare it with the popular items: %d of %d", v.LeaveOneOut.Users, leastUsers)
	case v.LeaveOneOut.Difference > 0: // no more is asked where nothing else is served
		v.Promoted, v.Reason = true, "better than the popular items: "+told
	default:
		v.Reason = "not better than the popular items: " + told
	}
	v.Reason = why + "; " + v.Reason
	return v
}

// failures tells what the checks found, if anything.
func (v Verdict) failures() string {
	var failed []string
	for _, c := range v.Checks {
		if !c.Passed {
			failed = append(failed, c.failure)
		}
	}
	return strings.Join(failed, "; ")
}

func (c Comparison) tell(what, rival string) string {
	return fmt.Sprintf("NDCG@10 on %s of %d users is %.4f, that of %s %.4f (%+.4f, 97.5 %% interval %+.4f to %+.4f)",
		what, c.Users, c.Candidate, rival, c.Rival, c.Difference, c.Low, c.High)
}
