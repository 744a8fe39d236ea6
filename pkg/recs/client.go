// Package recs is the Go client that reads recommendations from Redis. It starts from the user's
// own list, removes what the query, the shop and the user's sequence exclude, and fills up with
// items similar to the user's newest ones and then with popular items. Item metadata, similar and
// popular items are cached for a few seconds. docs/REDIS.md is the contract for other languages;
// package userstate defines keys and encodings.
package recs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// Defaults of Options.
const (
	DefaultPrefix   = userstate.DefaultPrefix
	DefaultCacheFor = 5 * time.Second
)

// Sizes of the caches in items.
const (
	maxCachedItems   = 100_000
	maxCachedSimilar = maxCachedItems / userstate.MaxSimilar
)

// Values of Answer.Source and Item.Source.
const (
	SourceModel   = userstate.SourceModel   // the user's own list
	SourceContext = "context"               // items similar to the user's newest ones
	SourcePopular = userstate.SourcePopular // popular items
	SourceNone    = "none"                  // nothing to recommend
)

// List is a stored recommendation list.
type List = userstate.List

// ScoredItem is an item of a List.
type ScoredItem = userstate.ScoredItem

// ErrNotFound is returned for a user without a list while there are no popular items either.
var ErrNotFound = errors.New("no recommendations")

// Options configures a Client.
type Options struct {
	Prefix   string        // of all keys; default DefaultPrefix
	CacheFor time.Duration // maximum age of cached popular items, item metadata and similar items; default DefaultCacheFor
}

// Client reads recommendations. It is safe for concurrent use.
type Client struct {
	rdb     redis.Cmdable
	keys    userstate.Keys
	opts    Options
	popular atomic.Pointer[cachedList]
	items   *lru.Cache[string, cachedItem]
	similar *lru.Cache[string, cachedSimilar]
}

// New returns a client that uses rdb. rdb must have ContextTimeoutEnabled, or contexts do not
// limit the duration of calls.
func New(rdb redis.Cmdable, o Options) *Client {
	o.Prefix = cmp.Or(o.Prefix, DefaultPrefix)
	o.CacheFor = cmp.Or(o.CacheFor, DefaultCacheFor)
	items, _ := lru.New[string, cachedItem](maxCachedItems) // fails only for a size below 1
	similar, _ := lru.New[string, cachedSimilar](maxCachedSimilar)
	return &Client{rdb: rdb, keys: userstate.Keys{Prefix: o.Prefix}, opts: o, items: items, similar: similar}
}

// Ping returns an error unless Redis responds.
func (c *Client) Ping(ctx context.Context) error { return c.rdb.Ping(ctx).Err() }

// List returns the user's list as stored in Redis, or else the popular items, without filters.
// Without either, the error is ErrNotFound.
func (c *Client) List(ctx context.Context, user string) (List, error) {
	value, err := c.rdb.Get(ctx, c.keys.List(user)).Bytes()
	if errors.Is(err, redis.Nil) {
		value, err = c.rdb.Get(ctx, c.keys.Popular()).Bytes()
	}
	switch {
	case errors.Is(err, redis.Nil):
		return List{}, fmt.Errorf("user %q: %w", user, ErrNotFound)
	case err != nil:
		return List{}, fmt.Errorf("read the recommendations of user %q: %w", user, err)
	}
	l, err := userstate.DecodeList(value)
	if err != nil {
		return List{}, fmt.Errorf("decode the recommendations of user %q: %w", user, err)
	}
	l.User = user
	return l, nil
}

// Lists returns the users' own lists, in the same order. Missing and unreadable lists are zero.
func (c *Client) Lists(ctx context.Context, users []string) ([]List, error) {
	stored, err := c.readUsers(ctx, users, false)
	if err != nil {
		return nil, err
	}
	lists := make([]List, len(users))
	for i, s := range stored {
		lists[i] = s.list
	}
	return lists, nil
}

// user is what Redis holds of a user.
type user struct {
	list List     // zero if missing or unreadable
	seen []string // items of the sequence, oldest first, if requested
}

// readUsers takes one round trip. The keys of a user are in one hash slot.
func (c *Client) readUsers(ctx context.Context, users []string, withSeen bool) ([]user, error) {
	values := make([]*redis.SliceCmd, len(users))
	pipe := c.rdb.Pipeline()
	for i, id := range users {
		if withSeen {
			values[i] = pipe.MGet(ctx, c.keys.List(id), c.keys.Sequence(id))
		} else {
			values[i] = pipe.MGet(ctx, c.keys.List(id))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read the recommendations of %d users: %w", len(users), err)
	}
	read := make([]user, len(users))
	for i, value := range values {
		if list, exists := value.Val()[0].(string); exists {
			if l, err := userstate.DecodeListString(list); err == nil {
				read[i].list = l
			}
		}
		if !withSeen {
			continue
		}
		if sequence, exists := value.Val()[1].(string); exists {
			read[i].seen, _ = userstate.DecodeItems(sequence) // an unreadable sequence is treated as missing
		}
	}
	return read, nil
}

type cachedList struct {
	List
	read time.Time
}

// Popular returns the list for users without their own; zero if there is none. When the cached
// one expires, concurrent requests may each read it, so that none waits for another.
func (c *Client) Popular(ctx context.Context) (List, error) {
	if cached := c.popular.Load(); cached != nil && time.Since(cached.read) < c.opts.CacheFor {
		return cached.List, nil
	}
	read := time.Now()
	value, err := c.rdb.Get(ctx, c.keys.Popular()).Bytes()
	if errors.Is(err, redis.Nil) {
		return List{}, nil
	}
	if err != nil {
		return List{}, fmt.Errorf("read the popular items: %w", err)
	}
	l, err := userstate.DecodeList(value)
	if err != nil {
		return List{}, fmt.Errorf("decode the popular items: %w", err)
	}
	c.popular.Store(&cachedList{List: l, read: read})
	return l, nil
}

// Missing returns the keys that a user's recommendations could come from and that do not exist in
// Redis.
func (c *Client) Missing(ctx context.Context, user string) (keys []string, err error) {
	all := []string{c.keys.List(user), c.keys.Similar(), c.keys.Popular()}
	counts := make([]*redis.IntCmd, len(all))
	pipe := c.rdb.Pipeline()
	for i, key := range all {
		counts[i] = pipe.Exists(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("check which keys exist for user %q: %w", user, err)
	}
	for i, key := range all {
		if counts[i].Val() == 0 {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
