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

// RejectedError says which messages of a Publish a topic does not take. All others are
// written.
type RejectedError struct {
	Topic    string
	Messages []Rejected // at least one
}

// Rejected is a message that no retry can write.
type Rejected struct {
	Message kafka.Message
	Err     error
}

func (e *RejectedError) Error() string {
	first := e.Messages[0]
	text := fmt.Sprintf("topic %q rejects %d messages, the first with key %.80q and %d bytes: %v",
		e.Topic, len(e.Messages), first.Message.Key, size(first.Message), first.Err)
	if remedy := Remedy(first.Err); remedy != "" {
		text += ": " + remedy
	}
	return text
}

// Unwrap returns why the first message is rejected.
func (e *RejectedError) Unwrap() error { return e.Messages[0].Err }

// permanentErrors are a broker's about the messages themselves, which no waiting changes. A
// batch gets them for one bad message. What an operator can change while the process waits,
// such as rights, is not among them.
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

// Publish writes the messages, retrying until ctx ends those that the broker
// has not acknowledged. Messages that no retry can write are returned as a *RejectedError
// when the others are written; dead letters that are too large are cut (DeadLetter) before.
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

// publication is a Publish under way.
type publication struct {
	writer   *kafka.Writer
	pending  []kafka.Message
	rejected []Rejected
}

// attempt writes what is pending, also what becomes so by being cut, until something is to
// be tried again later.
func (p *publication) attempt(ctx context.Context) error {
	for {
		if err := p.write(ctx); err != nil || len(p.pending) == 0 {
			return err
		}
	}
}

func (p *publication) write(ctx context.Context) error {
	err := p.writer.WriteMessages(ctx, p.pending...)
	for tooLarge := (kafka.MessageTooLargeError{}); errors.As(err, &tooLarge); { // for this writer, before it writes
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
		return p.sort(ctx, each)
	case isPermanent(err): // about the topic
		all := p.pending
		p.pending = nil
		for _, m := range all {
			p.reject(m, err)
		}
		return nil
	}
	return explain(err)
}

// sort keeps pending what failed for now, and tries again alone what a batch cannot have.
func (p *publication) sort(ctx context.Context, each kafka.WriteErrors) error {
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
		return explain(fmt.Errorf("%d messages, of which the first: %w", len(p.pending), failed))
	}
	return nil
}

// explain adds what an operator can do, if the broker refuses.
func explain(err error) error {
	if remedy := Remedy(err); remedy != "" {
		return fmt.Errorf("%w: %s", err, remedy)
	}
	return err
}

// isolate finds which messages are at fault for the failure of their batch, which the writer
// may have made of other calls' messages, too: it writes them by itself.
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

// bisect writes messages to a partition, in order, and rejects those that fail alone. If
// they fail for now, they become pending.
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
		p.pending = append(p.pending, messages[half:]...) // behind those of the same keys
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
	answer, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: w.Topic, Partition: partition, RequiredAcks: w.RequiredAcks, Compression: w.Compression, Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = answer.Error
	}
	return err
}

// reject gives up a message, but for a dead letter of which a shorter one is left.
func (p *publication) reject(m kafka.Message, err error) {
	if shorter, ok := cutLetter(m); ok && isTooLarge(err) {
		p.pending = append(p.pending, shorter)
		return
	}
	p.rejected = append(p.rejected, Rejected{Message: m, Err: err})
}
