package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
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

// recorded is a connection that records what is written to it.
type recorded struct {
	net.Conn
	written *bytes.Buffer
}

func (r recorded) Write(p []byte) (int, error) {
	r.written.Write(p)
	return r.Conn.Write(p)
}

// pipeline holds commands as they are sent.
type pipeline struct {
	bytes    []byte
	commands int
}

// ceiling measures how many events a second Redis appends when connections replay, byte for
// byte, the commands of a Store and do nothing else.
func (r *environment) ceiling(ctx context.Context) (perSecond float64, err error) {
	if err := r.flushRedis(ctx); err != nil {
		return 0, err
	}
	var written bytes.Buffer
	recording := redis.NewClient(&redis.Options{
		Addr: r.redis, PoolSize: 1, MaxRetries: -1, ReadTimeout: time.Minute, // a retry would be recorded too
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, address)
			return recorded{conn, &written}, err
		},
	})
	defer recording.Close()
	store, err := sessions.Open(ctx, recording, sessions.Options{SequenceTTL: sessions.DefaultSequenceTTL})
	if err != nil {
		return 0, err
	}
	// Each connection has users of its own, like a partition.
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
		written.Reset()
		if _, err := store.Append(ctx, batches[at]); err != nil {
			return 0, err
		}
		p, err := dataCommands(written.Bytes())
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
