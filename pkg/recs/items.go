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

// item is the metadata of an item that filters need.
type item struct {
	hidden     bool // blocked or unavailable
	categories []string
}

type cachedItem struct {
	item
	read time.Time
}

func (i item) inOneOf(categories []string) bool {
	return slices.ContainsFunc(i.categories, func(c string) bool { return slices.Contains(categories, c) })
}

// readItems returns the metadata of items, in the same order. Those not in the cache take one
// round trip.
func (c *Client) readItems(ctx context.Context, ids []string) ([]item, error) {
	items := make([]item, len(ids))
	var missing []string
	var indices []int // of the missing ones in ids
	now := time.Now()
	for i, id := range ids {
		cached, ok := c.items.Get(id)
		if ok && now.Sub(cached.read) < c.opts.CacheFor {
			items[i] = cached.item
			continue
		}
		missing, indices = append(missing, id), append(indices, i)
	}
	if len(missing) == 0 {
		return items, nil
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
		return nil, withKey(fmt.Errorf("read the metadata of %d items: %w", len(missing), err), unavailable, blocked, categories)
	}
	for i, id := range missing {
		found := item{hidden: unavailable.Val()[i] || blocked.Val()[i], categories: splitCategories(categories.Val()[i])}
		items[indices[i]] = found
		c.items.Add(id, cachedItem{item: found, read: now})
	}
	return items, nil
}

func splitCategories(value any) []string {
	text, _ := value.(string)
	if text == "" {
		return nil
	}
	return strings.Split(text, "|")
}

// withKey adds to an error the key whose value has the wrong type, if that is the cause.
func withKey(err error, commands ...redis.Cmder) error {
	for _, command := range commands {
		if redis.HasErrorPrefix(command.Err(), "WRONGTYPE") {
			return errors.Join(err, fmt.Errorf("the key %v has the wrong type: see docs/REDIS.md", command.Args()[1]))
		}
	}
	return err
}

// Metadata is what the shop publishes about an item for display.
type Metadata struct {
	Title      string   `json:"title,omitempty"`      // "" if unknown
	Categories []string `json:"categories,omitempty"` // nil if unknown
}

// Metadata reads the metadata of items in one round trip. Items without any are left out.
func (c *Client) Metadata(ctx context.Context, ids []string) (map[string]Metadata, error) {
	found := make(map[string]Metadata, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	pipe := c.rdb.Pipeline()
	titles := pipe.HMGet(ctx, c.keys.Titles(), ids...)
	categories := pipe.HMGet(ctx, c.keys.Categories(), ids...)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, withKey(fmt.Errorf("read the titles of %d items: %w", len(ids), err), titles, categories)
	}
	for i, id := range ids {
		m := Metadata{Categories: splitCategories(categories.Val()[i])}
		m.Title, _ = titles.Val()[i].(string)
		if m.Title != "" || m.Categories != nil {
			found[id] = m
		}
	}
	return found, nil
}
