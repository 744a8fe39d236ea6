package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

const noTransactionsMessage = "Redis refuses transactions: writing with scripts alone, which doubles its CPU time per write; grant +@transaction"

// checkTransactions finds out whether the Redis user may use transactions, with a command of that
// category that does nothing.
func (s *Store) checkTransactions(ctx context.Context) {
	if err := s.rdb.Do(ctx, "unwatch").Err(); redis.IsPermissionError(err) {
		s.noTransactions.Store(true)
	}
}

// Transactions reports whether Redis permits transactions. Without them, a write takes it twice
// the CPU time.
func (s *Store) Transactions() bool { return !s.noTransactions.Load() }

// optimistic reports whether batches can be written in transactions.
func (s *Store) optimistic() bool { return s.single != nil && !s.noTransactions.Load() }

// transact watches keys and executes the commands of read in one round trip, then those that
// write queues in a MULTI/EXEC transaction in a second one. It returns false without an error if
// nothing was written: write queued nothing, another client changed one of the keys, or Redis
// refuses transactions. After an error, either all or nothing was written.
func (s *Store) transact(ctx context.Context, keys []string, read, write func(redis.Pipeliner)) (committed bool, err error) {
	conn := s.single.Conn()
	defer conn.Close() // returns it to the pool
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
	unwatch(ctx, conn) // EXEC may not have been reached
	return false, err
}

// unwatch makes a connection reusable. A broken one does not return to the pool.
func unwatch(ctx context.Context, conn *redis.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Do(ctx, "unwatch").Err()
}

// watch returns false without an error if Redis refuses transactions.
func (s *Store) watch(ctx context.Context, conn *redis.Conn, keys []string, read func(redis.Pipeliner)) (watched bool, err error) {
	pipe := conn.Pipeline()
	args := make([]any, 1, 1+len(keys))
	args[0] = "watch"
	for _, key := range keys {
		args = append(args, key)
	}
	watch := pipe.Do(ctx, args...)
	read(pipe)
	_, _ = pipe.Exec(ctx) // each command has its own error
	switch err := watch.Err(); {
	case err == nil:
		return true, nil
	case redis.IsPermissionError(err) || redis.HasErrorPrefix(err, "unknown command") || redis.HasErrorPrefix(err, "CROSSSLOT"):
		s.noTransactions.Store(true)
		s.opts.Logger.WarnContext(ctx, noTransactionsMessage, "err", err)
		return false, nil
	default:
		return false, fmt.Errorf("watch %d keys: %w", len(keys), err)
	}
}

// indices returns 0 to n-1.
func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
