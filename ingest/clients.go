package ingest

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

// clients are the connections to Kafka of one run.
type clients struct {
	interactions           *kafka.Reader
	refreshes, deadLetters *kafka.Writer
}

func openClients(cfg Config) clients {
	return clients{
		interactions: stream.NewReader(cfg.Kafka, cfg.Group, cfg.Topics.Interactions),
		refreshes:    stream.NewWriter(cfg.Kafka, cfg.Topics.Refreshes),
		deadLetters:  stream.NewDeadLetterWriter(cfg.Kafka, cfg.Topics.DeadLetters),
	}
}

func (c clients) close() error {
	err := errors.Join(c.interactions.Close(), c.refreshes.Close(), c.deadLetters.Close())
	if err != nil {
		return fmt.Errorf("close Kafka clients: %w", err)
	}
	return nil
}
