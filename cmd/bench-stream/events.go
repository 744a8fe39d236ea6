package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
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
		if err := publish(ctx, w, messages); err != nil {
			return err
		}
	}
	return nil
}

// publish tries again for a minute, because the connections remember topics that are no more
// for a while.
func publish(ctx context.Context, w *kafka.Writer, messages []kafka.Message) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return stream.Publish(ctx, slog.New(slog.DiscardHandler), w, messages...)
}

// emptyServers makes the topics anew and empties Redis.
func (r *rig) emptyServers(ctx context.Context, partitions int) error {
	topics := stream.DefaultTopics()
	client := &kafka.Client{Addr: kafka.TCP(r.kafka)}
	_, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topics.Interactions, topics.Refreshes, topics.DeadLetters}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// Kafka deletes in its own time: until then, the old topics would be taken for the new ones.
	for _, topic := range []string{topics.Interactions, topics.Refreshes, topics.DeadLetters} {
		err := retry(ctx, "wait for the end of the topic "+topic, func() error {
			_, err := partitionsOf(ctx, r.cluster, topic)
			switch {
			case errors.Is(err, kafka.UnknownTopicOrPartition):
				return nil
			case err == nil:
				return errors.New("it is still there")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	err = retry(ctx, "make the topics anew", func() error {
		if err := stream.EnsureTopics(ctx, r.cluster, topics, partitions); err != nil {
			return err
		}
		n, err := partitionsOf(ctx, r.cluster, topics.Interactions)
		if err == nil && n != partitions {
			err = fmt.Errorf("there are %d partitions of %d", n, partitions)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.rdb.FlushAll(ctx).Err()
}

func retry(ctx context.Context, what string, f func() error) error {
	return backoff.Retry(ctx, slog.New(slog.DiscardHandler), what, f)
}

func partitionsOf(ctx context.Context, c stream.Cluster, topic string) (int, error) {
	partitions, err := c.Dialer().LookupPartitions(ctx, "tcp", c.Brokers[0], topic)
	return len(partitions), err
}
