package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"genrec/pkg/userstate"
)

// warmSizes are batches as the first ones after a swap are: a user alone, the least batch,
// and one that makes room in memory.
var warmSizes = []int{1, leastBatch, 16 * leastBatch}

// warm lets a new model answer before it serves, so that the first users do not wait for
// what is made at the first use, and tells a model that cannot answer.
func warm(ctx context.Context, model Generator, maxBatch int) error {
	popular := model.Popular()
	if err := checkScores(popular); err != nil {
		return fmt.Errorf("popular items: %w", err)
	}
	if len(popular) == 0 {
		return nil // nothing to ask about
	}
	answered := false
	for _, size := range warmSizes {
		requests := make([]Request, min(size, maxBatch))
		for i := range requests {
			for j := range 1 + i%len(popular) { // histories of several lengths
				requests[i].Items = append(requests[i].Items, popular[(i+j)%len(popular)].Item)
			}
		}
		generated, err := generate(ctx, model, requests)
		if err != nil {
			return fmt.Errorf("generate for %d users: %w", len(requests), err)
		}
		answered = answered || slices.ContainsFunc(generated.Lists, func(list []userstate.ScoredItem) bool { return len(list) > 0 })
	}
	if !answered && len(popular) > 1 {
		return errors.New("it recommends nothing to anybody")
	}
	return nil
}
