package testservers

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
)

func TestKafkaKeepsItsDataOverAKill(t *testing.T) {
	jars := os.Getenv("GENREC_TEST_KAFKA_JARS")
	if jars == "" {
		t.Skip("make test-real runs this")
	}
	k, err := StartKafka(t.Context(), KafkaConfig{Jars: jars, Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	client := &kafka.Client{Addr: kafka.TCP(k.Address()), Transport: &kafka.Transport{}}
	created, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: "kept", NumPartitions: 3, ReplicationFactor: 1}},
	})
	if err != nil || created.Errors["kept"] != nil {
		t.Fatal(err, created)
	}
	k.Kill()
	if err := k.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := kafka.DialContext(t.Context(), "tcp", k.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if partitions, err := conn.ReadPartitions("kept"); err != nil || len(partitions) != 3 {
		t.Errorf("after a kill the topic has %d partitions (error %v), want 3", len(partitions), err)
	}
}

func TestRedisKeepsItsDataOverAKill(t *testing.T) {
	if os.Getenv("GENREC_TEST_KAFKA_JARS") == "" {
		t.Skip("make test-real runs this")
	}
	r, err := StartRedis(t.Context(), RedisConfig{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	client := redis.NewClient(&redis.Options{Addr: r.Address()})
	defer client.Close()
	if err := client.Set(t.Context(), "key", "kept", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), "key").Result(); err != nil || got != "kept" {
		t.Errorf("after a kill the key holds %q (error %v)", got, err)
	}
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := StartRedis(t.Context(), RedisConfig{Folder: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "apt install") {
		t.Errorf("without redis-server the error is %v, want one that says what to install", err)
	}
	if _, err := StartKafka(t.Context(), KafkaConfig{Jars: t.TempDir(), Folder: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "apt install") {
		t.Errorf("without Java the error is %v, want one that says what to install", err)
	}
}

func TestRedisClusterServesAllSlots(t *testing.T) {
	if os.Getenv("GENREC_TEST_KAFKA_JARS") == "" {
		t.Skip("make test-real runs this")
	}
	const masters = 2
	c, err := StartRedisCluster(t.Context(), RedisClusterConfig{Folder: t.TempDir(), Masters: masters})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := len(c.Processes()); n != masters {
		t.Errorf("it has %d processes, want %d", n, masters)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addresses()})
	defer client.Close()
	const keys = 100
	for i := range keys {
		if err := client.Set(t.Context(), strconv.Itoa(i), "kept", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := client.DBSize(t.Context()).Result(); err != nil || n != keys {
		t.Errorf("the masters hold %d keys (error %v), want %d", n, err, keys)
	}
	err = client.ForEachMaster(t.Context(), func(ctx context.Context, master *redis.Client) error {
		if n := master.DBSize(ctx).Val(); n < keys/10 {
			t.Errorf("%v holds %d of %d keys: the slots are not shared evenly", master, n, keys)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
