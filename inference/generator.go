package inference

import (
	"context"
	"iter"
	"time"

	"genrec/pkg/userstate"
)

// Generator is a loaded model version. It is safe for concurrent use.
type Generator interface {
	// Version returns the name of the version.
	Version() string
	// Popular returns the items for users without a list, best first.
	Popular() []userstate.ScoredItem
	// SimilarItems returns the similar items of at most MaxItemsWithSimilar items. The iterator may
	// be used concurrently with other methods and after Close.
	SimilarItems() iter.Seq2[string, userstate.SimilarItems]
	// Concurrency returns the number of concurrent calls of Generate that keep the device busy.
	Concurrency() int
	// Generate generates lists for users.
	Generate(ctx context.Context, requests []Request) (Generated, error)
	// Close releases the model. No call may be in progress.
	Close() error
}

// Request is a request for the list of a user.
type Request struct {
	User  string   // user id
	Items []string // the user's sequence, oldest first
}

// Generated is the result of a Generator.
type Generated struct {
	Lists  [][]userstate.ScoredItem // one per request, best item first
	Stages []Stage                  // durations of the stages, in order
}

// Stage is the duration of a stage of generation.
type Stage struct {
	Name string        // label of the metric genrec_inference_stage_seconds
	Took time.Duration // wall time
}
