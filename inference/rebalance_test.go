package inference

import (
	"fmt"
	"testing"
)

// TestRebalance lets a second worker join and the first one leave while both
// have work.
func TestRebalance(t *testing.T) {
	h := newHarness(t)
	h.models.publish("v1")
	const users = 60
	produce := func(from, to int) {
		for u := from; u < to; u++ {
			h.produce(h.see(fmt.Sprint("user-", u), "apple"))
		}
	}
	small := func(c *Config) { c.MaxBatch = 2 }

	first := h.run(small)
	produce(0, users/3)
	h.written(first, 1)
	second := h.run(small)
	produce(users/3, 2*users/3)
	h.eventually(func() string {
		if h.servers.Members(DefaultGroup) != 2 {
			return "the second worker did not join the group"
		}
		return ""
	})
	first.Stop()
	produce(2*users/3, users)

	h.reachCommitted(users)
	second.Stop()
	for u := range users {
		h.wantRecommended(fmt.Sprint("user-", u), "v1:apple")
	}
	h.wantOpen()
	if n := h.buried(); n != 0 {
		t.Errorf("%d refreshes were given up", n)
	}
}
