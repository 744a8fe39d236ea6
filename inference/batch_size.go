package inference

import (
	"sync"
	"time"
)

// minBatch is the number of users that any device handles about as fast as a single one.
const minBatch = 8

// batchSize adapts the maximum size of batches so that each takes about half of the latency target:
// a user who arrives while a batch runs waits for that batch and the next one. Smaller batches
// consist of whoever waits when a slot is free: a single user at low load, and more users, at less
// time per user, as load grows.
//
// The maximum follows a moving average of the time per user, so that a single slow batch has little
// effect; it converges because the time per user falls more slowly than batches grow. Batches of less
// than half the maximum are ignored, because small batches take longer per user.
type batchSize struct {
	perBatch time.Duration // target for a batch
	limit    int           // upper bound of size

	mu      sync.Mutex
	perUser float64 // moving average in seconds; 0: unknown
	size    int
	last    time.Duration // duration of the last batch
}

func newBatchSize(target time.Duration, limit int) *batchSize {
	return &batchSize{perBatch: target / 2, limit: limit, size: min(minBatch, limit)}
}

// get returns the maximum number of users of a batch.
func (b *batchSize) get() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

// withBacklog returns the maximum for the given number of waiting users. Users at the end of a
// backlog wait for many batches anyway, and batches of up to four times the maximum clear it sooner.
func (b *batchSize) withBacklog(users int) int {
	const batches, maxFactor = 8, 4
	size := b.get()
	return min(max(size, users/batches), maxFactor*size, b.limit)
}

// spacing returns the minimum time between the starts of two batches below the maximum size: so long
// that batches like the last one keep the device half busy, but at most a quarter of the latency
// target. Fewer, larger batches leave more CPU time to other processes.
func (b *batchSize) spacing(concurrency int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(2*b.last/time.Duration(concurrency), b.perBatch/2)
}

// fetchPause returns the pause between two fetch requests, in which refreshes accumulate: a quarter
// of the duration of a batch.
func (b *batchSize) fetchPause() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(b.last, b.perBatch) / 4
}

// observe records the duration of a batch. The maximum at most doubles or halves.
func (b *batchSize) observe(users int, took time.Duration) {
	const weight = 0.3 // of the newest batch in the moving average
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = took
	if 2*users < b.size || users == 0 || took <= 0 {
		return
	}
	perUser := took.Seconds() / float64(users)
	if b.perUser == 0 {
		b.perUser = perUser
	}
	b.perUser += weight * (perUser - b.perUser)
	fits := min(b.perBatch.Seconds()/b.perUser, float64(b.limit))
	b.size = min(max(int(fits), b.size/2, minBatch), 2*b.size, b.limit)
}
