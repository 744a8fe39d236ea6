package inference

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
)

// Reasons of dead letters.
const (
	ReasonBadRefresh     = "bad_refresh"
	ReasonGenerateFailed = "generate_failed"
	ReasonBadSequence    = "bad_sequence"
)

// reasonRejected counts dead letters that their topic takes in no form.
const reasonRejected = "dead_letter_rejected"

// maxRefreshBytes bounds what waits in the queue. It is far above the largest
// refresh of a valid user id.
const maxRefreshBytes = 16 << 10

// own moves the refreshes of a partition into the queue, and commits what is finished, until
// the partition is lost. Batches in progress then still write their results, which does no
// harm, but nothing more is committed.
func (r *run) own(ctx context.Context, p *stream.Partition) error {
	o := newOffsets()
	defer r.queue.drop(o)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.fetch(ctx, p, o) })
	group.Go(func() error { return r.commit(ctx, p, o) })
	return group.Wait()
}

func (r *run) fetch(ctx context.Context, p *stream.Partition, o *offsets) error {
	for {
		messages, err := p.FetchBatch(ctx)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := r.receive(ctx, m, o); err != nil {
				return err
			}
		}
	}
}

func (r *run) receive(ctx context.Context, m kafka.Message, o *offsets) error {
	at := o.add(m.Offset)
	trace, queued := r.tracer.ContinueProcess(ctx, m), time.Now()
	refresh, err := decode(m.Value)
	if err != nil {
		trace.Fail(ReasonBadRefresh)
		if err := r.deadLetter(ctx, stream.NewDeadLetter(m, ReasonBadRefresh, err.Error())); err != nil {
			return err
		}
		trace.End()
		at.finish()
		r.counters.read.Add(1)
		return nil
	}
	older, coalesced, err := r.queue.add(ctx, &pending{refresh: refresh, message: m, offset: at, trace: trace, queued: queued})
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

func decode(value []byte) (stream.Refresh, error) {
	if len(value) > maxRefreshBytes {
		return stream.Refresh{}, fmt.Errorf("decode refresh: %d bytes, more than %d", len(value), maxRefreshBytes)
	}
	return stream.DecodeRefresh(value)
}

// commit commits the offsets of a partition up to the oldest unfinished message.
func (r *run) commit(ctx context.Context, p *stream.Partition, o *offsets) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.changed:
		}
		if next, advanced := o.advance(); advanced {
			if err := p.Commit(ctx, next); err != nil {
				return err
			}
			if err := backoff.Sleep(ctx, stream.CommitInterval); err != nil {
				return err
			}
		}
	}
}

// deadLetter writes dead letters.
func (r *run) deadLetter(ctx context.Context, messages ...kafka.Message) error {
	if len(messages) == 0 {
		return nil
	}
	err := stream.Publish(ctx, r.cfg.Logger, r.deadLetters, messages...)
	if rejected := (*stream.RejectedError)(nil); errors.As(err, &rejected) {
		// It must not end the process again after each restart.
		r.metrics.dead.WithLabelValues(reasonRejected).Add(float64(len(rejected.Messages)))
		r.cfg.Logger.ErrorContext(ctx, "gave up messages that Kafka rejects", "topic", rejected.Topic, "messages", len(rejected.Messages), "err", rejected)
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
