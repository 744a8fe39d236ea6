package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// Scan calls fn with each message that a topic holds now, partition by partition, and
// returns its first error. What arrives meanwhile is left out, so that it ends. It holds
// a few messages in memory.
func Scan(ctx context.Context, c Cluster, topic string, from Start, fn func(kafka.Message) error) error {
	dialer := c.Dialer()
	partitions, err := dialer.LookupPartitions(ctx, "tcp", c.Brokers[0], topic)
	if err != nil {
		return fmt.Errorf("look up the partitions of topic %q: %w", topic, err)
	}
	slices.SortFunc(partitions, func(a, b kafka.Partition) int { return cmp.Compare(a.ID, b.ID) })
	for _, p := range partitions {
		if err := scanPartition(ctx, c, topic, p.ID, from, fn); err != nil {
			return err
		}
	}
	return nil
}

func scanPartition(ctx context.Context, c Cluster, topic string, partition int, from Start, fn func(kafka.Message) error) error {
	next, end, err := bounds(ctx, c, topic, partition, from)
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

func bounds(ctx context.Context, c Cluster, topic string, partition int, from Start) (start, end int64, err error) {
	conn, err := c.Dialer().DialLeader(ctx, "tcp", c.Brokers[0], topic, partition)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	if start, end, err = conn.ReadOffsets(); err != nil || from == Earliest {
		return start, end, err
	}
	start, err = from.offset(conn)
	return start, end, err
}
