package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"genrec/pkg/backoff"
)

// Partition is a partition of a topic while a member of a group owns it. It asks the broker for
// messages when they are wanted and not before, unlike kafka-go's Reader: a consumer that takes
// its time gets more messages for each request, which is what a broker's CPU time goes to.
type Partition struct {
	Number int

	cfg     GroupConfig
	commits *commits
	client  *kafka.Client
	next    int64 // offset to ask for, or kafka.FirstOffset
	fetched []kafka.Message
	behind  time.Time // since when the broker has been behind next; zero: it is not
}

const (
	// maxWait is how long a broker holds a request while there are no messages.
	maxWait = 2 * time.Second
	// answerTimeout is how much longer than that its answer may take.
	answerTimeout = 10 * time.Second
)

// ofAnotherTopic is in place of a committed offset that is not one of this topic.
const ofAnotherTopic = -1 << 62

// seek goes to where the group is. A start that moves with time is committed at once:
// what arrives before the first commit must not be passed over after a restart. So is the
// beginning of a topic that took the place of another one.
func (p *Partition) seek(ctx context.Context, committed int64) error {
	at := p.cfg.Start
	switch {
	case committed == ofAnotherTopic:
		at = Earliest
	case committed >= 0 || at == Earliest:
		p.next = committed
		return nil
	}
	var start int64
	what := fmt.Sprintf("look up offset %s of partition %d of topic %q", at, p.Number, p.cfg.Topic)
	err := backoff.Retry(ctx, p.cfg.Logger, what, func() (err error) {
		start, _, err = bounds(ctx, p.client, p.cfg.Topic, p.Number, at)
		return err
	})
	if err != nil {
		return err
	}
	if err := p.Commit(ctx, start); err != nil {
		return err
	}
	p.next = start
	return nil
}

// Fetch waits for the next message.
func (p *Partition) Fetch(ctx context.Context) (kafka.Message, error) {
	if len(p.fetched) == 0 {
		var err error
		if p.fetched, err = p.FetchBatch(ctx); err != nil {
			return kafka.Message{}, err
		}
	}
	m := p.fetched[0]
	p.fetched = p.fetched[1:]
	return m, nil
}

// FetchBatch waits for messages and returns those of one response, at least one and, unless the
// first ones are larger, at most MaxBytes in total. It retries until ctx ends.
func (p *Partition) FetchBatch(ctx context.Context) (messages []kafka.Message, err error) {
	for len(messages) == 0 {
		if messages, err = p.request(ctx); err == nil {
			continue
		}
		what := fmt.Sprintf("read partition %d of topic %q", p.Number, p.cfg.Topic)
		if err = backoff.Retry(ctx, p.cfg.Logger, what, func() (err error) {
			messages, err = p.request(ctx)
			return err
		}); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// request returns what the broker has, or nothing if nothing came in time.
func (p *Partition) request(ctx context.Context) ([]kafka.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait+answerTimeout)
	defer cancel()
	response, err := fetch(ctx, p.client, p.cfg.Topic, p.Number, p.next, MaxBytes, maxWait)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		return nil, p.recover(ctx, err)
	}
	if err != nil {
		return nil, err
	}
	messages, end, err := p.read(response)
	switch {
	case end >= 0 && end > p.next: // -1 is behind kafka.FirstOffset, and means the end of the partition
		p.next = end
	case err == nil && p.next >= 0 && end >= 0 && response.highWatermark > p.next:
		p.next++ // compaction has removed the last messages of the batch that the offset is in
	}
	if len(messages) > 0 {
		return messages, nil // a later request meets the error again
	}
	return nil, err
}

// read returns the messages of a response, and the offset behind the last record in it, or -1
// without a batch. A broker answers with whole batches, which may begin before the offset that
// was asked for, with those of transactions that were aborted, and with records that mark the
// ends of transactions. The last two are passed over.
func (p *Partition) read(response fetched) (messages []kafka.Message, end int64, err error) {
	end = -1
	in := transactions{begin: response.aborted}
	for _, batch := range response.batches {
		end = max(end, offsetOf(batch))
		if in.skips(batch) {
			last, err := drain(batch)
			if err != nil {
				return messages, end, err
			}
			end = last + 1
			continue
		}
		for {
			record, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return messages, end, fmt.Errorf("read a record: %w", err)
			}
			m, err := message(p, record)
			if err != nil {
				return messages, end, err
			}
			end = record.Offset + 1
			if record.Offset >= p.next {
				messages = append(messages, m)
			}
		}
	}
	return messages, end, nil
}

func message(p *Partition, record *kafka.Record) (m kafka.Message, err error) {
	m = kafka.Message{Topic: p.cfg.Topic, Partition: p.Number, Offset: record.Offset, Time: record.Time, Headers: slices.Clone(record.Headers)}
	if m.Key, err = content(record.Key); err == nil {
		m.Value, err = content(record.Value)
	}
	if err != nil {
		return m, fmt.Errorf("read the record at offset %d: %w", record.Offset, err)
	}
	return m, nil
}

// content copies a key or value, nil if there is none, and gives the memory behind it back.
func content(b protocol.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	return protocol.ReadAll(b)
}

// behindPatience is how long a broker may be behind the offset that it is asked for.
const behindPatience = 5 * time.Second

// recover goes on at the first message that there is, if those up to it were deleted before
// they were read, or if the partition ends before the offset that was committed.
func (p *Partition) recover(ctx context.Context, outOfRange error) error {
	first, end, err := bounds(ctx, p.client, p.cfg.Topic, p.Number, Earliest)
	if err != nil {
		return err
	}
	logger := p.cfg.Logger.With("topic", p.cfg.Topic, "partition", p.Number, "from", p.next, "to", first)
	switch {
	case first > p.next:
		logger.ErrorContext(ctx, "messages were deleted before they were read: raise the topic's retention or add consumers", "messages", first-p.next)
	case p.behind.IsZero():
		p.behind = time.Now()
		fallthrough
	case time.Since(p.behind) < behindPatience || p.next <= end:
		return fmt.Errorf("offset %d, while the partition ends at %d: %w", p.next, end, outOfRange)
	default:
		logger.ErrorContext(ctx, "a partition ends before the offset that was committed, so that it was created again or has lost messages: reading it from its beginning", "end", end)
	}
	p.next, p.behind = first, time.Time{}
	return nil
}

// CommitEvery is the least time that consumers leave between two commits of a partition. What a
// kill leaves uncommitted is read again, and changes nothing.
const CommitEvery = 100 * time.Millisecond

// Commit commits that all messages before next are finished, retrying until ctx ends.
// Of two calls at once, the lower offset could come last and win.
func (p *Partition) Commit(ctx context.Context, next int64) error {
	what := fmt.Sprintf("commit offset %d of partition %d of topic %q", next, p.Number, p.cfg.Topic)
	return backoff.Retry(ctx, p.cfg.Logger, what, func() error { return p.commits.commit(ctx, p.Number, next) })
}
