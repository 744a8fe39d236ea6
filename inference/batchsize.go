package inference

import (
	"sync"
	"time"
)

// leastBatch is what every device does about as fast as one user.
const leastBatch = 8

// batchSize bounds batches so that each takes about half of the latency target: a user who
// comes while a batch runs waits for that one and the next. Below the bound, a batch has
// whoever waits when the worker is ready for it: one user while there is little to do, and
// more users, at less time for each, the more there is.
//
// The bound follows a moving average of the time for a user, so that one slow batch does not
// change much, and converges because that time falls slower than batches grow. Only batches of
// about the bound's size count: small ones spend more time on each user.
type batchSize struct {
	perBatch time.Duration
	most     int

	mu      sync.Mutex
	perUser float64 // moving average, in seconds; 0: unknown
	size    int
	last    time.Duration // that generating the last batch took
}

func newBatchSize(target time.Duration, most int) *batchSize {
	return &batchSize{perBatch: target / 2, most: most, size: min(leastBatch, most)}
}

// get is how many users a batch may have.
func (b *batchSize) get() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

// withBacklog is get while so many users wait: those at the end of a backlog wait for many batches
// anyway, and larger ones, up to four times the bound, work it off sooner.
func (b *batchSize) withBacklog(users int) int {
	const batches, most = 8, 4
	size := b.get()
	return min(max(size, users/batches), most*size, b.most)
}

// spacing is how long after the beginning of a batch the next one should begin, if fewer users
// wait than the bound: so long that the device is busy half of the time with batches like the
// last one, at most a quarter of the latency target. Letting users gather for fewer and larger
// batches leaves more of the machine to what runs beside. A device that is busy longer need not
// wait.
func (b *batchSize) spacing(concurrency int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(2*b.last/time.Duration(concurrency), b.perBatch/2)
}

// pause is how long to let refreshes gather between two requests for them: a quarter of a batch.
func (b *batchSize) pause() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(b.last, b.perBatch) / 4
}

// observe learns how long the generation of a batch took. The bound at most doubles or halves.
func (b *batchSize) observe(users int, took time.Duration) {
	const newest = 0.3 // weight in the average
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
	b.perUser += newest * (perUser - b.perUser)
	fits := min(b.perBatch.Seconds()/b.perUser, float64(b.most))
	b.size = min(max(int(fits), b.size/2, leastBatch), 2*b.size, b.most)
}
