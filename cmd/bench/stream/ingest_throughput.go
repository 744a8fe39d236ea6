package stream

import (
	"context"
	"fmt"
	"slices"
	"time"

	"genrec/ingest"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/test/harness"
)

// worked is the result of working off a backlog.
type worked struct {
	events      int
	rate        float64 // events a second
	least, most float64 // resident memory of the largest process, MiB, after the first tenth
	processors  string  // time of each, µs an event
}

func (w worked) String() string {
	return fmt.Sprintf("%d events ingested at %.0f events/s; resident memory after the first tenth %.0f to %.0f MiB; µs of processor time an event: %s",
		w.events, w.rate, w.least, w.most, w.processors)
}

// throughput measures ingest processes that work off a backlog of events.
func (r *environment) throughput(ctx context.Context, partitions, processes, events int) (worked, error) {
	if err := r.emptyServers(ctx, partitions); err != nil {
		return worked{}, err
	}
	if err := r.produce(ctx, events); err != nil {
		return worked{}, err
	}
	var children []*testservers.Process
	defer func() { stopAll(children) }()
	times := processors{names: slices.Clone(r.servers.names), ids: slices.Clone(r.servers.ids)}
	for range processes {
		c, err := r.startGenrec(ctx, r.genrec, "ingest", nil)
		if err != nil {
			return worked{}, err
		}
		children = append(children, c)
		times.add("ingest", c.ID())
	}
	result := worked{events: events}
	var (
		start time.Time
		first int64 // lag when the measurement began
	)
	for {
		lag, err := r.lag(ctx)
		if err != nil {
			return worked{}, err
		}
		if start.IsZero() && lag < int64(events) {
			start, first = time.Now(), lag
			if err := times.begin(); err != nil {
				return worked{}, err
			}
		}
		if lag == 0 {
			result.rate = float64(first) / time.Since(start).Seconds()
			result.processors, err = times.used(first)
			return result, err
		}
		if !start.IsZero() && lag < int64(events)*9/10 {
			for _, c := range children {
				rss, err := harness.ResidentMemory(c.ID())
				if err != nil {
					return worked{}, err
				}
				if result.least == 0 || rss < result.least {
					result.least = rss
				}
				result.most = max(result.most, rss)
			}
		}
		select {
		case <-ctx.Done():
			return worked{}, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		for _, c := range children {
			if err := c.Failed(); err != nil {
				return worked{}, err
			}
		}
	}
}

// lag returns how many events ingest has not committed. A Kafka that has just started may not
// know the coordinator of a group yet.
func (r *environment) lag(ctx context.Context) (lag int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = retry(ctx, "look up the lag of ingest", func() (err error) {
		lag, err = stream.Lag(ctx, r.cluster, ingest.DefaultGroup, stream.DefaultTopics().Interactions)
		return err
	})
	return lag, err
}
