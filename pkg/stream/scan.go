package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// Scan calls fn with each message that a topic holds now, partition by partition, and
// returns its first error. What arrives meanwhile is left out, so that it ends. It holds
// a few messages in memory.
func Scan(ctx context.Context, c Cluster, topic string, from Start, fn func(kafka.Message) error) error {
	client, done := c.freshClient()
	defer done()
	partitions, err := partitionsOf(ctx, client, topic)
	if err != nil {
		return fmt.Errorf("look up the partitions of topic %q: %w", topic, err)
	}
	for _, partition := range partitions {
		if err := scanPartition(ctx, c, client, topic, partition, from, fn); err != nil {
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

func scanPartition(ctx context.Context, c Cluster, client *kafka.Client, topic string, partition int, from Start, fn func(kafka.Message) error) error {
	next, end, err := bounds(ctx, client, topic, partition, from)
	if err != nil {
		return fmt.Errorf("look up the offsets of partition %d of topic %q: %w", partition, topic, err)
	}
	if next >= end {
		return nil
	}
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: c.Brokers, Dialer: c.Dialer(), Topic: topic, Partition: partition,
		MinBytes: 1, MaxBytes: MaxDeadLetterBytes, MaxWait: maxWait, QueueCapacity: maxQueued,
	})
	defer closeReader(r)
	if err := r.SetOffset(next); err != nil {
		return err
	}
	for next < end {
		m, err := fetchSoon(ctx, r)
		if err != nil {
			return fmt.Errorf("read offset %d of partition %d of topic %q, which ends at %d: %w", next, partition, topic, end, err)
		}
		if next = m.Offset + 1; next > end {
			return nil
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

// fetchSoon gives up on a broker that is away.
func fetchSoon(ctx context.Context, r *kafka.Reader) (kafka.Message, error) {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.FetchMessage(ctx)
}

// bounds returns the offset to start from, and the one behind the newest message.
func bounds(ctx context.Context, client *kafka.Client, topic string, partition int, from Start) (start, end int64, err error) {
	asked := []kafka.OffsetRequest{kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)}
	if !from.at.IsZero() {
		asked = append(asked, kafka.TimeOffsetOf(partition, from.at))
	}
	offsets, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: asked}})
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
