package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/inference"
	"genrec/ingest"
	"genrec/pkg/registry"
	"genrec/pkg/stream"
	"genrec/pkg/userstate"
	"genrec/sessions"
)

const (
	ingestGroup    = ingest.DefaultGroup
	inferenceGroup = inference.DefaultGroup
)

// work is what a process does that is killed.
func work(ctx context.Context, s settings) error {
	rdb := redis.NewClient(&redis.Options{Addr: s.redis, ContextTimeoutEnabled: true})
	defer rdb.Close()
	store, err := sessions.Open(ctx, rdb, sessions.Options{})
	if err != nil {
		return err
	}
	cluster := stream.Cluster{Brokers: []string{s.kafka}}
	switch s.work {
	case "ingest":
		return ingest.New(ingest.Config{Kafka: cluster}, store).Run(ctx)
	case "inference":
		return inference.New(inference.Config{Kafka: cluster}, echo{}, store).Run(ctx)
	}
	return fmt.Errorf("-work: there is no service %q", s.work)
}

// echo is a model that recommends what a sequence ends with, so that a list tells which
// sequence it belongs to.
type echo struct{}

const version = "echo"

// Serving implements inference.Models.
func (echo) Serving(context.Context) ([]registry.Share, error) {
	return []registry.Share{{Version: version, Percent: 100}}, nil
}

// Load implements inference.Models.
func (e echo) Load(context.Context, string) (inference.Generator, error) { return e, nil }

// Version implements inference.Generator.
func (echo) Version() string { return version }

// Popular implements inference.Generator.
func (echo) Popular() []userstate.ScoredItem { return nil }

// SimilarItems implements inference.Generator.
func (echo) SimilarItems() iter.Seq2[string, userstate.SimilarItems] {
	return func(func(string, userstate.SimilarItems) bool) {}
}

// Close implements inference.Generator.
func (echo) Close() error { return nil }

// Concurrency implements inference.Generator: several batches are under way when a kill comes.
func (echo) Concurrency() int { return 3 }

// Generate implements inference.Generator.
func (echo) Generate(ctx context.Context, requests []inference.Request) (inference.Generated, error) {
	const pause = 10 * time.Millisecond // time to be killed in
	select {
	case <-ctx.Done():
		return inference.Generated{}, ctx.Err()
	case <-time.After(pause):
	}
	answers := make([][]userstate.ScoredItem, len(requests))
	for i, r := range requests {
		answers[i] = echoOf(r.Items)
	}
	return inference.Generated{Lists: answers}, nil
}

// echoOf are the newest items, the newest first.
func echoOf(items []string) (echoed []userstate.ScoredItem) {
	const most = 5
	for i := len(items) - 1; i >= 0 && len(echoed) < most; i-- {
		echoed = append(echoed, userstate.ScoredItem{Item: items[i], Score: 1 / float64(len(echoed)+1)})
	}
	return echoed
}
