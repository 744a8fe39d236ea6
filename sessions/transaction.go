package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// In the common case, sequences and recommendations are written by optimistic transactions:
// WATCH the keys of a batch, read them, decide here, then MULTI and EXEC, which writes all or,
// if another client has changed one of the keys meanwhile, nothing. That takes Redis less than
// half of the CPU time of a script for each user, which is the first limit of a fast device.
//
// The scripts stay the authority. They write whatever is not the common case, everything after a
// conflict, and all of a Redis Cluster, where a transaction has one hash slot.

// checkTransactions finds out whether the user of Redis may use transactions, by a command of
// theirs that does nothing.
func (s *Store) checkTransactions(ctx context.Context) {
	if err := s.rdb.Do(ctx, "unwatch").Err(); redis.IsPermissionError(err) {
		s.noTransactions.Store(true)
	}
}

// Transactions tells whether Redis allows them. Without them, writing takes it twice the CPU time.
func (s *Store) Transactions() bool { return !s.noTransactions.Load() }

// optimistic tells whether transactions can be used.
func (s *Store) optimistic() bool { return s.single != nil && !s.noTransactions.Load() }

// transact watches keys and reads in one round trip, and executes what write queues in another.
// Nothing was written if it returns false without an error: write has queued nothing, there was a
// conflict, or Redis refuses transactions. After an error, all or nothing was written.
func (s *Store) transact(ctx context.Context, keys []string, read, write func(redis.Pipeliner)) (committed bool, err error) {
	conn := s.single.Conn()
	defer conn.Close() // back to the pool
	watched, err := s.watch(ctx, conn, keys, read)
	if !watched {
		return false, err
	}
	tx := conn.TxPipeline()
	write(tx)
	if tx.Len() == 0 {
		unwatch(ctx, conn)
		return false, nil
	}
	_, err = tx.Exec(ctx)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, redis.TxFailedErr):
		return false, nil
	}
	unwatch(ctx, conn) // it may not have come as far as EXEC
	return false, err
}

// unwatch makes a connection fit for others. One that is broken does not go back to the pool.
func unwatch(ctx context.Context, conn *redis.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Do(ctx, "unwatch").Err()
}

// watch returns false without an error if the user of Redis may not do it.
func (s *Store) watch(ctx context.Context, conn *redis.Conn, keys []string, read func(redis.Pipeliner)) (watched bool, err error) {
	pipe := conn.Pipeline()
	args := make([]any, 1, 1+len(keys))
	args[0] = "watch"
	for _, key := range keys {
		args = append(args, key)
	}
	watch := pipe.Do(ctx, args...)
	read(pipe)
	_, _ = pipe.Exec(ctx) // every answer has its own error
	switch err := watch.Err(); {
	case err == nil:
		return true, nil
	case redis.IsPermissionError(err) || redis.HasErrorPrefix(err, "unknown command") || redis.HasErrorPrefix(err, "CROSSSLOT"):
		s.noTransactions.Store(true)
		s.opts.Logger.WarnContext(ctx, "Redis refuses transactions: writing by scripts alone, which takes it twice the CPU time; grant +@transaction", "err", err)
		return false, nil
	default:
		return false, fmt.Errorf("watch %d keys: %w", len(keys), err)
	}
}

// allOf returns the indices of n things.
func allOf(n int) []int {
	indices := make([]int, n)
	for i := range indices {
		indices[i] = i
	}
	return indices
}
