package stream

import (
	"context"
	"sync"
	"time"
)

// commitPause is how long a commit waits for those of other partitions.
const commitPause = 5 * time.Millisecond

// commits sends the commits of all partitions of a generation that come at about the same time
// in one request.
type commits struct {
	send func(offsets map[int]int64) error // by partition

	mu   sync.Mutex
	next *commitRound // nil: none is waiting
}

// commitRound is one request.
type commitRound struct {
	offsets map[int]int64
	done    chan struct{}
	err     error // after done
}

// commit returns when the offset is committed, or that has failed. It may have been committed
// also if ctx ends before.
func (c *commits) commit(ctx context.Context, partition int, offset int64) error {
	c.mu.Lock()
	round := c.next
	if round == nil {
		round = &commitRound{offsets: make(map[int]int64), done: make(chan struct{})}
		c.next = round
		time.AfterFunc(commitPause, c.flush)
	}
	round.offsets[partition] = offset
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-round.done:
		return round.err
	}
}

func (c *commits) flush() {
	c.mu.Lock()
	round := c.next
	c.next = nil
	c.mu.Unlock()
	round.err = c.send(round.offsets)
	close(round.done)
}
