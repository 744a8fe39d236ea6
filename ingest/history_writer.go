package ingest

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

// Defaults of HistoryConfig.
const (
	DefaultHistoryGroup    = "genrec-archive"
	DefaultSegmentMessages = 1_000_000
	DefaultSegmentAge      = 5 * time.Minute
)

// HistoryConfig configures a HistoryWriter. Every field but Kafka may be zero and then takes
// its default.
type HistoryConfig struct {
	Kafka           stream.Cluster     // where the interactions come from
	Topics          stream.Topics      // of which it reads Interactions
	Group           string             // Kafka consumer group
	Limits          event.Limits       // zero MaxBytes: event.DefaultLimits
	StartOffset     stream.StartOffset // where partitions without a committed offset are read from
	SegmentMessages int64              // messages after which a segment is published
	SegmentAge      time.Duration      // age at which a segment is published; bounds the commit lag and what is read again after a crash
	Logger          *slog.Logger       // default: slog.Default
}

func (c HistoryConfig) withDefaults() HistoryConfig {
	c.Topics = cmp.Or(c.Topics, stream.DefaultTopics())
	c.Group = cmp.Or(c.Group, DefaultHistoryGroup)
	c.SegmentMessages = cmp.Or(c.SegmentMessages, DefaultSegmentMessages)
	c.SegmentAge = cmp.Or(c.SegmentAge, DefaultSegmentAge)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Limits.MaxBytes == 0 {
		c.Limits = event.DefaultLimits()
	}
	return c
}

// Permissions returns the Kafka operations that a HistoryWriter needs.
func (c HistoryConfig) Permissions() stream.Permissions {
	c = c.withDefaults()
	return stream.Permissions{Group: c.Group, Reads: c.Topics.Interactions}
}

// HistoryWriter writes all valid interactions to the history as Parquet segments. It is a
// member of its own consumer group, so that a slow disk does not delay the sequences. For each
// partition it commits an offset only after the segment up to that offset is on the disk;
// after a crash, events can be in two segments and are deduplicated by event_id when they are
// read. It buffers up to one row group of events for each partition in memory.
type HistoryWriter struct {
	cfg     HistoryConfig
	dir     *history.Dir
	written atomic.Int64
}

// NewHistoryWriter returns a HistoryWriter that writes to dir; Run starts it.
func NewHistoryWriter(cfg HistoryConfig, dir *history.Dir) *HistoryWriter {
	return &HistoryWriter{cfg: cfg.withDefaults(), dir: dir}
}

// Written returns the number of events in segments whose offsets are committed. It may be
// called while Run runs.
func (w *HistoryWriter) Written() int64 { return w.written.Load() }

// Run writes the history until ctx ends and then returns nil; unfinished segments are
// discarded, and their messages are read again by the next run. While Kafka is down or the
// disk is full, Run retries from the committed offsets.
func (w *HistoryWriter) Run(ctx context.Context) error {
	if len(w.cfg.Kafka.Brokers) == 0 {
		return errors.New("history: no Kafka brokers are configured")
	}
	group := stream.GroupConfig{
		Kafka: w.cfg.Kafka, Group: w.cfg.Group, Topic: w.cfg.Topics.Interactions, StartOffset: w.cfg.StartOffset, Logger: w.cfg.Logger,
	}
	err := backoff.Retry(ctx, w.cfg.Logger, "write the history", func() error {
		return stream.Consume(ctx, group, w.consume)
	})
	if ctx.Err() != nil {
		err = nil
	}
	return err
}

func (w *HistoryWriter) consume(ctx context.Context, p *stream.Partition) error {
	for {
		if err := w.writeSegment(ctx, p); err != nil {
			return err
		}
	}
}

// writeSegment waits for a message, adds those that follow until the segment is full or old
// enough, publishes the segment and commits its offset.
func (w *HistoryWriter) writeSegment(ctx context.Context, p *stream.Partition) (err error) {
	m, err := p.Fetch(ctx)
	if err != nil {
		return err
	}
	s := &openSegment{writer: w, partition: p.Number, first: m.Offset}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.discard())
		}
	}()
	fetchCtx, cancel := context.WithTimeout(ctx, w.cfg.SegmentAge)
	defer cancel()
	for {
		if err := s.add(m); err != nil {
			return err
		}
		if s.messages >= w.cfg.SegmentMessages {
			break
		}
		if m, err = p.Fetch(fetchCtx); err != nil {
			if ctx.Err() == nil && fetchCtx.Err() != nil {
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
	w.written.Add(events)
	return nil
}

// openSegment is the segment that a partition's messages are being added to. Its file is
// created for the first valid event.
type openSegment struct {
	writer      *HistoryWriter
	partition   int
	first, next int64 // offsets: of the first message, and after the last one
	messages    int64
	file        *history.SegmentWriter // nil: no valid event yet
}

func (s *openSegment) add(m kafka.Message) (err error) {
	s.messages++
	s.next = m.Offset + 1
	e, err := event.Decode(m.Value, time.Now(), s.writer.cfg.Limits)
	if err != nil {
		return nil //nolint:nilerr // invalid events are dead-lettered by the Ingester
	}
	if s.file == nil {
		if s.file, err = s.writer.dir.NewSegment(s.partition, s.first); err != nil {
			return err
		}
	}
	return s.file.Add(e)
}

func (s *openSegment) publish() (events int64, err error) {
	if s.file == nil {
		return 0, nil
	}
	file := s.file
	s.file = nil
	if err := file.Publish(); err != nil {
		return 0, fmt.Errorf("history of partition %d, offsets %d to %d: %w", s.partition, s.first, s.next-1, err)
	}
	return file.Events(), nil
}

func (s *openSegment) discard() error {
	if s.file == nil {
		return nil
	}
	return s.file.Discard()
}
