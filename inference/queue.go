package inference

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

// pending is a user who waits for recommendations.
type pending struct {
	refresh stream.Refresh
	message kafka.Message // the newest that asks for them
	offset  offset        // of that message
	trace   *stream.Span  // of the oldest message that has one
	queued  time.Time     // that message
}

// live tells a refresh after an event from those that only renew.
func (p *pending) live() bool { return len(p.refresh.ProducedAt) > 0 }

// join coalesces an older refresh of the user: the newer message goes on for both.
func (p *pending) join(older *pending) {
	newer := p.refresh.ProducedAt
	p.refresh.ProducedAt = older.refresh.ProducedAt
	p.refresh.AddProducedAt(newer...)
	p.follow(older)
}

// queue holds pending users, each once: those with new events in order of arrival, and
// behind them those who are only renewed. A user is in one batch at a time: a refresh that
// arrives meanwhile is held until the batch is written, so that results of a user are written
// in the order of their sequences and models.
type queue struct {
	limit int
	ready chan struct{} // filled while users wait
	room  chan struct{} // filled after users were taken

	mu      sync.Mutex
	lines   [2]list.List             // of *pending: live, then the others
	waiting map[string]*list.Element // by user, in one of the lines
	taken   map[string]*pending      // users in batches, with what is held for them or nil
	held    int
}

func newQueue(limit int) *queue {
	return &queue{
		limit:   limit,
		ready:   make(chan struct{}, 1),
		room:    make(chan struct{}, 1),
		waiting: make(map[string]*list.Element),
		taken:   make(map[string]*pending),
	}
}

// add puts a user into the queue when there is room. One who waits already keeps the place,
// unless there was no new event before, and needs no room. It returns the offset of the refresh
// that is coalesced, if one is: that message is as good as finished, since redelivery of the
// newer one has the same effect.
func (q *queue) add(ctx context.Context, p *pending) (coalesced offset, ok bool, err error) {
	for {
		added, coalesced, ok := q.tryAdd(p)
		if added {
			return coalesced, ok, nil
		}
		select {
		case <-ctx.Done():
			return offset{}, false, ctx.Err()
		case <-q.room:
		}
	}
}

func (q *queue) tryAdd(p *pending) (added bool, older offset, coalesced bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	user := p.refresh.User
	held, taken := q.taken[user]
	at, waits := q.waiting[user]
	switch {
	case held != nil:
		q.taken[user] = p
		p.join(held)
		return true, held.offset, true
	case waits:
		older := at.Value.(*pending)
		p.join(older)
		if older.live() == p.live() {
			at.Value = p
		} else {
			q.line(older).Remove(at)
			q.push(p)
		}
		return true, older.offset, true
	case q.count() >= q.limit:
		return false, offset{}, false
	case taken:
		q.taken[user] = p
		q.held++
	default:
		q.push(p)
		signal(q.ready)
	}
	if q.count() < q.limit {
		signal(q.room) // for other partitions, which may wait too
	}
	return true, offset{}, false
}

func (q *queue) push(p *pending) { q.waiting[p.refresh.User] = q.line(p).PushBack(p) }

func (q *queue) line(p *pending) *list.List {
	if p.live() {
		return &q.lines[0]
	}
	return &q.lines[1]
}

// take removes up to n users, the longest waiting first. Of several, one is renewed even
// while many have new events, so that no message stays unfinished for ever.
func (q *queue) take(n int) []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	live, others := q.lines[0].Len(), q.lines[1].Len()
	n = min(n, live+others)
	renewed := min(others, max(n-live, 1))
	if n == 1 && live > 0 {
		renewed = 0
	}
	taken := make([]*pending, 0, n)
	for range n - renewed {
		taken = append(taken, q.first(0))
	}
	for range renewed {
		taken = append(taken, q.first(1))
	}
	if len(q.waiting) > 0 {
		signal(q.ready)
	}
	signal(q.room)
	return taken
}

func (q *queue) first(line int) *pending {
	p := q.lines[line].Remove(q.lines[line].Front()).(*pending)
	delete(q.waiting, p.refresh.User)
	q.taken[p.refresh.User] = nil
	return p
}

// gather waits until n users could be taken, at most for a linger.
func (q *queue) gather(ctx context.Context, n int, linger time.Duration) error {
	if linger <= 0 {
		return nil
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for q.size() < n {
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

// written ends the batch of users: refreshes that were held for them join the line.
func (q *queue) written(batch []*pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range batch {
		held := q.taken[p.refresh.User]
		delete(q.taken, p.refresh.User)
		if held != nil {
			q.held--
			q.push(held)
			signal(q.ready)
		}
	}
}

// drop removes what waits or is held of a partition that was lost: its next owner gets it again.
func (q *queue) drop(lost *offsets) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for user, at := range q.waiting {
		if p := at.Value.(*pending); p.offset.of == lost {
			q.line(p).Remove(at)
			delete(q.waiting, user)
			p.trace.End()
		}
	}
	for user, p := range q.taken {
		if p != nil && p.offset.of == lost {
			q.taken[user] = nil
			q.held--
			p.trace.End()
		}
	}
	signal(q.room)
}

// len is the number of users who wait or are held.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count()
}

// live is how many users wait with an event of their own.
func (q *queue) live() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lines[0].Len()
}

// size is the number of users who could be taken.
func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

func (q *queue) count() int { return len(q.waiting) + q.held }

// signal fills a channel of capacity one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
