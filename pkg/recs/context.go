package recs

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// Bounds of what is popular near items.
const (
	newest = 8 // items of a user that are asked for their neighbors
	fading = 0.8
)

type cachedNear struct {
	userstate.SimilarItems
	read time.Time
}

// addContext lets each take from what is popular near its newest items, the older the less.
func (c *Client) addContext(ctx context.Context, short []*request, knowSeen bool) error {
	if !knowSeen {
		if err := c.readSeen(ctx, short); err != nil {
			return err
		}
	}
	var ids []string
	for _, r := range short {
		ids = append(ids, r.context()...)
	}
	if len(ids) == 0 {
		return nil
	}
	near, err := c.near(ctx, ids)
	if err != nil {
		return err
	}
	for _, r := range short {
		r.list = List{Items: merge(r.context(), near)}
	}
	return c.add(ctx, short, SourceContext)
}

// context is the newest items, the last first, each once.
func (r *request) context() []string {
	var ids []string
	for _, id := range slices.Backward(r.seen) {
		if len(ids) == newest {
			break
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// merge adds up the scores of neighbors; the items themselves are no recommendation.
func merge(context []string, near map[string]userstate.SimilarItems) []ScoredItem {
	scores := make(map[string]float64)
	for i, id := range context {
		for _, other := range near[id] {
			if !slices.Contains(context, other.Item) {
				scores[other.Item] += other.Score * math.Pow(fading, float64(i))
			}
		}
	}
	items := make([]ScoredItem, 0, len(scores))
	for id, score := range scores {
		items = append(items, ScoredItem{Item: id, Score: score})
	}
	slices.SortFunc(items, func(a, b ScoredItem) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Item, b.Item))
	})
	return items
}

// readSeen reads the sequences, in one round trip.
func (c *Client) readSeen(ctx context.Context, all []*request) error {
	values := make([]*redis.SliceCmd, len(all))
	pipe := c.rdb.Pipeline()
	for i, r := range all {
		values[i] = pipe.MGet(ctx, c.keys.Sequence(r.user))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("read the sequences of %d users: %w", len(all), err)
	}
	for i, r := range all {
		if sequence, exists := values[i].Val()[0].(string); exists {
			r.seen, _ = userstate.DecodeItems(sequence) // what cannot be read has no context
		}
	}
	return nil
}

// near looks up the neighbors of items, of those that are not in the cache in one round trip.
func (c *Client) near(ctx context.Context, ids []string) (map[string]userstate.SimilarItems, error) {
	known := make(map[string]userstate.SimilarItems, len(ids))
	var missing []string
	now := time.Now()
	for _, id := range ids {
		if _, done := known[id]; done {
			continue
		}
		cached, ok := c.neighbors.Get(id)
		if !ok || now.Sub(cached.read) >= c.opts.CacheFor {
			missing = append(missing, id)
		}
		known[id] = cached.SimilarItems
	}
	if len(missing) == 0 {
		return known, nil
	}
	values := c.rdb.HMGet(ctx, c.keys.Similar(), missing...)
	if err := values.Err(); err != nil {
		return nil, c.explain(fmt.Errorf("look up what is popular near %d items: %w", len(missing), err), values)
	}
	for i, id := range missing {
		var near userstate.SimilarItems
		if text, exists := values.Val()[i].(string); exists {
			near, _ = userstate.DecodeSimilar([]byte(text)) // what cannot be read says nothing
		}
		known[id] = near
		c.neighbors.Add(id, cachedNear{SimilarItems: near, read: now})
	}
	return known, nil
}
