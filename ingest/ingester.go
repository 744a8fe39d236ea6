// Package ingest moves interaction events from Kafka into the users' sequences
// and asks for new recommendations.
//
// Delivery is at least once: the offsets of a batch are committed after all its
// effects, and every effect can be repeated without harm.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
	"genrec/sessions"
)

const (
	// A batch waits that long for more messages: enough to empty the reader's
	// queue, and little beside the latency of Kafka.
	defaultLinger = time.Millisecond
	// maxBatchBytes bounds a batch of large messages; one more may come on top.
	maxBatchBytes = 8 << 20
)

// Sessions keeps the sequences. Append must be idempotent per event id and
// answer with the version of every user's sequence.
type Sessions interface {
	Append(ctx context.Context, batch []sessions.UserEvents) ([]sessions.Appended, error)
}

// Ingester is a member of the consumer group that reads interaction events.
type Ingester struct {
	cfg      Config
	sessions Sessions
	linger   time.Duration
	counters counters
}

// New returns an Ingester; Run starts it.
func New(cfg Config, s Sessions) *Ingester {
	return &Ingester{cfg: cfg.withDefaults(), sessions: s, linger: defaultLinger}
}

// Stats returns the counts so far. It may be called while Run runs.
func (i *Ingester) Stats() Stats { return i.counters.snapshot() }

// Run ingests until ctx ends and then returns nil; the batch in progress is
// left uncommitted for the next run. While Kafka or Redis is away it retries.
func (i *Ingester) Run(ctx context.Context) error {
	if len(i.cfg.Kafka.Brokers) == 0 {
		return errors.New("ingest: no Kafka brokers are configured")
	}
	c := openClients(i.cfg)
	err := i.run(ctx, c)
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, c.close())
}

func (i *Ingester) run(ctx context.Context, c clients) error {
	for {
		messages, err := i.fetch(ctx, c.interactions)
		if err != nil {
			return err
		}
		if err := i.apply(ctx, c, newBatch(messages, time.Now(), i.cfg.Limits)); err != nil {
			return err
		}
	}
}

// fetch waits for one message and takes what else is there.
func (i *Ingester) fetch(ctx context.Context, r *kafka.Reader) ([]kafka.Message, error) {
	var first kafka.Message
	err := backoff.Retry(ctx, i.cfg.Logger, fmt.Sprintf("read from topic %q", i.cfg.Topics.Interactions), func() (err error) {
		first, err = r.FetchMessage(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, i.linger)
	defer cancel()
	messages := []kafka.Message{first}
	for size := len(first.Value); len(messages) < i.cfg.MaxBatch && size < maxBatchBytes; {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			break // a lasting fault comes back when the next batch is fetched
		}
		messages = append(messages, m)
		size += len(m.Value)
	}
	return messages, nil
}

// apply has its effects in the order that makes a crash between any two of
// them harmless: what is repeated is idempotent, and nothing is skipped.
func (i *Ingester) apply(ctx context.Context, c clients, b batch) error {
	appended, err := i.append(ctx, b.users)
	if err != nil {
		return err
	}
	refreshes, err := b.refreshes(appended)
	if err != nil {
		return err
	}
	if err := stream.Publish(ctx, i.cfg.Logger, c.refreshes, refreshes...); err != nil {
		return err
	}
	if err := i.bury(ctx, c.deadLetters, b); err != nil {
		return err
	}
	if err := i.commit(ctx, c.interactions, b.messages); err != nil {
		return err
	}
	i.counters.add(b.stats(appended))
	return nil
}

func (i *Ingester) append(ctx context.Context, users []sessions.UserEvents) (appended []sessions.Appended, err error) {
	if len(users) == 0 {
		return nil, nil
	}
	what := fmt.Sprintf("append to the sequences of %d users", len(users))
	err = backoff.Retry(ctx, i.cfg.Logger, what, func() (err error) {
		appended, err = i.sessions.Append(ctx, users)
		return err
	})
	return appended, err
}

func (i *Ingester) bury(ctx context.Context, w *kafka.Writer, b batch) error {
	if len(b.deadLetters) == 0 {
		return nil
	}
	if err := stream.Publish(ctx, i.cfg.Logger, w, b.deadLetters...); err != nil {
		return err
	}
	i.cfg.Logger.WarnContext(ctx, "refused events", "topic", w.Topic, "reasons", b.dead)
	return nil
}

func (i *Ingester) commit(ctx context.Context, r *kafka.Reader, messages []kafka.Message) error {
	what := fmt.Sprintf("commit %d messages of topic %q", len(messages), i.cfg.Topics.Interactions)
	return backoff.Retry(ctx, i.cfg.Logger, what, func() error {
		return r.CommitMessages(ctx, messages...)
	})
}
