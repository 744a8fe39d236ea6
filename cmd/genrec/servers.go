package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v3"

	"genrec/pkg/embedded"
	"genrec/pkg/stream"
	"genrec/sessions"
)

// servers are the Kafka and the Redis that a command works with.
type servers struct {
	kafka stream.Cluster
	redis redis.UniversalClient
	store *sessions.Store
	own   *embedded.Servers // nil when both were given by address
	// keeper watches the topics of services; nil for commands that work once.
	keeper *stream.TopicWatcher
}

// connect uses the servers given by address and embedded ones in place of those
// that were not given. It waits for servers that are away; those that refuse, or
// do not allow what is needed, end it.
func connect(ctx context.Context, cmd *cli.Command, needed ...stream.Permissions) (s *servers, err error) {
	s = &servers{}
	if s.kafka, err = kafkaCluster(cmd); err != nil {
		return s, err
	}
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
	err = stream.AwaitTopics(ctx, slog.Default(), s.kafka, stream.DefaultTopics(), cmd.Int("partitions"))
	if err != nil {
		return s, err
	}
	for _, access := range needed {
		if err := stream.AwaitPermissions(ctx, slog.Default(), s.kafka, access); err != nil {
			return s, err
		}
	}
	s.keeper = stream.NewTopicWatcher(s.kafka, stream.DefaultTopics(), cmd.Int("partitions"), slog.Default())
	options, err := redisConfig(cmd, address)
	if err != nil {
		return s, err
	}
	if s.redis, err = sessions.AwaitClient(ctx, slog.Default(), options); err != nil {
		return s, err
	}
	s.store, err = sessions.Await(ctx, slog.Default(), s.redis, storeOptions(cmd))
	return s, err
}

// openStore connects to --redis for a command that works once.
func (s *servers) openStore(ctx context.Context, cmd *cli.Command) (err error) {
	if s.redis, err = connectRedis(ctx, cmd); err != nil {
		return err
	}
	s.store, err = sessions.Open(ctx, s.redis, storeOptions(cmd))
	return err
}

// answer says whether Redis does, and whether the topics are there. Kafka is asked all the time
// anyway.
func (s *servers) answer(ctx context.Context) error {
	if s.keeper != nil {
		if err := s.keeper.Ready(); err != nil {
			return err
		}
	}
	if err := s.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping Redis: %w", err)
	}
	return nil
}

func storeOptions(cmd *cli.Command) sessions.Options {
	return sessions.Options{
		Prefix: cmd.String("prefix"), Window: cmd.Int("window"),
		SequenceTTL: cmd.Duration("sequence-ttl"), RecommendationsTTL: cmd.Duration("ttl"),
	}
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
