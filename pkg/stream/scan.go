package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

// Scan calls fn with each message that a topic contains now, partition by partition, and returns
// the first error of fn. Messages that arrive meanwhile are left out, so that Scan terminates. It
// holds one fetch response in memory.
func Scan(ctx context.Context, c Cluster, topic string, from StartOffset, fn func(kafka.Message) error) error {
	client, done := c.freshClient()
	defer done()
	partitions, err := partitionsOf(ctx, client, topic)
	if err != nil {
		return fmt.Errorf("look up the partitions of topic %q: %w", topic, err)
	}
	for _, partition := range partitions {
		if err := scanPartition(ctx, client, topic, partition, from, fn); err != nil {
			return err
		}
	}
	return nil
}

func scanPartition(ctx context.Context, client *kafka.Client, topic string, partition int, from StartOffset, fn func(kafka.Message) error) error {
	next, end, err := offsetRange(ctx, client, topic, partition, from)
	if err != nil {
		return fmt.Errorf("look up the offsets of partition %d of topic %q: %w", partition, topic, err)
	}
	if next >= end {
		return nil
	}
	p := &Partition{Number: partition, cfg: GroupConfig{Topic: topic, Logger: slog.New(slog.DiscardHandler)}, client: client, next: next}
	for p.next < end {
		messages, err := p.fetchWithin(ctx, scanPatience)
		if err != nil {
			return fmt.Errorf("read offset %d of partition %d of topic %q, which ends at %d: %w", p.next, partition, topic, end, err)
		}
		for _, m := range messages {
			if m.Offset >= end {
				return nil
			}
			if err := fn(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// scanPatience is how long Scan retries a broker that is down.
const scanPatience = 30 * time.Second

func (p *Partition) fetchWithin(ctx context.Context, patience time.Duration) (messages []kafka.Message, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = backoff.Retry(ctx, p.cfg.Logger, "read messages", func() (err error) {
		messages, err = p.fetchOnce(ctx)
		return err
	})
	return messages, err
}

// offsetRange resolves a start offset, and returns the end of the partition: the last stable
// offset, which is after the newest message or at the first open transaction.
func offsetRange(ctx context.Context, client *kafka.Client, topic string, partition int, from StartOffset) (start, end int64, err error) {
	requests := []kafka.OffsetRequest{kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)}
	if !from.at.IsZero() {
		requests = append(requests, kafka.TimeOffsetOf(partition, from.at))
	}
	offsets, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: requests}, IsolationLevel: kafka.ReadCommitted})
	if err != nil {
		return 0, 0, err
	}
	if len(offsets.Topics[topic]) != 1 {
		return 0, 0, kafka.UnknownTopicOrPartition
	}
	p := offsets.Topics[topic][0]
	if err := partitionError(p); err != nil {
		return 0, 0, err
	}
	start, end = p.FirstOffset, p.LastOffset
	if from != Earliest {
		start = end
	}
	for offset := range p.Offsets {
		if offset >= 0 { // negative: no message is that new
			start = offset
		}
	}
	return start, end, nil
}

var errNoLeader = errors.New("the leader of the partition does not respond")

// partitionError returns the error of a partition. If the leader is down, kafka-go returns
// kafka.Unknown in place of the connection error, which must not count as a rejection.
func partitionError(p kafka.PartitionOffsets) error {
	if errors.Is(p.Error, kafka.Unknown) {
		return errNoLeader
	}
	return p.Error
}
