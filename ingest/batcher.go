package ingest

import (
	"context"
	"sync"
	"time"
)

// batcher collects the messages that arrive while the previous batch is being appended. Batches
// are therefore small under low load, for low latency, and large under high load, for throughput.
// It has one producer and one consumer.
type batcher struct {
	limit  int           // messages in a batch
	linger time.Duration // how long a batch waits for more messages

	// Signals, with capacity one.
	ready chan struct{} // the batch has messages
	full  chan struct{} // the batch is full
	room  chan struct{} // the batch was taken

	mu    sync.Mutex
	batch *batch
}

func newBatcher(limit int, linger time.Duration) *batcher {
	return &batcher{
		limit: limit, linger: linger,
		ready: make(chan struct{}, 1), full: make(chan struct{}, 1), room: make(chan struct{}, 1),
		batch: newBatch(),
	}
}

// add adds a message to the batch. It blocks while the batch is full.
func (b *batcher) add(ctx context.Context, m decoded) error {
	for !b.tryAdd(m) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.room:
		}
	}
	return nil
}

func (b *batcher) tryAdd(m decoded) bool {
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

func (b *batcher) isFull() bool { return b.batch.messages >= b.limit || b.batch.bytes >= maxBatchBytes }

// take waits for a message, and then until the batch is full or linger has passed.
func (b *batcher) take(ctx context.Context) (*batch, error) {
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
	clearSignal(b.ready)
	clearSignal(b.full)
	signal(b.room)
	return taken, nil
}

// signal sets a signal.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// clearSignal clears a signal.
func clearSignal(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}
