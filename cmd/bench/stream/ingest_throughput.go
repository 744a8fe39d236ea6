package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/ingest"
	"genrec/pkg/backoff"
	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/test/harness"
)

// throughputResult is the result of ingesting a backlog.
type throughputResult struct {
	events         int
	rate           float64 // events per second
	minMiB, maxMiB float64 // resident memory of a process, after the first tenth
	cpu            string  // CPU time per event of each process
}

func (t throughputResult) String() string {
	return fmt.Sprintf("%d events ingested at %.0f events/s; resident memory after the first tenth %.0f to %.0f MiB; CPU time per event, µs: %s",
		t.events, t.rate, t.minMiB, t.maxMiB, t.cpu)
}

// throughput measures ingest processes on a backlog of events.
func (r *environment) throughput(ctx context.Context, partitions, processes, events int) (throughputResult, error) {
	if err := r.emptyServers(ctx, partitions); err != nil {
		return throughputResult{}, err
	}
	if err := r.produce(ctx, events); err != nil {
		return throughputResult{}, err
	}
	var children []*testservers.Process
	defer func() { stopAll(children) }()
	usage := cpuUsage{names: slices.Clone(r.servers.names), ids: slices.Clone(r.servers.ids)}
	for range processes {
		c, err := r.startGenrec(ctx, r.genrec, "ingest", nil)
		if err != nil {
			return throughputResult{}, err
		}
		children = append(children, c)
		usage.add("ingest", c.ID())
	}
	result := throughputResult{events: events}
	var (
		start time.Time
		first int64 // lag when the measurement began
	)
	for {
		lag, err := r.lag(ctx)
		if err != nil {
			return throughputResult{}, err
		}
		if start.IsZero() && lag < int64(events) {
			start, first = time.Now(), lag
			if err := usage.begin(); err != nil {
				return throughputResult{}, err
			}
		}
		if lag == 0 {
			result.rate = float64(first) / time.Since(start).Seconds()
			result.cpu, err = usage.perEvent(first)
			return result, err
		}
		if !start.IsZero() && lag < int64(events)*9/10 {
			for _, c := range children {
				rss, err := harness.ResidentMemory(c.ID())
				if err != nil {
					return throughputResult{}, err
				}
				if result.minMiB == 0 || rss < result.minMiB {
					result.minMiB = rss
				}
				result.maxMiB = max(result.maxMiB, rss)
			}
		}
		if err := errors.Join(backoff.Sleep(ctx, 50*time.Millisecond), failed(children)); err != nil {
			return throughputResult{}, err
		}
	}
}

// lag returns the number of events that ingest has not committed. It retries, since Kafka may not know the
// coordinator of a group right after the start.
func (r *environment) lag(ctx context.Context) (lag int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = retry(ctx, "look up the lag of ingest", func() (err error) {
		lag, err = stream.Lag(ctx, r.cluster, ingest.DefaultGroup, stream.DefaultTopics().Interactions)
		return err
	})
	return lag, err
}

// nthEvent returns an event of a stream in which users take turns.
func (r *environment) nthEvent(n int, began time.Time) event.Event {
	const step = 7919 // avoids that consecutive events are of consecutive users
	return event.Event{
		ID: fmt.Sprintf("e%011d", n), User: fmt.Sprintf("user-%d", n*step%r.users), Item: fmt.Sprintf("B%09d", n%12_101),
		Type: event.DefaultType, Time: began.Add(time.Duration(n) * time.Millisecond),
	}
}

// produce sends n events to the interactions topic.
func (r *environment) produce(ctx context.Context, n int) error {
	w := stream.NewWriter(r.cluster, stream.DefaultTopics().Interactions)
	w.BatchSize = 5000
	defer w.Close()
	began := time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Millisecond)
	const chunk = 20_000
	for from := 0; from < n; from += chunk {
		messages := make([]kafka.Message, min(chunk, n-from))
		for i := range messages {
			messages[i] = harness.Message(r.nthEvent(from+i, began))
		}
		if err := publish(ctx, w, messages); err != nil {
			return err
		}
	}
	return nil
}

// publish retries for a minute, since connections cache the metadata of deleted topics.
func publish(ctx context.Context, w *kafka.Writer, messages []kafka.Message) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return stream.Publish(ctx, slog.New(slog.DiscardHandler), w, messages...)
}
