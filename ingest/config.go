package ingest

import (
	"cmp"
	"log/slog"

	"genrec/pkg/event"
	"genrec/pkg/stream"
)

// Defaults of Config.
const (
	DefaultGroup    = "genrec-ingest"
	DefaultMaxBatch = 512
)

// Config configures an Ingester. Every field but Kafka may be left zero and
// then takes its default.
type Config struct {
	Kafka    stream.Cluster
	Topics   stream.Topics
	Group    string       // Kafka consumer group
	Limits   event.Limits // zero MaxBytes: event.DefaultLimits
	MaxBatch int          // events applied together: larger is faster under load, and redelivers more after a crash
	Logger   *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Topics = cmp.Or(c.Topics, stream.DefaultTopics())
	c.Group = cmp.Or(c.Group, DefaultGroup)
	c.MaxBatch = cmp.Or(c.MaxBatch, DefaultMaxBatch)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Limits.MaxBytes == 0 {
		c.Limits = event.DefaultLimits()
	}
	return c
}
