package ingest

import (
	"context"
	"sync"
	"time"
)

// inbox gathers what is fetched while the batch before is applied: batches are small
// when there is little to do, which is quick, and large when there is much, which is
// efficient. It has one producer and one consumer.
type inbox struct {
	limit  int           // of a batch, in messages
	linger time.Duration // for which a batch waits for more

	ready chan struct{} // filled while there are messages
	full  chan struct{} // filled while there are as many as a batch may have
	room  chan struct{} // filled after messages were taken

	mu    sync.Mutex
	batch *batch
}

func newInbox(limit int, linger time.Duration) *inbox {
	return &inbox{
		limit: limit, linger: linger,
		ready: make(chan struct{}, 1), full: make(chan struct{}, 1), room: make(chan struct{}, 1),
		batch: newBatch(),
	}
}

// add waits for room and puts a message in.
func (b *inbox) add(ctx context.Context, m decoded) error {
	for !b.tryAdd(m) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.room:
		}
	}
	return nil
}

func (b *inbox) tryAdd(m decoded) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isFull() {
		return false
	}
	b.batch.add(m)
	signal(b.ready)
	if b.isFull() {
		signal(b.full)
	}
	return true
}

func (b *inbox) isFull() bool { return b.batch.messages >= b.limit || b.batch.bytes >= maxBatchBytes }

// take waits for a message and, until the batch is full, a little for more.
func (b *inbox) take(ctx context.Context) (*batch, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.ready:
	}
	timer := time.NewTimer(b.linger)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.full:
	case <-timer.C:
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.batch
	b.batch = newBatch()
	drain(b.ready)
	drain(b.full)
	signal(b.room)
	return taken, nil
}

// signal fills a channel of capacity one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// drain empties one.
func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}
