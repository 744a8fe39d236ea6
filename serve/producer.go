package serve

import (
	"context"
	"log/slog"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

// Producer writes events to the topic of interactions.
type Producer struct {
	writer *kafka.Writer
	logger *slog.Logger
}

// NewProducer returns a producer; Close ends it.
func NewProducer(cluster stream.Cluster, logger *slog.Logger) *Producer {
	return &Producer{writer: stream.NewWriter(cluster, stream.DefaultTopics().Interactions), logger: logger}
}

// Publish tries until ctx ends. Each event goes on in the trace of ctx, if there is one.
func (p *Producer) Publish(ctx context.Context, events []Event) error {
	messages := make([]kafka.Message, len(events))
	for i, e := range events {
		messages[i] = kafka.Message{Key: []byte(e.User), Value: e.JSON}
		defer stream.StartSend(ctx, p.writer.Topic, &messages[i]).End()
	}
	return stream.Publish(ctx, p.logger, p.writer, messages...)
}

// Permissions returns the Kafka operations that the Producer needs.
func (p *Producer) Permissions() stream.Permissions {
	return stream.Permissions{Writes: []string{p.writer.Topic}}
}

// Close waits for what is being written.
func (p *Producer) Close() error { return p.writer.Close() }
