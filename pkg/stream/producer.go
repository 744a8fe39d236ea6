package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

// NewWriter returns a writer to a topic that waits for all in-sync replicas and keeps the
// messages of a key in order.
func NewWriter(cluster Cluster, topic string) *kafka.Writer {
	return newWriter(cluster, topic, MaxBytes)
}

// NewDeadLetterWriter is NewWriter with the message size limit of the dead-letter topic.
func NewDeadLetterWriter(cluster Cluster, topic string) *kafka.Writer {
	return newWriter(cluster, topic, MaxDeadLetterBytes)
}

// batchHeader bounds the bytes of a record batch that the broker counts and the writer does not.
const batchHeader = 64

func newWriter(cluster Cluster, topic string, maxBytes int64) *kafka.Writer {
	return &kafka.Writer{
		Addr:         kafka.TCP(cluster.Brokers...),
		Transport:    cluster.transport(),
		Topic:        topic,
		Balancer:     &kafka.Hash{},
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: time.Millisecond, // kafka-go's default would add a second of latency
		BatchBytes:   maxBytes - batchHeader,
		MaxAttempts:  3, // then Publish retries; unlike the writer, it stops when its context ends
	}
}

// RejectedError lists the messages of a Publish that the topic never accepts. All others are
// written.
type RejectedError struct {
	Topic    string     // name of the topic
	Messages []Rejected // at least one
}

// Rejected is a message that no retry can write.
type Rejected struct {
	Message kafka.Message // as passed to Publish; a dead letter may be truncated
	Err     error         // the broker's or the writer's error
}

// Error describes the first message.
func (e *RejectedError) Error() string {
	first := e.Messages[0]
	text := fmt.Sprintf("topic %q rejects %d messages, the first with key %.80q and %d bytes: %v",
		e.Topic, len(e.Messages), first.Message.Key, size(first.Message), first.Err)
	if hint := Hint(first.Err); hint != "" {
		text += ": " + hint
	}
	return text
}

// Unwrap returns the error of the first message.
func (e *RejectedError) Unwrap() error { return e.Messages[0].Err }

// permanentErrors are the broker's errors about the messages themselves, which a retry cannot
// resolve. One bad message makes its whole batch fail with them. Errors that an operator can
// resolve while the process retries, such as missing permissions, are not permanent.
var permanentErrors = []error{
	kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidMessageSize, kafka.InvalidRecord,
	kafka.UnsupportedForMessageFormat, kafka.InvalidTopic,
}

func isPermanent(err error) bool {
	for _, permanent := range permanentErrors {
		if errors.Is(err, permanent) {
			return true
		}
	}
	return false
}

func isTooLarge(err error) bool {
	return errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge)
}

// Publish writes messages and retries until all are acknowledged or ctx ends. Messages that no
// retry can write are returned in a *RejectedError after the others are written. Dead letters
// that are too large are truncated.
func Publish(ctx context.Context, logger *slog.Logger, w *kafka.Writer, messages ...kafka.Message) error {
	p := publication{writer: w, pending: messages}
	what := fmt.Sprintf("write %d messages to topic %q", len(messages), w.Topic)
	if err := backoff.Retry(ctx, logger, what, func() error { return p.attempt(ctx) }); err != nil {
		return err
	}
	if len(p.rejected) > 0 {
		return &RejectedError{Topic: w.Topic, Messages: p.rejected}
	}
	return nil
}

// publication is the state of a Publish call.
type publication struct {
	writer   *kafka.Writer
	pending  []kafka.Message
	rejected []Rejected
}

// attempt writes the pending messages, including dead letters that become pending by being
// truncated. An error means that the rest can be retried later.
func (p *publication) attempt(ctx context.Context) error {
	for {
		if err := p.write(ctx); err != nil || len(p.pending) == 0 {
			return err
		}
	}
}

func (p *publication) write(ctx context.Context) error {
	err := p.writer.WriteMessages(ctx, p.pending...)
	for tooLarge := (kafka.MessageTooLargeError{}); errors.As(err, &tooLarge); { // of the writer, before it writes anything
		p.pending = tooLarge.Remaining
		p.reject(tooLarge.Message, fmt.Errorf("%w: more than %d bytes", kafka.MessageSizeTooLarge, p.writer.BatchBytes))
		err = p.writer.WriteMessages(ctx, p.pending...)
	}
	if errors.Is(err, io.ErrClosedPipe) {
		return backoff.Permanent(fmt.Errorf("the writer is closed: %w", err))
	}
	var each kafka.WriteErrors
	switch {
	case err == nil:
		p.pending = nil
		return nil
	case errors.As(err, &each):
		return p.handleErrors(ctx, each)
	case isPermanent(err): // all messages, such as for an invalid topic
		all := p.pending
		p.pending = nil
		for _, m := range all {
			p.reject(m, err)
		}
		return nil
	}
	return withHint(err)
}

// handleErrors keeps messages with a transient error pending, and isolates those with a permanent
// error, which may be caused by another message of their batch.
func (p *publication) handleErrors(ctx context.Context, each kafka.WriteErrors) error {
	var failed error
	var left, suspects []kafka.Message
	for i, err := range each {
		switch {
		case err == nil:
		case isPermanent(err):
			suspects = append(suspects, p.pending[i])
		default:
			if left = append(left, p.pending[i]); failed == nil {
				failed = err
			}
		}
	}
	p.pending = left
	if len(suspects) > 0 {
		if err := p.isolate(ctx, suspects); failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return withHint(fmt.Errorf("%d messages, the first error: %w", len(p.pending), failed))
	}
	return nil
}

// isolate finds the messages that made their batches fail. It produces without the writer, which
// may batch messages of several Publish calls.
func (p *publication) isolate(ctx context.Context, suspects []kafka.Message) error {
	client := &kafka.Client{Addr: p.writer.Addr, Transport: p.writer.Transport, Timeout: isolateTimeout}
	partitions, err := partitionsOf(ctx, client, p.writer.Topic)
	if err == nil && len(partitions) == 0 {
		err = kafka.UnknownTopicOrPartition
	}
	if err != nil {
		p.pending = append(p.pending, suspects...)
		return err
	}
	byPartition := make(map[int][]kafka.Message)
	for _, m := range suspects {
		number := p.writer.Balancer.Balance(m, partitions...)
		byPartition[number] = append(byPartition[number], m)
	}
	var failed error
	for partition, messages := range byPartition {
		if err := p.bisect(ctx, client, partition, messages); err != nil {
			failed = err
		}
	}
	return failed
}

const isolateTimeout = 10 * time.Second

// bisect writes messages to a partition, in order, and rejects those that fail alone. With a
// transient error, they become pending.
func (p *publication) bisect(ctx context.Context, client *kafka.Client, partition int, messages []kafka.Message) error {
	err := produce(ctx, client, p.writer, partition, messages)
	switch {
	case err == nil:
		return nil
	case !isPermanent(err):
		p.pending = append(p.pending, messages...)
		return err
	case len(messages) == 1:
		p.reject(messages[0], err)
		return nil
	}
	half := len(messages) / 2
	if err := p.bisect(ctx, client, partition, messages[:half]); err != nil {
		p.pending = append(p.pending, messages[half:]...) // after the first half, which may have the same keys
		return err
	}
	return p.bisect(ctx, client, partition, messages[half:])
}

func produce(ctx context.Context, client *kafka.Client, w *kafka.Writer, partition int, messages []kafka.Message) error {
	records := make([]kafka.Record, len(messages))
	for i, m := range messages {
		records[i] = kafka.Record{Time: m.Time, Key: kafka.NewBytes(m.Key), Value: kafka.NewBytes(m.Value), Headers: m.Headers}
		if m.Time.IsZero() {
			records[i].Time = time.Now()
		}
	}
	response, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: w.Topic, Partition: partition, RequiredAcks: w.RequiredAcks, Compression: w.Compression, Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = response.Error
	}
	return err
}

// reject gives up on a message, unless it is a dead letter that can be truncated.
func (p *publication) reject(m kafka.Message, err error) {
	if truncated, ok := truncateDeadLetter(m); ok && isTooLarge(err) {
		p.pending = append(p.pending, truncated)
		return
	}
	p.rejected = append(p.rejected, Rejected{Message: m, Err: err})
}
