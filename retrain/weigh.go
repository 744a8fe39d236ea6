package retrain

import (
	"cmp"
	"context"
	"math"
	"slices"

	"genrec/model"
)

// weightSteps is how many steps there are from one part alone to another one alone.
const weightSteps = 10

// weighed is what the validation says of weights of the parts.
type weighed struct {
	model.Weights
	Metrics
}

// mixtures lists the weights to try, those nearest to w first: all steps of the parts
// that have a weight in w, but never rules alone, which say nothing about a user whose
// items nothing came after.
func mixtures(w model.Weights) []model.Weights {
	var all []model.Weights
	for dense := range weightSteps + 1 {
		for rules := range min(weightSteps, weightSteps+1-dense) {
			tried := model.Weights{Dense: float64(dense) / weightSteps, Rules: float64(rules) / weightSteps}
			if (dense == 0 || w.Dense > 0) && (rules == 0 || w.Rules > 0) {
				all = append(all, tried)
			}
		}
	}
	distance := func(other model.Weights) float64 { return math.Hypot(other.Dense-w.Dense, other.Rules-w.Rules) }
	slices.SortStableFunc(all, func(a, b model.Weights) int { return cmp.Compare(distance(a), distance(b)) })
	return all
}

// chooseWeights gives the model the weights that answer the validation's questions best;
// of equally good ones, those nearest to the recipe's.
func (t *training) chooseWeights(ctx context.Context) error {
	start := t.bundle.Model.Config.Weights
	tried, err := weigh(ctx, t.ranker, t.questions, mixtures(start), t.progress)
	if err != nil {
		return err
	}
	best := tried[0]
	for _, other := range tried {
		if other.NDCG10 > best.NDCG10 {
			best = other
		}
	}
	t.at.Weights = tried
	t.bundle.Model.SetWeights(best.Weights)
	t.config.Logger.InfoContext(ctx, "chose the weights of the parts", "dense", best.Dense, "rules", best.Rules,
		"ndcg@10", best.NDCG10, "hr@10", best.HR10)
	return nil
}
