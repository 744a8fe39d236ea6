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
	"genrec/pkg/tlsfiles"
)

// attemptTimeout bounds one attempt to reach Redis, with go-redis's own retries.
const attemptTimeout = 15 * time.Second

// Await is Open for as long as Redis is out of reach, and looks whether all of the
// keys can be read and written. A Redis that refuses ends it.
func Await(ctx context.Context, logger *slog.Logger, rdb redis.UniversalClient, o Options) (s *Store, err error) {
	err = awaitRedis(ctx, logger, func(ctx context.Context) error {
		if s, err = Open(ctx, rdb, o); err != nil {
			return err
		}
		if err := s.checkAccess(ctx); err != nil {
			return err
		}
		return s.Claim(ctx)
	})
	return s, err
}

// AwaitReader waits for as long as Redis is out of reach, for a program that reads
// recommendations alone. A Redis that refuses ends it.
func AwaitReader(ctx context.Context, logger *slog.Logger, c *recs.Client) error {
	return awaitRedis(ctx, logger, func(ctx context.Context) error {
		_, err := c.Read(ctx, []string{nobody}, recs.Query{ExcludeSeen: true})
		return WithRemedy(err)
	})
}

func awaitRedis(ctx context.Context, logger *slog.Logger, attempt func(context.Context) error) error {
	return backoff.Retry(ctx, logger, "connect to Redis", func() error {
		attemptCtx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		err := attempt(attemptCtx)
		if remedy(err) != "" {
			return backoff.Permanent(err)
		}
		return err
	})
}

// nobody is a user that cannot be: no id has a control character.
const nobody = "\x00"

// checkAccess does what services do.
func (s *Store) checkAccess(ctx context.Context) error {
	if _, err := s.Sequences(ctx, []string{nobody}); err != nil {
		return WithRemedy(err)
	}
	if _, err := s.RecommendationsOf(ctx, []string{nobody}); err != nil {
		return WithRemedy(err)
	}
	key := s.keys.List(nobody)
	if err := s.rdb.Set(ctx, key, "", time.Millisecond).Err(); err != nil {
		return WithRemedy(fmt.Errorf("write the key %q: %w", key, err))
	}
	return nil
}

// WithRemedy adds what to do, if Redis refuses.
func WithRemedy(err error) error {
	if remedy := remedy(err); remedy != "" {
		return fmt.Errorf("%w: %s", err, remedy)
	}
	return err
}

// remedy says what to do about a refusal that no repetition changes, and is empty
// for any other error.
func remedy(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrFormat):
		return "let the genrec that wrote it go on, or take another --prefix and import what happened"
	case redis.IsAuthError(err):
		return "check the user and the password"
	case redis.IsPermissionError(err):
		return "let this user read and write all keys with the prefix, and run scripts"
	}
	return tlsfiles.Remedy(err)
}
