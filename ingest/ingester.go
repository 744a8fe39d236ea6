// Package ingest moves interaction events from Kafka into the users' sequences
// and asks for new recommendations.
//
// Delivery is at least once: the offset of a batch is committed after all its
// effects, and every effect can be repeated without harm.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"

	"genrec/pkg/stream"
	"genrec/sessions"
)

const (
	// A batch waits that long for more messages: little beside the latency of Kafka.
	defaultLinger = time.Millisecond
	// maxBatchBytes bounds a batch of large messages; one more may come on top.
	maxBatchBytes = 8 << 20
)

// Sessions keeps the sequences. Append must be idempotent per event id and
// answer with the version of every user's sequence, in the order of the batch; if it
// returns sessions.UserErrors, it has appended to the sequences of the other users. It is
// called by several goroutines, each with other partitions' users.
type Sessions interface {
	Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error)
}

// Ingester is a member of the consumer group that reads interaction events.
type Ingester struct {
	cfg      Config
	sessions Sessions
	linger   time.Duration
	budget   *semaphore.Weighted // bytes of the messages in hand
	tracer   stream.Tracer
	counters counters
	metrics  metrics
}

// New returns an Ingester; Run starts it.
func New(cfg Config, s Sessions) *Ingester {
	cfg = cfg.withDefaults()
	return &Ingester{
		cfg: cfg, sessions: s, linger: defaultLinger,
		budget: semaphore.NewWeighted(cfg.MaxBytes), tracer: stream.NewTracer(cfg.Tracing), metrics: newMetrics(),
	}
}

// Stats returns the counts so far. It may be called while Run runs.
func (i *Ingester) Stats() Stats { return i.counters.snapshot() }

// Run ingests until ctx ends and then returns nil; the batches in progress are
// left uncommitted for the next run. While Kafka or Redis is away it retries.
func (i *Ingester) Run(ctx context.Context) error {
	if len(i.cfg.Kafka.Brokers) == 0 {
		return errors.New("ingest: no Kafka brokers are configured")
	}
	r := &run{
		Ingester:    i,
		refreshes:   stream.NewWriter(i.cfg.Kafka, i.cfg.Topics.Refreshes),
		deadLetters: stream.NewDeadLetterWriter(i.cfg.Kafka, i.cfg.Topics.DeadLetters),
	}
	err := stream.Consume(ctx, stream.GroupConfig{
		Kafka: i.cfg.Kafka, Group: i.cfg.Group, Topic: i.cfg.Topics.Interactions, StartOffset: i.cfg.StartOffset, Logger: i.cfg.Logger,
		FetchPause: r.fetchPause,
	}, r.work)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, r.close())
}

// run is what the partitions of one Run share.
type run struct {
	*Ingester
	refreshes, deadLetters *kafka.Writer
	appendTook             atomic.Int64 // ns, of the last append
}

func (r *run) close() error {
	if err := errors.Join(r.refreshes.Close(), r.deadLetters.Close()); err != nil {
		return fmt.Errorf("close Kafka clients: %w", err)
	}
	return nil
}
