// Package inference generates recommendations for the users whose sequences
// have changed.
//
// Delivery is at least once: a refresh is committed after the recommendations
// are written, and writing them again does no harm.
package inference

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// Sessions keeps the sequences and the recommendations. PutRecommendations must
// refuse what is of an older sequence than the stored one.
type Sessions interface {
	Sequences(ctx context.Context, users []string) ([]sessions.Sequence, error)
	RecommendationsOf(ctx context.Context, users []string) ([]sessions.Recommendations, error)
	PutRecommendations(ctx context.Context, recs []sessions.Recommendations) ([]sessions.Put, error)
	PutPopular(ctx context.Context, r sessions.Recommendations) error
	PutNear(ctx context.Context, near iter.Seq2[string, recs.Near]) error
	AddFeedback(ctx context.Context, f sessions.Feedback) error
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
	for _, part := range []func(context.Context) error{r.fetch, r.generate, r.commit, r.pollModels, r.putNear, r.renew, r.flush} {
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
	refreshes   *kafka.Reader
	deadLetters *kafka.Writer
	renewals    *kafka.Writer
	queue       *queue
	tracker     *tracker
	finished    chan struct{}  // filled when there may be something to commit
	loaded      chan fleet     // from pollModels to generate
	swapped     chan fleet     // from generate to renew: the newest
	leads       chan Generator // from generate to putNear: the newest
	feedback    feedback
	unwritten   []sessions.Feedback

	// Those of generate alone:
	fleet    fleet
	served   []string       // versions to be credited, newest last
	failures map[string]int // of users alone, since one was generated, by version
}

func (w *Worker) open() *run {
	return &run{
		Worker:      w,
		refreshes:   stream.NewReader(w.cfg.Kafka, w.cfg.Group, w.cfg.Topics.Refreshes),
		deadLetters: stream.NewDeadLetterWriter(w.cfg.Kafka, w.cfg.Topics.DeadLetters),
		queue:       newQueue(w.cfg.MaxPending),
		tracker:     newTracker(),
		renewals:    stream.NewWriter(w.cfg.Kafka, w.cfg.Topics.Refreshes),
		finished:    make(chan struct{}, 1),
		loaded:      make(chan fleet),
		swapped:     make(chan fleet, 1),
		leads:       make(chan Generator, 1),
		feedback:    feedback{tallies: make(map[tallyKey]*tally)},
		failures:    make(map[string]int),
	}
}

func (r *run) close() error {
	if err := errors.Join(r.refreshes.Close(), r.deadLetters.Close(), r.renewals.Close()); err != nil {
		return fmt.Errorf("close Kafka clients: %w", err)
	}
	return nil
}
