package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/backoff"
	"genrec/pkg/recs"
	"genrec/pkg/redisconn"
)

// attemptTimeout bounds one attempt to reach Redis, with go-redis's own retries.
const attemptTimeout = 15 * time.Second

// Await is Open for as long as Redis is out of reach, and probes whether all of the
// keys can be read and written. A Redis that refuses ends it.
func Await(ctx context.Context, logger *slog.Logger, rdb redis.UniversalClient, o Options) (s *Store, err error) {
	err = awaitRedis(ctx, logger, func(ctx context.Context) error {
		if s, err = Open(ctx, rdb, o); err != nil {
			return err
		}
		if err := s.Probe(ctx); err != nil {
			return err
		}
		return s.ClaimFormat(ctx)
	})
	if err == nil && !s.Transactions() {
		logger.WarnContext(ctx, "Redis refuses transactions: writing by scripts alone, which takes it twice the CPU time; grant +@transaction")
	}
	return s, err
}

// AwaitClient is redisconn.Connect for as long as Redis is out of reach. A Redis that refuses
// ends it.
func AwaitClient(ctx context.Context, logger *slog.Logger, o *redis.UniversalOptions) (rdb redis.UniversalClient, err error) {
	err = awaitRedis(ctx, logger, func(ctx context.Context) error {
		rdb, err = redisconn.Connect(ctx, o)
		return WithHint(err)
	})
	return rdb, err
}

// AwaitReader waits for as long as Redis is out of reach, for a program that reads
// recommendations alone. A Redis that refuses ends it.
func AwaitReader(ctx context.Context, logger *slog.Logger, c *recs.Client) error {
	return awaitRedis(ctx, logger, func(ctx context.Context) error {
		_, err := c.Read(ctx, []string{nobody}, recs.Query{ExcludeSeen: true})
		return WithHint(err)
	})
}

func awaitRedis(ctx context.Context, logger *slog.Logger, attempt func(context.Context) error) error {
	return backoff.Retry(ctx, logger, "connect to Redis", func() error {
		attemptCtx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		err := attempt(attemptCtx)
		if errors.Is(err, ErrFormat) || redisconn.Permanent(err) {
			return backoff.Permanent(err)
		}
		return err
	})
}

// WithHint adds what to do, if that is known.
func WithHint(err error) error {
	hint := redisconn.Hint(err)
	if errors.Is(err, ErrFormat) {
		hint = "let the genrec that wrote it go on, or take another --prefix and import what happened"
	}
	if hint != "" {
		return fmt.Errorf("%w: %s", err, hint)
	}
	return err
}
