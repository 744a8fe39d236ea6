package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"genrec/pkg/event"
	"genrec/sessions"
)

const (
	ceilingConnections = 4
	ceilingDepth       = 512 // users in a pipeline
)

// ceiling returns the events per second that Redis appends when connections only replay the recorded commands
// of a Store.
func (r *environment) ceiling(ctx context.Context) (perSecond float64, err error) {
	if err := r.flushRedis(ctx); err != nil {
		return 0, err
	}
	recorder := newRecorder()
	recording := redis.NewClient(&redis.Options{
		Addr: r.redis, PoolSize: 1, MaxRetries: -1, ReadTimeout: time.Minute, // retries would be recorded, too
		Dialer: recorder.dial,
	})
	defer recording.Close()
	store, err := sessions.Open(ctx, recording, sessions.Options{SequenceTTL: sessions.DefaultSequenceTTL})
	if err != nil {
		return 0, err
	}
	// A user always has the same connection, as with partitions.
	pipelines := make([][]pipeline, ceilingConnections)
	batches := make([][]sessions.UserEvents, ceilingConnections)
	began := time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Millisecond)
	events := 0
	for n := range r.events {
		e := r.nthEvent(n, began)
		at := n % ceilingConnections
		batches[at] = append(batches[at], sessions.UserEvents{User: e.User, Events: []event.Event{e}})
		if len(batches[at]) < ceilingDepth {
			continue
		}
		recorder.take()
		if _, err := store.Append(ctx, batches[at]); err != nil {
			return 0, err
		}
		p, err := dataCommands(recorder.take()[r.redis])
		if err != nil {
			return 0, fmt.Errorf("record appends: %w", err)
		}
		pipelines[at] = append(pipelines[at], p)
		events += len(batches[at])
		batches[at] = batches[at][:0]
	}
	if err := r.flushRedis(ctx); err != nil {
		return 0, err
	}

	start := time.Now()
	group, sending := errgroup.WithContext(ctx)
	for _, of := range pipelines {
		group.Go(func() error { return replayOn(sending, r.redis, of) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	took := time.Since(start)
	users, err := r.rdb.DBSize(ctx).Result()
	if err != nil || int(users) < min(events, r.users)*9/10 {
		return 0, errors.Join(err, fmt.Errorf("the replay left %d keys: the commands were not executed", users))
	}
	return float64(events) / took.Seconds(), nil
}
