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
	// Pause is how long to let messages gather between two requests for them; nil: not at all.
	// It delays no message that comes later than that after the one before.
	Pause func() time.Duration
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
	client, done := cfg.Kafka.freshClient()
	defer done()
	client.Transport = newMerger(client.Transport, cfg.Pause)
	for {
		generation, err := nextGeneration(ctx, cfg, group)
		if err != nil {
			_ = group.Close() // waits for the work, and never fails
			return context.Cause(ctx)
		}
		commits := &commits{send: func(offsets map[int]int64) error {
			return generation.CommitOffsets(map[string]map[int]int64{cfg.Topic: offsets})
		}}
		for _, assigned := range generation.Assignments[cfg.Topic] {
			generation.Start(func(ended context.Context) {
				if err := own(ctx, ended, &Partition{Number: assigned.ID, cfg: cfg, commits: commits, client: client}, assigned.Offset, work); err != nil {
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
func own(ctx, ended context.Context, p *Partition, committed int64, work func(context.Context, *Partition) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ended, cancel)()
	err := p.seek(ctx, committed)
	if err == nil {
		err = work(ctx, p)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}
