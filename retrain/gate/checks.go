package gate

import "fmt"

// Requirements on lists, independent of hits.
const (
	leastValid    = 0.99 // share of lists
	leastCoverage = 0.5  // of the current version's
	mostLatency   = 3    // times the current version's
	latencyNoise  = 0.1  // seconds a batch, on top
)

// Check is the result of one requirement on the candidate's lists.
type Check struct {
	Name      string  `json:"name"`              // such as "coverage"
	Candidate float64 `json:"candidate"`         // value of the candidate
	Current   float64 `json:"current,omitempty"` // of the current version, 0 if there is none
	Limit     float64 `json:"limit"`             // for the candidate's value
	Passed    bool    `json:"passed"`            // whether the limit is kept
	failure   string  // explains a failure
}

func atLeast(name string, candidate, current, limit float64, failure string) Check {
	return Check{name, candidate, current, limit, candidate >= limit, failure}
}

func atMost(name string, candidate, current, limit float64, failure string) Check {
	return Check{name, candidate, current, limit, candidate <= limit, failure}
}

// check compares lists with those of the current version, or with none. The users took
// popular items at a share of taken.
func check(candidate Lists, current *Lists, taken float64) []Check {
	var before Lists
	if current != nil {
		before = *current
	}
	// Halfway from what users take to nothing else, unless it is as bad already.
	popular := max((1+taken)/2, before.Popular)
	checks := []Check{
		atLeast("valid_lists", candidate.Valid, before.Valid, leastValid,
			fmt.Sprintf("only %s of its lists are full, without repetition and with finite scores", percent(candidate.Valid))),
		atMost("popular_items", candidate.Popular, before.Popular, popular,
			fmt.Sprintf("the most popular items take %s of the places in its lists, and only %s of what users took", percent(candidate.Popular), percent(taken))),
	}
	if current == nil {
		return checks
	}
	return append(checks,
		atLeast("coverage", candidate.Coverage, before.Coverage, leastCoverage*before.Coverage,
			fmt.Sprintf("its lists hold %s of the catalog, those of the current version %s", percent(candidate.Coverage), percent(before.Coverage))),
		atMost("batch_seconds", candidate.BatchSeconds, before.BatchSeconds, mostLatency*before.BatchSeconds+latencyNoise,
			fmt.Sprintf("a batch of users takes it %.2f s, the current version %.2f s", candidate.BatchSeconds, before.BatchSeconds)))
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
