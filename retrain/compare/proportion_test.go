package compare

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 5e-5 }

// The expected intervals are from R: prop.test(x, n, correct=FALSE)$conf.int.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		of        proportion
		low, high float64
	}{
		{proportion{0, 10}, 0, .2775},
		{proportion{10, 10}, .7225, 1},
		{proportion{15, 148}, .0624, .1605},
		{proportion{81, 263}, .2553, .3662},
		{proportion{0, 0}, 0, 1},
	} {
		if low, high := c.of.wilson(); !near(low, c.low) || !near(high, c.high) {
			t.Errorf("%+v: got %.4f to %.4f, want %.4f to %.4f", c.of, low, high, c.low, c.high)
		}
	}
}

// 95 % of the intervals contain the true rate, and 5 % of the tests of equal rates find a
// difference.
func TestLevels(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(rate float64, trials int64) proportion {
		o := proportion{trials: trials}
		for range trials {
			if random.Float64() < rate {
				o.successes++
			}
		}
		return o
	}
	const rate, rounds = .1, 4000
	covered, different := 0, 0
	for range rounds {
		a, b := draw(rate, 400), draw(rate, 100)
		if low, high := a.wilson(); low <= rate && rate <= high {
			covered++
		}
		if zTest(a, b) < .05 {
			different++
		}
	}
	if share := float64(covered) / rounds; share < .93 || share > .97 {
		t.Errorf("%.1f %% of the intervals contain the rate, want 95", 100*share)
	}
	if share := float64(different) / rounds; share < .03 || share > .07 {
		t.Errorf("%.1f %% of equal rates differ, want 5", 100*share)
	}
}

func TestZTest(t *testing.T) {
	for _, c := range []struct {
		a, b proportion
		want float64
	}{
		{proportion{50, 100}, proportion{50, 100}, 1},
		{proportion{0, 100}, proportion{0, 50}, 1},
		{proportion{1, 10}, proportion{0, 0}, 1},
		{proportion{60, 100}, proportion{40, 100}, .0047}, // z = 2.8284
	} {
		if p := zTest(c.a, c.b); !near(p, c.want) || p != zTest(c.b, c.a) {
			t.Errorf("%+v and %+v: got %.4f, want %.4f both ways", c.a, c.b, p, c.want)
		}
	}
}
