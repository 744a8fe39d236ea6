package embeddedtest

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"genrec/pkg/embedded"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
)

// JarsVariable is the environment variable that selects the servers. If it names the folder with
// the jars of Apache Kafka, tests run against that and redis-server, otherwise against embedded
// servers.
const JarsVariable = "GENREC_TEST_KAFKA_JARS"

// Real reports whether tests run against real servers.
func Real() bool { return os.Getenv(JarsVariable) != "" }

// Servers are an empty Kafka and an empty Redis for one test.
type Servers struct {
	t         testing.TB
	embedded  *embedded.Servers // nil with real servers
	realKafka *testservers.Kafka
	realRedis *testservers.Redis
	client    *kafka.Client
}

// Start starts Kafka with the default topics, of two partitions each, and Redis with a client that
// leaves retries to the service under test. They stop at the end of the test.
func Start(t testing.TB) (*Servers, *redis.Client) {
	t.Helper()
	s := StartEmpty(t)
	if err := stream.EnsureTopics(t.Context(), s.Cluster(), stream.DefaultTopics(), 2); err != nil {
		t.Fatal(err)
	}
	if s.realKafka != nil {
		for _, topic := range []string{stream.DefaultTopics().Interactions, stream.DefaultTopics().Refreshes, stream.DefaultTopics().DeadLetters} {
			s.Ends(topic) // waits for the leaders
		}
		// The writers of this process have cached metadata of an earlier test's topics.
		kafka.DefaultTransport.(*kafka.Transport).CloseIdleConnections()
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.RedisAddr(), ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = rdb.Close() })
	return s, rdb
}

// StartEmpty is Start without topics.
func StartEmpty(t testing.TB) *Servers {
	t.Helper()
	s := &Servers{t: t}
	if Real() {
		s.startReal()
	} else {
		var err error
		if s.embedded, err = embedded.Start(t.Context(), embedded.Config{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.embedded.Close)
	}
	transport := s.Cluster().NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &kafka.Client{Addr: kafka.TCP(s.KafkaBrokers()...), Transport: transport}
	return s
}

// A real Kafka takes seconds to start: the tests of a package share one.
var shared struct {
	sync.Mutex
	kafka  *testservers.Kafka
	folder string
}

// Main is the TestMain of packages whose tests call Start. It stops the shared Kafka.
func Main(m *testing.M) {
	code := m.Run()
	if shared.kafka != nil {
		shared.kafka.Close()
		_ = os.RemoveAll(shared.folder)
	}
	os.Exit(code)
}

func (s *Servers) startReal() {
	s.t.Helper()
	var err error
	if s.realKafka, err = sharedKafka(s.t); err != nil {
		s.t.Fatal(err)
	}
	awaitGroups(s.t, s.Cluster())
	if err := clearKafka(s.t, s.Cluster()); err != nil {
		s.t.Fatal(err)
	}
	s.realRedis = startRealRedis(s.t, testservers.RedisConfig{})
}

// StartRedis starts only a Redis and returns its address, HOST:PORT.
func StartRedis(t testing.TB) string {
	t.Helper()
	if Real() {
		return startRealRedis(t, testservers.RedisConfig{}).Address()
	}
	return miniredis.RunT(t).Addr()
}

// StartRedisServer starts a redis-server, even if Real is false, and returns its address,
// HOST:PORT. It skips the test if redis-server is not installed. cfg needs no folder.
func StartRedisServer(t testing.TB, cfg testservers.RedisConfig) string {
	t.Helper()
	NeedRedisServer(t)
	return startRealRedis(t, cfg).Address()
}

// StartRedisCluster starts a Redis Cluster and returns the addresses of its masters. It skips the
// test if redis-server is not installed.
func StartRedisCluster(t testing.TB, masters int) []string {
	t.Helper()
	NeedRedisServer(t)
	c, err := testservers.StartRedisCluster(t.Context(), testservers.RedisClusterConfig{Folder: t.TempDir(), Masters: masters})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.Addresses()
}

// NeedRedisServer skips a test if redis-server is not installed.
func NeedRedisServer(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("this test needs redis-server, which is not installed: apt install redis-server")
	}
}

func startRealRedis(t testing.TB, cfg testservers.RedisConfig) *testservers.Redis {
	t.Helper()
	cfg.Folder = t.TempDir()
	r, err := testservers.StartRedis(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func sharedKafka(t testing.TB) (*testservers.Kafka, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.kafka != nil {
		return shared.kafka, nil
	}
	folder, err := os.MkdirTemp("", "genrec-kafka-")
	if err != nil {
		return nil, err
	}
	shared.folder = folder
	shared.kafka, err = testservers.StartKafka(t.Context(), testservers.KafkaConfig{Jars: os.Getenv(JarsVariable), Folder: folder})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return shared.kafka, nil
}

// Cluster returns how to connect to Kafka.
func (s *Servers) Cluster() stream.Cluster { return stream.Cluster{Brokers: s.KafkaBrokers()} }

// KafkaBrokers returns the addresses of the Kafka, HOST:PORT.
func (s *Servers) KafkaBrokers() []string {
	if s.embedded != nil {
		return s.embedded.KafkaBrokers()
	}
	return []string{s.realKafka.Address()}
}

// RedisAddr returns the address of the Redis, HOST:PORT.
func (s *Servers) RedisAddr() string {
	if s.embedded != nil {
		return s.embedded.RedisAddr()
	}
	return s.realRedis.Address()
}

// Faults returns the embedded Kafka to inject faults. It skips the test on a real one.
func (s *Servers) Faults() *kfake.Cluster {
	s.t.Helper()
	if s.embedded == nil {
		s.t.Skip("faults cannot be injected into a real Kafka")
	}
	return s.embedded.Kafka()
}

// StopRedis stops Redis, which keeps its data.
func (s *Servers) StopRedis() {
	if s.embedded != nil {
		s.embedded.Redis().Close()
		return
	}
	s.realRedis.Kill()
}

// RestartRedis restarts Redis after StopRedis.
func (s *Servers) RestartRedis() {
	s.t.Helper()
	var err error
	if s.embedded != nil {
		err = s.embedded.Redis().Restart()
	} else {
		err = s.realRedis.Start(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
