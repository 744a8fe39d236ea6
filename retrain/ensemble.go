package retrain

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"genrec/model"
)

// weightSteps is how many steps there are from one part alone to another one alone.
const weightSteps = 10

// weightResult is what the validation says of weights of the parts.
type weightResult struct {
	model.EnsembleWeights
	Metrics
}

// weightGrid lists the weights to try, those nearest to w first: all steps of the parts
// that have a weight in w, but never rules alone, which say nothing about a user whose
// items lead nowhere.
func weightGrid(w model.EnsembleWeights) []model.EnsembleWeights {
	steps := func(weight float64) int { // from which on a part is not tried
		if weight > 0 {
			return weightSteps + 1
		}
		return 1
	}
	var all []model.EnsembleWeights
	for dense := range steps(w.Dense) {
		for sequential := range steps(w.Sequential) {
			for association := range steps(w.Association) {
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

// tuneWeights gives the model the weights that answer the validation's questions best.
func (t *training) tuneWeights(ctx context.Context) error {
	tried, gains, err := evaluateWeights(ctx, t.ranker, t.questions, weightGrid(t.bundle.Model.Config.EnsembleWeights), t.config.Progress)
	if err != nil {
		return err
	}
	chosen := bagged(tried, gains, t.random(choiceStream, 0))
	t.at.Weights, t.at.Chosen = tried, &chosen
	t.bundle.Model.SetEnsembleWeights(chosen.EnsembleWeights)
	t.config.Logger.InfoContext(ctx, "chose the weights of the parts", "dense", chosen.Dense,
		"sequential", chosen.Sequential, "association", chosen.Association, "ndcg@10", chosen.NDCG10, "hr@10", chosen.HR10)
	return nil
}

// resamples of the validation's users, each of which has a best mixture.
const resamples = 100

// bagged finds the mixture nearest to the mean of those that are best in resamples of the
// users (bagging, Breiman 1996). Few users tell mixtures apart, so that the one with the best
// NDCG@10 of them all is as far from the best for everyone as their luck takes it. The gains are
// those of evaluateWeights.
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

// mostGains is the mixture with the most gains from users who were drawn so many times each;
// of equally good ones, the first.
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

// evaluateWeights measures mixtures of the parts, each of which is asked once. The gains are those of
// each mixture's answers to the questions: [mixture][question].
func evaluateWeights(ctx context.Context, ranker *model.Ranker, questions []question, mixtures []model.EnsembleWeights, progress Progress) (tried []weightResult, gains [][]float32, err error) {
	tried, gains = make([]weightResult, len(mixtures)), make([][]float32, len(mixtures))
	needed := requiredWeights(mixtures)
	err = inBatches(ctx, questions, "weigh the parts", progress, func(batch []question, queries []model.Query) error {
		found, err := ranker.Retrieve(ctx, queries, needed)
		if err != nil {
			return err
		}
		answers := make([]string, len(batch))
		for i, q := range batch {
			answers[i] = q.answer
		}
		for i, weights := range mixtures {
			tried[i].EnsembleWeights = weights
			for _, place := range found.Positions(weights, answers) {
				tried[i].add(place)
				gains[i] = append(gains[i], float32(ndcgAt10(place)))
			}
		}
		return nil
	})
	for i := range tried {
		tried[i].mean()
	}
	return tried, gains, err
}

// requiredWeights has a weight for every part that has one in a mixture.
func requiredWeights(mixtures []model.EnsembleWeights) model.EnsembleWeights {
	var needed model.EnsembleWeights
	for _, w := range mixtures {
		needed = model.EnsembleWeights{
			Dense: max(needed.Dense, w.Dense), Sequential: max(needed.Sequential, w.Sequential), Association: max(needed.Association, w.Association),
		}
	}
	const parts = 4 // so that the search is left a weight, too
	return model.EnsembleWeights{Dense: needed.Dense / parts, Sequential: needed.Sequential / parts, Association: needed.Association / parts}
}
