package embeddedtest

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"genrec/pkg/embedded"
	"genrec/pkg/realservers"
	"genrec/pkg/stream"
)

// JarsVariable chooses the servers: it names the folder with the jars of a real Kafka,
// to run the tests against that and redis-server, or nothing, for embedded ones.
const JarsVariable = "GENREC_TEST_KAFKA_JARS"

// Real tells whether the tests run against real servers.
func Real() bool { return os.Getenv(JarsVariable) != "" }

// Servers are a Kafka and a Redis for one test, with nothing in them.
type Servers struct {
	t         testing.TB
	embedded  *embedded.Servers // nil: real ones
	realKafka *realservers.Kafka
	realRedis *realservers.Redis
	client    *kafka.Client
}

// Start starts Kafka with the default topics, two partitions each, and Redis with
// a client that leaves retrying to the service under test. They stop with the test.
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
		// What the writers of this process remember is of the topics of an earlier test.
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

// A real Kafka takes seconds to start, so the tests of a package share one.
var shared struct {
	sync.Mutex
	kafka  *realservers.Kafka
	folder string
}

// Main is the TestMain of packages whose tests call Start: it stops what they share.
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
	s.realRedis = startRealRedis(s.t)
}

// StartRedis starts a Redis alone and returns its address, HOST:PORT.
func StartRedis(t testing.TB) string {
	t.Helper()
	if Real() {
		return startRealRedis(t).Address()
	}
	return miniredis.RunT(t).Addr()
}

func startRealRedis(t testing.TB) *realservers.Redis {
	t.Helper()
	r, err := realservers.StartRedis(t.Context(), realservers.RedisConfig{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func sharedKafka(t testing.TB) (*realservers.Kafka, error) {
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
	shared.kafka, err = realservers.StartKafka(t.Context(), realservers.KafkaConfig{Jars: os.Getenv(JarsVariable), Folder: folder})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return shared.kafka, nil
}

// Cluster names the Kafka.
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

// Faults gives access to the faults that an embedded Kafka can be told to have. A test
// that asks for them ends here on a real one.
func (s *Servers) Faults() *kfake.Cluster {
	s.t.Helper()
	if s.embedded == nil {
		s.t.Skip("a real Kafka has no faults at will")
	}
	return s.embedded.Kafka()
}

// StopRedis takes Redis away, which keeps what it holds.
func (s *Servers) StopRedis() {
	if s.embedded != nil {
		s.embedded.Redis().Close()
		return
	}
	s.realRedis.Kill()
}

// RestartRedis brings Redis back after StopRedis.
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
