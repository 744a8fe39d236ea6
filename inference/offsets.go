package inference

import (
	"container/list"
	"context"
	"sync"

	"genrec/pkg/backoff"
	"genrec/pkg/stream"
)

// offsetTracker determines the offset of a partition that may be committed: that of the oldest
// unfinished message. It stores unfinished messages only, so its size is bounded by the work in
// progress.
type offsetTracker struct {
	changed chan struct{} // filled when there may be something to commit

	mu         sync.Mutex
	unfinished list.List // offsets, ascending
	next       int64     // offset after the newest message
	committed  int64
}

// offsetHandle is a message that was added to an offsetTracker.
type offsetHandle struct {
	tracker *offsetTracker
	element *list.Element
}

func newOffsetTracker() *offsetTracker {
	return &offsetTracker{changed: make(chan struct{}, 1), next: -1, committed: -1}
}

// add adds a fetched message. Offsets ascend, with gaps where the topic was compacted.
func (o *offsetTracker) add(offset int64) offsetHandle {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.committed < 0 {
		o.committed = offset
	}
	o.next = offset + 1
	return offsetHandle{tracker: o, element: o.unfinished.PushBack(offset)}
}

// finish marks a message as finished, after all its effects. It may be called repeatedly, in any
// order of messages, and after the partition was revoked.
func (h offsetHandle) finish() {
	h.tracker.mu.Lock()
	defer h.tracker.mu.Unlock()
	h.tracker.unfinished.Remove(h.element)
	signal(h.tracker.changed)
}

// advance returns the offset to commit, which is that of the next message to read, and whether it
// has advanced since the last call.
func (o *offsetTracker) advance() (next int64, advanced bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next = o.next
	if oldest := o.unfinished.Front(); oldest != nil {
		next = oldest.Value.(int64)
	}
	if next <= o.committed {
		return 0, false
	}
	o.committed = next
	return next, true
}

// commitOffsets commits the offsets of a partition as messages are finished.
func commitOffsets(ctx context.Context, p *stream.Partition, o *offsetTracker) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.changed:
		}
		if next, advanced := o.advance(); advanced {
			if err := p.Commit(ctx, next); err != nil {
				return err
			}
			if err := backoff.Sleep(ctx, stream.CommitInterval); err != nil {
				return err
			}
		}
	}
}
