package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/backoff"
	"genrec/pkg/recs"
	"genrec/pkg/redisconn"
	"genrec/pkg/userstate"
)

// attemptTimeout limits one attempt to reach Redis, including go-redis's own retries.
const attemptTimeout = 15 * time.Second

// Await opens a Store, verifies with Probe that it can read and write all keys, and records the
// format. It retries while Redis is unreachable, until ctx ends. Permanent errors, such as
// missing permissions, end it at once.
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
		logger.WarnContext(ctx, noTransactionsMessage)
	}
	return s, err
}

// AwaitClient is redisconn.Connect with the retries of Await.
func AwaitClient(ctx context.Context, logger *slog.Logger, o *redis.UniversalOptions) (rdb redis.UniversalClient, err error) {
	err = awaitRedis(ctx, logger, func(ctx context.Context) error {
		rdb, err = redisconn.Connect(ctx, o)
		return WithHint(err)
	})
	return rdb, err
}

// AwaitReader waits until c can read recommendations, with the retries of Await. It is for
// programs that write nothing.
func AwaitReader(ctx context.Context, logger *slog.Logger, c *recs.Client) error {
	return awaitRedis(ctx, logger, func(ctx context.Context) error {
		_, err := c.Read(ctx, []string{invalidUser}, recs.Query{ExcludeSeen: true})
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

// WithHint appends to an error what an operator can do about it, if that is known.
func WithHint(err error) error {
	hint := redisconn.Hint(err)
	if errors.Is(err, ErrFormat) {
		hint = "run the version of genrec that wrote it, or choose another --prefix and import the events"
	}
	if hint != "" {
		return fmt.Errorf("%w: %s", err, hint)
	}
	return err
}

// ErrFormat means that the data in Redis has another format than userstate.Format.
var ErrFormat = errors.New("the data in Redis has another format")

// ClaimFormat records the format if Redis has none yet, and compares it otherwise. A program must
// call it before it writes sequences.
func (s *Store) ClaimFormat(ctx context.Context) error {
	if err := s.rdb.SetNX(ctx, s.keys.Format(), userstate.Format, 0).Err(); err != nil {
		return WithHint(fmt.Errorf("record the format of sequences: %w", err))
	}
	return s.checkFormat(ctx)
}

// KeepFormat calls ClaimFormat at an interval until ctx ends, because Redis may lose its data
// while no other process would record the format again. It returns ErrFormat if another program
// recorded a different one.
func (s *Store) KeepFormat(ctx context.Context, logger *slog.Logger, interval time.Duration) error {
	for backoff.Sleep(ctx, interval) == nil {
		err := backoff.Retry(ctx, logger, "check the format of sequences", func() error {
			err := s.ClaimFormat(ctx)
			if errors.Is(err, ErrFormat) {
				return backoff.Permanent(err)
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("after Redis lost its data: %w", err)
		}
	}
	return nil
}

func (s *Store) checkFormat(ctx context.Context) error {
	found, err := s.rdb.Get(ctx, s.keys.Format()).Result()
	switch {
	case errors.Is(err, redis.Nil) || err == nil && found == strconv.Itoa(userstate.Format):
		return nil
	case err != nil:
		return WithHint(fmt.Errorf("read the format of sequences: %w", err))
	}
	return WithHint(fmt.Errorf("%w: %s is %.20q, not %d", ErrFormat, s.keys.Format(), found, userstate.Format))
}
