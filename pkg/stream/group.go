package stream

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

// Of members of groups. What a member that was killed or cut off had to read rests until
// its session ends, so that is the shortest which brokers allow by default; kafka-go's
// defaults would be 30 seconds of that, and 5 to come back. A member that lives may take
// longer to end its work when the partitions are given out anew.
const (
	joinBackoff      = 200 * time.Millisecond
	heartbeat        = time.Second
	sessionTimeout   = 6 * time.Second
	rebalanceTimeout = 10 * time.Second
)

// GroupConfig is what a member of a consumer group needs to know.
type GroupConfig struct {
	Kafka  Cluster
	Group  string
	Topic  string
	Start  Start // of partitions that the group has committed nothing of
	Logger *slog.Logger
}

// Partition is a partition of a topic while a member of a group owns it.
type Partition struct {
	Number int

	cfg        GroupConfig
	generation *kafka.Generation
	reader     *kafka.Reader
}

// Consume joins the group and runs work for each partition that it is given, each in
// a goroutine of its own. When the partitions are given out anew, the context of all
// work ends, and nothing is read or committed before all of it has returned: no message
// of a partition that was lost is still under way when its next owner's begin. Consume
// ends with ctx, or with the first error of work.
func Consume(ctx context.Context, cfg GroupConfig, work func(context.Context, *Partition) error) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                    cfg.Group,
		Brokers:               cfg.Kafka.Brokers,
		Dialer:                cfg.Kafka.Dialer(),
		Topics:                []string{cfg.Topic},
		StartOffset:           kafka.FirstOffset,
		JoinGroupBackoff:      joinBackoff,
		HeartbeatInterval:     heartbeat,
		SessionTimeout:        sessionTimeout,
		RebalanceTimeout:      rebalanceTimeout,
		WatchPartitionChanges: true,
	})
	if err != nil {
		return fmt.Errorf("join group %q: %w", cfg.Group, err)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for {
		generation, err := nextGeneration(ctx, cfg, group)
		if err != nil {
			_ = group.Close() // waits for the work, and never fails
			return context.Cause(ctx)
		}
		for _, assigned := range generation.Assignments[cfg.Topic] {
			generation.Start(func(ended context.Context) {
				if err := own(ctx, ended, cfg, generation, assigned, work); err != nil {
					fail(err)
				}
			})
		}
	}
}

func nextGeneration(ctx context.Context, cfg GroupConfig, group *kafka.ConsumerGroup) (generation *kafka.Generation, err error) {
	what := fmt.Sprintf("join group %q to read topic %q", cfg.Group, cfg.Topic)
	err = backoff.Retry(ctx, cfg.Logger, what, func() (err error) {
		generation, err = group.Next(ctx)
		return err
	})
	return generation, err
}

// own works on a partition until ctx or the generation ends, and then returns nil.
func own(ctx, ended context.Context, cfg GroupConfig, generation *kafka.Generation, assigned kafka.PartitionAssignment,
	work func(context.Context, *Partition) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ended, cancel)()

	p := &Partition{
		Number:     assigned.ID,
		cfg:        cfg,
		generation: generation,
		reader: kafka.NewReader(kafka.ReaderConfig{
			Brokers:       cfg.Kafka.Brokers,
			Dialer:        cfg.Kafka.Dialer(),
			Topic:         cfg.Topic,
			Partition:     assigned.ID,
			MinBytes:      1,
			MaxBytes:      MaxBytes,
			MaxWait:       maxWait,
			QueueCapacity: maxQueued,
			ErrorLogger:   kafka.LoggerFunc(func(format string, args ...any) { cfg.Logger.Warn("kafka: " + fmt.Sprintf(format, args...)) }),
		}),
	}
	defer closeReader(p.reader)
	err := p.seek(ctx, assigned.Offset)
	if err == nil {
		err = work(ctx, p)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// maxWait is how long kafka-go gives a broker to answer. One that is busy for longer
// loses the connection and is asked again, so that a short time would end in nothing but
// questions.
const maxWait = 10 * time.Second

// closeReader does not wait until the broker has answered for the last time.
func closeReader(r *kafka.Reader) {
	go func() { _ = r.Close() }() // never fails
}

// maxQueued bounds the messages that a partition reads ahead, in number; who fetches
// them bounds the bytes.
const maxQueued = 32

// seek goes to where the group is. A start that moves with time is committed at once:
// what arrives before the first commit must not be passed over after a restart.
func (p *Partition) seek(ctx context.Context, committed int64) error {
	if committed >= 0 || p.cfg.Start == Earliest {
		return p.reader.SetOffset(committed)
	}
	var start int64
	what := fmt.Sprintf("look up offset %s of partition %d of topic %q", p.cfg.Start, p.Number, p.cfg.Topic)
	err := backoff.Retry(ctx, p.cfg.Logger, what, func() (err error) {
		start, _, err = bounds(ctx, p.cfg.Kafka.client(), p.cfg.Topic, p.Number, p.cfg.Start)
		return err
	})
	if err != nil {
		return err
	}
	if err := p.Commit(ctx, start); err != nil {
		return err
	}
	return p.reader.SetOffset(start)
}

// Fetch waits for the next message.
func (p *Partition) Fetch(ctx context.Context) (m kafka.Message, err error) {
	if m, err = p.reader.FetchMessage(ctx); err == nil {
		return m, nil // without what a retry takes
	}
	what := fmt.Sprintf("read partition %d of topic %q", p.Number, p.cfg.Topic)
	err = backoff.Retry(ctx, p.cfg.Logger, what, func() (err error) {
		m, err = p.reader.FetchMessage(ctx)
		return err
	})
	return m, err
}

// Commit commits that all messages before next are finished, retrying until ctx ends.
// Of two calls at once, the lower offset could come last and win.
func (p *Partition) Commit(ctx context.Context, next int64) error {
	what := fmt.Sprintf("commit offset %d of partition %d of topic %q", next, p.Number, p.cfg.Topic)
	return backoff.Retry(ctx, p.cfg.Logger, what, func() error {
		return p.generation.CommitOffsets(map[string]map[int]int64{p.cfg.Topic: {p.Number: next}})
	})
}
