package inference

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

// pending is a user who waits for a new list.
type pending struct {
	refresh stream.Refresh
	message kafka.Message // the newest coalesced message
	offset  offsetHandle  // of message
	span    *stream.Span  // of the oldest message with a trace
	queued  time.Time     // when that message was queued
}

// hasEvents distinguishes refreshes after events from background refreshes.
func (p *pending) hasEvents() bool { return len(p.refresh.ProducedAt) > 0 }

// coalesce merges an older refresh of the same user into p.
func (p *pending) coalesce(older *pending) {
	newer := p.refresh.ProducedAt
	p.refresh.ProducedAt = older.refresh.ProducedAt
	p.refresh.AddProducedAt(newer...)
	if older.span == nil {
		return
	}
	// The older trace continues; both are linked.
	older.span.Link(p.span)
	p.span.Link(older.span)
	p.span.End()
	p.span, p.queued = older.span, older.queued
}

// Lanes of the queue, by priority.
const (
	eventLane      = iota // users with new events
	backgroundLane        // background refreshes
)

// queue holds pending users, each once, in order of arrival: users with new events first, then
// background refreshes. A user is in one batch at a time: a refresh that arrives meanwhile is held
// until the batch is written, so that the lists of a user are written in the order of their
// sequences and models.
type queue struct {
	limit int
	ready chan struct{} // filled while users wait
	room  chan struct{} // filled after users were taken

	mu      sync.Mutex
	lanes   [2]list.List             // of *pending
	waiting map[string]*list.Element // by user, in one of the lanes
	inBatch map[string]*pending      // users in batches, with the refresh held for them, or nil
	held    int                      // number of held refreshes
}

func newQueue(limit int) *queue {
	return &queue{
		limit:   limit,
		ready:   make(chan struct{}, 1),
		room:    make(chan struct{}, 1),
		waiting: make(map[string]*list.Element),
		inBatch: make(map[string]*pending),
	}
}

// add adds a user, and blocks while the queue is full. A user who already waits needs no room and
// keeps the position, except that a new event moves a background refresh to the event lane. In this
// case, add returns the offset of the older, coalesced refresh. It may be finished: if the newer
// message is redelivered, it has the same effect.
func (q *queue) add(ctx context.Context, p *pending) (older offsetHandle, coalesced bool, err error) {
	for {
		added, older, coalesced := q.tryAdd(p)
		if added {
			return older, coalesced, nil
		}
		select {
		case <-ctx.Done():
			return offsetHandle{}, false, ctx.Err()
		case <-q.room:
		}
	}
}

func (q *queue) tryAdd(p *pending) (added bool, older offsetHandle, coalesced bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	user := p.refresh.User
	held, inBatch := q.inBatch[user]
	element, waits := q.waiting[user]
	switch {
	case held != nil:
		q.inBatch[user] = p
		p.coalesce(held)
		return true, held.offset, true
	case waits:
		older := element.Value.(*pending)
		p.coalesce(older)
		if older.hasEvents() == p.hasEvents() {
			element.Value = p
		} else {
			q.lane(older).Remove(element)
			q.push(p)
		}
		return true, older.offset, true
	case q.count() >= q.limit:
		return false, offsetHandle{}, false
	case inBatch:
		q.inBatch[user] = p
		q.held++
	default:
		q.push(p)
		signal(q.ready)
	}
	if q.count() < q.limit {
		signal(q.room) // other partitions may wait, too
	}
	return true, offsetHandle{}, false
}

func (q *queue) push(p *pending) { q.waiting[p.refresh.User] = q.lane(p).PushBack(p) }

func (q *queue) lane(p *pending) *list.List {
	if p.hasEvents() {
		return &q.lanes[eventLane]
	}
	return &q.lanes[backgroundLane]
}

// take removes up to n users, the longest waiting first. At least one of several is a background
// refresh, if there is any, so that none waits forever and blocks commits.
func (q *queue) take(n int) []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	events, background := q.lanes[eventLane].Len(), q.lanes[backgroundLane].Len()
	n = min(n, events+background)
	fromBackground := min(background, max(n-events, 1))
	if n == 1 && events > 0 {
		fromBackground = 0
	}
	taken := make([]*pending, 0, n)
	for range n - fromBackground {
		taken = append(taken, q.pop(eventLane))
	}
	for range fromBackground {
		taken = append(taken, q.pop(backgroundLane))
	}
	if len(q.waiting) > 0 {
		signal(q.ready)
	}
	signal(q.room)
	return taken
}

func (q *queue) pop(lane int) *pending {
	p := q.lanes[lane].Remove(q.lanes[lane].Front()).(*pending)
	delete(q.waiting, p.refresh.User)
	q.inBatch[p.refresh.User] = nil
	return p
}

// linger waits until n users can be taken, or the timeout.
func (q *queue) linger(ctx context.Context, n int, timeout time.Duration) error {
	if timeout <= 0 {
		return nil
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for q.available() < n {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case <-q.ready:
		}
	}
	return nil
}

// release ends a batch: its users may be taken again, and the refreshes held for them are queued.
func (q *queue) release(batch []*pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range batch {
		held := q.inBatch[p.refresh.User]
		delete(q.inBatch, p.refresh.User)
		if held != nil {
			q.held--
			q.push(held)
			signal(q.ready)
		}
	}
}

// dropPartition removes the waiting and held refreshes of a revoked partition: its next owner
// receives them again.
func (q *queue) dropPartition(revoked *offsetTracker) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for user, element := range q.waiting {
		if p := element.Value.(*pending); p.offset.tracker == revoked {
			q.lane(p).Remove(element)
			delete(q.waiting, user)
			p.span.End()
		}
	}
	for user, p := range q.inBatch {
		if p != nil && p.offset.tracker == revoked {
			q.inBatch[user] = nil
			q.held--
			p.span.End()
		}
	}
	signal(q.room)
}

// len is the number of waiting and held users.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count()
}

// lenEvents is the number of users waiting in the event lane.
func (q *queue) lenEvents() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lanes[eventLane].Len()
}

// available is the number of users that can be taken.
func (q *queue) available() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

func (q *queue) count() int { return len(q.waiting) + q.held }
