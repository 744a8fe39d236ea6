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

	defaultRestoreEvery = 5 * time.Second // the time for which readers cache
)

// Config configures a Worker. A zero field, except Kafka and RefreshRate, selects its default.
type Config struct {
	Kafka  stream.Cluster // required
	Topics stream.Topics  // of refreshes and dead letters
	Group  string         // Kafka consumer group
	// LatencyTarget is the maximum wait of a user who arrives while a batch is generated: batches
	// are sized to take half of it. A larger target increases throughput.
	LatencyTarget time.Duration
	MaxBatch      int           // maximum users per batch; bounds memory
	MaxPending    int           // waiting users at which fetching pauses; a larger queue coalesces more under overload but uses more memory
	PollModels    time.Duration // interval between polls for new model versions
	// RefreshRate is the rate of the background refresh after a change of the serving set, in users
	// per second; 0 disables it. Programs should offer DefaultRefreshRate.
	RefreshRate int
	ActiveFor   time.Duration        // background refreshes include users with events in this period
	OnWritten   func(Written)        // called for each written list, one call at a time; must not block, because writing waits for it
	Tracing     trace.TracerProvider // nil: no spans
	Logger      *slog.Logger         // default: slog.Default()

	restoreEvery time.Duration // interval between checks of the shared keys in Redis
}

// Written describes a list that was just written.
type Written struct {
	Recommendations userstate.List // the new list
	Replaced        userstate.List // the list that was stored before, zero if there was none
	Items           []string       // the sequence that the list was generated from, oldest first
	ProducedAt      []time.Time    // production times of the events since, at most stream.MaxProducedAt; none for a background refresh
	WrittenAt       time.Time      // UTC
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
