// Package archive moves all valid interactions into the history, beside the ingest: as
// members of a consumer group of their own, whose commits nobody waits for.
package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
	"genrec/pkg/event"
	"genrec/pkg/history"
	"genrec/pkg/stream"
)

// Defaults of Config.
const (
	DefaultGroup     = "genrec-archive"
	DefaultMaxEvents = 1_000_000
	DefaultMaxAge    = 5 * time.Minute
)

// Config configures an Archiver. Every field but Kafka may be left zero and then takes
// its default.
type Config struct {
	Kafka     stream.Cluster
	Topics    stream.Topics
	Group     string        // Kafka consumer group
	Limits    event.Limits  // zero MaxBytes: event.DefaultLimits
	Start     stream.Start  // of partitions that the group has committed nothing of
	MaxEvents int64         // of a segment
	MaxAge    time.Duration // of a segment: what a kill makes read again, and how far commits lie behind
	Logger    *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Topics = cmp.Or(c.Topics, stream.DefaultTopics())
	c.Group = cmp.Or(c.Group, DefaultGroup)
	c.MaxEvents = cmp.Or(c.MaxEvents, DefaultMaxEvents)
	c.MaxAge = cmp.Or(c.MaxAge, DefaultMaxAge)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Limits.MaxBytes == 0 {
		c.Limits = event.DefaultLimits()
	}
	return c
}

// Access is what an Archiver does in Kafka.
func (c Config) Access() stream.Access {
	c = c.withDefaults()
	return stream.Access{Group: c.Group, Reads: c.Topics.Interactions}
}

// Archiver is a member of the consumer group that fills the history. It holds some
// thousand events of each of its partitions in memory.
type Archiver struct {
	cfg      Config
	archive  *history.Archive
	archived atomic.Int64
}

// New returns an Archiver; Run starts it.
func New(cfg Config, a *history.Archive) *Archiver {
	return &Archiver{cfg: cfg.withDefaults(), archive: a}
}

// Archived is how many events are in segments whose messages are committed. It may be
// called while Run runs.
func (a *Archiver) Archived() int64 { return a.archived.Load() }

// Run archives until ctx ends and then returns nil; the segments in progress are left for
// the next run. While Kafka is away or the disk is full it tries again, from what was
// committed.
func (a *Archiver) Run(ctx context.Context) error {
	if len(a.cfg.Kafka.Brokers) == 0 {
		return errors.New("archive: no Kafka brokers are configured")
	}
	group := stream.GroupConfig{
		Kafka: a.cfg.Kafka, Group: a.cfg.Group, Topic: a.cfg.Topics.Interactions, Start: a.cfg.Start, Logger: a.cfg.Logger,
	}
	err := backoff.Retry(ctx, a.cfg.Logger, "archive the interactions", func() error {
		return stream.Consume(ctx, group, a.work)
	})
	if ctx.Err() != nil {
		err = nil
	}
	return err
}

// work makes one segment of a partition after the other.
func (a *Archiver) work(ctx context.Context, p *stream.Partition) error {
	for {
		if err := a.segment(ctx, p); err != nil {
			return err
		}
	}
}

// segment waits for a message, and gathers what follows until the segment is full or old
// enough. It commits what is on the disk.
func (a *Archiver) segment(ctx context.Context, p *stream.Partition) (err error) {
	m, err := p.Fetch(ctx)
	if err != nil {
		return err
	}
	s := &segment{archiver: a, partition: p.Number, first: m.Offset}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.discard())
		}
	}()
	open, cancel := context.WithTimeout(ctx, a.cfg.MaxAge)
	defer cancel()
	for {
		if err := s.add(m); err != nil {
			return err
		}
		if s.messages >= a.cfg.MaxEvents {
			break
		}
		if m, err = p.Fetch(open); err != nil {
			if ctx.Err() == nil && open.Err() != nil {
				break
			}
			return err
		}
	}
	events, err := s.publish()
	if err != nil {
		return err
	}
	if err := p.Commit(ctx, s.next); err != nil {
		return err
	}
	a.archived.Add(events)
	return nil
}

func (a *Archiver) decode(m kafka.Message) (e event.Event, valid bool) {
	e, err := event.Decode(m.Value, time.Now(), a.cfg.Limits)
	return e, err == nil
}

// segment is one that is being filled. Its file begins with the first valid event.
type segment struct {
	archiver    *Archiver
	partition   int
	first, next int64 // offsets
	messages    int64
	draft       *history.Draft
}

func (s *segment) add(m kafka.Message) (err error) {
	s.messages++
	s.next = m.Offset + 1
	e, valid := s.archiver.decode(m)
	if !valid {
		return nil // ingest buries it
	}
	if s.draft == nil {
		if s.draft, err = s.archiver.archive.Draft(s.partition, s.first); err != nil {
			return err
		}
	}
	return s.draft.Add(e)
}

func (s *segment) publish() (events int64, err error) {
	if s.draft == nil {
		return 0, nil
	}
	draft := s.draft
	s.draft = nil
	if err := draft.Publish(); err != nil {
		return 0, fmt.Errorf("archive offsets %d to %d of partition %d: %w", s.first, s.next-1, s.partition, err)
	}
	return draft.Events(), nil
}

func (s *segment) discard() error {
	if s.draft == nil {
		return nil
	}
	return s.draft.Discard()
}
