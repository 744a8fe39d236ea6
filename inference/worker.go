// Package inference generates recommendations for the users whose sequences
// have changed.
//
// A Worker is a pipeline. Refreshes of all partitions wait in one queue, each user once. A
// batch takes users from it when there is a slot, reads their sequences and lists from Redis in
// one round trip, has the model generate new lists, and writes them in one round trip. Several
// batches are under way at once, so that reading, preparing, the device, fusing and writing
// overlap; the number of slots and of writers bounds them.
//
// Delivery is at least once: a refresh is finished after the recommendations are written, and
// offsets are committed up to the oldest unfinished refresh of their partition. Writing twice
// does no harm.
package inference

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// Sessions keeps the sequences and the recommendations. PutLists must
// refuse what is of an older sequence than the stored one.
type Sessions interface {
	Read(ctx context.Context, users []string) ([]sessions.UserState, error)
	PutLists(ctx context.Context, recs []userstate.List) ([]sessions.Put, error)
	PutPopular(ctx context.Context, r userstate.List) error
	PutSimilar(ctx context.Context, near iter.Seq2[string, userstate.SimilarItems]) error
	AddFeedback(ctx context.Context, f sessions.Feedback) error
	SharedKeys(ctx context.Context) (sessions.SharedKeys, error)
	ClaimFormat(ctx context.Context) error
	Renewals
}

// Worker is a member of the consumer group that reads refreshes.
type Worker struct {
	cfg      Config
	models   Models
	sessions Sessions
	tracer   stream.Tracer
	counters counters
	metrics  metrics
}

// New returns a Worker; Run starts it.
func New(cfg Config, models Models, s Sessions) *Worker {
	return &Worker{
		cfg: cfg.withDefaults(), models: models, sessions: s,
		tracer: stream.NewTracer(cfg.Tracing), metrics: newMetrics(),
	}
}

// Stats returns the counts so far. It may be called while Run runs.
func (w *Worker) Stats() Stats { return w.counters.snapshot() }

// Run generates until ctx ends and then returns nil, with its Generator closed;
// the batch in progress is left uncommitted for the next run. While Kafka or
// Redis is away it retries, and while there is no model it waits.
func (w *Worker) Run(ctx context.Context) error {
	if len(w.cfg.Kafka.Brokers) == 0 {
		return errors.New("inference: no Kafka brokers are configured")
	}
	r := w.open()
	group, groupCtx := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context) error{r.consume, r.pollModels, r.startBatches, r.keepShared, r.renew, r.flush} {
		group.Go(func() error { return part(groupCtx) })
	}
	err := group.Wait()
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, r.flushRest(ctx), r.close())
}

// run is what the goroutines of one Run share.
type run struct {
	*Worker
	deadLetters *kafka.Writer
	renewals    *kafka.Writer
	queue       *queue
	serving     *serving
	size        *batchSize
	lastStart   time.Time        // of a batch; startBatches' alone
	generated   chan *batch      // from the slots to the writers
	swapped     chan *servingSet // from pollModels to renew: the newest
	leads       chan leader      // from pollModels to keepShared: the newest
	failures    failures
	reports     sync.Mutex // of OnWritten
	feedback    feedback
	unwritten   []sessions.Feedback
}

func (w *Worker) open() *run {
	return &run{
		Worker:      w,
		deadLetters: stream.NewDeadLetterWriter(w.cfg.Kafka, w.cfg.Topics.DeadLetters),
		renewals:    stream.NewWriter(w.cfg.Kafka, w.cfg.Topics.Refreshes),
		queue:       newQueue(w.cfg.MaxPending),
		serving:     newServing(),
		size:        newBatchSize(w.cfg.LatencyTarget, w.cfg.MaxBatch),
		generated:   make(chan *batch),
		swapped:     make(chan *servingSet, 1),
		leads:       make(chan leader, 1),
		feedback:    feedback{tallies: make(map[tallyKey]*tally)},
	}
}

// consume moves refreshes into the queue while this process is a member of the group.
func (r *run) consume(ctx context.Context) error {
	return stream.Consume(ctx, stream.GroupConfig{
		Kafka: r.cfg.Kafka, Group: r.cfg.Group, Topic: r.cfg.Topics.Refreshes, Logger: r.cfg.Logger,
		FetchPause: r.size.pause,
	}, r.own)
}

func (r *run) close() error {
	if err := errors.Join(r.deadLetters.Close(), r.renewals.Close()); err != nil {
		return fmt.Errorf("close Kafka clients: %w", err)
	}
	return nil
}
