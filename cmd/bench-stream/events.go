package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/event"
	"genrec/pkg/stream"
)

// nthEvent is one of a stream in which users come in turn, each with an event of their own.
func (r *rig) nthEvent(n int, began time.Time) event.Event {
	const step = 7919 // users are not neighbors in the topic
	return event.Event{
		ID: fmt.Sprintf("e%011d", n), User: fmt.Sprintf("user-%d", n*step%r.users), Item: fmt.Sprintf("B%09d", n%12_101),
		Type: event.DefaultType, Time: began.Add(time.Duration(n) * time.Millisecond),
	}
}

func message(e event.Event) (kafka.Message, error) {
	value, err := json.Marshal(e)
	return kafka.Message{Key: []byte(e.User), Value: value}, err
}

// produce fills the topic of interactions.
func (r *rig) produce(ctx context.Context, n int) error {
	w := stream.NewWriter(r.cluster, stream.DefaultTopics().Interactions)
	w.BatchSize = 5000
	defer w.Close()
	began := time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Millisecond)
	const chunk = 20_000
	for from := 0; from < n; from += chunk {
		messages := make([]kafka.Message, min(chunk, n-from))
		for i := range messages {
			var err error
			if messages[i], err = message(r.nthEvent(from+i, began)); err != nil {
				return err
			}
		}
		// Retried, because the connections remember topics that are no more for a while.
		if err := stream.Publish(ctx, slog.New(slog.DiscardHandler), w, messages...); err != nil {
			return err
		}
	}
	return nil
}

// emptyServers makes the topics anew and empties Redis.
func (r *rig) emptyServers(ctx context.Context, partitions int) error {
	topics := stream.DefaultTopics()
	client := &kafka.Client{Addr: kafka.TCP(r.kafka)}
	_, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topics.Interactions, topics.Refreshes, topics.DeadLetters}})
	if err != nil {
		return err
	}
	// Kafka deletes in its own time.
	deadline := time.Now().Add(time.Minute)
	for {
		err = stream.EnsureTopics(ctx, r.cluster, topics, partitions)
		if err == nil {
			if n, lookErr := partitionsOf(ctx, r.cluster, topics.Interactions); lookErr == nil && n == partitions {
				break
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("make the topics anew: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return r.rdb.FlushAll(ctx).Err()
}

func partitionsOf(ctx context.Context, c stream.Cluster, topic string) (int, error) {
	partitions, err := c.Dialer().LookupPartitions(ctx, "tcp", c.Brokers[0], topic)
	return len(partitions), err
}
