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
// items lead nowhere.
func mixtures(w model.Weights) []model.Weights {
	steps := func(weight float64) int { // from which on a part is not tried
		if weight > 0 {
			return weightSteps + 1
		}
		return 1
	}
	var all []model.Weights
	for dense := range steps(w.Dense) {
		for sequential := range steps(w.Sequential) {
			for association := range steps(w.Association) {
				if rules := sequential + association; dense+rules <= weightSteps && rules < weightSteps {
					all = append(all, model.Weights{
						Dense:       float64(dense) / weightSteps,
						Sequential:  float64(sequential) / weightSteps,
						Association: float64(association) / weightSteps,
					})
				}
			}
		}
	}
	distance := func(to model.Weights) float64 {
		return math.Hypot(math.Hypot(to.Dense-w.Dense, to.Sequential-w.Sequential), to.Association-w.Association)
	}
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
	t.config.Logger.InfoContext(ctx, "chose the weights of the parts", "dense", best.Dense,
		"sequential", best.Sequential, "association", best.Association, "ndcg@10", best.NDCG10, "hr@10", best.HR10)
	return nil
}
