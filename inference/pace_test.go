package inference

import (
	"testing"
	"time"
)

// A device that takes 4 ms a batch and a fixed time a user is given batches of at most half
// the target, but more than a quarter of it.
func TestPaceMeetsTheTarget(t *testing.T) {
	const target = 100 * time.Millisecond
	for _, perUser := range []time.Duration{10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond} {
		p := newPace(target, 4096)
		batch := func() time.Duration { return 4*time.Millisecond + time.Duration(p.size)*perUser }
		for range 20 {
			p.took(p.size, batch())
		}
		if d := batch(); d > target/2 || d < target/8 && p.size < 4096 {
			t.Errorf("%v a user: batches of %d take %v, want at most half of %v and not much less", perUser, p.size, d, target)
		}
	}
}

func TestPace(t *testing.T) {
	for _, c := range []struct {
		name         string
		most, size   int
		users        int
		took         time.Duration
		want         int
		afterAnother int // of the same kind
	}{
		{"grows when full and quick", 4096, 8, 8, 10 * time.Millisecond, 16, 16},
		{"stays when there were no more users", 4096, 64, 3, time.Millisecond, 64, 64},
		{"stays when full and neither quick nor slow", 4096, 64, 64, 40 * time.Millisecond, 64, 64},
		{"shrinks in proportion when slow", 4096, 64, 64, 100 * time.Millisecond, 32, 32},
		{"shrinks when fewer than the most are slow", 4096, 1000, 100, 100 * time.Millisecond, 50, 50},
		{"never below the least", 4096, 16, 16, time.Minute, leastBatch, leastBatch},
		{"never above the most", 20, 16, 16, time.Millisecond, 20, 20},
		{"whose least is the most", 2, 2, 2, time.Minute, 2, 2},
	} {
		p := newPace(100*time.Millisecond, c.most)
		p.size = c.size
		p.took(c.users, c.took)
		if p.size != c.want {
			t.Errorf("%s: the next batch is of %d, want %d", c.name, p.size, c.want)
		}
		p.took(c.users, c.took)
		if p.size != c.afterAnother {
			t.Errorf("%s: after another batch, the next is of %d, want %d", c.name, p.size, c.afterAnother)
		}
	}
}
