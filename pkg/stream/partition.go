package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/backoff"
)

// Partition is an assigned partition of a topic. It fetches messages when they are wanted and
// not before, unlike kafka-go's Reader: a slow consumer gets more messages for each request,
// which is what costs a broker CPU time. It is not safe for concurrent fetches.
type Partition struct {
	Number int // of the partition in its topic

	cfg         GroupConfig
	commits     *commitBatcher
	client      *kafka.Client
	next        int64 // offset to fetch from, or kafka.FirstOffset
	fetched     []kafka.Message
	behindSince time.Time // when the partition's end was first seen before next; zero: it is not
}

const (
	// fetchMaxWait is how long a broker holds a fetch request while there are no messages.
	fetchMaxWait = 2 * time.Second
	// fetchGrace is how much longer than fetchMaxWait the response may take.
	fetchGrace = 10 * time.Second
)

// staleOffset takes the place of a committed offset that belongs to the topic's predecessor.
const staleOffset = -1 << 62

// seek sets the offset to fetch from. A start offset that depends on the time is committed at
// once: a restart before the first commit must not skip the messages that have arrived
// meanwhile. So is the beginning of a topic that was created again.
func (p *Partition) seek(ctx context.Context, committed int64) error {
	from := p.cfg.StartOffset
	switch {
	case committed == staleOffset:
		from = Earliest
	case committed >= 0 || from == Earliest:
		p.next = committed
		return nil
	}
	var start int64
	what := fmt.Sprintf("look up offset %s of partition %d of topic %q", from, p.Number, p.cfg.Topic)
	err := backoff.Retry(ctx, p.cfg.Logger, what, func() (err error) {
		start, _, err = offsetRange(ctx, p.client, p.cfg.Topic, p.Number, from)
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

// FetchBatch waits for messages and returns those of one response: at least one, and at most
// MaxBytes in total unless the first record batch is larger. It retries until ctx ends.
func (p *Partition) FetchBatch(ctx context.Context) (messages []kafka.Message, err error) {
	for len(messages) == 0 {
		if messages, err = p.fetchOnce(ctx); err == nil {
			continue
		}
		what := fmt.Sprintf("read partition %d of topic %q", p.Number, p.cfg.Topic)
		if err = backoff.Retry(ctx, p.cfg.Logger, what, func() (err error) {
			messages, err = p.fetchOnce(ctx)
			return err
		}); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// fetchOnce sends one fetch request. It returns no messages if none arrived within fetchMaxWait.
func (p *Partition) fetchOnce(ctx context.Context) ([]kafka.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchMaxWait+fetchGrace)
	defer cancel()
	response, err := fetch(ctx, p.client, p.cfg.Topic, p.Number, p.next, MaxBytes, fetchMaxWait)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		return nil, p.resetOffset(ctx, err)
	}
	if err != nil {
		return nil, err
	}
	messages, end, err := response.messages(p.cfg.Topic, p.Number, p.next)
	switch {
	case end >= 0 && end > p.next: // -1, without a batch, is greater than kafka.FirstOffset
		p.next = end
	case err == nil && p.next >= 0 && end >= 0 && response.highWatermark > p.next:
		p.next++ // compaction has removed the last messages of the batch that contains next
	}
	if len(messages) > 0 {
		return messages, nil // the next request meets the error again
	}
	return nil, err
}

// behindPatience is how long to retry while the partition ends before the offset to fetch from.
const behindPatience = 5 * time.Second

// resetOffset continues at the first message that exists, if retention has deleted those before
// it, or if the partition ends before the committed offset.
func (p *Partition) resetOffset(ctx context.Context, outOfRange error) error {
	first, end, err := offsetRange(ctx, p.client, p.cfg.Topic, p.Number, Earliest)
	if err != nil {
		return err
	}
	logger := p.cfg.Logger.With("topic", p.cfg.Topic, "partition", p.Number, "from", p.next, "to", first)
	switch {
	case first > p.next:
		logger.ErrorContext(ctx, "messages were deleted before they were read: raise the topic's retention or add consumers", "messages", first-p.next)
	case p.behindSince.IsZero():
		p.behindSince = time.Now()
		fallthrough
	case time.Since(p.behindSince) < behindPatience || p.next <= end:
		return fmt.Errorf("offset %d, while the partition ends at %d: %w", p.next, end, outOfRange)
	default:
		logger.ErrorContext(ctx, "partition ends before the committed offset (it was created again or has lost messages): reading it from its beginning", "end", end)
	}
	p.next, p.behindSince = first, time.Time{}
	return nil
}

// CommitInterval is the least time that consumers leave between two commits of a partition. After
// a crash, uncommitted messages are read again, which is harmless.
const CommitInterval = 100 * time.Millisecond

// Commit commits that all messages before the offset next are processed. It retries until ctx
// ends. Concurrent calls can leave the lower offset committed.
func (p *Partition) Commit(ctx context.Context, next int64) error {
	what := fmt.Sprintf("commit offset %d of partition %d of topic %q", next, p.Number, p.cfg.Topic)
	return backoff.Retry(ctx, p.cfg.Logger, what, func() error { return p.commits.commit(ctx, p.Number, next) })
}

// commitPause is how long a commit waits for those of other partitions.
const commitPause = 5 * time.Millisecond

// commitBatcher sends the commits that the partitions of a generation make at about the same time
// in one request.
type commitBatcher struct {
	send func(offsets map[int]int64) error // by partition

	mu   sync.Mutex
	next *commitBatch // nil: none is waiting
}

// commitBatch is one request.
type commitBatch struct {
	offsets map[int]int64
	done    chan struct{}
	err     error // valid after done
}

// commit returns when the offset is committed or that has failed. If ctx ends before, the offset
// may or may not have been committed.
func (c *commitBatcher) commit(ctx context.Context, partition int, offset int64) error {
	c.mu.Lock()
	batch := c.next
	if batch == nil {
		batch = &commitBatch{offsets: make(map[int]int64), done: make(chan struct{})}
		c.next = batch
		time.AfterFunc(commitPause, c.flush)
	}
	batch.offsets[partition] = offset
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-batch.done:
		return batch.err
	}
}

func (c *commitBatcher) flush() {
	c.mu.Lock()
	batch := c.next
	c.next = nil
	c.mu.Unlock()
	batch.err = c.send(batch.offsets)
	close(batch.done)
}
