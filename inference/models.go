package inference

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"

	"genrec/pkg/registry"
	"genrec/pkg/userstate"
)

// Models gives access to the published model versions.
type Models interface {
	// Serving returns the versions to use, each for its part of the users; none while there
	// is none.
	Serving(ctx context.Context) ([]registry.Share, error)
	// Load may take long; it runs while other versions are in use.
	Load(ctx context.Context, version string) (Generator, error)
}

// Request asks for the recommendations of a user.
type Request struct {
	User  string
	Items []string // oldest first
}

// Generated is what a Generator answers.
type Generated struct {
	Lists  [][]userstate.ScoredItem // in the order of the requests, best item first
	Stages []Stage                  // in the order in which they ran
}

// Stage is a part of the work on a batch.
type Stage struct {
	Name string
	Took time.Duration
}

// Generator is a loaded model version. It is safe for concurrent use.
type Generator interface {
	Version() string
	// Popular returns the items for users without their own, best first.
	Popular() []userstate.ScoredItem
	// Near returns items, at most MostNear, with what is popular near each of them. It may be
	// ranged over while the others are called, and after Close.
	Near() iter.Seq2[string, userstate.SimilarItems]
	// Concurrency is how many calls of Generate at once keep its device busy.
	Concurrency() int
	Generate(ctx context.Context, requests []Request) (Generated, error)
	Close() error // when no call is in progress
}

// checkScores refuses scores that JSON cannot express: retrying to write them
// would never end.
func checkScores(items []userstate.ScoredItem) error {
	for _, item := range items {
		if math.IsNaN(item.Score) || math.IsInf(item.Score, 0) {
			return fmt.Errorf("item %q has score %v", item.Item, item.Score)
		}
	}
	return nil
}
