package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const clusterSlots = 16384

// RedisClusterConfig configures a Redis Cluster.
type RedisClusterConfig struct {
	Folder  string // data, one subfolder per master
	Masters int    // number of masters; there are no replicas
}

// RedisCluster is a Redis Cluster whose masters have equal shares of the hash slots.
type RedisCluster struct{ masters []*Redis }

// StartRedisCluster starts a Redis Cluster and waits until all masters serve. The caller must Close
// it.
func StartRedisCluster(ctx context.Context, cfg RedisClusterConfig) (c *RedisCluster, err error) {
	c = &RedisCluster{}
	defer func() {
		if err != nil {
			c.Close()
			c, err = nil, fmt.Errorf("start a Redis Cluster of %d masters: %w", cfg.Masters, err)
		}
	}()
	first, bus := "", ""
	for i := range cfg.Masters {
		folder := filepath.Join(cfg.Folder, fmt.Sprintf("master-%d", i))
		if err := os.Mkdir(folder, 0o700); err != nil {
			return c, err
		}
		free, err := FreeAddress()
		if err != nil {
			return c, err
		}
		_, port, _ := net.SplitHostPort(free)
		master, err := StartRedis(ctx, RedisConfig{Folder: folder, bus: port})
		if err != nil {
			return c, err
		}
		c.masters = append(c.masters, master)
		commands := [][]any{
			{"CLUSTER", "SET-CONFIG-EPOCH", i + 1},
			{"CLUSTER", "ADDSLOTSRANGE", i * clusterSlots / cfg.Masters, (i+1)*clusterSlots/cfg.Masters - 1},
		}
		if i == 0 {
			first, bus = master.Address(), port
		} else {
			host, port, _ := net.SplitHostPort(first)
			commands = append(commands, []any{"CLUSTER", "MEET", host, port, bus})
		}
		if err := master.do(ctx, commands...); err != nil {
			return c, err
		}
	}
	for _, master := range c.masters {
		if err := master.server.awaitReady(ctx, "the Redis Cluster", func(ctx context.Context) error { return master.joined(ctx, cfg.Masters) }); err != nil {
			return c, err
		}
	}
	return c, nil
}

// do sends administrative commands.
func (r *Redis) do(ctx context.Context, commands ...[]any) error {
	client := redis.NewClient(&redis.Options{Addr: r.address, MaxRetries: -1, ContextTimeoutEnabled: true})
	defer client.Close()
	for _, command := range commands {
		if err := client.Do(ctx, command...).Err(); err != nil {
			return fmt.Errorf("%v at %s: %w", command, r.address, err)
		}
	}
	return nil
}

// joined fails until a master serves and knows all others.
func (r *Redis) joined(ctx context.Context, masters int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	client := redis.NewClient(&redis.Options{Addr: r.address, MaxRetries: -1, ContextTimeoutEnabled: true})
	defer client.Close()
	info, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_size:%d\r", masters)) {
		return errors.New("not all masters have joined")
	}
	return nil
}

// Addresses returns HOST:PORT of each master.
func (c *RedisCluster) Addresses() (all []string) {
	for _, master := range c.masters {
		all = append(all, master.Address())
	}
	return all
}

// Processes returns the process ID of each master.
func (c *RedisCluster) Processes() (all []int) {
	for _, master := range c.masters {
		all = append(all, master.Process())
	}
	return all
}

// Close ends all masters.
func (c *RedisCluster) Close() {
	for _, master := range c.masters {
		master.Close()
	}
}
