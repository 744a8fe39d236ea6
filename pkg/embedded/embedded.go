// Package embedded runs Kafka (kfake) and Redis (miniredis) inside this process, for tests and for
// trying genrec without installing anything. Both keep their data in memory only.
package embedded

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
)

// PartitionBytes is the size at which Kafka deletes the oldest messages of a partition, consumed or
// not, to limit memory.
const PartitionBytes = 128 << 20

const upkeepInterval = 3 * time.Second

// Config sets the loopback ports; 0 selects a free one.
type Config struct {
	KafkaPort int // of the Kafka broker
	RedisPort int // of Redis
}

// Servers are a running Kafka and a running Redis.
type Servers struct {
	kafka *kfake.Cluster
	redis *miniredis.Miniredis

	close  sync.Once
	closed chan struct{}
	ended  chan struct{} // closed when upkeep has returned
}

// Start starts both servers. They run until Close; ctx applies only to the start.
func Start(ctx context.Context, cfg Config) (*Servers, error) {
	kafka, err := startKafka(ctx, cfg.KafkaPort)
	if err != nil {
		return nil, err
	}
	redis := miniredis.NewMiniRedis()
	if err := redis.StartAddr(net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.RedisPort))); err != nil {
		kafka.Close()
		return nil, fmt.Errorf("start embedded Redis on port %d: %w", cfg.RedisPort, err)
	}
	s := &Servers{kafka: kafka, redis: redis, closed: make(chan struct{}), ended: make(chan struct{})}
	go s.upkeep()
	return s, nil
}

func startKafka(ctx context.Context, port int) (*kfake.Cluster, error) {
	var listen net.ListenConfig
	kafka, err := kfake.NewCluster(
		kfake.Ports(port),
		kfake.BrokerConfigs(map[string]string{"log.retention.bytes": strconv.Itoa(PartitionBytes)}),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			return listen.Listen(ctx, network, address)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("start embedded Kafka on port %d: %w", port, err)
	}
	return kafka, nil
}

// KafkaBrokers returns the addresses to connect to, host:port.
func (s *Servers) KafkaBrokers() []string { return s.kafka.ListenAddrs() }

// RedisAddr returns the address to connect to, host:port.
func (s *Servers) RedisAddr() string { return s.redis.Addr() }

// Kafka returns the broker, for tests that inject faults or inspect its data.
func (s *Servers) Kafka() *kfake.Cluster { return s.kafka }

// Redis returns the server, for tests that stop it or inspect its data.
func (s *Servers) Redis() *miniredis.Miniredis { return s.redis }

// Close stops both servers. It is idempotent.
func (s *Servers) Close() {
	s.close.Do(func() {
		close(s.closed)
		<-s.ended
		s.kafka.Close()
		s.redis.Close()
	})
}

// upkeep applies Kafka's retention and expires keys in Redis, which neither server does by itself.
// Expiry visits every key, so it must be rare.
func (s *Servers) upkeep() {
	defer close(s.ended)
	tick := time.NewTicker(upkeepInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.closed:
			return
		case <-tick.C:
			s.kafka.ApplyRetention()
			s.redis.FastForward(upkeepInterval)
		}
	}
}
