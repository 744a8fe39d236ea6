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

// describe tells of items, in the same order; those that are not in the cache are looked up
// in one round trip.
func (c *Client) describe(ctx context.Context, ids []string) ([]item, error) {
	about := make([]item, len(ids))
	var missing []string
	var places []int // of the missing ones in ids
	now := time.Now()
	for i, id := range ids {
		cached, ok := c.items.Get(id)
		if ok && now.Sub(cached.read) < c.opts.CacheFor {
			about[i] = cached.item
			continue
		}
		missing, places = append(missing, id), append(places, i)
	}
	if len(missing) == 0 {
		return about, nil
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
		about[places[i]] = found
		c.items.Add(id, cachedItem{item: found, read: now})
	}
	return about, nil
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
