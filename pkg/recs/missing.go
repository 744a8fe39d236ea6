package recs

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Missing names the keys that an answer to a user could come from and that are not in Redis.
func (c *Client) Missing(ctx context.Context, user string) (keys []string, err error) {
	all := []string{c.keys.List(user), c.keys.Similar(), c.keys.Popular()}
	counts := make([]*redis.IntCmd, len(all))
	pipe := c.rdb.Pipeline()
	for i, key := range all {
		counts[i] = pipe.Exists(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("look for the recommendations of user %q: %w", user, err)
	}
	for i, key := range all {
		if counts[i].Val() == 0 {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
