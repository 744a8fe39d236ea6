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

// servers are the connections of a command to Kafka and Redis.
type servers struct {
	kafka    stream.Cluster
	redis    redis.UniversalClient
	store    *sessions.Store
	embedded *embedded.Servers    // nil if both addresses are given
	topics   *stream.TopicWatcher // nil for commands that are no services
}

// connect connects a service to the given servers, and starts embedded ones for addresses that
// are not given. It waits until the servers can be reached; wrong credentials and missing
// permissions are errors.
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
		if s.embedded, err = embedded.Start(ctx, embedded.Config{}); err != nil {
			return s, err
		}
	}
	if len(s.kafka.Brokers) == 0 {
		s.kafka.Brokers = s.embedded.KafkaBrokers()
		slog.InfoContext(ctx, "no --kafka: using an embedded Kafka, which keeps its data in memory", "brokers", s.kafka.Brokers)
	}
	if address == "" {
		address = s.embedded.RedisAddr()
		slog.InfoContext(ctx, "no --redis: using an embedded Redis, which keeps its data in memory", "address", address)
	}
	err = stream.AwaitTopics(ctx, slog.Default(), s.kafka, stream.DefaultTopics(), cmd.Int("partitions"))
	if err != nil {
		return s, err
	}
	for _, permissions := range needed {
		if err := stream.AwaitPermissions(ctx, slog.Default(), s.kafka, permissions); err != nil {
			return s, err
		}
	}
	s.topics = stream.NewTopicWatcher(s.kafka, stream.DefaultTopics(), cmd.Int("partitions"), slog.Default())
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

// openStore connects a command that is no service to --redis, without waiting for it.
func (s *servers) openStore(ctx context.Context, cmd *cli.Command) (err error) {
	if s.redis, err = connectRedis(ctx, cmd); err != nil {
		return err
	}
	s.store, err = sessions.Open(ctx, s.redis, storeOptions(cmd))
	return err
}

// ready is the readiness check: the topics exist and Redis answers. Kafka is not asked here,
// because services use it all the time.
func (s *servers) ready(ctx context.Context) error {
	if s.topics != nil {
		if err := s.topics.Ready(); err != nil {
			return err
		}
	}
	if err := s.redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping Redis: %w", err)
	}
	return nil
}

func (s *servers) close() error {
	var err error
	if s.redis != nil {
		err = s.redis.Close()
	}
	if s.embedded != nil {
		s.embedded.Close()
	}
	return err
}
