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
	ticket  ticket        // of that message
	trace   *stream.Trace // of the oldest message that has one
	queued  time.Time     // that message
}

// live tells a refresh after an event from those that only renew.
func (p pending) live() bool { return len(p.refresh.ProducedAt) > 0 }

// queue holds pending users, each once: those with new events in order of arrival, and
// behind them those who are only renewed. It has one producer and one consumer.
type queue struct {
	limit int
	ready chan struct{} // filled while users wait
	room  chan struct{} // filled after users were taken

	mu     sync.Mutex
	lines  [2]list.List // of pending: live, then the others
	byUser map[string]*list.Element
}

func newQueue(limit int) *queue {
	return &queue{
		limit:  limit,
		ready:  make(chan struct{}, 1),
		room:   make(chan struct{}, 1),
		byUser: make(map[string]*list.Element),
	}
}

// awaitRoom returns when there is room for another user.
func (q *queue) awaitRoom(ctx context.Context) error {
	for q.len() >= q.limit {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.room:
		}
	}
	return nil
}

// add puts a user into the queue. One who waits already keeps the place, unless there was
// no new event before, and the message that was waited for so far is returned: it is as
// good as finished, since redelivery of the newer one has the same effect.
func (q *queue) add(p pending) (superseded ticket, coalesced bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	user := p.refresh.User
	defer signal(q.ready)
	at, coalesced := q.byUser[user]
	if !coalesced {
		q.byUser[user] = q.line(p).PushBack(p)
		return ticket{}, false
	}
	older := at.Value.(pending)
	newer := p.refresh.ProducedAt
	p.refresh.ProducedAt = older.refresh.ProducedAt
	p.refresh.AddProducedAt(newer...)
	p.follow(older)
	if older.live() == p.live() {
		at.Value = p
	} else {
		q.line(older).Remove(at)
		q.byUser[user] = q.line(p).PushBack(p)
	}
	return older.ticket, true
}

func (q *queue) line(p pending) *list.List {
	if p.live() {
		return &q.lines[0]
	}
	return &q.lines[1]
}

// take removes up to n users, the longest waiting first. Of several, one is renewed even
// while many have new events, so that no message stays unfinished for ever.
func (q *queue) take(n int) []pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	live, others := q.lines[0].Len(), q.lines[1].Len()
	n = min(n, live+others)
	renewed := min(others, max(n-live, 1))
	if n == 1 && live > 0 {
		renewed = 0
	}
	taken := make([]pending, 0, n)
	for range n - renewed {
		taken = append(taken, q.first(0))
	}
	for range renewed {
		taken = append(taken, q.first(1))
	}
	if len(q.byUser) > 0 {
		signal(q.ready)
	}
	signal(q.room)
	return taken
}

func (q *queue) first(line int) pending {
	p := q.lines[line].Remove(q.lines[line].Front()).(pending)
	delete(q.byUser, p.refresh.User)
	return p
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.byUser)
}

// signal fills a channel of capacity one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
