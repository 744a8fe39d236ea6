package retrain

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"genrec/model"
	"genrec/model/catalog"
)

// evaluateBatch is how many users are ranked at once.
const evaluateBatch = 64

// evaluate asks for the last item of users with at least three: the others have
// no held-out part.
func (r *run) evaluate(ctx context.Context, bundle model.Bundle) (Metrics, error) {
	ranker, err := model.NewRanker(bundle, r.config.Ranker)
	if err != nil {
		return Metrics{}, err
	}
	defer ranker.Close()

	users := r.evaluated()
	r.progress.Start("evaluate", (len(users)+evaluateBatch-1)/evaluateBatch)
	defer r.progress.Finish()
	var metrics Metrics
	for batch := range slices.Chunk(users, evaluateBatch) {
		if err := ctx.Err(); err != nil {
			return Metrics{}, err
		}
		queries := make([]model.Query, len(batch))
		for i, s := range batch {
			queries[i] = model.Query{User: s.User, Items: s.Items[:len(s.Items)-1]}
		}
		ranked, err := ranker.Rank(queries)
		if err != nil {
			return Metrics{}, fmt.Errorf("evaluate: %w", err)
		}
		for i, s := range batch {
			held := s.Items[len(s.Items)-1]
			metrics.add(slices.IndexFunc(ranked[i], func(item model.Ranked) bool { return item.Item == held }))
		}
		r.progress.Step(0)
	}
	metrics.mean()
	return metrics, nil
}

func (r *run) evaluated() []catalog.Sequence {
	var users []catalog.Sequence
	for _, s := range r.sequences {
		if len(s.Items) >= 3 {
			users = append(users, s)
		}
	}
	if limit := r.config.EvaluateUsers; limit > 0 && limit < len(users) {
		rng := rand.New(rand.NewPCG(uint64(r.config.Seed), evaluationStream))
		rng.Shuffle(len(users), func(i, j int) { users[i], users[j] = users[j], users[i] })
		users = users[:limit]
	}
	return users
}
