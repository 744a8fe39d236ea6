package inference

import (
	"context"
	"sync"

	"github.com/segmentio/kafka-go"

	"genrec/pkg/stream"
)

// pending is a user who waits for recommendations.
type pending struct {
	refresh stream.Refresh
	message kafka.Message // the newest that asks for them
	ticket  ticket        // of that message
}

// queue holds pending users in order of arrival, each once. It has one producer
// and one consumer.
type queue struct {
	limit int
	ready chan struct{} // filled while users wait
	room  chan struct{} // filled after users were taken

	mu     sync.Mutex
	users  []string
	byUser map[string]pending
}

func newQueue(limit int) *queue {
	return &queue{
		limit:  limit,
		ready:  make(chan struct{}, 1),
		room:   make(chan struct{}, 1),
		byUser: make(map[string]pending),
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

// add puts a user into the queue. One who waits already keeps the place, and
// the message that was waited for so far is returned: it is as good as
// finished, since redelivery of the newer one has the same effect.
func (q *queue) add(p pending) (superseded ticket, coalesced bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	user := p.refresh.User
	older, coalesced := q.byUser[user]
	if coalesced {
		newer := p.refresh.ProducedAt
		p.refresh.ProducedAt = older.refresh.ProducedAt
		p.refresh.AddProducedAt(newer...)
	} else {
		q.users = append(q.users, user)
	}
	q.byUser[user] = p
	signal(q.ready)
	return older.ticket, coalesced
}

// take removes up to n users, the longest waiting first.
func (q *queue) take(n int) []pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(n, len(q.users))
	taken := make([]pending, n)
	for i, user := range q.users[:n] {
		taken[i] = q.byUser[user]
		delete(q.byUser, user)
	}
	q.users = q.users[n:]
	if len(q.users) > 0 {
		signal(q.ready)
	}
	signal(q.room)
	return taken
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.users)
}

// signal fills a channel of capacity one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
