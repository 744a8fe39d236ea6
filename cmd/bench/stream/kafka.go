package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
)

// emptyServers recreates the topics and empties Redis.
func (r *environment) emptyServers(ctx context.Context, partitions int) error {
	if err := r.recreateTopics(ctx, partitions); err != nil {
		return err
	}
	return r.flushRedis(ctx)
}

// recreateTopics deletes all messages and committed offsets.
func (r *environment) recreateTopics(ctx context.Context, partitions int) error {
	topics := stream.DefaultTopics()
	client := &kafka.Client{Addr: kafka.TCP(r.cluster.Brokers...)}
	_, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topics.Interactions, topics.Refreshes, topics.DeadLetters}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// Kafka deletes asynchronously: without waiting, the old topics would be used.
	for _, topic := range []string{topics.Interactions, topics.Refreshes, topics.DeadLetters} {
		err := retry(ctx, "wait for the deletion of topic "+topic, func() error {
			_, err := partitionsOf(ctx, r.cluster, topic)
			switch {
			case errors.Is(err, kafka.UnknownTopicOrPartition):
				return nil
			case err == nil:
				return errors.New("the topic still exists")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return retry(ctx, "recreate the topics", func() error {
		if err := stream.EnsureTopics(ctx, r.cluster, topics, partitions); err != nil {
			return err
		}
		n, err := partitionsOf(ctx, r.cluster, topics.Interactions)
		if err == nil && n != partitions {
			err = fmt.Errorf("%d of %d partitions exist", n, partitions)
		}
		return err
	})
}

func retry(ctx context.Context, action string, f func() error) error {
	return backoff.Retry(ctx, slog.New(slog.DiscardHandler), action, f)
}

func partitionsOf(ctx context.Context, c stream.Cluster, topic string) (int, error) {
	partitions, err := c.Dialer().LookupPartitions(ctx, "tcp", c.Brokers[0], topic)
	return len(partitions), err
}

// kafkaWarmUp is the duration of the warm-up of Kafka.
const kafkaWarmUp = 10 * time.Second

// warmKafka sends Kafka the same requests as the services, until its JIT compiler has compiled them, as in
// production. The topics must be recreated afterwards.
func (r *environment) warmKafka(ctx context.Context) error {
	if err := r.recreateTopics(ctx, r.partitions); err != nil {
		return err
	}
	client := &kafka.Client{Addr: kafka.TCP(r.cluster.Brokers...)}
	until := time.Now().Add(kafkaWarmUp)
	ctx, cancel := context.WithTimeout(ctx, kafkaWarmUp+time.Minute)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for partition := range r.partitions {
		group.Go(func() error {
			for offset := int64(0); time.Now().Before(until); offset++ {
				// The metadata of the client may not contain the topic yet.
				err := retry(ctx, "warm up Kafka", func() error { return produceFetchCommit(ctx, client, partition, offset) })
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// produceFetchCommit produces a message, fetches it and commits its offset.
func produceFetchCommit(ctx context.Context, client *kafka.Client, partition int, offset int64) error {
	topic := stream.DefaultTopics().Interactions
	produced, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte("user")), Value: kafka.NewBytes(make([]byte, 200))}),
	})
	if err == nil {
		err = produced.Error
	}
	if err != nil {
		return fmt.Errorf("produce to %s/%d: %w", topic, partition, err)
	}
	fetched, err := client.Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second,
	})
	if err == nil {
		err = fetched.Error
	}
	if err != nil {
		return fmt.Errorf("fetch offset %d of %s/%d: %w", offset, topic, partition, err)
	}
	if record, err := fetched.Records.ReadRecord(); err == nil {
		_, err = io.Copy(io.Discard, record.Value)
		if err != nil {
			return err
		}
	}
	committed, err := client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: "warm-up", GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: partition, Offset: offset + 1}}},
	})
	if err == nil {
		err = committed.Topics[topic][0].Error
	}
	if err != nil {
		return fmt.Errorf("commit offset %d of %s/%d: %w", offset, topic, partition, err)
	}
	return nil
}
