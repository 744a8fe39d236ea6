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
	"genrec/pkg/userstate"
)

// ErrFormat says that keys were written in another format than userstate.Format.
var ErrFormat = errors.New("what is in Redis has another format")

// Claim notes the format, where nothing has been written yet. Whoever writes sequences calls
// it before.
func (s *Store) ClaimFormat(ctx context.Context) error {
	if err := s.rdb.SetNX(ctx, s.keys.Format(), userstate.Format, 0).Err(); err != nil {
		return WithHint(fmt.Errorf("note the format of sequences: %w", err))
	}
	return s.checkFormat(ctx)
}

// KeepFormat notes the format again whenever Redis has lost it, until ctx ends, and looks
// every so often. It ends with ErrFormat where another program has noted another one.
func (s *Store) KeepFormat(ctx context.Context, logger *slog.Logger, every time.Duration) error {
	for backoff.Sleep(ctx, every) == nil {
		err := backoff.Retry(ctx, logger, "look for the format of sequences", func() error {
			err := s.ClaimFormat(ctx)
			if errors.Is(err, ErrFormat) {
				return backoff.Permanent(err)
			}
			return err
		})
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("after Redis has lost its data: %w", err)
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
