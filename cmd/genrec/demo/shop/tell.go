package shop

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// Tell writes into Redis what the shop calls its items, for people.
func Tell(ctx context.Context, rdb redis.Cmdable, prefix string, items []Item) error {
	keys := userstate.Keys{Prefix: prefix}
	_, err := rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, item := range items {
			pipe.HSet(ctx, keys.Titles(), item.ID, item.Title)
			pipe.HSet(ctx, keys.Categories(), item.ID, item.Department)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write the titles of %d items: %w", len(items), err)
	}
	return nil
}
