package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/urfave/cli/v3"

	"genrec/pkg/embedded"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// servers are the Kafka and the Redis that a command works with.
type servers struct {
	kafka   stream.Cluster
	redis   redis.UniversalClient
	store   *sessions.Store
	own     *embedded.Servers // nil when both were given by address
}

// connect uses the servers given by address and embedded ones in place of those
// that were not given.
func connect(ctx context.Context, cmd *cli.Command) (s *servers, err error) {
	s = &servers{kafka: stream.Cluster{Brokers: cmd.StringSlice("kafka")}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	address := cmd.String("redis")
	if len(s.kafka.Brokers) == 0 || address == "" {
		if s.own, err = embedded.Start(ctx, embedded.Config{}); err != nil {
			return s, err
		}
	}
	if len(s.kafka.Brokers) == 0 {
		s.kafka.Brokers = s.own.KafkaBrokers()
		slog.InfoContext(ctx, "no --kafka: using one in this process that forgets everything at the end", "brokers", s.kafka.Brokers)
	}
	if address == "" {
		address = s.own.RedisAddr()
		slog.InfoContext(ctx, "no --redis: using one in this process that forgets everything at the end", "address", address)
	}
	if err := stream.EnsureTopics(ctx, s.kafka, stream.DefaultTopics(), cmd.Int("partitions")); err != nil {
		return s, err
	}
	return s, s.openStore(ctx, cmd, address)
}

func (s *servers) openStore(ctx context.Context, cmd *cli.Command, address string) (err error) {
	if s.redis, err = redisClient(address); err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	s.store, err = sessions.Open(ctx, s.redis, sessions.Options{
		Prefix: cmd.String("prefix"), Window: cmd.Int("window"), RecommendationsTTL: cmd.Duration("ttl"),
	})
	return err
}

func (s *servers) close() error {
	var err error
	if s.redis != nil {
		err = s.redis.Close()
	}
	if s.own != nil {
		s.own.Close()
	}
	return err
}

func redisClient(address string) (redis.UniversalClient, error) {
	options := &redis.Options{Addr: address}
	if strings.Contains(address, "://") {
		var err error
		if options, err = redis.ParseURL(address); err != nil {
			return nil, errors.New("not a redis:// or rediss:// URL") // the URL may hold a password
		}
	}
	options.ContextTimeoutEnabled = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(options), nil
}
