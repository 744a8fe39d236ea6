package proportion

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 5e-5 }

// The wanted intervals are those of R's prop.test(x, n, correct=FALSE)$conf.int, which are
// Wilson's.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		of        Of
		low, high float64
	}{
		{Of{0, 10}, 0, .2775},
		{Of{10, 10}, .7225, 1},
		{Of{15, 148}, .0624, .1605},
		{Of{81, 263}, .2553, .3662},
		{Of{0, 0}, 0, 1},
	} {
		if low, high := c.of.Wilson(); !near(low, c.low) || !near(high, c.high) {
			t.Errorf("%+v: got %.4f to %.4f, want %.4f to %.4f", c.of, low, high, c.low, c.high)
		}
	}
}

// The intervals hold the true rate 95 times in a hundred, and equal rates are told apart
// 5 times.
func TestLevels(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(rate float64, trials int64) Of {
		o := Of{Trials: trials}
		for range trials {
			if random.Float64() < rate {
				o.Successes++
			}
		}
		return o
	}
	const rate, rounds = .1, 4000
	held, apart := 0, 0
	for range rounds {
		a, b := draw(rate, 400), draw(rate, 100)
		if low, high := a.Wilson(); low <= rate && rate <= high {
			held++
		}
		if Test(a, b) < .05 {
			apart++
		}
	}
	if share := float64(held) / rounds; share < .93 || share > .97 {
		t.Errorf("the intervals hold the rate in %.1f %% of the cases, want 95", 100*share)
	}
	if share := float64(apart) / rounds; share < .03 || share > .07 {
		t.Errorf("equal rates are told apart in %.1f %% of the cases, want 5", 100*share)
	}
}

func TestTest(t *testing.T) {
	for _, c := range []struct {
		a, b Of
		want float64
	}{
		{Of{50, 100}, Of{50, 100}, 1},
		{Of{0, 100}, Of{0, 50}, 1},
		{Of{1, 10}, Of{0, 0}, 1},
		{Of{60, 100}, Of{40, 100}, .0047}, // z = 2.8284
	} {
		if p := Test(c.a, c.b); !near(p, c.want) || p != Test(c.b, c.a) {
			t.Errorf("%+v and %+v: got %.4f, want %.4f both ways", c.a, c.b, p, c.want)
		}
	}
}
