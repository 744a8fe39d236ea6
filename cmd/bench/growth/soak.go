package growth

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"genrec/cmd/bench/measure"
	"genrec/test/harness"
)

const (
	soakItems   = 10_000
	soakSamples = 40 // of the resident memory; caches fill during the first half
	maxGrowth   = 0.05
)

// runSoak queries at full rate with batches and histories of random sizes. It fails if the resident memory of
// the last quarter exceeds that of the third quarter.
func (b *benchmark) runSoak(ctx context.Context, duration time.Duration) error {
	f, dir := figures{items: soakItems}, filepath.Join(b.dir, "soak")
	if err := b.publish(ctx, dir, &f); err != nil {
		return err
	}
	recommender, err := b.open(dir, &f)
	if err != nil {
		return err
	}
	defer recommender.Close()
	rng := rand.New(rand.NewPCG(seed, 0))
	users, began := 0, time.Now()
	var resident []float64
	for len(resident) < soakSamples {
		queries := queriesOf(rng, soakItems, 1+rng.IntN(128), 1+rng.IntN(128))
		if _, _, err := recommender.Recommend(ctx, queries); err != nil {
			return err
		}
		users += len(queries)
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
