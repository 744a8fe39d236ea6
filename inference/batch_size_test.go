package inference

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A device that takes a fixed time for a batch and for each user is given batches of about half
// the target, whatever the size at the start, and also if some batches take much longer.
func TestBatchSizeConverges(t *testing.T) {
	const target, most = 100 * time.Millisecond, 4096
	rng := rand.New(rand.NewPCG(1, 2))
	for _, perBatch := range []time.Duration{500 * time.Microsecond, 10 * time.Millisecond} {
		for _, perUser := range []time.Duration{5 * time.Microsecond, 100 * time.Microsecond, time.Millisecond} {
			for _, start := range []int{minBatch, most} {
				takes := func(users int) time.Duration { return perBatch + time.Duration(users)*perUser }
				b := newBatchSize(target, most)
				b.size = start
				for i := range 400 {
					took := takes(b.get())
					if took = took * time.Duration(90+rng.IntN(20)) / 100; i%50 == 0 {
						took *= 10
					}
					b.observe(b.get(), took)
					if i < 30 {
						continue
					}
					least, highest := target/8, target*3/4
					if i%50 < 20 {
						least = target / 32 // recovers from the slow batch
					}
					if took := takes(b.get()); (took < least && b.get() < most) || took > highest {
						t.Fatalf("%v a batch and %v a user: after %d batches, one of %d takes %v, want about %v", perBatch, perUser, i, b.get(), took, target/2)
					}
				}
			}
		}
	}
}

func TestBatchSize(t *testing.T) {
	for _, c := range []struct {
		name       string
		most, size int
		users      int
		took       time.Duration
		want       int
	}{
		{"grows when full and quick, at most to the double", 4096, 8, 8, 10 * time.Millisecond, 16},
		{"stays when there were few users", 4096, 64, 3, time.Millisecond, 64},
		{"stays when few users were slow, which says nothing of many", 4096, 64, 3, time.Second, 64},
		{"grows in proportion", 4096, 64, 64, 40 * time.Millisecond, 80},
		{"shrinks when slow, at most to the half", 4096, 64, 64, time.Second, 32},
		{"never below the least", 4096, 9, 9, time.Minute, minBatch},
		{"never above the most", 20, 16, 16, time.Millisecond, 20},
		{"whose least is the most", 2, 2, 2, time.Minute, 2},
	} {
		b := newBatchSize(100*time.Millisecond, c.most)
		b.size = c.size
		b.observe(c.users, c.took)
		if got := b.get(); got != c.want {
			t.Errorf("%s: the next batch is of %d, want %d", c.name, got, c.want)
		}
	}
}

func TestBatchSizeWithBacklog(t *testing.T) {
	b := newBatchSize(100*time.Millisecond, 100)
	b.size = 20
	for waiting, want := range map[int]int{1: 20, 160: 20, 320: 40, 640: 80, 10_000: 80} {
		if got := b.withBacklog(waiting); got != want {
			t.Errorf("%d users wait: the next batch is of %d, want %d", waiting, got, want)
		}
	}
	b.size = 50
	if got := b.withBacklog(10_000); got != 100 {
		t.Errorf("a batch is of %d, more than the most", got)
	}
}
