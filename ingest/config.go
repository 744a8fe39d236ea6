package ingest

import (
	"cmp"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"genrec/pkg/event"
	"genrec/pkg/stream"
)

// Defaults of Config.
const (
	DefaultGroup    = "genrec-ingest"
	DefaultMaxBatch = 1024
	DefaultMaxBytes = 64 << 20
)

// Config configures an Ingester. Every field but Kafka may be left zero and
// then takes its default.
type Config struct {
	Kafka       stream.Cluster
	Topics      stream.Topics
	Group       string               // Kafka consumer group
	Limits      event.Limits         // zero MaxBytes: event.DefaultLimits
	StartOffset stream.StartOffset   // of partitions that the group has committed nothing of
	MaxBatch    int                  // events of a partition applied together: larger is faster under load, and redelivers more after a crash
	MaxBytes    int64                // of the messages in hand, of all partitions; more wait in Kafka
	Tracing     trace.TracerProvider // nil: no spans; the traces that messages name are passed on
	Logger      *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Topics = cmp.Or(c.Topics, stream.DefaultTopics())
	c.Group = cmp.Or(c.Group, DefaultGroup)
	c.MaxBatch = cmp.Or(c.MaxBatch, DefaultMaxBatch)
	c.MaxBytes = cmp.Or(c.MaxBytes, DefaultMaxBytes)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Limits.MaxBytes == 0 {
		c.Limits = event.DefaultLimits()
	}
	return c
}

// Permissions returns the Kafka operations that the Ingester needs.
func (c Config) Permissions() stream.Permissions {
	c = c.withDefaults()
	return stream.Permissions{Group: c.Group, Reads: c.Topics.Interactions, Writes: []string{c.Topics.Refreshes, c.Topics.DeadLetters}}
}
