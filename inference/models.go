package inference

import (
	"context"
	"fmt"
	"math"

	"genrec/sessions"
)

// Models gives access to the published model versions.
type Models interface {
	// Current returns the version to use, "" while there is none.
	Current(ctx context.Context) (string, error)
	// Load may take long; it runs while the version before is in use.
	Load(ctx context.Context, version string) (Generator, error)
}

// Request asks for the recommendations of a user.
type Request struct {
	User  string
	Items []string // oldest first
}

// Generator is a loaded model version. It is used by one goroutine at a time.
type Generator interface {
	Version() string
	// Popular returns the items for users without their own, best first.
	Popular() []sessions.ScoredItem
	// Generate answers in the order of the requests, best item first.
	Generate(ctx context.Context, requests []Request) ([][]sessions.ScoredItem, error)
	Close() error
}

// checkScores refuses scores that JSON cannot express: retrying to write them
// would never end.
func checkScores(items []sessions.ScoredItem) error {
	for _, item := range items {
		if math.IsNaN(item.Score) || math.IsInf(item.Score, 0) {
			return fmt.Errorf("item %q has score %v", item.Item, item.Score)
		}
	}
	return nil
}
