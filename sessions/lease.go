package sessions

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Lease makes one process of all the only one to do something. It ends by itself, in case
// the process does.
type Lease struct {
	store      *Store
	key, token string
	lasts      time.Duration
}

// Acquire returns a lease, or nil while another process has it.
func (s *Store) Acquire(ctx context.Context, name string, lasts time.Duration) (*Lease, error) {
	l := &Lease{store: s, key: s.keys.Lease(name), token: rand.Text(), lasts: lasts}
	err := s.rdb.SetArgs(ctx, l.key, l.token, redis.SetArgs{Mode: "NX", TTL: lasts}).Err()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("acquire the lease %q: %w", l.key, err)
	}
	return l, nil
}

// Extend begins the lease's time anew, and says whether it is still there: if not, another
// process may have it.
func (l *Lease) Extend(ctx context.Context) (held bool, err error) {
	return l.set(ctx, l.lasts)
}

// Release ends the lease.
func (l *Lease) Release(ctx context.Context) error {
	_, err := l.set(ctx, 0)
	return err
}

func (l *Lease) set(ctx context.Context, lasts time.Duration) (held bool, err error) {
	held, err = leaseScript.Run(ctx, l.store.rdb, []string{l.key}, l.token, lasts.Milliseconds()).Bool()
	if err != nil {
		return false, fmt.Errorf("keep the lease %q: %w", l.key, err)
	}
	return held, nil
}
