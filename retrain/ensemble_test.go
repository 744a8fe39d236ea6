package retrain

import (
	"math/rand/v2"
	"slices"
	"testing"

	"genrec/model"
)

// answers returns gains of users that each have a best grid point of their own, distributed around
// the best one.
func answers(rng *rand.Rand, tried []weightResult, best model.EnsembleWeights, users int) [][]float32 {
	gains := make([][]float32, len(tried))
	for i := range gains {
		gains[i] = make([]float32, users)
	}
	for user := range users {
		likes := model.EnsembleWeights{
			Dense: best.Dense + rng.NormFloat64(), Sequential: best.Sequential + rng.NormFloat64(), Association: best.Association + rng.NormFloat64(),
		}
		reach := 0.9 * rng.Float64()
		for i, w := range tried {
			if distance(w.EnsembleWeights, likes) < reach {
				gains[i][user] = 1
			}
		}
	}
	return gains
}

func mixed(of model.EnsembleWeights) (tried []weightResult) {
	for _, w := range weightGrid(of) {
		tried = append(tried, weightResult{EnsembleWeights: w})
	}
	return tried
}

func TestBaggingReducesNoise(t *testing.T) {
	all := model.EnsembleWeights{Dense: 0.4, Sequential: 0.3, Association: 0.2}
	tried, best := mixed(all), model.EnsembleWeights{Dense: 0.3, Sequential: 0.3, Association: 0.2}
	var ofBagged, ofLuckiest float64
	const trials = 30
	for trial := range trials {
		rng := rand.New(rand.NewPCG(uint64(trial), 1))
		gains := answers(rng, tried, best, 300)
		luckiest := mostGains(gains, slices.Repeat([]float32{1}, 300))
		ofLuckiest += distance(tried[luckiest].EnsembleWeights, best) / trials
		ofBagged += distance(bagged(tried, gains, rng).EnsembleWeights, best) / trials
	}
	t.Logf("mean distance from the best mixture: %.3f bagged, %.3f the luckiest", ofBagged, ofLuckiest)
	if ofBagged > 0.8*ofLuckiest {
		t.Errorf("with bagging the distance to the best grid point is %.3f, without it %.3f: it should be smaller", ofBagged, ofLuckiest)
	}
}

func TestBagged(t *testing.T) {
	tried := mixed(DefaultConfig().Model.EnsembleWeights)
	only := func(winner int) [][]float32 {
		gains := make([][]float32, len(tried))
		for i := range gains {
			gains[i] = make([]float32, 20)
		}
		for user := range gains[winner] {
			gains[winner][user] = 0.5
		}
		return gains
	}
	for _, winner := range []int{0, 7, len(tried) - 1} {
		if got := bagged(tried, only(winner), rand.New(rand.NewPCG(1, 1))); got.EnsembleWeights != tried[winner].EnsembleWeights {
			t.Errorf("%+v is chosen, although %+v is best for every user", got.EnsembleWeights, tried[winner].EnsembleWeights)
		}
	}
	nothing := only(0)
	clear(nothing[0])
	if got := bagged(tried, nothing, rand.New(rand.NewPCG(1, 1))); got.EnsembleWeights != tried[0].EnsembleWeights {
		t.Errorf("%+v is chosen although no grid point has a hit, want the recipe's %+v", got.EnsembleWeights, tried[0].EnsembleWeights)
	}
}
