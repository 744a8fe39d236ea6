package stream_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"genrec/pkg/embedded/embeddedtest"
	"genrec/pkg/stream"
	"genrec/pkg/testservers"
	"genrec/pkg/tlsfiles"
)

// startSecure starts a Kafka with TLS and SASL, and counts the connections to it.
func startSecure(t *testing.T) (cluster stream.Cluster, opened func() int) {
	t.Helper()
	authority, err := testservers.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files, err := authority.Issue("kafka")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	server, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "ann", "hunter2"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	connections := make(chan struct{}, 10_000)
	server.ControlKey(int16(kmsg.SASLHandshake), func(kmsg.Request) (kmsg.Response, error, bool) {
		server.KeepControl()
		connections <- struct{}{} // one handshake for each connection
		return nil, nil, false
	})
	clientTLS, err := tlsfiles.Files{CA: files.CA}.Client()
	if err != nil {
		t.Fatal(err)
	}
	mechanism, err := stream.NewSASL("PLAIN", "ann", "hunter2")
	if err != nil {
		t.Fatal(err)
	}
	cluster = stream.Cluster{Brokers: server.ListenAddrs(), TLS: clientTLS, SASL: mechanism}
	return cluster, func() int { return len(connections) }
}

// Repeated calls must not leak connections, nor open ones that could be shared.
func TestCallsLeaveNoConnections(t *testing.T) {
	cluster, opened := startSecure(t)
	if err := stream.EnsureTopics(t.Context(), cluster, stream.DefaultTopics(), 2); err != nil {
		t.Fatal(err)
	}
	all := publicCalls(cluster)
	run := func(c call) {
		if err := c.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	for _, c := range all { // open the shared connections
		run(c)
	}
	before := runtime.NumGoroutine()
	const calls = 20
	for _, c := range all {
		connections := opened()
		for range calls {
			run(c)
		}
		if n := opened() - connections; c.shares && n >= calls/2 {
			t.Errorf("%d calls of %s opened %d connections, want the earlier ones to be reused", calls, c.name, n)
		}
	}
	embeddedtest.Eventually(t, func() string {
		if n := runtime.NumGoroutine() - before; n >= calls/2 {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return fmt.Sprintf("%d calls of each function left %d goroutines:\n%s", calls, n, &stacks)
		}
		return ""
	})
}

// One of the bootstrap brokers may be down.
func TestCallsWithDeadBroker(t *testing.T) {
	servers := startWithTopics(t)
	cluster := servers.Cluster()
	cluster.Brokers = append([]string{"127.0.0.1:1"}, cluster.Brokers...)
	for _, call := range publicCalls(cluster) {
		t.Run(call.name, func(t *testing.T) {
			for range 3 { // brokers are tried in random order
				if err := call.do(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type call struct {
	name   string
	shares bool // reuses connections of earlier calls
	do     func(context.Context) error
}

// publicCalls are all functions of the package that connect to a cluster.
func publicCalls(cluster stream.Cluster) []call {
	topics := stream.DefaultTopics()
	lag := stream.NewLagCollector(cluster, "readers", topics.Refreshes)
	write := func(ctx context.Context, w *kafka.Writer, messages ...kafka.Message) error {
		defer w.Close()
		return stream.Publish(ctx, quiet, w, messages...)
	}
	consume := func(start stream.StartOffset) func(context.Context) error {
		return func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			var consumed atomic.Bool
			group := stream.GroupConfig{Kafka: cluster, Group: fmt.Sprint("group-", time.Now().UnixNano()), Topic: topics.Interactions, StartOffset: start, Logger: quiet}
			err := stream.Consume(ctx, group, func(ctx context.Context, p *stream.Partition) error {
				if err := p.Commit(ctx, 0); err != nil {
					return err
				}
				consumed.Store(true)
				cancel()
				return nil
			})
			if consumed.Load() {
				return nil
			}
			return err
		}
	}
	original := kafka.Message{Topic: topics.Interactions, Key: []byte("ann"), Value: []byte("{")}
	return []call{
		{name: "EnsureTopics", do: func(ctx context.Context) error { return stream.EnsureTopics(ctx, cluster, topics, 2) }},
		{name: "AwaitTopics", do: func(ctx context.Context) error { return stream.AwaitTopics(ctx, quiet, cluster, topics, 2) }},
		{name: "InspectTopics", do: func(ctx context.Context) error {
			_, err := stream.InspectTopics(ctx, cluster, topics)
			return err
		}},
		{name: "CheckPermissions", do: func(ctx context.Context) error {
			return stream.CheckPermissions(ctx, cluster, stream.Permissions{Group: "readers", Reads: topics.Refreshes, Writes: []string{topics.DeadLetters}})
		}},
		{name: "IsCompacted", do: func(ctx context.Context) error {
			_, err := stream.IsCompacted(ctx, cluster, topics.DeadLetters)
			return err
		}},
		{name: "Publish", shares: true, do: func(ctx context.Context) error {
			return write(ctx, stream.NewWriter(cluster, topics.Refreshes), kafka.Message{Key: []byte("ann"), Value: []byte("v")})
		}},
		{name: "Publish dead letters", shares: true, do: func(ctx context.Context) error {
			return write(ctx, stream.NewDeadLetterWriter(cluster, topics.DeadLetters), stream.NewDeadLetter(original, "not_json", "detail"))
		}},
		{name: "Lag", shares: true, do: func(ctx context.Context) error {
			_, err := stream.Lag(ctx, cluster, "readers", topics.Refreshes)
			return err
		}},
		{name: "NewLagCollector", shares: true, do: func(context.Context) error {
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(lag)
			n, err := testutil.GatherAndCount(registry)
			if err == nil && n != 2 {
				err = fmt.Errorf("the collector reports %d partitions, want 2", n)
			}
			return err
		}},
		{name: "Scan", do: func(ctx context.Context) error {
			return stream.Scan(ctx, cluster, topics.Refreshes, stream.StartAt(time.Now().Add(-time.Minute)), func(kafka.Message) error { return nil })
		}},
		{name: "ScanDeadLetters", do: func(ctx context.Context) error {
			_, err := stream.ScanDeadLetters(ctx, cluster, topics.DeadLetters, stream.Earliest, func(stream.DeadLetter) error { return nil })
			return err
		}},
		{name: "ReplayDeadLetters", do: func(ctx context.Context) error {
			_, err := stream.ReplayDeadLetters(ctx, stream.ReplayConfig{Kafka: cluster, Topics: topics, Logger: quiet})
			return err
		}},
		{name: "EraseDeadLetters", do: func(ctx context.Context) error {
			_, err := stream.EraseDeadLetters(ctx, quiet, cluster, topics.DeadLetters, []string{"ann"}, func() {})
			return err
		}},
		{name: "Consume from the latest", do: consume(stream.Latest)},
		{name: "Consume from a time", do: consume(stream.StartAt(time.Now().Add(-time.Hour)))},
	}
}

func TestScanFromStartOffsets(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Interactions
	w := stream.NewWriter(servers.Cluster(), topic)
	defer w.Close()
	begin := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 5 {
		m := kafka.Message{Key: []byte("ann"), Value: fmt.Append(nil, i), Time: begin.Add(time.Duration(i) * time.Minute)}
		if err := w.WriteMessages(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for start, want := range map[stream.StartOffset]string{
		stream.Earliest:       "[0 1 2 3 4]",
		stream.Latest:         "[]",
		stream.StartAt(begin): "[0 1 2 3 4]",
		stream.StartAt(begin.Add(2 * time.Minute)):   "[2 3 4]",
		stream.StartAt(begin.Add(150 * time.Second)): "[3 4]",
		stream.StartAt(begin.Add(time.Hour)):         "[]",
	} {
		var values []string
		err := stream.Scan(t.Context(), servers.Cluster(), topic, start, func(m kafka.Message) error {
			values = append(values, string(m.Value))
			return nil
		})
		slices.Sort(values)
		if got := fmt.Sprint(values); err != nil || got != want {
			t.Errorf("a scan from %v reads %s (error %v), want %s", start, got, err, want)
		}
	}
}

// A partition whose committed offset cannot be read is not one without a committed offset.
func TestLagReportsErrorsOfPartitions(t *testing.T) {
	servers := startWithTopics(t)
	topic := stream.DefaultTopics().Refreshes
	if lag, err := stream.Lag(t.Context(), servers.Cluster(), "readers", topic); err != nil || lag != 0 {
		t.Fatalf("the lag is %d (%v), want 0", lag, err)
	}
	servers.Faults().ControlKey(int16(kmsg.OffsetFetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		servers.Faults().KeepControl()
		fetch, response := request.(*kmsg.OffsetFetchRequest), request.ResponseKind().(*kmsg.OffsetFetchResponse)
		for _, t := range fetch.Topics {
			topic := kmsg.OffsetFetchResponseTopic{Topic: t.Topic}
			for _, partition := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseTopicPartition{
					Partition: partition, Offset: -1, ErrorCode: kerr.TopicAuthorizationFailed.Code,
				})
			}
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
	if lag, err := stream.Lag(t.Context(), servers.Cluster(), "readers", topic); !errors.Is(err, kafka.TopicAuthorizationFailed) {
		t.Errorf("the lag is %d (%v), want the error", lag, err)
	}
}
