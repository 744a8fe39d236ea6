package inference

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
)

// Reasons of dead letters.
const (
	ReasonBadRefresh     = "bad_refresh"
	ReasonGenerateFailed = "generate_failed"
	ReasonBadSequence    = "bad_sequence"
)

// maxRefreshBytes bounds what waits in the queue. It is far above the largest
// refresh of a valid user id.
const maxRefreshBytes = 16 << 10

// fetch moves refreshes into the queue.
func (r *run) fetch(ctx context.Context) error {
	for {
		if err := r.queue.awaitRoom(ctx); err != nil {
			return err
		}
		m, err := r.fetchMessage(ctx)
		if err != nil {
			return err
		}
		place := r.tracker.add(m.Partition, m.Offset)
		r.counters.update(func(s *Stats) { s.Read++ })

		trace, queued := r.tracer.Continue(ctx, m), time.Now()
		refresh, err := decode(m.Value)
		if err != nil {
			trace.Fail(ReasonBadRefresh)
			if err := r.bury(ctx, stream.DeadLetter(m, ReasonBadRefresh, err.Error())); err != nil {
				return err
			}
			trace.End()
			r.finish(place)
			continue
		}
		superseded, coalesced := r.queue.add(pending{refresh: refresh, message: m, ticket: place, trace: trace, queued: queued})
		if coalesced {
			r.tracker.finish(superseded)
			r.counters.update(func(s *Stats) { s.Coalesced++ })
		}
		r.metrics.waiting.Set(float64(r.queue.len()))
	}
}

func (r *run) fetchMessage(ctx context.Context) (m kafka.Message, err error) {
	what := fmt.Sprintf("read from topic %q", r.cfg.Topics.Refreshes)
	err = backoff.Retry(ctx, r.cfg.Logger, what, func() (err error) {
		m, err = r.refreshes.FetchMessage(ctx)
		return err
	})
	return m, err
}

func decode(value []byte) (stream.Refresh, error) {
	if len(value) > maxRefreshBytes {
		return stream.Refresh{}, fmt.Errorf("decode refresh: %d bytes, more than %d", len(value), maxRefreshBytes)
	}
	return stream.DecodeRefresh(value)
}

// bury writes dead letters.
func (r *run) bury(ctx context.Context, messages ...kafka.Message) error {
	if len(messages) == 0 {
		return nil
	}
	if err := stream.Publish(ctx, r.cfg.Logger, r.deadLetters, messages...); err != nil {
		return err
	}
	for _, m := range messages {
		r.metrics.dead.WithLabelValues(stream.ReasonOf(m)).Inc()
	}
	r.counters.update(func(s *Stats) { s.Failed += int64(len(messages)) })
	r.cfg.Logger.WarnContext(ctx, "gave up refreshes", "topic", r.deadLetters.Topic, "refreshes", len(messages))
	return nil
}
