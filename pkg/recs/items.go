package recs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// item is what the shop tells of one.
type item struct {
	hidden     bool // blocked or unavailable
	categories []string
}

type cachedItem struct {
	item
	read time.Time
}

// describe looks up items, those that are not in the cache in one round trip.
func (c *Client) describe(ctx context.Context, ids []string) (map[string]item, error) {
	known := make(map[string]item, len(ids))
	var missing []string
	now := time.Now()
	for _, id := range ids {
		if _, done := known[id]; done {
			continue
		}
		cached, ok := c.items.Get(id)
		if !ok || now.Sub(cached.read) >= c.opts.CacheFor {
			missing = append(missing, id)
		}
		known[id] = cached.item
	}
	if len(missing) == 0 {
		return known, nil
	}
	members := make([]any, len(missing))
	for i, id := range missing {
		members[i] = id
	}
	pipe := c.rdb.Pipeline()
	unavailable := pipe.SMIsMember(ctx, c.keys.Unavailable(), members...)
	blocked := pipe.SMIsMember(ctx, c.keys.Blocked(), members...)
	categories := pipe.HMGet(ctx, c.keys.Categories(), missing...)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, c.explain(fmt.Errorf("look up %d items: %w", len(missing), err), unavailable, blocked, categories)
	}
	for i, id := range missing {
		found := item{hidden: unavailable.Val()[i] || blocked.Val()[i]}
		if text, _ := categories.Val()[i].(string); text != "" {
			found.categories = strings.Split(text, "|")
		}
		known[id] = found
		c.items.Add(id, cachedItem{item: found, read: now})
	}
	return known, nil
}

// explain names the key that holds something else than it should.
func (c *Client) explain(err error, commands ...redis.Cmder) error {
	for _, command := range commands {
		if redis.HasErrorPrefix(command.Err(), "WRONGTYPE") {
			return errors.Join(err, fmt.Errorf("the key %v: see docs/REDIS.md for what it holds", command.Args()[1]))
		}
	}
	return err
}

func (i item) inOneOf(categories []string) bool {
	return slices.ContainsFunc(i.categories, func(c string) bool { return slices.Contains(categories, c) })
}
