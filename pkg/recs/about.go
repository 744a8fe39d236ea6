package recs

import (
	"context"
	"fmt"
	"strings"
)

// About is what a shop tells people of an item, as far as it does.
type About struct {
	Title      string   `json:"title,omitempty"`
	Categories []string `json:"categories,omitempty"`
}

// About asks for items, in one round trip, and leaves out those that nothing is told of.
func (c *Client) About(ctx context.Context, ids []string) (map[string]About, error) {
	known := make(map[string]About, len(ids))
	if len(ids) == 0 {
		return known, nil
	}
	pipe := c.rdb.Pipeline()
	titles := pipe.HMGet(ctx, c.keys.Titles(), ids...)
	categories := pipe.HMGet(ctx, c.keys.Categories(), ids...)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, c.explain(fmt.Errorf("look up the titles of %d items: %w", len(ids), err), titles, categories)
	}
	for i, id := range ids {
		var about About
		about.Title, _ = titles.Val()[i].(string)
		if text, _ := categories.Val()[i].(string); text != "" {
			about.Categories = strings.Split(text, "|")
		}
		if about.Title != "" || about.Categories != nil {
			known[id] = about
		}
	}
	return known, nil
}
