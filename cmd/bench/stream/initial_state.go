package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/backoff"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

const (
	fillBatch   = 256 // users per pipeline
	fillWriters = 4
)

// initialState is the state of Redis at the start of each measurement: every user has a history and a list.
// Without restoring it, later measurements would be slower, because measurements append to the histories.
type initialState struct {
	env       *environment
	workload  *workload
	model     string   // version of the lists
	sequences []string // encoded, by user
	versions  []int64
}

// fill empties Redis and appends all histories.
func (r *environment) fill(ctx context.Context, w *workload, model string) (*initialState, error) {
	if err := r.flushRedis(ctx); err != nil {
		return nil, err
	}
	store, err := sessions.Open(ctx, r.rdb, sessions.Options{SequenceTTL: sessions.DefaultSequenceTTL})
	if err != nil {
		return nil, err
	}
	if err := store.ClaimFormat(ctx); err != nil {
		return nil, err
	}
	b := &initialState{env: r, workload: w, model: model, sequences: make([]string, len(w.users)), versions: make([]int64, len(w.users))}
	keys := userstate.Keys{Prefix: sessions.DefaultPrefix}
	err = eachBatch(ctx, len(w.users), func(ctx context.Context, from, to int) error {
		var batch []sessions.UserEvents
		for user := from; user < to; user++ {
			batch = append(batch, w.history(user))
		}
		appended, err := store.Append(ctx, batch)
		if err != nil {
			return err
		}
		pipe := r.rdb.Pipeline()
		stored := make([]*redis.StringCmd, to-from)
		for i := range stored {
			b.versions[from+i] = appended[i].Version
			stored[i] = pipe.Get(ctx, keys.Sequence(appended[i].User))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for i := range stored {
			b.sequences[from+i] = stored[i].Val()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("fill Redis with %d users: %w", len(w.users), err)
	}
	return b, nil
}

// restore writes all histories and lists of the initial state. No events may be in flight.
func (b *initialState) restore(ctx context.Context) error {
	keys := userstate.Keys{Prefix: sessions.DefaultPrefix}
	err := eachBatch(ctx, len(b.sequences), func(ctx context.Context, from, to int) error {
		rng := rand.New(rand.NewPCG(2, uint64(from)))
		pipe := b.env.rdb.Pipeline()
		for user := from; user < to; user++ {
			id := b.workload.users[user].ID
			list, err := b.workload.list(user, b.model, b.versions[user], rng).Encode()
			if err != nil {
				return err
			}
			pipe.Set(ctx, keys.Sequence(id), b.sequences[user], sessions.DefaultSequenceTTL)
			pipe.Set(ctx, keys.List(id), list, sessions.DefaultRecommendationsTTL)
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("restore the histories of %d users: %w", len(b.sequences), err)
	}
	copy(b.workload.versions, b.versions)
	return b.env.compactAOF(ctx)
}

// eachBatch calls f for consecutive ranges of n users, several in parallel.
func eachBatch(ctx context.Context, n int, f func(ctx context.Context, from, to int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fillWriters)
	for from := 0; from < n; from += fillBatch {
		group.Go(func() error { return f(ctx, from, min(from+fillBatch, n)) })
	}
	return group.Wait()
}

// compactAOF rewrites the append-only files, so that Redis does not do it during a measurement.
func (r *environment) compactAOF(ctx context.Context) error {
	var mu sync.Mutex // ForEachMaster is concurrent
	var masters []*redis.Client
	err := r.eachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		info, err := master.InfoMap(ctx, "persistence").Result()
		if err != nil || info["Persistence"]["aof_enabled"] != "1" {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, master)
		if err := master.BgRewriteAOF(ctx).Err(); err != nil && !strings.Contains(err.Error(), "already in progress") {
			return err
		}
		return nil
	})
	for _, master := range masters {
		for err == nil {
			var info map[string]map[string]string
			info, err = master.InfoMap(ctx, "persistence").Result()
			if p := info["Persistence"]; p["aof_rewrite_in_progress"] == "0" && p["aof_rewrite_scheduled"] == "0" {
				break
			}
			if err == nil {
				err = backoff.Sleep(ctx, 50*time.Millisecond)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("rewrite the append-only file of Redis: %w", err)
	}
	return nil
}
