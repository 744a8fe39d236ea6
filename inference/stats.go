package inference

import "sync"

// Stats counts what a Worker has done. Redelivered refreshes count again.
type Stats struct {
	Read      int64 // refreshes
	Coalesced int64 // refreshes that joined one of the same user
	Generated int64 // users
	Written   int64 // users
	Stale     int64 // users whose result was refused, because the stored one is of a newer sequence
	Skipped   int64 // users whose recommendations were up to date, or who have no sequence
	Failed    int64 // refreshes in the dead-letter topic
	Swaps     int64 // changes of the models in use, the first included
	Refused   int64 // model versions that could not be loaded
	Renewed   int64 // refreshes asked for after a swap
}

type counters struct {
	mu    sync.Mutex
	stats Stats
}

func (c *counters) update(change func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}
