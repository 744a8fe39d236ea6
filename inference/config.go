package inference

import (
	"cmp"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"genrec/pkg/stream"
	"genrec/pkg/userstate"
)

// Defaults of Config.
const (
	DefaultGroup         = "genrec-inference"
	DefaultLatencyTarget = 100 * time.Millisecond
	DefaultMaxBatch      = 4096
	DefaultMaxPending    = 10_000
	DefaultPollModels    = time.Second
	DefaultRefreshRate   = 200
	DefaultActiveFor     = 7 * 24 * time.Hour

	defaultRestoreEvery = 5 * time.Second // as long as readers remember what they have read
)

// Config configures a Worker. Every field but Kafka may be left zero and then
// takes its default.
type Config struct {
	Kafka  stream.Cluster
	Topics stream.Topics
	Group  string // Kafka consumer group
	// LatencyTarget is how long a user should wait who comes while a batch is generated:
	// batches have as many users as take half of it. Longer does more users a second.
	LatencyTarget time.Duration
	MaxBatch      int           // users generated together even if more would do, which bounds the memory
	MaxPending    int           // waiting users at which reading pauses: larger coalesces more under overload, and takes memory
	PollModels    time.Duration // between looks for new model versions
	// RefreshRate is how many users a second get new recommendations after a change of
	// models without having done anything, if they did something in the last ActiveFor; 0:
	// none do. DefaultRefreshRate is for programs to offer.
	RefreshRate int
	ActiveFor   time.Duration
	OnWritten   func(Written)        // one call at a time, nil: none; writing waits for it, so it must be quick
	Tracing     trace.TracerProvider // nil: no spans
	Logger      *slog.Logger

	restoreEvery time.Duration // between looks whether Redis has what is there for all users
}

// Written is a user's recommendations that have just been written.
type Written struct {
	Recommendations userstate.List
	Replaced        userstate.List // those that were read before, zero if there were none
	Items           []string       // that they were generated from, oldest first
	ProducedAt      []time.Time    // of the events behind them, at most stream.MaxProducedAt
	WrittenAt       time.Time
}

func (c Config) withDefaults() Config {
	c.Topics = cmp.Or(c.Topics, stream.DefaultTopics())
	c.Group = cmp.Or(c.Group, DefaultGroup)
	c.LatencyTarget = cmp.Or(c.LatencyTarget, DefaultLatencyTarget)
	c.MaxBatch = cmp.Or(c.MaxBatch, DefaultMaxBatch)
	c.MaxPending = cmp.Or(c.MaxPending, DefaultMaxPending)
	c.PollModels = cmp.Or(c.PollModels, DefaultPollModels)
	c.ActiveFor = cmp.Or(c.ActiveFor, DefaultActiveFor)
	c.restoreEvery = cmp.Or(c.restoreEvery, defaultRestoreEvery)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

// Permissions returns the Kafka operations that the Worker needs.
func (c Config) Permissions() stream.Permissions {
	c = c.withDefaults()
	return stream.Permissions{Group: c.Group, Reads: c.Topics.Refreshes, Writes: []string{c.Topics.DeadLetters, c.Topics.Refreshes}}
}
