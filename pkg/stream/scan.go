package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

// Scan calls fn with each message that a topic holds now, partition by partition, and
// returns its first error. What arrives meanwhile is left out, so that it ends. It holds
// one response of the broker in memory.
func Scan(ctx context.Context, c Cluster, topic string, from Start, fn func(kafka.Message) error) error {
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

// partitionsOf returns the numbers of a topic's partitions, in order.
func partitionsOf(ctx context.Context, client *kafka.Client, topic string) (numbers []int, err error) {
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	for _, t := range metadata.Topics {
		if t.Error != nil {
			return nil, t.Error
		}
		for _, p := range t.Partitions {
			numbers = append(numbers, p.ID)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func scanPartition(ctx context.Context, client *kafka.Client, topic string, partition int, from Start, fn func(kafka.Message) error) error {
	next, end, err := bounds(ctx, client, topic, partition, from)
	if err != nil {
		return fmt.Errorf("look up the offsets of partition %d of topic %q: %w", partition, topic, err)
	}
	if next >= end {
		return nil
	}
	p := &Partition{Number: partition, cfg: GroupConfig{Topic: topic, Logger: slog.New(slog.DiscardHandler)}, client: client, next: next}
	for p.next < end {
		messages, err := p.requestSoon(ctx)
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

// requestSoon gives up on a broker that is away.
func (p *Partition) requestSoon(ctx context.Context) (messages []kafka.Message, err error) {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = backoff.Retry(ctx, p.cfg.Logger, "read messages", func() (err error) {
		messages, err = p.request(ctx)
		return err
	})
	return messages, err
}

// bounds returns the offset to start from, and the one behind the newest message, or that of the
// oldest transaction that is open.
func bounds(ctx context.Context, client *kafka.Client, topic string, partition int, from Start) (start, end int64, err error) {
	asked := []kafka.OffsetRequest{kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)}
	if !from.at.IsZero() {
		asked = append(asked, kafka.TimeOffsetOf(partition, from.at))
	}
	offsets, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}, IsolationLevel: kafka.ReadCommitted})
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
		if offset >= 0 { // else nothing is as new as that
			start = offset
		}
	}
	return start, end, nil
}

var errNoAnswer = errors.New("the leader of the partition does not answer")

// partitionError returns the error of a partition. kafka-go has a code in place of the error
// of a broker that is away, which would pass for a refusal.
func partitionError(p kafka.PartitionOffsets) error {
	if errors.Is(p.Error, kafka.Unknown) {
		return errNoAnswer
	}
	return p.Error
}
