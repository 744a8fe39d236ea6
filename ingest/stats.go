package ingest

import (
	"maps"
	"sync"

	"genrec/pkg/event"
)

// Stats counts what an Ingester has finished, that is, committed. Redelivered
// events count again.
type Stats struct {
	Read       int64                  // messages
	Appended   int64                  // events that changed a sequence
	Duplicates int64                  // events that changed none: known already, or older than all that is kept
	Dead       map[event.Reason]int64 // messages in the dead-letter topic
}

type counters struct {
	mu    sync.Mutex
	stats Stats
}

func (c *counters) add(batch Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Read += batch.Read
	c.stats.Appended += batch.Appended
	c.stats.Duplicates += batch.Duplicates
	for reason, n := range batch.Dead {
		if c.stats.Dead == nil {
			c.stats.Dead = make(map[event.Reason]int64)
		}
		c.stats.Dead[reason] += n
	}
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := c.stats
	stats.Dead = maps.Clone(c.stats.Dead)
	return stats
}
