package gate

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// world is a shop in which two models are compared.
type world struct {
	users   int
	hitRate float64 // of the current model, at 10
	effect  float64 // by how much the candidate's is higher, as a share of it
}

// agreement is how many users get the same place from both models whatever it is.
const agreement = 0.7

// answers draws NDCG@10 of both models.
func (w world) answers(rng *rand.Rand) (candidate, current []float64) {
	draw := func(hitRate float64) float64 {
		if rng.Float64() >= hitRate {
			return 0
		}
		return 1 / math.Log2(float64(rng.IntN(10))+2)
	}
	for range w.users {
		a := draw(w.hitRate)
		b := a
		if rng.Float64() >= agreement {
			b = draw(w.hitRate * (1 + w.effect/(1-agreement)))
		}
		current, candidate = append(current, a), append(candidate, b)
	}
	return candidate, current
}

var fine = Lists{Valid: 1, Coverage: 0.3, Popular: 0.1}

// promoted is the share of trials that end with the candidate as the current version. A
// fifth of the users have news.
func (w world) promoted(trials, newItems int) float64 {
	count := 0
	for trial := range trials {
		candidate, current := w.answers(rand.New(rand.NewPCG(uint64(trial), uint64(w.users))))
		news := w.users / 5
		v := Candidate{Answers: Answers{candidate, candidate[:news], fine}, Seed: int64(trial)}.
			Against("v000001", Answers{current, current[:news], fine}, Gains{newItems, 1})
		if v.Promoted {
			count++
		}
	}
	return float64(count) / float64(trials)
}

// trials of each world, fewer where each takes longer.
func (w world) trials(t *testing.T) int {
	all := 200
	if given := os.Getenv("GENREC_TRIALS"); given != "" {
		var err error
		if all, err = strconv.Atoi(given); err != nil {
			t.Fatalf("GENREC_TRIALS: %v", err)
		}
	}
	return all / max(1, w.users/2000)
}

func TestEqualModelsAreNotPromotedByLuck(t *testing.T) {
	neverPromoted(t, 0, 0, "an equal model over the same items")
}

func TestNewItemsDoNotMakeUpForAWorseModel(t *testing.T) {
	neverPromoted(t, -margin, 1, "a model with a new item that is worse by 10 %")
}

func neverPromoted(t *testing.T, effect float64, newItems int, what string) {
	t.Parallel()
	for _, users := range []int{120, 500, 2000} {
		for _, hitRate := range []float64{0.02, 0.1, 0.4} {
			w := world{users, hitRate, effect}
			got := w.promoted(w.trials(t), newItems)
			t.Logf("%s, %d users, hit rate %.2f: promoted in %.1f %% of %d trials", what, users, hitRate, 100*got, w.trials(t))
			if got > 0.05 {
				t.Errorf("%s, %d users, hit rate %.2f: promoted in %.1f %% of %d trials, want 5 %% at most", what, users, hitRate, 100*got, w.trials(t))
			}
		}
	}
}

// Those are the figures of docs/GATE.md, made by `make simulate-gate`.
func TestBetterModelsArePromoted(t *testing.T) {
	t.Parallel()
	for _, users := range []int{500, 2000, 10_000} {
		for _, c := range []struct {
			effect   float64
			newItems int
		}{{0.05, 0}, {0.1, 0}, {0.2, 0}, {0.4, 0}, {0, 1}} {
			w := world{users, 0.1, c.effect}
			got := w.promoted(w.trials(t), c.newItems)
			t.Logf("%d users, better by %.0f %%, %d new items: promoted in %.0f %% of %d trials", users, 100*c.effect, c.newItems, 100*got, w.trials(t))
			if certain := users == 10_000 && (c.effect > 0.1 || c.newItems > 0); certain && got < 0.8 {
				t.Errorf("%d users, better by %.0f %%, %d new items: promoted in %.0f %% of %d trials, want 80 %% at least",
					users, 100*c.effect, c.newItems, 100*got, w.trials(t))
			}
		}
	}
}
