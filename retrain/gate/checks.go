package gate

import "fmt"

// Requirements on lists, independent of hits.
const (
	minValid     = 0.99 // share of lists
	minCoverage  = 0.5  // relative to the current version
	maxLatency   = 3    // relative to the current version
	latencyNoise = 0.1  // seconds per batch, added to the limit
)

// Check is the result of one requirement on the candidate's lists.
type Check struct {
	Name      string  `json:"name"`              // such as "coverage"
	Candidate float64 `json:"candidate"`         // value of the candidate
	Current   float64 `json:"current,omitempty"` // of the current version, 0 if there is none
	Limit     float64 `json:"limit"`             // for the candidate's value
	Passed    bool    `json:"passed"`            // whether the value is within the limit
	failure   string  // explains a failure
}

func atLeast(name string, candidate, current, limit float64, failure string) Check {
	return Check{name, candidate, current, limit, candidate >= limit, failure}
}

func atMost(name string, candidate, current, limit float64, failure string) Check {
	return Check{name, candidate, current, limit, candidate <= limit, failure}
}

// check checks a candidate's lists against fixed limits and against those of the current version, nil if
// there is none. popularTargets is the share of popular items among the held-out items.
func check(candidate Lists, current *Lists, popularTargets float64) []Check {
	var before Lists
	if current != nil {
		before = *current
	}
	// Halfway between the share in real interactions and 1, unless the current version has more.
	maxPopular := max((1+popularTargets)/2, before.Popular)
	checks := []Check{
		atLeast("valid_lists", candidate.Valid, before.Valid, minValid,
			fmt.Sprintf("only %s of its lists are complete, without repeated items and with finite scores", percent(candidate.Valid))),
		atMost("popular_items", candidate.Popular, before.Popular, maxPopular,
			fmt.Sprintf("the most popular items fill %s of the slots in its lists, but are only %s of the held-out items", percent(candidate.Popular), percent(popularTargets))),
	}
	if current == nil {
		return checks
	}
	return append(checks,
		atLeast("coverage", candidate.Coverage, before.Coverage, minCoverage*before.Coverage,
			fmt.Sprintf("its lists cover %s of the catalog, those of the current version %s", percent(candidate.Coverage), percent(before.Coverage))),
		atMost("batch_seconds", candidate.BatchSeconds, before.BatchSeconds, maxLatency*before.BatchSeconds+latencyNoise,
			fmt.Sprintf("a batch of users takes %.2f s, with the current version %.2f s", candidate.BatchSeconds, before.BatchSeconds)))
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
