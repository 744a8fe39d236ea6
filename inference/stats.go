package inference

import "sync/atomic"

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

// counters are Stats, counted from many goroutines.
type counters struct {
	read, coalesced, generated, written, stale, skipped, failed, swaps, refused, renewed atomic.Int64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Read: c.read.Load(), Coalesced: c.coalesced.Load(), Generated: c.generated.Load(), Written: c.written.Load(),
		Stale: c.stale.Load(), Skipped: c.skipped.Load(), Failed: c.failed.Load(), Swaps: c.swaps.Load(),
		Refused: c.refused.Load(), Renewed: c.renewed.Load(),
	}
}
