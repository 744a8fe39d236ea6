// Package ingest consumes interaction events from Kafka. It has two consumers of the same topic,
// each with its own consumer group.
//
// The Ingester appends events to the users' sequences and requests new recommendations. Each
// assigned partition has a pipeline (pipeline.go) of concurrent stages that hand over batches in
// order:
//
//	fetch, validate  messages from Kafka to events; the batcher collects them while the
//	                 stage after it is busy
//	append           events to sequences in Redis, which detects duplicates (Sessions)
//	publish          refreshes and dead letters to Kafka
//	commit           the offset after the batch
//
// Delivery is at least once: the offset of a batch is committed after its refreshes and dead
// letters are acknowledged, which are published after its events are in Redis. A crash between
// any two steps repeats steps, and each is idempotent: an event id is appended once, refreshes of
// a user coalesce, and a dead letter is identified by the position of its original. Events of a
// user are appended in the order of their partition.
//
// Messages that are fetched and not finished are bounded by Config.MaxBytes over all partitions;
// fetching then stops and Kafka keeps the rest. In a rebalance, all pipelines end before the new
// assignment begins, and batches in flight are left uncommitted for the next owner. While Redis or
// Kafka is down, the stages retry with exponential backoff.
//
// The HistoryWriter writes all valid events to Parquet segments of the history.
//
// Package importer appends events from files instead.
package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"genrec/pkg/event"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// Defaults of Config.
const (
	DefaultGroup    = "genrec-ingest"
	DefaultMaxBatch = 1024
	DefaultMaxBytes = 64 << 20
)

const (
	// defaultLinger is how long a batch waits for more messages; it is short compared with the
	// latency of Kafka.
	defaultLinger = time.Millisecond
	// maxBatchBytes bounds a batch of large messages; the message that reaches it is included.
	maxBatchBytes = 8 << 20
)

// Config configures an Ingester. Every field but Kafka may be zero and then takes its default.
type Config struct {
	Kafka       stream.Cluster       // where the topics are
	Topics      stream.Topics        // names of the topics
	Group       string               // Kafka consumer group
	Limits      event.Limits         // of valid events; zero MaxBytes: event.DefaultLimits
	StartOffset stream.StartOffset   // for partitions without a committed offset
	MaxBatch    int                  // messages in a batch; more are faster under load, and redelivered after a crash
	MaxBytes    int64                // memory for messages in flight, over all partitions
	Tracing     trace.TracerProvider // nil: no spans; trace context of messages is still propagated
	Logger      *slog.Logger         // default: slog.Default
}

func (c Config) withDefaults() Config {
	c.Topics = cmp.Or(c.Topics, stream.DefaultTopics())
	c.Group = cmp.Or(c.Group, DefaultGroup)
	c.MaxBatch = cmp.Or(c.MaxBatch, DefaultMaxBatch)
	c.MaxBytes = cmp.Or(c.MaxBytes, DefaultMaxBytes)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Limits.MaxBytes == 0 {
		c.Limits = event.DefaultLimits()
	}
	return c
}

// Permissions returns the Kafka operations that an Ingester needs.
func (c Config) Permissions() stream.Permissions {
	c = c.withDefaults()
	return stream.Permissions{Group: c.Group, Reads: c.Topics.Interactions, Writes: []string{c.Topics.Refreshes, c.Topics.DeadLetters}}
}

// Sessions stores the sequences. It is called concurrently, for different users.
type Sessions interface {
	// Append appends events, each event id once per sequence, and returns the version of every
	// user's sequence in the order of the batch. If it returns sessions.UserErrors, it has
	// appended the events of all other users.
	Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error)
}

// Ingester is the member of the consumer group that appends interactions to the sequences.
type Ingester struct {
	cfg      Config
	sessions Sessions
	linger   time.Duration
	budget   *semaphore.Weighted // bytes of messages in flight, at most cfg.MaxBytes
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

// Run ingests until ctx ends and then returns nil. Batches in flight are left uncommitted for the
// next run. While Kafka or Redis is down, Run retries.
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
	}, r.runPipeline)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, r.close())
}

// run is what the pipelines of one Run share.
type run struct {
	*Ingester
	refreshes, deadLetters *kafka.Writer
	lastAppend             atomic.Int64 // duration of the last append in ns
}

func (r *run) close() error {
	if err := errors.Join(r.refreshes.Close(), r.deadLetters.Close()); err != nil {
		return fmt.Errorf("close Kafka clients: %w", err)
	}
	return nil
}
