package inference

import "time"

// pace sizes batches so that each takes half of the latency target: a user who comes
// while a batch runs waits for that one and the next. Small batches answer sooner, large
// ones do more users a second, and how many users fit is the device's and the model's
// business.
type pace struct {
	perBatch time.Duration
	most     int
	size     int // of the next batch, at most
}

// leastBatch is what every device does about as fast as one user.
const leastBatch = 8

func newPace(target time.Duration, most int) *pace {
	return &pace{perBatch: target / 2, most: most, size: min(leastBatch, most)}
}

// took learns from a batch. One that could have been larger and had time for twice the
// users doubles the next; one that took too long shrinks it in proportion.
func (p *pace) took(users int, d time.Duration) {
	switch {
	case d > p.perBatch:
		fits := int(float64(users) * float64(p.perBatch) / float64(d))
		p.size = min(p.size, max(fits, leastBatch), p.most)
	case users == p.size && d < p.perBatch/2:
		p.size = min(2*p.size, p.most)
	}
}
