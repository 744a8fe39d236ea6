package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

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

// recreateTopics deletes what is in the topics, and what groups have committed of it.
func (r *environment) recreateTopics(ctx context.Context, partitions int) error {
	topics := stream.DefaultTopics()
	client := &kafka.Client{Addr: kafka.TCP(r.cluster.Brokers...)}
	_, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topics.Interactions, topics.Refreshes, topics.DeadLetters}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// Kafka deletes asynchronously: until then, the old topics would be taken for the new ones.
	for _, topic := range []string{topics.Interactions, topics.Refreshes, topics.DeadLetters} {
		err := retry(ctx, "wait for the deletion of topic "+topic, func() error {
			_, err := partitionsOf(ctx, r.cluster, topic)
			switch {
			case errors.Is(err, kafka.UnknownTopicOrPartition):
				return nil
			case err == nil:
				return errors.New("it still exists")
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

func retry(ctx context.Context, what string, f func() error) error {
	return backoff.Retry(ctx, slog.New(slog.DiscardHandler), what, f)
}

func partitionsOf(ctx context.Context, c stream.Cluster, topic string) (int, error) {
	partitions, err := c.Dialer().LookupPartitions(ctx, "tcp", c.Brokers[0], topic)
	return len(partitions), err
}
