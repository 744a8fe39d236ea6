package stream

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

// nthEvent returns the nth event of a stream that takes one event of each user in turn.
func (r *environment) nthEvent(n int, began time.Time) event.Event {
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

// produce writes n events to the topic of interactions.
func (r *environment) produce(ctx context.Context, n int) error {
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

// publish retries for a minute: connections cache the metadata of deleted topics for a while.
func publish(ctx context.Context, w *kafka.Writer, messages []kafka.Message) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return stream.Publish(ctx, slog.New(slog.DiscardHandler), w, messages...)
}
