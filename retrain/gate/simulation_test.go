package gate

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// simulation is a shop in which two models are compared.
type simulation struct {
	users   int
	hitRate float64 // HR@10 of the current model
	effect  float64 // relative improvement of the candidate
}

// agreement is the share of users for whom both models have the same result.
const agreement = 0.7

// results draws NDCG@10 of both models.
func (s simulation) results(rng *rand.Rand) (candidate, current []float64) {
	draw := func(hitRate float64) float64 {
		if rng.Float64() >= hitRate {
			return 0
		}
		return 1 / math.Log2(float64(rng.IntN(10))+2)
	}
	for range s.users {
		a := draw(s.hitRate)
		b := a
		if rng.Float64() >= agreement {
			b = draw(s.hitRate * (1 + s.effect/(1-agreement)))
		}
		current, candidate = append(current, a), append(candidate, b)
	}
	return candidate, current
}

var fine = Lists{Valid: 1, Coverage: 0.3, Popular: 0.1}

// promoted returns the share of trials in which the candidate is promoted. A fifth of the users have newer
// interactions.
func (s simulation) promoted(trials, newItems int) float64 {
	count := 0
	for trial := range trials {
		candidate, current := s.results(rand.New(rand.NewPCG(uint64(trial), uint64(s.users))))
		newest := s.users / 5
		v := Candidate{Results: Results{candidate, candidate[:newest], fine}, Seed: int64(trial)}.
			CompareWithCurrent("v000001", Results{current, current[:newest], fine}, Gains{newItems, 1})
		if v.Promoted {
			count++
		}
	}
	return float64(count) / float64(trials)
}

// trials returns the number of trials, fewer for simulations of many users.
func (s simulation) trials(t *testing.T) int {
	all := 200
	if given := os.Getenv("GENREC_TRIALS"); given != "" {
		var err error
		if all, err = strconv.Atoi(given); err != nil {
			t.Fatalf("GENREC_TRIALS: %v", err)
		}
	}
	return all / max(1, s.users/2000)
}

func TestEqualModelsAreNotPromoted(t *testing.T) {
	neverPromoted(t, 0, 0, "an equal model over the same items")
}

func TestWorseModelsWithNewItemsAreNotPromoted(t *testing.T) {
	neverPromoted(t, -margin, 1, "a model with a new item that is worse by 10 %")
}

func neverPromoted(t *testing.T, effect float64, newItems int, what string) {
	t.Parallel()
	for _, users := range []int{120, 500, 2000} {
		for _, hitRate := range []float64{0.02, 0.1, 0.4} {
			s := simulation{users, hitRate, effect}
			got := s.promoted(s.trials(t), newItems)
			t.Logf("%s, %d users, hit rate %.2f: promoted in %.1f %% of %d trials", what, users, hitRate, 100*got, s.trials(t))
			if got > 0.05 {
				t.Errorf("%s, %d users, hit rate %.2f: promoted in %.1f %% of %d trials, want 5 %% at most", what, users, hitRate, 100*got, s.trials(t))
			}
		}
	}
}

// TestBetterModelsArePromoted measures the figures of docs/GATE.md (make simulate-gate).
func TestBetterModelsArePromoted(t *testing.T) {
	t.Parallel()
	for _, users := range []int{500, 2000, 10_000} {
		for _, c := range []struct {
			effect   float64
			newItems int
		}{{0.05, 0}, {0.1, 0}, {0.2, 0}, {0.4, 0}, {0, 1}} {
			s := simulation{users, 0.1, c.effect}
			got := s.promoted(s.trials(t), c.newItems)
			t.Logf("%d users, better by %.0f %%, %d new items: promoted in %.0f %% of %d trials", users, 100*c.effect, c.newItems, 100*got, s.trials(t))
			if certain := users == 10_000 && (c.effect > 0.1 || c.newItems > 0); certain && got < 0.8 {
				t.Errorf("%d users, better by %.0f %%, %d new items: promoted in %.0f %% of %d trials, want 80 %% at least",
					users, 100*c.effect, c.newItems, 100*got, s.trials(t))
			}
		}
	}
}
