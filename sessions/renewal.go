package sessions

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Renewed says what was served when all active users had their recommendations renewed.
func (s *Store) Refreshed(ctx context.Context) (serving string, err error) {
	serving, err = s.rdb.Get(ctx, s.keys.Refreshed()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("read for which models users were renewed: %w", err)
	}
	return serving, nil
}

// SetRenewed remembers that all active users were renewed for what is served.
func (s *Store) SetRefreshed(ctx context.Context, serving string) error {
	if err := s.rdb.Set(ctx, s.keys.Refreshed(), serving, 0).Err(); err != nil {
		return fmt.Errorf("write for which models users were renewed: %w", err)
	}
	return nil
}
