// Package inference keeps the recommendation lists of users up to date: it consumes refreshes from
// Kafka, generates lists with the models that the registry says to serve, and writes them to Redis.
//
// # Pipeline
//
// A [Worker] is a pipeline of stages:
//
//   - Consume (consume.go): one goroutine per partition fetches refreshes. Invalid ones become
//     dead letters.
//   - Queue (queue.go): refreshes of the same user are coalesced. The queue holds at most
//     Config.MaxPending users; when it is full, fetching pauses. Users with new events come before
//     users of a background refresh. A user is in at most one batch at a time, so that the lists of
//     a user are written in the order of sequences and models.
//   - Batch (pipeline.go, batch_size.go): when a slot is free, the waiting users form a batch. The
//     models determine the number of slots, and batchSize bounds a batch so that it takes about half
//     of Config.LatencyTarget.
//   - Read: one round trip to Redis reads the sequences and the stored lists. Users whose list is up
//     to date are skipped.
//   - Generate (generate.go): the serving model generates the lists. If it fails for a batch,
//     bisection finds the users at fault, which become dead letters; if it fails for all users, the
//     worker stops with an error.
//   - Write (write.go): four writers store the lists by compare-and-set, one round trip per batch,
//     and then finish the refreshes.
//   - Commit (offsets.go): the offsets of a partition are committed up to its oldest unfinished
//     refresh.
//
// Delivery is at least once: an offset is committed only after the lists, or the dead letters, of
// all refreshes before it have been written. Repeated work is harmless, because a list that is up to
// date is skipped, and one of an older sequence is not written. When a partition is revoked, its
// waiting refreshes are dropped; batches in progress still write their lists, but commit nothing.
//
// # Models
//
// The model loader (model_loader.go) polls for the versions to serve, loads and tests new ones beside
// the current ones, and activates a new [servingSet] between two batches. A batch uses one serving
// set from its start to its end; the models of a replaced set are closed after its last batch.
// A version that fails to load or to answer is refused: the largest loaded version serves its users.
//
// After a change of the serving set, the worker writes the popular and similar items of the largest
// version (shared_keys.go), and one worker of the group, elected by a lease in Redis, requests new
// lists for active users at a limited rate (background_refresh.go).
//
// # Hit counts
//
// When a list is replaced, the events since it was written are counted, and those whose item it
// contains are hits (hit_counter.go). The counts per model version and day are kept in Redis and
// compare versions.
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

// Sessions stores sequences, lists and everything else that workers share. *sessions.Store
// implements it.
type Sessions interface {
	// Read returns the sequences and stored lists of users, in their order.
	Read(ctx context.Context, users []string) ([]sessions.UserState, error)
	// PutLists writes lists, except those of a sequence older than that of the stored list.
	PutLists(ctx context.Context, lists []userstate.List) ([]sessions.Put, error)
	// PutPopular writes the list for users without their own.
	PutPopular(ctx context.Context, l userstate.List) error
	// PutSimilar writes the similar items of items.
	PutSimilar(ctx context.Context, similar iter.Seq2[string, userstate.SimilarItems]) error
	// AddHits adds to the counts of events and hits.
	AddHits(ctx context.Context, c sessions.HitCounts) error
	// SharedKeys reports which of the keys that are common to all users exist.
	SharedKeys(ctx context.Context) (sessions.SharedKeys, error)
	// ClaimFormat records the format of sequences, or returns sessions.ErrFormat.
	ClaimFormat(ctx context.Context) error
	// ScanActive calls fn with pages of the users who have had events since a time.
	ScanActive(ctx context.Context, since time.Time, fn func([]sessions.ActiveUser) error) error
	// Acquire returns a lease, or nil while another worker holds it.
	Acquire(ctx context.Context, lease string, ttl time.Duration) (*sessions.Lease, error)
	// Refreshed returns the serving set of the last completed background refresh.
	Refreshed(ctx context.Context) (servingSet string, err error)
	// SetRefreshed records that the background refresh for a serving set is complete.
	SetRefreshed(ctx context.Context, servingSet string) error
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

// Stats returns the current counts. It may be called while Run runs.
func (w *Worker) Stats() Stats { return w.counters.snapshot() }

// Run runs the pipeline until ctx ends, and then returns nil after it has closed the models. The
// refreshes of unfinished batches stay uncommitted. While Kafka or Redis is unavailable it retries,
// and while there is no model it waits.
func (w *Worker) Run(ctx context.Context) error {
	if len(w.cfg.Kafka.Brokers) == 0 {
		return errors.New("inference: no Kafka brokers are configured")
	}
	r := w.open()
	group, groupCtx := errgroup.WithContext(ctx)
	for _, loop := range []func(context.Context) error{
		r.consume, r.runBatches, r.pollModels, r.maintainSharedKeys, r.refreshInBackground, r.flushHits,
	} {
		group.Go(func() error { return loop(groupCtx) })
	}
	err := group.Wait()
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, r.flushHitsAtEnd(ctx), r.close())
}

// run is the state of one call of Run, shared by its goroutines.
type run struct {
	*Worker
	deadLetters *kafka.Writer
	refreshes   *kafka.Writer // of the background refresh
	queue       *queue
	active      *activeSet
	size        *batchSize
	lastStart   time.Time            // of a batch; used by nextBatch only
	generated   chan *batch          // from the slots to the writers
	activated   chan *servingSet     // newest set, from the model loader to the background refresh
	leaders     chan *leader         // newest leader, from the model loader to maintainSharedKeys
	failures    consecutiveFailures  // of users
	onWritten   sync.Mutex           // serializes calls of Config.OnWritten
	hits        hitCounter           // since the last flush
	unwritten   []sessions.HitCounts // taken from hits, but not yet in Redis
}

func (w *Worker) open() *run {
	return &run{
		Worker:      w,
		deadLetters: stream.NewDeadLetterWriter(w.cfg.Kafka, w.cfg.Topics.DeadLetters),
		refreshes:   stream.NewWriter(w.cfg.Kafka, w.cfg.Topics.Refreshes),
		queue:       newQueue(w.cfg.MaxPending),
		active:      newActiveSet(),
		size:        newBatchSize(w.cfg.LatencyTarget, w.cfg.MaxBatch),
		generated:   make(chan *batch),
		activated:   make(chan *servingSet, 1),
		leaders:     make(chan *leader, 1),
		hits:        hitCounter{tallies: make(map[tallyKey]*tally)},
	}
}

func (r *run) close() error {
	if err := errors.Join(r.deadLetters.Close(), r.refreshes.Close()); err != nil {
		return fmt.Errorf("close Kafka writers: %w", err)
	}
	return nil
}

// signal fills a channel of capacity one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sendNewest replaces the unread value of a channel of capacity one. It has a single sender.
func sendNewest[T any](c chan T, value T) {
	select {
	case <-c:
	default:
	}
	c <- value
}
