package embedded

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
)

func start(t *testing.T) *Servers {
	t.Helper()
	s, err := Start(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestKafkaResponds(t *testing.T) {
	s := start(t)
	conn, err := kafka.DialContext(t.Context(), "tcp", s.KafkaBrokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	brokers, err := conn.Brokers()
	if err != nil || len(brokers) != 1 {
		t.Errorf("got brokers %v, error %v; want one broker", brokers, err)
	}
}

func TestRedisExpiresKeys(t *testing.T) {
	s := start(t)
	rdb := redis.NewClient(&redis.Options{Addr: s.RedisAddr()})
	defer rdb.Close()
	if err := rdb.Set(t.Context(), "key", "value", 20*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		left, err := rdb.Exists(t.Context(), "key").Result()
		if err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the key outlived its TTL of 20 ms by seconds")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestStartFailsOnUsedPort(t *testing.T) {
	s := start(t)
	_, taken, err := net.SplitHostPort(s.RedisAddr())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(taken)
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{{KafkaPort: port}, {RedisPort: port}} {
		if second, err := Start(t.Context(), cfg); err == nil {
			second.Close()
			t.Errorf("Start(%+v) succeeded although the port is in use", cfg)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	s := start(t)
	s.Close()
	s.Close()
}
