package growth

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/test/harness"
)

const (
	soakSamples = 40 // of the resident memory; caches fill during the first half
	maxGrowth   = 0.05
)

// runSoak searches at full rate with batches and histories of random sizes. It fails if the resident memory of
// the last quarter exceeds that of the third quarter.
func (b *searchBenchmark) runSoak(ctx context.Context, duration time.Duration) error {
	if err := b.prepare(base); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	users, began := 0, time.Now()
	var resident []float64
	for len(resident) < soakSamples {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := base
		p.history, p.batch = 1+rng.IntN(128), 1+rng.IntN(128)
		if _, err := b.searcher.Search(ctx, b.inputs(p), 0); err != nil {
			return err
		}
		users += p.batch
		if elapsed := time.Since(began); elapsed > duration*time.Duration(len(resident)+1)/soakSamples {
			now, err := harness.ResidentMemory(os.Getpid())
			if err != nil {
				return err
			}
			resident = append(resident, now)
			fmt.Printf("%v: %d users, %.0f MB resident\n", elapsed.Round(time.Second), users, resident[len(resident)-1])
		}
	}
	quarter := soakSamples / 4
	early, late := measure.Median(resident[2*quarter:3*quarter]), measure.Median(resident[3*quarter:])
	fmt.Printf("soak seconds=%.0f users=%d users_per_s=%.0f early_mb=%.0f late_mb=%.0f\n",
		time.Since(began).Seconds(), users, float64(users)/time.Since(began).Seconds(), early, late)
	if late > early*(1+maxGrowth) {
		return fmt.Errorf("the resident memory grew from %.0f to %.0f MB: look for a leak with a longer -soak", early, late)
	}
	return nil
}
