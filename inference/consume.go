package inference

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/stream"
)

// Reasons of dead letters.
const (
	ReasonBadRefresh     = "bad_refresh"     // the message is not a valid refresh
	ReasonGenerateFailed = "generate_failed" // the model fails for this user
	ReasonBadSequence    = "bad_sequence"    // the stored sequence is unreadable
)

// reasonRejected counts dead letters that Kafka rejects permanently.
const reasonRejected = "dead_letter_rejected"

// maxRefreshBytes bounds the memory of a queued refresh. It is far above the largest refresh of a
// valid user id.
const maxRefreshBytes = 16 << 10

// consume processes the partitions that the consumer group assigns to this process.
func (r *run) consume(ctx context.Context) error {
	return stream.Consume(ctx, stream.GroupConfig{
		Kafka: r.cfg.Kafka, Group: r.cfg.Group, Topic: r.cfg.Topics.Refreshes, Logger: r.cfg.Logger,
		FetchPause: r.size.fetchPause,
	}, r.consumePartition)
}

// consumePartition queues the refreshes of a partition, and commits finished ones, until the
// partition is revoked. Batches in progress then still write their lists, but nothing more is
// committed.
func (r *run) consumePartition(ctx context.Context, p *stream.Partition) error {
	o := newOffsetTracker()
	defer r.queue.dropPartition(o)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.fetch(ctx, p, o) })
	group.Go(func() error { return commitOffsets(ctx, p, o) })
	return group.Wait()
}

func (r *run) fetch(ctx context.Context, p *stream.Partition, o *offsetTracker) error {
	for {
		messages, err := p.FetchBatch(ctx)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := r.enqueue(ctx, m, o); err != nil {
				return err
			}
		}
	}
}

// enqueue adds a refresh to the queue. It blocks while the queue is full.
func (r *run) enqueue(ctx context.Context, m kafka.Message, o *offsetTracker) error {
	offset := o.add(m.Offset)
	span, queued := r.tracer.ContinueProcess(ctx, m), time.Now()
	refresh, err := decodeRefresh(m.Value)
	if err != nil {
		span.Fail(ReasonBadRefresh)
		if err := r.deadLetter(ctx, stream.NewDeadLetter(m, ReasonBadRefresh, err.Error())); err != nil {
			return err
		}
		span.End()
		offset.finish()
		r.counters.read.Add(1)
		return nil
	}
	older, coalesced, err := r.queue.add(ctx, &pending{refresh: refresh, message: m, offset: offset, span: span, queued: queued})
	if err != nil {
		return err
	}
	r.counters.read.Add(1)
	if coalesced {
		older.finish()
		r.counters.coalesced.Add(1)
	}
	return nil
}

func decodeRefresh(value []byte) (stream.Refresh, error) {
	if len(value) > maxRefreshBytes {
		return stream.Refresh{}, fmt.Errorf("decode refresh: %d bytes exceed the limit of %d", len(value), maxRefreshBytes)
	}
	return stream.DecodeRefresh(value)
}

// deadLetter writes messages to the dead-letter topic. Messages that Kafka rejects permanently are
// logged and dropped: otherwise they would stop the worker again after each restart.
func (r *run) deadLetter(ctx context.Context, messages ...kafka.Message) error {
	if len(messages) == 0 {
		return nil
	}
	err := stream.Publish(ctx, r.cfg.Logger, r.deadLetters, messages...)
	if rejected := (*stream.RejectedError)(nil); errors.As(err, &rejected) {
		r.metrics.dead.WithLabelValues(reasonRejected).Add(float64(len(rejected.Messages)))
		r.cfg.Logger.ErrorContext(ctx, "dropped dead letters that Kafka rejects", "topic", rejected.Topic, "messages", len(rejected.Messages), "err", rejected)
	} else if err != nil {
		return err
	}
	for _, m := range messages {
		r.metrics.dead.WithLabelValues(stream.DeadLetterReason(m)).Inc()
	}
	r.counters.failed.Add(int64(len(messages)))
	r.cfg.Logger.WarnContext(ctx, "dead-lettered refreshes", "topic", r.deadLetters.Topic, "refreshes", len(messages))
	return nil
}
