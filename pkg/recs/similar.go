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

const (
	contextItems = 8   // newest items of a user whose similar items are recommended
	decay        = 0.8 // weight of a context item relative to the next newer one
)

type cachedSimilar struct {
	userstate.SimilarItems
	read time.Time
}

// addSimilar selects from the items similar to each user's newest ones.
func (c *Client) addSimilar(ctx context.Context, short []*request, seenRead bool) error {
	if !seenRead {
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
	similar, err := c.readSimilar(ctx, ids)
	if err != nil {
		return err
	}
	for _, r := range short {
		r.candidates = List{Items: merge(r.context(), similar)}
	}
	return c.selectItems(ctx, short, SourceContext)
}

// context returns the user's newest items, newest first, without repetitions.
func (r *request) context() []string {
	var ids []string
	for _, id := range slices.Backward(r.seen) {
		if len(ids) == contextItems {
			break
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// merge adds up the scores of the similar items, weighted by recency. The context items
// themselves are left out.
func merge(context []string, similar map[string]userstate.SimilarItems) []ScoredItem {
	scores := make(map[string]float64)
	for i, id := range context {
		for _, other := range similar[id] {
			if !slices.Contains(context, other.Item) {
				scores[other.Item] += other.Score * math.Pow(decay, float64(i))
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

// readSeen reads the sequences of requests in one round trip.
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
			r.seen, _ = userstate.DecodeItems(sequence) // an unreadable sequence is treated as missing
		}
	}
	return nil
}

// readSimilar returns the similar items of items. Those not in the cache take one round trip.
func (c *Client) readSimilar(ctx context.Context, ids []string) (map[string]userstate.SimilarItems, error) {
	found := make(map[string]userstate.SimilarItems, len(ids))
	var missing []string
	now := time.Now()
	for _, id := range ids {
		if _, done := found[id]; done {
			continue
		}
		cached, ok := c.similar.Get(id)
		if !ok || now.Sub(cached.read) >= c.opts.CacheFor {
			missing = append(missing, id)
		}
		found[id] = cached.SimilarItems
	}
	if len(missing) == 0 {
		return found, nil
	}
	values := c.rdb.HMGet(ctx, c.keys.Similar(), missing...)
	if err := values.Err(); err != nil {
		return nil, withKey(fmt.Errorf("read the similar items of %d items: %w", len(missing), err), values)
	}
	for i, id := range missing {
		var similar userstate.SimilarItems
		if text, exists := values.Val()[i].(string); exists {
			similar, _ = userstate.DecodeSimilar([]byte(text)) // an unreadable value is treated as missing
		}
		found[id] = similar
		c.similar.Add(id, cachedSimilar{SimilarItems: similar, read: now})
	}
	return found, nil
}
