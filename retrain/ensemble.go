package retrain

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"genrec/model"
)

// weightSteps is the resolution of the grid: weights are multiples of 1/weightSteps.
const weightSteps = 10

// weightResult is the validation of one grid point.
type weightResult struct {
	model.EnsembleWeights
	Metrics
}

// weightGrid lists the grid points, those nearest to w first. Components with weight zero in w keep it.
// Rules alone are left out: they score nothing for users whose items have no rules.
func weightGrid(w model.EnsembleWeights) []model.EnsembleWeights {
	gridSize := func(weight float64) int {
		if weight > 0 {
			return weightSteps + 1
		}
		return 1
	}
	var all []model.EnsembleWeights
	for dense := range gridSize(w.Dense) {
		for sequential := range gridSize(w.Sequential) {
			for association := range gridSize(w.Association) {
				if rules := sequential + association; dense+rules <= weightSteps && rules < weightSteps {
					all = append(all, model.EnsembleWeights{
						Dense:       float64(dense) / weightSteps,
						Sequential:  float64(sequential) / weightSteps,
						Association: float64(association) / weightSteps,
					})
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b model.EnsembleWeights) int { return cmp.Compare(distance(a, w), distance(b, w)) })
	return all
}

// tuneWeights sets the ensemble weights of the model to those chosen on the validation.
func (t *training) tuneWeights(ctx context.Context) error {
	tried, gains, err := evaluateWeights(ctx, t.ranker, t.validation, weightGrid(t.bundle.Model.Config.EnsembleWeights), t.config.Progress)
	if err != nil {
		return err
	}
	chosen := bagged(tried, gains, t.random(choiceStream, 0))
	t.state.Weights, t.state.Chosen = tried, &chosen
	t.bundle.Model.SetEnsembleWeights(chosen.EnsembleWeights)
	t.config.Logger.InfoContext(ctx, "chose the ensemble weights", "dense", chosen.Dense,
		"sequential", chosen.Sequential, "association", chosen.Association, "ndcg@10", chosen.NDCG10, "hr@10", chosen.HR10)
	return nil
}

// resamples is the number of resamples of the validation's users.
const resamples = 100

// bagged returns the grid point nearest to the mean of the best ones in resamples of the users (bagging,
// Breiman 1996): few users have a hit, so that the best grid point on all of them is largely noise. The
// gains are those of evaluateWeights.
func bagged(tried []weightResult, gains [][]float32, rng *rand.Rand) weightResult {
	var mean model.EnsembleWeights
	drawn, users := make([]float32, len(gains[0])), len(gains[0])
	for range resamples {
		clear(drawn)
		for range users {
			drawn[rng.IntN(users)]++
		}
		w := tried[mostGains(gains, drawn)].EnsembleWeights
		mean.Dense += w.Dense / resamples
		mean.Sequential += w.Sequential / resamples
		mean.Association += w.Association / resamples
	}
	return slices.MinFunc(tried, func(a, b weightResult) int {
		return cmp.Compare(distance(a.EnsembleWeights, mean), distance(b.EnsembleWeights, mean))
	})
}

// mostGains returns the grid point with the largest sum of gains when each user counts as often as it was
// drawn; the first one of equals.
func mostGains(gains [][]float32, drawn []float32) (best int) {
	most := float32(-1)
	for i, of := range gains {
		sum := float32(0)
		for user, times := range drawn {
			sum += times * of[user]
		}
		if sum > most {
			best, most = i, sum
		}
	}
	return best
}

// distance is the Euclidean distance between two sets of weights.
func distance(a, b model.EnsembleWeights) float64 {
	return math.Hypot(math.Hypot(a.Dense-b.Dense, a.Sequential-b.Sequential), a.Association-b.Association)
}

// evaluateWeights validates grid points, running each component only once. The gains are the NDCG@10 of each
// case: [grid point][case].
func evaluateWeights(ctx context.Context, ranker *model.Ranker, cases []evalCase, grid []model.EnsembleWeights, progress Progress) (tried []weightResult, gains [][]float32, err error) {
	tried, gains = make([]weightResult, len(grid)), make([][]float32, len(grid))
	needed := requiredWeights(grid)
	err = forEachBatch(ctx, cases, "weigh the parts", progress, func(batch []evalCase, queries []model.Query) error {
		found, err := ranker.Retrieve(ctx, queries, needed)
		if err != nil {
			return err
		}
		targets := make([]string, len(batch))
		for i, c := range batch {
			targets[i] = c.target
		}
		for i, weights := range grid {
			tried[i].EnsembleWeights = weights
			for _, rank := range found.Positions(weights, targets) {
				tried[i].add(rank)
				gains[i] = append(gains[i], float32(ndcgAt10(rank)))
			}
		}
		return nil
	})
	for i := range tried {
		tried[i].mean()
	}
	return tried, gains, err
}

// requiredWeights has a positive weight for every component that has one in any grid point.
func requiredWeights(grid []model.EnsembleWeights) model.EnsembleWeights {
	var needed model.EnsembleWeights
	for _, w := range grid {
		needed = model.EnsembleWeights{
			Dense: max(needed.Dense, w.Dense), Sequential: max(needed.Sequential, w.Sequential), Association: max(needed.Association, w.Association),
		}
	}
	const components = 4 // leaves a weight for the beam search
	return model.EnsembleWeights{Dense: needed.Dense / components, Sequential: needed.Sequential / components, Association: needed.Association / components}
}
