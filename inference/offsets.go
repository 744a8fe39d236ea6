package inference

import (
	"container/list"
	"sync"
)

// offsets tracks the messages of a partition while this process owns it, and how far they may
// be committed: to the oldest unfinished one. It remembers nothing of the finished ones, so its
// size is that of the work in hand.
type offsets struct {
	changed chan struct{} // filled when there may be something to commit

	mu         sync.Mutex
	unfinished list.List // ascending
	next       int64     // after the newest message
	committed  int64
}

// offset is a message that was added to offsets.
type offset struct {
	of *offsets
	at *list.Element
}

func newOffsets() *offsets { return &offsets{changed: make(chan struct{}, 1), next: -1, committed: -1} }

// add registers a fetched message. Offsets ascend, with gaps where messages were compacted.
func (o *offsets) add(number int64) offset {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.committed < 0 {
		o.committed = number
	}
	o.next = number + 1
	return offset{of: o, at: o.unfinished.PushBack(number)}
}

// finish marks a message as done, after all its effects. It may be called more than once, in
// any order of messages, and after the partition was lost.
func (done offset) finish() {
	done.of.mu.Lock()
	defer done.of.mu.Unlock()
	done.of.unfinished.Remove(done.at)
	signal(done.of.changed)
}

// advance returns the offset to commit, that of the next message to read, if it is a new one.
func (o *offsets) advance() (next int64, advanced bool) {
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
