package sessions

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Lease gives one process the exclusive right to a task. It expires unless it is extended, so a
// process that dies does not block the others.
type Lease struct {
	store      *Store
	key, token string
	ttl        time.Duration
}

// Acquire returns a lease, or nil while another process holds it.
func (s *Store) Acquire(ctx context.Context, name string, ttl time.Duration) (*Lease, error) {
	l := &Lease{store: s, key: s.keys.Lease(name), token: rand.Text(), ttl: ttl}
	err := s.rdb.SetArgs(ctx, l.key, l.token, redis.SetArgs{Mode: "NX", TTL: ttl}).Err()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("acquire the lease %q: %w", l.key, err)
	}
	return l, nil
}

// Extend restarts the TTL of the lease. It returns false if the lease has expired, in which case
// another process may hold it.
func (l *Lease) Extend(ctx context.Context) (held bool, err error) {
	return l.setTTL(ctx, l.ttl)
}

// Release ends the lease, if it is still held.
func (l *Lease) Release(ctx context.Context) error {
	_, err := l.setTTL(ctx, 0)
	return err
}

func (l *Lease) setTTL(ctx context.Context, ttl time.Duration) (held bool, err error) {
	held, err = leaseScript.Run(ctx, l.store.rdb, []string{l.key}, l.token, ttl.Milliseconds()).Bool()
	if err != nil {
		return false, fmt.Errorf("extend or release the lease %q: %w", l.key, err)
	}
	return held, nil
}
