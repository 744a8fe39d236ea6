package sessions

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/backoff"
	"genrec/pkg/tlsfiles"
)

// attemptTimeout bounds one attempt to reach Redis, with go-redis's own retries.
const attemptTimeout = 15 * time.Second

// Await is Open for as long as Redis is out of reach, and looks whether all of the
// keys can be read and written. A Redis that refuses ends it.
func Await(ctx context.Context, logger *slog.Logger, rdb redis.UniversalClient, o Options) (s *Store, err error) {
	err = backoff.Retry(ctx, logger, "connect to Redis", func() error {
		attemptCtx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		if s, err = Open(attemptCtx, rdb, o); err == nil {
			err = s.checkAccess(attemptCtx)
		}
		if remedy(err) != "" {
			return backoff.Permanent(err)
		}
		return err
	})
	return s, err
}

// checkAccess does what services do, for a user that cannot be: no id has a control
// character.
func (s *Store) checkAccess(ctx context.Context) error {
	nobody := []string{"\x00"}
	if _, err := s.Sequences(ctx, nobody); err != nil {
		return withRemedy(err)
	}
	if _, err := s.RecommendationsOf(ctx, nobody); err != nil {
		return withRemedy(err)
	}
	key := s.keys.List(nobody[0])
	if err := s.rdb.Set(ctx, key, "", time.Millisecond).Err(); err != nil {
		return withRemedy(fmt.Errorf("write the key %q: %w", key, err))
	}
	return nil
}

func withRemedy(err error) error {
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
	case redis.IsAuthError(err):
		return "check the user and the password"
	case redis.IsPermissionError(err):
		return "let this user read and write all keys with the prefix, and run scripts"
	}
	return tlsfiles.Remedy(err)
}
