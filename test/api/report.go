package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// report is what schemathesis says of a run, as far as it is needed.
type report struct {
	Operations struct {
		Total, Tested int
	}
	Cases struct {
		Generated, Errored int
		Failed             int `json:"with_failures"`
	} `json:"test_cases"`
	// Rates count valid requests, by operation and phase.
	Rates map[string]map[string]struct {
		Accepted int
	} `json:"valid_rates"`
}

func readReport(path string) (r report, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("decode the report of schemathesis: %w", err)
	}
	return r, nil
}

// check fails also where a run without failures has tried too little.
func (r report) check() error {
	if r.Cases.Failed+r.Cases.Errored > 0 {
		return fmt.Errorf("%d cases failed, see above", r.Cases.Failed+r.Cases.Errored)
	}
	if r.Operations.Total == 0 || r.Operations.Tested != r.Operations.Total {
		return fmt.Errorf("%d of %d operations were tried", r.Operations.Tested, r.Operations.Total)
	}
	for _, operation := range []string{"GET /v1/users/{id}/recommendations", "POST /v1/recommendations", "POST /v1/events"} {
		accepted := 0
		for _, phase := range r.Rates[operation] {
			accepted += phase.Accepted
		}
		if accepted == 0 {
			return fmt.Errorf("no request of %s was accepted", operation)
		}
	}
	return nil
}
