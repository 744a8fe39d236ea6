package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/recs"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

// fill makes the topics, and popular items, so that whoever is asked for has recommendations.
func fill(ctx context.Context, kafka, redisAddress string) error {
	if err := stream.EnsureTopics(ctx, stream.Cluster{Brokers: []string{kafka}}, stream.DefaultTopics(), 1); err != nil {
		return err
	}
	rdb := redis.NewClient(&redis.Options{Addr: redisAddress})
	defer rdb.Close()
	store, err := sessions.Open(ctx, rdb, sessions.Options{})
	if err != nil {
		return err
	}
	popular := recs.List{GeneratedAt: time.Now(), Source: recs.SourcePopular}
	keys := userstate.Keys{Prefix: recs.DefaultPrefix}
	pipe := rdb.Pipeline()
	for i := range 200 {
		item := fmt.Sprintf("item-%03d", i)
		popular.Items = append(popular.Items, recs.ScoredItem{Item: item, Score: 1 / float64(i+1)})
		pipe.HSet(ctx, keys.Categories(), item, fmt.Sprint("category-", i%7))
	}
	_, err = pipe.Exec(ctx)
	return errors.Join(err, store.PutPopular(ctx, popular))
}

// freeAddress is taken by nobody for a moment.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
