package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"genrec/pkg/stream"
	"genrec/pkg/testservers"
)

// environment has the Kafka and Redis servers of a benchmark.
type environment struct {
	settings
	folder  string
	cluster stream.Cluster
	nodes   []string // Redis: HOST:PORT of the server, or of each master
	rdb     redis.UniversalClient
	servers cpuUsage // those started by this process
	stops   []func()
}

// startServers starts the servers that are not given by flags. The environment must be closed even after an
// error.
func startServers(ctx context.Context, s settings, folder string) (*environment, error) {
	r := &environment{settings: s, folder: folder}
	if s.kafka == "" {
		at, err := r.subfolder("kafka")
		if err != nil {
			return r, err
		}
		k, err := testservers.StartKafka(ctx, testservers.KafkaConfig{Jars: s.jars, Folder: at, Optimized: true})
		if err != nil {
			return r, err
		}
		r.stops, r.kafka = append(r.stops, k.Close), k.Address()
		r.servers.add("Kafka", k.Process())
	}
	r.cluster = stream.Cluster{Brokers: strings.Split(r.kafka, ",")}
	if err := r.startRedis(ctx); err != nil {
		return r, err
	}
	r.rdb = r.newRedisClient(nil)
	if err := r.rdb.Ping(ctx).Err(); err != nil {
		return r, fmt.Errorf("ping Redis at %s: %w", r.redis, err)
	}
	return r, nil
}

func (r *environment) startRedis(ctx context.Context) error {
	if r.redis != "" {
		r.nodes = strings.Split(r.redis, ",")
		return nil
	}
	at, err := r.subfolder("redis")
	if err != nil {
		return err
	}
	if r.masters == 1 {
		server, err := testservers.StartRedis(ctx, testservers.RedisConfig{Folder: at})
		if err != nil {
			return err
		}
		r.stops, r.nodes = append(r.stops, server.Close), []string{server.Address()}
		r.servers.add("Redis", server.Process())
	} else {
		cluster, err := testservers.StartRedisCluster(ctx, testservers.RedisClusterConfig{Folder: at, Masters: r.masters})
		if err != nil {
			return err
		}
		r.stops, r.nodes = append(r.stops, cluster.Close), cluster.Addresses()
		for _, id := range cluster.Processes() {
			r.servers.add("Redis", id)
		}
	}
	r.redis = strings.Join(r.nodes, ",")
	return nil
}

func (r *environment) subfolder(name string) (string, error) {
	path := filepath.Join(r.folder, name)
	return path, os.Mkdir(path, 0o700)
}

// newRedisClient returns a client with the options of genrec; change may be nil.
func (r *environment) newRedisClient(change func(*redis.UniversalOptions)) redis.UniversalClient {
	options := &redis.UniversalOptions{
		Addrs: r.nodes, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if change != nil {
		change(options)
	}
	return redis.NewUniversalClient(options)
}

// eachMaster calls f for each Redis master.
func (r *environment) eachMaster(ctx context.Context, f func(ctx context.Context, master *redis.Client) error) error {
	switch client := r.rdb.(type) {
	case *redis.ClusterClient:
		return client.ForEachMaster(ctx, f)
	case *redis.Client:
		return f(ctx, client)
	}
	return errors.New("unknown type of Redis client")
}

func (r *environment) flushRedis(ctx context.Context) error {
	return r.eachMaster(ctx, func(ctx context.Context, master *redis.Client) error { return master.FlushAll(ctx).Err() })
}

func (r *environment) close() {
	if r.rdb != nil {
		_ = r.rdb.Close() // no data to lose
	}
	for _, stop := range slices.Backward(r.stops) {
		stop()
	}
}
