package inference

import (
	"container/list"
	"sync"
)

// tracker knows how far each partition may be committed: to its oldest
// unfinished message. It remembers nothing of the finished ones, so its size is
// that of the work in hand.
type tracker struct {
	mu         sync.Mutex
	partitions map[int]*partition
}

type partition struct {
	unfinished list.List // offsets, ascending
	next       int64     // after the newest message
	committed  int64
}

// ticket is a message's place in its partition.
type ticket struct {
	partition *partition
	place     *list.Element
}

func newTracker() *tracker {
	return &tracker{partitions: make(map[int]*partition)}
}

// add registers a fetched message. After a rebalance, offsets may repeat: the
// tickets that they had before then count for nothing.
func (t *tracker) add(number int, offset int64) ticket {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.partitions[number]
	if p == nil {
		p = &partition{committed: offset}
		t.partitions[number] = p
	}
	for last := p.unfinished.Back(); last != nil && last.Value.(int64) >= offset; last = p.unfinished.Back() {
		p.unfinished.Remove(last)
	}
	p.next = offset + 1
	p.committed = min(p.committed, offset)
	return ticket{partition: p, place: p.unfinished.PushBack(offset)}
}

// finish may be called more than once, and in any order of messages.
func (t *tracker) finish(done ticket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	done.partition.unfinished.Remove(done.place)
}

// advance returns, by partition, the offsets to commit that are new since the
// last call: those of the next message to read.
func (t *tracker) advance() map[int]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	advanced := make(map[int]int64)
	for number, p := range t.partitions {
		position := p.next
		if oldest := p.unfinished.Front(); oldest != nil {
			position = oldest.Value.(int64)
		}
		if position > p.committed {
			p.committed = position
			advanced[number] = position
		}
	}
	return advanced
}
